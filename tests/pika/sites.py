"""Two clusters as sites of a multi-active policy, under load at both: the network
between them is cut, a leader is killed at each meanwhile, and when it is healed
also the node that runs the link. Every confirmed message must be at both sites,
exactly once and in the order of its publisher. Then one site is drained.

By hand, with a minute without a network:

    sites.py --cut 60 --rate 500
"""

import argparse
import collections
import contextlib
import json
import os
import pathlib
import socket
import subprocess
import sys
import tempfile
import threading
import time

import pika

from cluster import WARREN, Cluster, Node, eventually, in_sync
from migrate import ask as rabbitmq_api

EXCHANGE, QUEUE = "news.x", "copy"
PERSISTENT = pika.BasicProperties(delivery_mode=2, headers={"kept": True})

POLICY = """
[[policy]]
name = "news"
pattern = "^news\\\\."
apply-to = "exchanges"
mode = "multi-active"

[policy.multi-active]
scope = "exchange"
sites = [{{ name = "{name}", uri = {uris}, credentials-env = "SITE_CREDENTIALS" }}]
"""


class Road:
    """The network to one node of the other site: a relay that can be cut."""

    def __init__(self, node: Node):
        self.node, self.whole, self.lock = node, True, threading.Lock()
        self.sockets: set[socket.socket] = set()
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self) -> None:
        while True:
            try:
                near, _ = self.listener.accept()
            except OSError:
                return
            try:
                far = socket.create_connection((self.node.host, self.node.port), 5)
                far.settimeout(None)
            except OSError:
                near.close()
                continue
            with self.lock:
                whole = self.whole
                self.sockets |= {near, far} if whole else set()
            if not whole:
                near.close()
                far.close()
                continue
            for one, other in ((near, far), (far, near)):
                threading.Thread(target=self.carry, args=(one, other), daemon=True).start()

    def carry(self, one: socket.socket, other: socket.socket) -> None:
        try:
            while octets := one.recv(65536):
                other.sendall(octets)
        except OSError:
            pass
        for end in (one, other):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
            with self.lock:
                self.sockets.discard(end)

    def cut(self) -> None:
        """What is on its way is lost, and nobody gets through."""
        with self.lock:
            self.whole, sockets = False, list(self.sockets)
        for end in sockets:
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)

    def heal(self) -> None:
        with self.lock:
            self.whole = True

    def close(self) -> None:
        self.cut()
        self.listener.close()


class Publisher(threading.Thread):
    """Publishes numbered messages with confirms. One that failed is not tried
    again: it may be there or not. The confirmed ones must be."""

    def __init__(self, site: Cluster, name: str, rate: float):
        super().__init__(daemon=True)
        self.site, self.name, self.pause = site, name, 1 / rate
        self.confirmed: set[int] = set()
        self.tried, self.over = 0, threading.Event()

    def run(self) -> None:
        nth = 0
        while not self.over.is_set():
            node = self.site.nodes[nth % len(self.site.nodes)]
            nth += 1
            try:
                with pika.BlockingConnection(node.parameters(socket_timeout=3, blocked_connection_timeout=30)) as connection:
                    self.publish(connection.channel())
            except (pika.exceptions.AMQPError, OSError):
                time.sleep(0.1)

    def publish(self, channel) -> None:
        channel.confirm_delivery()
        while not self.over.is_set():
            number = self.tried
            self.tried += 1
            channel.basic_publish(EXCHANGE, "k", f"{self.name} {number}".encode(), PERSISTENT)
            self.confirmed.add(number)
            time.sleep(self.pause)


def warren(node: Node, *arguments: str) -> str:
    done = subprocess.run([WARREN, *arguments, "--node", node.http], check=True, capture_output=True, text=True)
    return done.stdout


def status(site: Cluster) -> dict:
    """The other site, as a live node of this one sees it."""
    for node in site.nodes:
        try:
            return node.get("/api/sites")["sites"][0]
        except OSError:
            continue
    raise OSError("no node answers")


def linked(site: Cluster):
    """For `eventually`: the site's link takes from the other."""

    def look():
        inbound = status(site)["inbound"]
        return inbound[0] if inbound and inbound[0]["state"] == "running" else None

    return look


def ask(site: Cluster, queue: str):
    for node in site.nodes:
        try:
            return node.queue(queue)
        except OSError:
            continue
    return None


def kill_leader(site: Cluster, queue: str) -> None:
    leader = site.named(eventually("led", lambda: (ask(site, queue) or {}).get("leader")))
    leader.kill()
    site.run(leader)


def take(site: Cluster) -> list[bytes]:
    """All that is in the queue, in its order."""
    length = eventually("in sync again", in_sync(site.nodes[0], QUEUE, 3), 120)["ready"]
    bodies: list[bytes] = []
    with pika.BlockingConnection(site.nodes[0].parameters()) as connection:
        channel = connection.channel()
        channel.basic_qos(prefetch_count=1000)
        for method, properties, body in channel.consume(QUEUE, inactivity_timeout=5):
            if method is None:
                break
            assert properties.headers["kept"] is True and "x-warren-origin" not in properties.headers, properties
            bodies.append(body)
            if len(bodies) % 500 == 0 or len(bodies) >= length:
                channel.basic_ack(method.delivery_tag, multiple=True)
            if len(bodies) >= length:
                break
        channel.cancel()
    return bodies


def account(site: str, bodies: list[bytes], publishers: list[Publisher]) -> None:
    counts = collections.Counter(bodies)
    doubled = [body for body, times in counts.items() if times > 1]
    assert not doubled, f"site {site}: {len(doubled)} messages more than once, such as {doubled[0]}"
    for publisher in publishers:
        numbers = [int(body.split()[1]) for body in bodies if body.split()[0] == publisher.name.encode()]
        lost = publisher.confirmed - set(numbers)
        assert not lost, f"site {site}: {len(lost)} confirmed messages of {publisher.name} are not there"
        late = sum(1 for one, other in zip(numbers, numbers[1:]) if other < one)
        assert not late, f"site {site}: messages of {publisher.name} out of order {late} times"


def under_load(a: Cluster, b: Cluster, roads: list[Road], cut: float, rate: float) -> None:
    publishers = [Publisher(a, "a", rate), Publisher(b, "b", rate)]
    for publisher in publishers:
        publisher.start()
    eventually("under way", lambda: min(len(publisher.confirmed) for publisher in publishers) > rate)
    for road in roads:
        road.cut()
    # The queue in which messages wait for the other site, and one that they go to.
    kill_leader(a, f"federation: {EXCHANGE} -> b")
    kill_leader(b, QUEUE)
    time.sleep(cut)
    lag = eventually("waiting", lambda: status(a)["outbound"][0]["lag"])
    for road in roads:
        road.heal()
    healed = time.monotonic()
    link = eventually("linked again", linked(b), 120)
    print(f"cut for {cut:.0f} s, {lag} messages waited at a; linked again after {time.monotonic() - healed:.1f} s")
    moved = link["moved"]
    eventually("taking", lambda: linked(b)() and linked(b)()["moved"] > moved)
    runner = b.named(linked(b)()["node"])
    runner.kill()
    eventually("linked from another node", lambda: (found := linked(b)()) and found["node"] != runner.name and found)
    # Back so soon that nobody may have noticed, it would take the link again.
    b.run(runner)
    for publisher in publishers:
        publisher.over.set()
    for publisher in publishers:
        publisher.join(60)

    def settled():
        return all(status(site)["outbound"][0]["lag"] == 0 for site in (a, b)) and linked(a)() and linked(b)()

    eventually("caught up", settled, 120)
    for name, site in (("a", a), ("b", b)):
        account(name, take(site), publishers)
    said = ", ".join(f"{len(p.confirmed)} of {p.tried} at {p.name}" for p in publishers)
    print(f"leaders killed at both, the link's node killed: confirmed {said}; all at both sites, once, in order")


def drained(a: Cluster) -> None:
    """A drained site turns its clients away, says where to go, and takes them again."""
    with contextlib.suppress(pika.exceptions.AMQPError):
        connection = pika.BlockingConnection(a.nodes[0].parameters())
        channel = connection.channel()
        warren(a.nodes[1], "site", "drain")
        eventually("drained", lambda: a.nodes[2].get("/api/sites")["state"] == "drained")
        try:
            while True:
                connection.process_data_events(1)
                channel.queue_declare("nothing", passive=False)
        except pika.exceptions.AMQPError as error:
            assert "320" in str(error) and "this site is drained; connect to site 'b' at 127.0.0.1:" in str(error), error
    try:
        pika.BlockingConnection(a.nodes[1].parameters())
        raise AssertionError("a drained site takes clients")
    except pika.exceptions.AMQPError as error:
        assert "320" in str(error), error
    eventually("still linked", linked(a))
    assert "drained" in warren(a.nodes[0], "site", "list")
    warren(a.nodes[0], "site", "undrain")

    def taken():
        with contextlib.suppress(pika.exceptions.AMQPError):
            pika.BlockingConnection(a.nodes[1].parameters()).close()
            return True

    eventually("taken again", taken)
    print("a drained site turns its clients away, keeps its links, and takes clients again")


def beside_rabbitmq(a: Cluster, folder: pathlib.Path, http: str, amqp: str, count: int) -> None:
    """RabbitMQ as a site: what is published at either is at both. A quiet network
    doubles nothing, and nothing goes in circles."""
    name = rabbitmq_api(http, "GET", "/api/cluster-name")["name"]
    uri = f"amqp://guest:guest@{a.nodes[0].host}:{a.nodes[0].port}"
    rabbitmq_api(http, "PUT", "/api/parameters/federation-upstream/%2F/a", {"value": {"uri": uri, "max-hops": 1}})
    definition = {"pattern": r"^news\.", "apply-to": "exchanges", "definition": {"federation-upstream": "a"}}
    rabbitmq_api(http, "PUT", "/api/policies/%2F/news", definition)
    ends = {"a": a.nodes[0].parameters(), "r": pika.URLParameters(amqp)}
    for parameters in ends.values():
        with pika.BlockingConnection(parameters) as connection:
            channel = connection.channel()
            channel.exchange_declare(EXCHANGE, "topic", durable=True)
            channel.queue_declare(QUEUE, durable=True)
            channel.queue_bind(QUEUE, EXCHANGE, "#")
    policy = folder / "rabbitmq.toml"
    policy.write_text(POLICY.format(name=name, uris=json.dumps([amqp])))
    warren(a.nodes[0], "policy", "apply", str(policy))
    eventually("linked", linked(a))
    link = "/api/federation-links"
    eventually("linked from RabbitMQ", lambda: [l for l in rabbitmq_api(http, "GET", link) if l["status"] == "running"])
    for end, parameters in ends.items():
        with pika.BlockingConnection(parameters) as connection:
            channel = connection.channel()
            channel.confirm_delivery()
            for number in range(count):
                channel.basic_publish(EXCHANGE, "k", f"{end} {number}".encode(), PERSISTENT)
    for end, parameters in ends.items():
        with pika.BlockingConnection(parameters) as connection:
            channel = connection.channel()
            seen: collections.Counter = collections.Counter()
            for method, _, body in channel.consume(QUEUE, auto_ack=True, inactivity_timeout=3):
                if method is None and len(seen) >= 2 * count:
                    break  # Nothing more came for a while, nor in a circle.
                if method is not None:
                    seen[body] += 1
            wanted = {f"{who} {number}".encode() for who in ends for number in range(count)}
            assert seen.keys() == wanted and max(seen.values()) == 1, (end, len(seen), max(seen.values()))
    print(f"RabbitMQ as a site: {count} messages published at each are at both, once")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cut", type=float, default=3, help="seconds without a network")
    parser.add_argument("--rate", type=float, default=200, help="messages a second at each site")
    parser.add_argument("--rabbitmq", nargs=2, metavar=("HTTP", "AMQP"), help="a RabbitMQ with federation as the other site")
    options = parser.parse_args()
    # What the nodes that are started below log in with at the other site.
    os.environ["SITE_CREDENTIALS"] = "guest:guest"
    if options.rabbitmq:
        with Cluster(name="a") as a, tempfile.TemporaryDirectory() as folder:
            beside_rabbitmq(a, pathlib.Path(folder), *options.rabbitmq, 200)
        return
    with Cluster(name="a") as a, Cluster(name="b") as b, tempfile.TemporaryDirectory() as folder:
        roads = {id(site): [Road(node) for node in site.nodes] for site in (a, b)}
        for here, there, name in ((a, b, "b"), (b, a, "a")):
            with pika.BlockingConnection(here.nodes[0].parameters()) as connection:
                channel = connection.channel()
                channel.exchange_declare(EXCHANGE, "topic", durable=True)
                channel.queue_declare(QUEUE, durable=True)
                channel.queue_bind(QUEUE, EXCHANGE, "#")
            uris = [f"amqp://127.0.0.1:{road.port}" for road in roads[id(there)]]
            policy = pathlib.Path(folder) / f"{name}.toml"
            policy.write_text(POLICY.format(name=name, uris=json.dumps(uris)))
            warren(here.nodes[0], "policy", "apply", str(policy))
        for site in (a, b):
            eventually("linked", linked(site))
        every = [road for of_site in roads.values() for road in of_site]
        under_load(a, b, every, options.cut, options.rate)
        drained(a)
        for road in every:
            road.close()


if __name__ == "__main__":
    sys.exit(main())
