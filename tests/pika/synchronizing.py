"""Manual synchronization: a node loses its disk, and its new copy of a queue waits
while the queue serves, until `warren queues sync` at any node, until all that is
older than it is consumed, or until it is needed. A node that was only away goes on
from what it has.

    synchronizing.py --messages 500
"""

import argparse
import base64
import json
import pathlib
import shutil
import tempfile
import time
import urllib.error
import urllib.request

import pika

from cluster import Cluster, eventually, in_sync

OURS, THEIRS = "ours", "theirs"
POLICY = """
[[policy]]
name = "ours"
pattern = "^ours$"
mode = "mirror"
mirror = { replicas = 3, min-in-sync = 2, synchronization = "manual" }

[[policy]]
name = "theirs"
pattern = "^theirs$"
definition = { ha-mode = "all", ha-sync-mode = "manual" }
"""


def act(node, queue, action):
    """RabbitMQ's request to its management API; the status of the answer."""
    request = urllib.request.Request(f"{node.http}/api/queues/%2F/{queue}/actions", method="POST",
                                     data=json.dumps({"action": action}).encode())
    request.add_header("Authorization", "Basic " + base64.b64encode(b"guest:guest").decode())
    request.add_header("Content-Type", "application/json")
    try:
        return urllib.request.urlopen(request, timeout=10).status
    except urllib.error.HTTPError as error:
        return error.code


def publish(node, queue, first, count):
    with pika.BlockingConnection(node.parameters()) as connection:
        channel = connection.channel()
        channel.queue_declare(queue, durable=True)
        channel.confirm_delivery()
        for number in range(first, first + count):
            channel.basic_publish("", queue, b"%d" % number, pika.BasicProperties(delivery_mode=2))


def take(node, queue, count):
    """So many messages, acknowledged."""
    with pika.BlockingConnection(node.parameters()) as connection:
        channel = connection.channel()
        bodies = []
        for method, _, body in channel.consume(queue, inactivity_timeout=10):
            if method is None:
                break
            bodies.append(int(body))
            channel.basic_ack(method.delivery_tag)
            if len(bodies) == count:
                break
        channel.cancel()
        return bodies


def wipe(cluster, node):
    """The node gets an empty disk."""
    node.kill()
    shutil.rmtree(node.folder / "data")
    cluster.run(node)


def waits(node, queue, mirror):
    """The mirror is not in sync because nobody has said so."""

    def look():
        row = node.queue(queue)
        return row if row and row.get("lagging", {}).get(mirror.name, {}).get("state") == "unsynchronised" else None

    return look


def run(cluster, messages):
    nodes = cluster.nodes
    with tempfile.NamedTemporaryFile("w", suffix=".toml") as policy:
        policy.write(POLICY)
        policy.flush()
        nodes[0].warren("policy", "apply", pathlib.Path(policy.name))
    for queue in OURS, THEIRS:
        publish(nodes[0], queue, 0, messages)
        eventually("in sync from the start", in_sync(nodes[0], queue, 3))
    # A mirror of both.
    led = {nodes[0].queue(queue)["leader"] for queue in (OURS, THEIRS)}
    third = next(node for node in nodes if node.name not in led)
    others = [node for node in nodes if node is not third]

    wipe(cluster, third)
    for queue in OURS, THEIRS:
        row = eventually("a new copy that waits", waits(others[0], queue, third))
        assert "`warren queues sync`" in row["why"], row["why"]
    # The queue serves at every node, and the copy waits on.
    publish(eventually("a node that is back", lambda: third.queue(OURS)) and third, OURS, messages, messages)
    assert take(others[1], OURS, messages // 2) == list(range(messages // 2))
    time.sleep(2)
    for queue in OURS, THEIRS:
        row = waits(others[0], queue, third)()
        assert row and row["state"] == "running" and len(row["in_sync"]) == 2, others[0].queue(queue)
    print(f"{third.name} has an empty disk: its copies wait, and the queues serve")

    assert act(third, OURS, "sink") == 400 and act(third, "nothing", "sync") == 404
    assert act(others[0], OURS, "cancel_sync") == 204
    third.warren("queues", "sync", OURS, "--wait", "60s")
    assert len(others[0].queue(OURS)["in_sync"]) == 3
    assert waits(others[0], THEIRS, third)(), "the word was about one queue"
    assert take(others[0], THEIRS, messages) == list(range(messages))
    publish(third, THEIRS, messages, messages)
    eventually("in sync when nothing old is left", in_sync(others[0], THEIRS, 3))
    print(f"{OURS} is in sync by a word at {third.name}, {THEIRS} since all that was older is consumed")

    # As far as the minimum allows, the others may die now: one after the other, and
    # one that was away goes on from what it has.
    for other in others:
        other.kill()
        publish(third, OURS, 10 * messages, 1)
        cluster.run(other)
        eventually("in sync again", in_sync(third, OURS, 3))
        eventually("in sync again", in_sync(third, THEIRS, 3))
    print("each of the others was killed: what was missed needed no word")

    # Below the minimum nobody waits.
    wipe(cluster, third)
    eventually("a new copy that waits", waits(others[0], OURS, third))
    leader = cluster.named(others[0].queue(OURS)["leader"])
    leader.kill()
    publish(third, OURS, 10 * messages, 1)
    cluster.run(leader)
    eventually("in sync", in_sync(third, OURS, 3))
    print("a copy that is needed needed no word")
    left = sorted(set(take(third, OURS, messages + messages // 2 + 3)))
    assert left == list(range(messages // 2, 2 * messages)) + [10 * messages], "some are lost"
    assert take(leader, THEIRS, messages) == list(range(messages, 2 * messages))

    # A drained node's word is a word for what it alone has.
    publish(third, THEIRS, 0, messages)
    leader = cluster.named(third.queue(THEIRS)["leader"])
    for other in (node for node in nodes if node is not leader):
        wipe(cluster, other)
        eventually("a new copy that waits", waits(leader, THEIRS, other))
        eventually("a node that is back", lambda: other.queue(THEIRS))
        act(leader, OURS, "sync")
        eventually("in sync", in_sync(leader, OURS, 3))
    assert leader.queue(THEIRS)["in_sync"] == [leader.name]
    leader.warren("node", "drain", leader.name)
    row = leader.queue(THEIRS)
    assert row["leader"] != leader.name, row
    assert take(leader, THEIRS, messages) == list(range(messages))
    print(f"{leader.name} is drained: another node has everything")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--messages", type=int, default=500)
    given = parser.parse_args()
    with Cluster() as cluster:
        run(cluster, given.messages)


if __name__ == "__main__":
    main()
