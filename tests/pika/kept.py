"""One message of a long queue stays unacknowledged, all that follow are acknowledged: every
node gives their space back. Then the leader is killed, and the one message comes again as it
was; and the node comes back with an empty disk, and is in sync without all that was.

    kept.py --messages 12000
"""

import argparse
import os
import shutil
import time

import pika

from cluster import Cluster, eventually, in_sync

QUEUE = "kept"
SIZE = 10_000
PERSISTENT = pika.BasicProperties(delivery_mode=2)


def tables(node):
    """Bytes of the database's tables: what is left of its write-ahead log is bounded anyway."""
    return sum(file.stat().st_size for file in node.folder.rglob("*.sst"))


def publish(node, messages):
    with pika.BlockingConnection(node.parameters()) as connection:
        channel = connection.channel()
        channel.queue_declare(QUEUE, durable=True)
        first = os.urandom(SIZE)
        channel.basic_publish("", QUEUE, first, PERSISTENT)
        for _ in range(messages):
            # Nothing that could be compressed.
            channel.basic_publish("", QUEUE, os.urandom(SIZE), PERSISTENT)
    return first


def drain(node, messages):
    """Acknowledges so many."""
    with pika.BlockingConnection(node.parameters()) as connection:
        channel = connection.channel()
        channel.basic_qos(prefetch_count=500)
        for number, (method, _, _) in enumerate(channel.consume(QUEUE, inactivity_timeout=20), 1):
            assert method, f"only {number} of {messages} messages came"
            if number % 100 == 0 or number == messages:
                channel.basic_ack(method.delivery_tag, multiple=True)
            if number == messages:
                return


def run(cluster, messages):
    began = time.monotonic()
    first = publish(cluster.nodes[0], messages)
    row = eventually("in sync", in_sync(cluster.nodes[0], QUEUE, 3))
    leader = cluster.named(row["leader"])
    others = [node for node in cluster.nodes if node is not leader]
    eventually("all there", lambda: others[0].queue(QUEUE)["ready"] == messages + 1)
    published = messages * SIZE
    holder = pika.BlockingConnection(others[0].parameters())
    got, _, body = holder.channel().basic_get(QUEUE)
    assert got and body == first
    drain(others[1], messages)
    drained = time.monotonic()
    most = 3 * [0]

    def small():
        sizes = [tables(node) for node in cluster.nodes]
        most[:] = map(max, most, sizes)
        return all(size < published // 5 for size in sizes) and time.monotonic() > drained + 1

    eventually(f"given back: {[tables(node) for node in cluster.nodes]}", small)
    given_back = time.monotonic()
    left = [tables(node) for node in cluster.nodes]

    leader.kill()
    holder.close()
    eventually("another leader", lambda: others[1].queue(QUEUE)["leader"] != leader.name)

    def again():
        with pika.BlockingConnection(others[1].parameters()) as connection:
            got, _, body = connection.channel().basic_get(QUEUE)
            return got and (got.redelivered, body)

    redelivered, body = eventually("the one message again", again)
    assert redelivered and body == first, "it came back as another one"

    shutil.rmtree(next(leader.folder.rglob("db")).parent)
    cluster.run(leader)
    started = time.monotonic()
    eventually("in sync with an empty disk", in_sync(others[1], QUEUE, 3))
    synced = time.monotonic()
    assert again() == (True, first)
    assert tables(leader) < published // 5
    megabytes = [f"{size / 1e6:.0f}" for size in (published, *most, *left)]
    print(f"{megabytes[0]} MB published in {drained - began:.0f} s with their acks; tables of up to "
          f"{', '.join(megabytes[1:4])} MB, {given_back - drained:.1f} s later {', '.join(megabytes[4:])} MB; "
          f"an emptied node was in sync {synced - started:.1f} s after its start")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--messages", type=int, default=12000)
    given = parser.parse_args()
    with Cluster() as cluster:
        run(cluster, given.messages)


if __name__ == "__main__":
    main()
