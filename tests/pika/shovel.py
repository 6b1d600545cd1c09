"""A shovel between two clusters while the nodes at both of its ends are killed,
and every message is accounted for: none is lost, and none stays behind.

By hand:

    shovel.py --messages 50000
    shovel.py --messages 50000 --rabbitmq amqp://guest:guest@127.0.0.1:5673

With --rabbitmq the messages make the round over a RabbitMQ broker: out by one
shovel, back by another.
"""

import argparse
import asyncio
import collections
import contextlib
import json
import pathlib
import ssl
import subprocess
import sys
import tempfile
import threading
import time

import pika

from cluster import WARREN, Cluster, eventually, in_sync

SOURCE, TARGET, FAR = "shovel.source", "shovel.target", "shovel.far"
PERSISTENT = pika.BasicProperties(delivery_mode=2, headers={"kept": True}, message_id="m")


def publish(node, queue: str, numbers) -> None:
    """Messages with these numbers."""
    with pika.BlockingConnection(node.parameters()) as connection:
        channel = connection.channel()
        channel.queue_declare(queue, durable=True)
        for number in numbers:
            channel.basic_publish("", queue, b"%09d" % number, PERSISTENT)


def fill(node, queue: str, count: int) -> None:
    """So many numbered messages, confirmed by being there."""
    publish(node, queue, range(count))
    eventually(f"{count} messages in {queue}", lambda: (node.queue(queue) or {"ready": 0})["ready"] >= count)


def take_all(node, queue: str, count: int) -> collections.Counter:
    """Consumes until nothing more comes; how often each number came."""
    seen: collections.Counter = collections.Counter()
    with pika.BlockingConnection(node.parameters()) as connection:
        channel = connection.channel()
        channel.basic_qos(prefetch_count=1000)
        for method, properties, body in channel.consume(queue, inactivity_timeout=3):
            if method is None:
                if len(seen) >= count:
                    break
                if not (node.queue(queue) or {"ready": 1})["ready"]:
                    break
                continue
            assert properties.headers["kept"] is True and properties.message_id == "m", properties
            seen[int(body)] += 1
            if len(seen) % 500 == 0 or len(seen) >= count:
                channel.basic_ack(method.delivery_tag, multiple=True)
        channel.cancel()
    return seen


def warren(node, *arguments: str) -> str:
    done = subprocess.run([WARREN, *arguments, "--node", node.http], check=True, capture_output=True, text=True)
    return done.stdout


def add(node, name: str, **definition) -> None:
    definition.setdefault("src-uri", "amqp://")
    definition.setdefault("dest-uri", "amqp://")
    warren(node, "parameters", "set", "shovel", name, json.dumps(definition))


def status(node, name: str) -> dict | None:
    return next((link for link in node.get("/api/shovels") if link["name"] == name), None)


def runs(node, name: str, moved: int = 0):
    """For `eventually`: the shovel runs and has moved so many."""

    def look():
        found = status(node, name)
        return found if found and found["state"] == "running" and found["moved"] >= moved else None

    return look


def account(seen: collections.Counter, count: int) -> int:
    missing = [number for number in range(count) if number not in seen]
    assert not missing, f"{len(missing)} of {count} messages were lost, from {missing[0]}"
    return sum(times - 1 for times in seen.values())


def hurt(near: Cluster, far: Cluster, count: int) -> None:
    """Kills the node that runs the shovel, then the one that it publishes to."""
    one = near.nodes[0]
    fill(one, SOURCE, count // 2)
    leader = eventually("in sync", in_sync(one, SOURCE, 3))["leader"]
    uris = [f"amqp://guest:guest@{node.host}:{node.port}" for node in far.nodes]
    add(one, "hurt", **{"src-queue": SOURCE, "dest-uri": uris, "dest-queue": TARGET, "reconnect-delay": 0.2})
    link = eventually("at work", runs(one, "hurt", 1))
    assert link["node"] == leader, f"the shovel runs on {link['node']}, its queue is led by {leader}"

    victim = near.named(leader)
    other = next(node for node in near.nodes if node is not victim)
    victim.kill()
    killed = time.monotonic()
    link = eventually("taken over", lambda: (found := runs(other, "hurt")()) and found["node"] != leader and found)
    print(f"the shovel went from {leader} to {link['node']} in {time.monotonic() - killed:.1f} s")
    # The killed one may have moved all that there was.
    publish(other, SOURCE, range(count // 2, count))
    eventually("moved", runs(other, "hurt", 1))
    near.run(victim)

    there = eventually("a target", lambda: far.nodes[0].queue(TARGET))
    target_leader = far.named(there["leader"])
    target_leader.kill()
    far.run(target_leader)
    alive = next(node for node in far.nodes if node is not target_leader)

    eventually("an empty source", lambda: (q := other.queue(SOURCE)) and q["ready"] + q["unacked"] == 0, 120)
    seen = take_all(alive, TARGET, count)
    doubled = account(seen, count)
    print(f"{count} messages, both ends killed: 0 lost, {doubled} twice; {json.dumps(status(other, 'hurt'))}")
    warren(other, "shovel", "delete", "hurt")
    eventually("gone", lambda: status(other, "hurt") is None)


def counted(node, count: int) -> None:
    """src-delete-after moves exactly so many, and the shovel removes itself."""
    fill(node, "counted.a", count)
    add(node, "some", **{"src-queue": "counted.a", "dest-queue": "counted.b", "src-delete-after": count // 2})
    eventually("removed", lambda: not [p for p in node.get("/api/parameters/shovel") if p["name"] == "some"])
    eventually("half", lambda: node.queue("counted.b")["ready"] == count // 2)
    eventually("the other half", lambda: node.queue("counted.a")["ready"] == count - count // 2)
    add(node, "rest", **{"src-queue": "counted.a", "dest-queue": "counted.b", "src-delete-after": "queue-length"})
    eventually("removed", lambda: not [p for p in node.get("/api/parameters/shovel") if p["name"] == "rest"])
    eventually("all", lambda: node.queue("counted.b")["ready"] == count)
    assert account(take_all(node, "counted.b", count), count) == 0
    print(f"{count} messages in two counted shovels: each once")


def exchanges(node) -> None:
    """From an exchange to an exchange, with forward headers; and a queue that goes away comes again."""
    with pika.BlockingConnection(node.parameters()) as connection:
        channel = connection.channel()
        for name in ("x.a", "x.b"):
            channel.exchange_declare(name, "topic", durable=True)
        channel.queue_declare("x.q", durable=True)
        channel.queue_bind("x.q", "x.b", "k.#")
        add(node, "x", **{"src-exchange": "x.a", "src-exchange-key": "k.*", "dest-exchange": "x.b",
                          "dest-add-forward-headers": True})
        eventually("at work", runs(node, "x"))
        channel.basic_publish("x.a", "k.1", b"1", PERSISTENT)
        channel.basic_publish("x.a", "l.1", b"2", PERSISTENT)
        eventually("there", lambda: node.queue("x.q")["ready"] == 1)
        method, properties, _ = channel.basic_get("x.q", auto_ack=True)
        assert method.routing_key == "k.1", method
        assert properties.headers["x-shovelled"][0]["shovel-name"] == "x", properties

        add(node, "again", **{"src-queue": "again.a", "dest-queue": "again.b", "reconnect-delay": 0.2})
        eventually("at work", runs(node, "again"))
        channel.queue_delete("again.b")
        channel.basic_publish("", "again.a", b"3", PERSISTENT)
        eventually("made again", lambda: (q := node.queue("again.b")) and q["ready"] == 1)
    for name in ("x", "again"):
        warren(node, "shovel", "delete", name)
    print("exchange to exchange, and a target queue that went away: as they should be")


@contextlib.contextmanager
def over_tls(node, folder: pathlib.Path):
    """A door to the node that only opens to TLS, with a certificate for localhost
    by an authority of its own. Gives the door's port and the authority's file."""

    def openssl(*arguments: str) -> None:
        subprocess.run(["openssl", *arguments], cwd=folder, check=True, capture_output=True)

    openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2",
            "-subj", "/CN=authority", "-keyout", "authority.key", "-out", "authority.pem")
    openssl("req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-subj", "/CN=localhost",
            "-keyout", "server.key", "-out", "server.csr")
    (folder / "extensions").write_text("subjectAltName=DNS:localhost\nbasicConstraints=CA:FALSE\n")
    openssl("x509", "-req", "-in", "server.csr", "-CA", "authority.pem", "-CAkey", "authority.key", "-CAcreateserial",
            "-days", "2", "-extfile", "extensions", "-out", "server.pem")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "server.pem", folder / "server.key")

    async def serve(reader, writer) -> None:
        async def carry(one, other) -> None:
            with contextlib.suppress(OSError):
                while octets := await one.read(65536):
                    other.write(octets)
                    await other.drain()
            other.close()

        far_reader, far_writer = await asyncio.open_connection(node.host, node.port)
        await asyncio.gather(carry(reader, far_writer), carry(far_reader, writer))

    loop = asyncio.new_event_loop()
    server = loop.run_until_complete(asyncio.start_server(serve, "127.0.0.1", 0, ssl=context))
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    yield server.sockets[0].getsockname()[1], folder / "authority.pem"
    loop.call_soon_threadsafe(loop.stop)
    thread.join()


def encrypted(near, far, count: int) -> None:
    """Over TLS, by a certificate of an authority that the URI names; not without it."""
    with tempfile.TemporaryDirectory() as folder, over_tls(far, pathlib.Path(folder)) as (port, authority):
        fill(near, "tls.source", count)
        uri = f"amqps://guest:guest@127.0.0.1:{port}?server_name_indication=localhost"
        add(near, "stranger", **{"src-queue": "tls.source", "dest-uri": uri, "dest-queue": "tls.target"})
        refused = eventually("refused", lambda: (found := status(near, "stranger")) and found.get("last_error"))
        assert "certificate" in refused.lower() or "issuer" in refused.lower(), refused
        warren(near, "shovel", "delete", "stranger")
        add(near, "tls", **{"src-queue": "tls.source", "dest-uri": f"{uri}&cacertfile={authority}",
                            "dest-queue": "tls.target"})
        eventually("there", lambda: (q := far.queue("tls.target")) and q["ready"] >= count)
        assert account(take_all(far, "tls.target", count), count) == 0
        warren(near, "shovel", "delete", "tls")
        eventually("gone", lambda: status(near, "tls") is None)
    print(f"{count} messages over TLS, with the right authority only")


def round_trip(node, rabbitmq: str, count: int) -> None:
    """Out to RabbitMQ and back."""
    fill(node, "round.out", count)
    began = time.monotonic()
    add(node, "out", **{"src-queue": "round.out", "dest-uri": rabbitmq, "dest-queue": FAR})
    add(node, "back", **{"src-uri": rabbitmq, "src-queue": FAR, "dest-queue": "round.back"})
    eventually("back", lambda: (q := node.queue("round.back")) and q["ready"] >= count, 120)
    print(f"{count} messages to RabbitMQ and back in {time.monotonic() - began:.1f} s")
    assert account(take_all(node, "round.back", count), count) == 0
    for name in ("out", "back"):
        warren(node, "shovel", "delete", name)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--messages", type=int, default=20_000)
    parser.add_argument("--rabbitmq", help="AMQP URI of a RabbitMQ broker")
    options = parser.parse_args()
    with Cluster() as near, Cluster() as far:
        counted(near.nodes[0], 1000)
        exchanges(near.nodes[1])
        encrypted(near.nodes[1], far.nodes[0], 1000)
        if options.rabbitmq:
            round_trip(near.nodes[0], options.rabbitmq, options.messages)
        hurt(near, far, options.messages)


if __name__ == "__main__":
    sys.exit(main())
