"""Policies change under load: a queue's replicas are all replaced, and its mode
goes from mirror to primary-backup, to async, and back. Every message is counted:
none may be lost or delivered twice, and how long nothing was confirmed or
delivered is told for each change.

    reshape.py --rate 500 --gap 5
"""

import argparse
import pathlib
import tempfile
import threading
import time

import pika

from cluster import Cluster, eventually

QUEUE = "reshaped"
WINDOW = 200

PLANS = [
    ("mirrored on node-1 and node-2", 'mode = "mirror"', 'mirror = { replicas = ["node-1", "node-2"] }',
     ["node-1", "node-2"]),
    ("all replicas replaced", 'mode = "mirror"', 'mirror = { replicas = ["node-3", "node-4"] }',
     ["node-3", "node-4"]),
    ("mirror to primary-backup", 'mode = "primary-backup"',
     'primary-backup = { nodes = ["node-4", "node-3"], clients = "any" }', ["node-4", "node-3"]),
    ("primary-backup to mirror", 'mode = "mirror"', 'mirror = { replicas = 3, min-in-sync = 2 }', None),
    ("mirror to async", 'mode = "primary-backup"',
     'primary-backup = { nodes = ["node-1", "node-2"], clients = "any", replication = "async" }', ["node-1", "node-2"]),
    ("async to sync", 'mode = "primary-backup"',
     'primary-backup = { nodes = ["node-1", "node-2"], clients = "any", min-in-sync = 2 }', ["node-1", "node-2"]),
]


class Load(threading.Thread):
    """Publishes at a rate, with a bounded number of messages unconfirmed, and
    consumes; notes when anything came back."""

    def __init__(self, publish_to, consume_from, rate):
        super().__init__(daemon=True)
        self.rate = rate
        self.sent = 0
        self.confirmed = 0
        self.received: list[int] = []
        self.confirms: list[float] = []
        self.deliveries: list[float] = []
        self.going = True
        self.out = pika.SelectConnection(publish_to.parameters(), on_open_callback=self.opened)
        self.consumer = threading.Thread(target=self.consume, args=(consume_from,), daemon=True)

    def run(self):
        self.consumer.start()
        self.out.ioloop.start()

    def opened(self, connection):
        connection.channel(on_open_callback=self.confirming)

    def confirming(self, channel):
        self.channel = channel
        channel.confirm_delivery(ack_nack_callback=self.answered, callback=lambda _: self.publish())

    def answered(self, frame):
        assert isinstance(frame.method, pika.spec.Basic.Ack), frame
        tag = frame.method.delivery_tag
        self.confirmed += tag - self.confirmed if frame.method.multiple else 1
        self.confirms.append(time.monotonic())

    def publish(self):
        for _ in range(max(1, self.rate // 100)):
            if self.going and self.sent - self.confirmed < WINDOW:
                self.sent += 1
                properties = pika.BasicProperties(delivery_mode=2)
                self.channel.basic_publish("", QUEUE, b"%d" % self.sent, properties)
        self.out.ioloop.call_later(0.01, self.publish)

    def consume(self, node):
        with pika.BlockingConnection(node.parameters()) as connection:
            channel = connection.channel()
            channel.basic_qos(prefetch_count=100)
            for method, _, body in channel.consume(QUEUE, inactivity_timeout=1):
                if method is not None:
                    channel.basic_ack(method.delivery_tag)
                    self.received.append(int(body))
                    self.deliveries.append(time.monotonic())
                elif not self.going:
                    return


def longest(times, begin, end):
    """The longest time without one of these."""
    moments = [begin, *(at for at in times if begin <= at <= end), end]
    return max(after - before for before, after in zip(moments, moments[1:]))


def apply(node, mode, settings):
    with tempfile.NamedTemporaryFile("w", suffix=".toml") as policy:
        policy.write(f'[[policy]]\nname = "reshape"\npattern = ".*"\n{mode}\n{settings}\n')
        policy.flush()
        node.warren("policy", "apply", pathlib.Path(policy.name))


def settled(node, mode, nodes):
    """The queue is where it should be, led by the first, and the others count."""

    def look():
        row = node.queue(QUEUE)
        held = {row["leader"], *row["mirrors"]}
        counted = {*row["in_sync"], *row.get("trailing", {})}
        there = (held == set(nodes) if nodes else len(held) == 3) and counted == held
        led = "primary" not in mode or row["leader"] == nodes[0]
        asynchronous = bool(row.get("trailing"))
        return row if there and led and row["state"] == "running" and asynchronous == ("async" in mode) else None

    return look


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rate", type=int, default=500)
    parser.add_argument("--gap", type=float, default=5, help="seconds without a confirm that are too many")
    given = parser.parse_args()
    with Cluster(nodes=4) as cluster:
        ask = cluster.nodes[2]
        _, mode, settings, nodes = PLANS[0]
        apply(ask, mode, settings)
        with pika.BlockingConnection(ask.parameters()) as connection:
            connection.channel().queue_declare(QUEUE, durable=True)
        eventually("where it begins", settled(ask, mode, nodes))
        load = Load(cluster.nodes[0], cluster.nodes[3], given.rate)
        load.start()
        eventually("under load", lambda: len(load.received) > given.rate)
        for what, mode, settings, nodes in PLANS[1:]:
            begin = time.monotonic()
            apply(ask, mode, settings)
            eventually(what, settled(ask, mode + settings, nodes))
            took = time.monotonic() - begin
            time.sleep(1)
            end = time.monotonic()
            confirms, deliveries = longest(load.confirms, begin, end), longest(load.deliveries, begin, end)
            print(f"{what}: {took:.1f} s; at most {confirms * 1000:.0f} ms without a confirm, "
                  f"{deliveries * 1000:.0f} ms without a delivery")
            assert confirms < given.gap, f"{what}: {confirms:.1f} s without a confirm"
        load.going = False
        eventually("all confirmed", lambda: load.confirmed == load.sent)
        eventually("all delivered", lambda: len(set(load.received)) == load.sent)
        assert len(load.received) == load.sent, "some were delivered twice"
        load.consumer.join()
        print(f"{load.sent} messages, each confirmed and delivered once")
        load.out.ioloop.add_callback_threadsafe(load.out.close)


if __name__ == "__main__":
    main()
