"""Federation between two clusters: exchanges copy, queues move to who waits, and
messages do not go in circles.

    federation.py
"""

import json
import pathlib
import subprocess
import sys
import tempfile
import time

import pika

from cluster import WARREN, Cluster, eventually
from shovel import account, take_all, warren

PERSISTENT = pika.BasicProperties(delivery_mode=2, headers={"kept": True}, message_id="m")

POLICY = """
[[policy]]
name = "federated"
pattern = "^fed\\\\."
mode = "remote"
remote = { federation-upstream-set = "all" }
"""


def link(cluster: Cluster, name: str, state: str):
    """For `eventually`: the federated link of that name is in that state."""

    def look():
        rows = [row for row in cluster.nodes[0].get("/api/federation-links") if row["name"] == name]
        return rows[0] if rows and rows[0]["state"] == state else None

    return look


def federate(down: Cluster, up: Cluster, policy: pathlib.Path, **more) -> None:
    uris = [f"amqp://guest:guest@{node.host}:{node.port}" for node in up.nodes]
    value = json.dumps({"uri": uris, "reconnect-delay": 0.3, **more})
    warren(down.nodes[0], "parameters", "set", "federation-upstream", "up", value)
    warren(down.nodes[0], "policy", "apply", str(policy))


def queue_length(cluster: Cluster, queue: str) -> int:
    found = cluster.nodes[0].queue(queue)
    return found["ready"] if found else -1


def exchanges(a: Cluster, b: Cluster, policy: pathlib.Path) -> None:
    """Both are each other's upstream: what is published at one is at both, once."""
    for cluster in (a, b):
        with pika.BlockingConnection(cluster.nodes[0].parameters()) as connection:
            channel = connection.channel()
            channel.exchange_declare("fed.x", "topic", durable=True)
            channel.queue_declare("copy", durable=True)
            channel.queue_bind("copy", "fed.x", "k.#")
    federate(a, b, policy)
    federate(b, a, policy)
    for cluster in (a, b):
        eventually("federated", link(cluster, "fed.x", "running"))
    with pika.BlockingConnection(a.nodes[1].parameters()) as connection:
        channel = connection.channel()
        for number in range(1000):
            channel.basic_publish("fed.x", "k.1", b"%09d" % number, PERSISTENT)
        channel.basic_publish("fed.x", "other", b"not bound", PERSISTENT)
    for cluster in (a, b):
        eventually("copied", lambda: queue_length(cluster, "copy") >= 1000)
    # What goes in a circle comes back ahead of what is published where it turned.
    with pika.BlockingConnection(b.nodes[1].parameters()) as connection:
        connection.channel().basic_publish("fed.x", "k.last", b"%09d" % 1000, PERSISTENT)
    for cluster in (a, b):
        eventually("the last one", lambda: queue_length(cluster, "copy") >= 1001)
        assert queue_length(cluster, "copy") == 1001, queue_length(cluster, "copy")
    with pika.BlockingConnection(b.nodes[1].parameters()) as connection:
        channel = connection.channel()
        _, properties, _ = channel.basic_get("copy")
        assert len(properties.headers["x-received-from"]) == 1, properties
        # What is bound later is copied too, and no longer when it is unbound.
        channel.queue_declare("late", durable=True)
        channel.queue_bind("late", "fed.x", "late")
    with pika.BlockingConnection(a.nodes[1].parameters()) as connection:
        channel = connection.channel()

        def arrives():
            channel.basic_publish("fed.x", "late", b"late", PERSISTENT)
            return queue_length(b, "late") > 0

        eventually("the late binding's messages", arrives)
    print("two exchanges, each the other's upstream: 1000 messages at both, once")


def queues(a: Cluster, b: Cluster) -> None:
    """Messages of b come to a while somebody waits there, and not before."""
    for cluster in (a, b):
        with pika.BlockingConnection(cluster.nodes[0].parameters()) as connection:
            connection.channel().queue_declare("fed.q", durable=True)
    eventually("idle", link(a, "fed.q", "idle"))
    with pika.BlockingConnection(b.nodes[1].parameters()) as connection:
        channel = connection.channel()
        for number in range(5000):
            channel.basic_publish("", "fed.q", b"%09d" % number, PERSISTENT)
    eventually("there", lambda: queue_length(b, "fed.q") == 5000)
    time.sleep(1.0)  # The link looks a few times a second; what must not come has no sign of its own.
    assert queue_length(b, "fed.q") == 5000 and queue_length(a, "fed.q") == 0, "nobody waits yet"
    seen = {}
    with pika.BlockingConnection(a.nodes[2].parameters()) as connection:
        channel = connection.channel()
        channel.basic_qos(prefetch_count=500)
        for method, _, body in channel.consume("fed.q", inactivity_timeout=10):
            if method is None:
                break
            seen[int(body)] = seen.get(int(body), 0) + 1
            channel.basic_ack(method.delivery_tag)
            if len(seen) == 5000:
                break
        channel.cancel()
    assert len(seen) == 5000, f"{5000 - len(seen)} of 5000 messages did not come"
    eventually("idle again", link(a, "fed.q", "idle"))
    print(f"a federated queue: 5000 messages came to who waited, {sum(seen.values()) - 5000} twice")


def gone(a: Cluster, b: Cluster) -> None:
    """Without its upstream nothing is left behind there."""
    assert [q for q in b.nodes[0].get("/api/queues") if q["name"].startswith("federation: ")]
    warren(a.nodes[0], "parameters", "clear", "federation-upstream", "up")
    eventually("removed", lambda: not [q for q in b.nodes[0].get("/api/queues") if q["name"].startswith("federation: ")])
    print("an upstream that is removed: its queue is gone there")


def main() -> None:
    with Cluster() as a, Cluster() as b, tempfile.TemporaryDirectory() as folder:
        policy = pathlib.Path(folder) / "policy.toml"
        policy.write_text(POLICY)
        exchanges(a, b, policy)
        queues(a, b)
        gone(a, b)


if __name__ == "__main__":
    sys.exit(main())
