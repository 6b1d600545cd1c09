"""A stream on a cluster of real processes: published to, read by many from
several places at once while its leader is killed, and read again from the first
message. Nothing is lost, doubled or out of order for any of them.

By hand, on a cluster of its own or on one that runs (`make cluster`):

    streams.py --messages 50000
    streams.py --messages 50000 --data data/cluster
"""

import argparse
import datetime
import pathlib
import threading
import time

import pika

from cluster import Cluster, eventually, in_sync

STREAM = {"x-queue-type": "stream"}
CHUNK = 500


class Reader(threading.Thread):
    """Reads from a place on, acknowledging all, until it has the last message."""

    def __init__(self, node, name, start, last, prefetch=200):
        super().__init__(daemon=True)
        self.node, self.name_, self.start_at, self.last, self.prefetch = node, name, start, last, prefetch
        self.offsets, self.bodies, self.failure = [], [], None

    def run(self):
        try:
            connection = pika.BlockingConnection(self.node.parameters())
            channel = connection.channel()
            channel.basic_qos(prefetch_count=self.prefetch)
            arguments = {"x-stream-offset": self.start_at}
            for method, properties, body in channel.consume(self.name_, arguments=arguments, inactivity_timeout=30):
                if method is None:
                    raise TimeoutError(f"nothing for 30 s after {len(self.offsets)} messages")
                self.offsets.append(properties.headers["x-stream-offset"])
                self.bodies.append(body)
                channel.basic_ack(method.delivery_tag)
                if body == self.last:
                    break
            connection.close()
        except Exception as failure:  # told by check()
            self.failure = failure

    def check(self, first, published):
        """Everything from the message `first` on, once, in order."""
        self.join(120)
        assert self.failure is None, f"{self.start_at}: {self.failure!r} after {len(self.offsets)} messages"
        assert not self.is_alive(), f"{self.start_at}: still waiting after {len(self.offsets)} messages"
        numbers = [int(body.split()[0]) for body in self.bodies]
        assert numbers == list(range(first, published)), f"{self.start_at}: gaps or repetitions in {len(numbers)}"
        assert all(a < b for a, b in zip(self.offsets, self.offsets[1:])), f"{self.start_at}: offsets go back"
        assert self.offsets[0] == first, f"{self.start_at}: {self.offsets[0]} is not the offset of message {first}"


def text(number):
    return b"%d of a stream" % number


def publish(node, name, numbers, told=None):
    """Publishes in order with confirms; each chunk is confirmed before the next."""
    connection = pika.BlockingConnection(node.parameters())
    channel = connection.channel()
    confirmed = [0]

    def on_ack(frame):
        confirmed[0] = max(confirmed[0], frame.method.delivery_tag)
        assert frame.method.NAME == "Basic.Ack", "a message was refused"

    channel._impl.confirm_delivery(on_ack)  # Without waiting for each.
    sent = 0
    for number in numbers:
        channel._impl.basic_publish("", name, text(number), pika.BasicProperties(delivery_mode=2))
        sent += 1
        if sent % CHUNK == 0:
            while confirmed[0] < sent:
                connection.process_data_events(0.05)
            if told:
                told(number)
    while confirmed[0] < sent:
        connection.process_data_events(0.05)
    connection.close()


def main():
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--messages", type=int, default=50_000)
    arguments.add_argument("--data", type=pathlib.Path)
    options = arguments.parse_args()
    count = options.messages
    half, name, last = count // 2, f"stream-{time.time_ns()}", text(count - 1)
    with Cluster(options.data) as cluster:
        connection = pika.BlockingConnection(cluster.nodes[0].parameters())
        connection.channel().queue_declare(name, durable=True, arguments=STREAM)
        connection.close()
        eventually("all replicas in sync", in_sync(cluster.nodes[0], name, len(cluster.nodes)))
        publish(cluster.nodes[0], name, range(half // 2))
        time.sleep(2.5)
        moment = datetime.datetime.now(datetime.timezone.utc) - datetime.timedelta(seconds=1)
        leader = cluster.named(cluster.nodes[0].queue(name)["leader"])
        others = [node for node in cluster.nodes if node is not leader]
        readers = [
            (0, Reader(others[0], name, "first", last)),
            (half // 4, Reader(others[1], name, half // 4, last)),
            (half // 2, Reader(others[0], name, moment, last)),
        ]
        for _, reader in readers:
            reader.start()
        killed = []

        def told(number):
            if number >= half and not killed:
                killed.append(number)
                leader.kill()

        publish(others[1], name, range(half // 2, count), told)
        for first, reader in readers:
            reader.check(first, count)
        again = Reader(others[1], name, "first", last)
        again.start()
        again.check(0, count)
        print(f"{count} messages read from the first, message {half // 4} and a time across the death of "
              f"{leader.name}, and again from the first: none lost, doubled or out of order")


if __name__ == "__main__":
    main()
