"""The node that leads thousands of mirrored queues is killed: how long until each
of them takes and confirms a publish again?

    many_queues.py                          2,000 queues, on a cluster of its own
    many_queues.py --queues 5000 --most 5   more; fails if the last takes more than 5 s

All queues are declared through one node, which leads them; one message is
published to each; the node is killed; one more is published to each through
another node, and every confirm is timed from the kill. Afterwards each queue has
exactly its two messages.
"""

import argparse
import statistics
import sys
import time

import pika

from cluster import Cluster, eventually

PERSISTENT = pika.BasicProperties(delivery_mode=2)
LED_HERE = {"x-queue-leader-locator": "client-local"}


class Work:
    """One connection that does one thing with each queue, all under way at once."""

    def __init__(self, node, names: list[str]):
        self.node, self.names = node, names
        self.answered: list[float] = []
        self.refused = 0
        self.open_tags: set[int] = set()
        self.begin = None
        self.connection = None

    def run(self, begin) -> list[float]:
        """Does it; the moments at which each was answered."""
        self.begin = begin
        self.connection = pika.SelectConnection(
            self.node.parameters(heartbeat=0),
            on_open_callback=lambda connection: connection.channel(on_open_callback=self.opened),
            on_open_error_callback=self.failed,
            on_close_callback=lambda connection, _: connection.ioloop.stop(),
        )
        self.connection.ioloop.start()
        if len(self.answered) < len(self.names):
            raise RuntimeError(f"{len(self.names) - len(self.answered)} queues of {len(self.names)} did not answer")
        if self.refused:
            raise RuntimeError(f"{self.refused} publishes were refused")
        return self.answered

    def failed(self, connection, error):
        connection.ioloop.stop()
        raise error

    def opened(self, channel):
        self.begin(self, channel)

    def answer(self, count: int = 1):
        """So many queues have answered."""
        self.answered += [time.monotonic()] * count
        if len(self.answered) >= len(self.names):
            self.connection.close()

    def declare(self, channel):
        """Declares all."""
        for name in self.names:
            channel.queue_declare(name, durable=True, arguments=LED_HERE, callback=lambda _: self.answer())

    def publish(self, channel):
        """Publishes one message to each."""
        def confirmed(frame):
            self.refused += isinstance(frame.method, pika.spec.Basic.Nack)
            self.count(frame.method.delivery_tag, frame.method.multiple)

        self.open_tags = set(range(1, len(self.names) + 1))
        channel.confirm_delivery(confirmed, callback=lambda _: self.send(channel))

    def send(self, channel):
        for name in self.names:
            channel.basic_publish("", name, name.encode(), PERSISTENT)

    def count(self, tag: int, multiple: bool):
        done = {open_tag for open_tag in self.open_tags if open_tag <= tag} if multiple else {tag} & self.open_tags
        self.open_tags -= done
        if done:
            self.answer(len(done))


def main() -> int:
    """Runs it; the exit code says whether it was quick enough."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--queues", type=int, default=2000)
    parser.add_argument("--most", type=float, default=None, help="fails if the last queue takes longer (s)")
    parser.add_argument("--data", help="a cluster that runs; its first node is killed")
    options = parser.parse_args()
    names = [f"many-{number}" for number in range(options.queues)]
    with Cluster(options.data) as cluster:
        killed, other = cluster.nodes[0], cluster.nodes[1]
        begun = time.monotonic()
        Work(killed, names).run(Work.declare)
        print(f"{len(names)} queues declared in {time.monotonic() - begun:.1f} s")

        def led():
            view = other.get("/api/nodes")
            row = next(row for row in view["nodes"] if row["name"] == killed.name)
            return row["leads"] >= len(names)

        eventually("all queues led by the node that declared them", led)
        begun = time.monotonic()
        Work(other, names).run(Work.publish)
        print(f"one message to each confirmed in {time.monotonic() - begun:.1f} s")
        begun = time.monotonic()
        killed.kill()
        answered = sorted(moment - begun for moment in Work(other, names).run(Work.publish))
        last = answered[-1]
        print(f"after kill -9: first confirm {answered[0]:.2f} s, median {statistics.median(answered):.2f} s, "
              f"all {len(names)} queues {last:.2f} s")

        def whole():
            rows = other.get("/api/queues?vhost=%2F")
            return sum(row["ready"] for row in rows if row["name"] in wanted) == 2 * len(names)

        wanted = set(names)
        eventually("two messages in each queue", whole)
        print("every queue has its two messages")
    if options.most is not None and last > options.most:
        print(f"more than {options.most} s")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
