"""The leader of a mirrored queue is killed while a publisher and a consumer of
the other nodes are at work, and every message is accounted for.

By hand, on a cluster of its own or on one that runs (`make cluster`):

    failover.py --messages 200000
    failover.py --messages 200000 --data data/cluster
    failover.py --messages 200000 --kill-all

The messages are lines of real text with their number in front. With --kill-all
all nodes are killed at once and started again, and the clients connect anew.
"""

import argparse
import collections
import itertools
import pathlib
import sys
import threading
import time

import pika

from cluster import Cluster, eventually, in_sync

QUEUE = "failover"
TEXTS = ["/usr/share/dict/words", "/usr/share/common-licenses/*", "/usr/share/doc/*/copyright", "/usr/share/perl/*/*.pl"]
PERSISTENT = pika.BasicProperties(delivery_mode=2, content_type="text/plain")


def texts(count: int) -> list[bytes]:
    """So many numbered lines of real text."""
    files = (path for pattern in TEXTS for path in sorted(pathlib.Path("/").glob(pattern[1:])) if path.is_file())
    lines = [line for path in files for line in path.read_bytes().splitlines() if line.strip()]
    if not lines:
        lines = pathlib.Path(__file__).read_bytes().splitlines()
    return [b"%09d %s" % (number, line) for number, line in zip(range(count), itertools.cycle(lines))]


class Client(threading.Thread):
    """A pika connection with its own thread; connects again when it is lost."""

    def __init__(self, node):
        super().__init__(daemon=True, name=type(self).__name__)
        self.node = node
        self.lost: list[str] = []
        self.ended = threading.Event()
        self.connection = None
        self.channel = None

    def run(self):
        while not self.ended.is_set():
            self.connection = pika.SelectConnection(
                self.node.parameters(heartbeat=30),
                on_open_callback=lambda connection: connection.channel(on_open_callback=self.opened),
                on_open_error_callback=lambda connection, error: connection.ioloop.stop(),
                on_close_callback=self.closed,
            )
            self.connection.ioloop.start()
            self.channel = None
            self.ended.wait(0.2)

    def opened(self, channel):
        self.channel = channel
        channel.add_on_close_callback(self.channel_closed)
        self.begin(channel)

    def begin(self, channel):
        raise NotImplementedError

    def channel_closed(self, _channel, reason):
        if not self.ended.is_set():
            self.lost.append(f"channel: {reason}")
            if self.connection.is_open:
                self.connection.close()

    def closed(self, connection, reason):
        if not self.ended.is_set():
            self.lost.append(f"connection: {reason}")
        connection.ioloop.stop()

    def end(self):
        self.ended.set()
        connection = self.connection
        connection.ioloop.add_callback_threadsafe(
            lambda: connection.close() if connection.is_open else connection.ioloop.stop())
        self.join(10)


class Publisher(Client):
    """Publishes everything with confirms, so many at a time unconfirmed."""

    def __init__(self, node, bodies, window):
        super().__init__(node)
        self.bodies, self.window = bodies, window
        self.todo = collections.deque(range(len(bodies)))
        self.pending: collections.OrderedDict[int, int] = collections.OrderedDict()
        self.confirmed = bytearray(len(bodies))
        self.count = 0
        self.attempts = 0
        self.refused = 0
        self.last = time.monotonic()
        self.gap = 0.0
        self.again: set[int] = set()

    def begin(self, channel):
        # What was not confirmed on the connection before is published again, and
        # may then be there twice.
        unknown = list(self.pending.values())
        self.again.update(unknown)
        self.todo.extendleft(reversed(unknown))
        self.pending.clear()
        self.tag = 0
        channel.confirm_delivery(self.on_confirm, callback=lambda _: self.publish())

    def publish(self):
        while self.todo and len(self.pending) < self.window and self.channel.is_open:
            number = self.todo.popleft()
            self.tag += 1
            self.pending[self.tag] = number
            self.attempts += 1
            self.channel.basic_publish("", QUEUE, self.bodies[number], PERSISTENT, mandatory=True)

    def on_confirm(self, frame):
        now = time.monotonic()
        self.gap, self.last = max(self.gap, now - self.last), now
        method = frame.method
        if method.multiple:
            numbers = []
            while self.pending and next(iter(self.pending)) <= method.delivery_tag:
                numbers.append(self.pending.popitem(last=False)[1])
        else:
            numbers = [self.pending.pop(method.delivery_tag)]
        if isinstance(method, pika.spec.Basic.Nack):
            self.refused += len(numbers)
            self.again.update(numbers)
            self.todo.extend(numbers)
        else:
            for number in numbers:
                self.count += not self.confirmed[number]
                self.confirmed[number] = 1
        self.publish()

    def quiet_for(self):
        """How long no confirm has come."""
        return time.monotonic() - self.last


class Consumer(Client):
    """Takes everything with acknowledgements, several at a time."""

    def __init__(self, node, bodies, prefetch=500, acks=50):
        super().__init__(node)
        self.bodies, self.prefetch, self.acks = bodies, prefetch, acks
        self.times = bytearray(len(bodies))
        self.distinct = self.delivered = self.doubled = self.disordered = self.damaged = 0
        self.newest = -1
        self.unexplained: list[int] = []
        self.tag = self.acked = 0

    def begin(self, channel):
        self.tag = self.acked = 0
        channel.basic_qos(prefetch_count=self.prefetch)
        channel.basic_consume(QUEUE, self.on_message)
        self.acknowledge_soon(channel)

    def on_message(self, channel, method, _properties, body):
        number = int(body[:9])
        self.delivered += 1
        self.damaged += body != self.bodies[number]
        if self.times[number]:
            self.doubled += 1
            if not method.redelivered:
                self.unexplained.append(number)
        else:
            self.distinct += 1
            # Order is a promise about what is delivered for the first time.
            self.disordered += number < self.newest and not method.redelivered
            self.newest = max(self.newest, number)
        self.times[number] = min(self.times[number] + 1, 255)
        self.tag = method.delivery_tag
        if self.tag - self.acked >= self.acks:
            self.acknowledge(channel)

    def acknowledge(self, channel):
        if self.tag > self.acked and channel.is_open:
            channel.basic_ack(self.tag, multiple=True)
            self.acked = self.tag

    def acknowledge_soon(self, channel):
        self.acknowledge(channel)
        if channel.is_open:
            self.connection.ioloop.call_later(0.1, lambda: self.acknowledge_soon(channel))


def declare(node):
    connection = pika.BlockingConnection(node.parameters())
    channel = connection.channel()
    channel.queue_delete(QUEUE)
    channel.queue_declare(QUEUE, durable=True)
    connection.close()


def await_progress(what, publisher, look, patience):
    """Waits, as long as something moves at least every so many seconds."""
    moved, before = time.monotonic(), None
    while not look():
        now = (publisher.count, what())
        if now != before:
            moved, before = time.monotonic(), now
        if time.monotonic() - moved > patience:
            return False
        time.sleep(0.02)
    return True


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--messages", type=int, default=200_000)
    parser.add_argument("--window", type=int, default=1000, help="unconfirmed messages at most")
    parser.add_argument("--gap", type=float, default=1.0, help="the longest gap without a confirm, in seconds")
    parser.add_argument("--data", help="the folder of a running cluster; else one is started")
    parser.add_argument("--kill-all", action="store_true", help="kill all nodes at once")
    parser.add_argument("--patience", type=float, default=60.0, help="how long nothing may move, in seconds")
    options = parser.parse_args()
    with Cluster(options.data) as cluster:
        failures = drill(cluster, options)
    for failure in failures:
        print(f"FAILED: {failure}")
    print("passed" if not failures else "failed")
    return 1 if failures else 0


def drill(cluster, options) -> list[str]:
    bodies = texts(options.messages)
    declare(cluster.nodes[0])
    queue = eventually("in sync", in_sync(cluster.nodes[0], QUEUE, len(cluster.nodes)))
    leader = cluster.named(queue["leader"])
    survivors = [node for node in cluster.nodes if node is not leader]
    publisher, consumer = Publisher(survivors[0], bodies, options.window), Consumer(survivors[-1], bodies)
    print(f"{len(bodies)} messages, {leader.name} leads; "
          f"publisher at {survivors[0].name}, consumer at {survivors[-1].name}")
    started = time.monotonic()
    consumer.start()
    publisher.start()
    moving = lambda: consumer.delivered
    await_progress(moving, publisher, lambda: publisher.count >= len(bodies) // 2, options.patience)
    publisher.gap = 0.0
    before = publisher.count
    victims = cluster.nodes if options.kill_all else [leader]
    for node in victims:
        node.kill()
    killed = time.monotonic()
    print(f"killed {', '.join(node.name for node in victims)} after {before} confirms")
    if options.kill_all:
        cluster.up()
    else:
        time.sleep(1.0)
        cluster.run(leader)
    failures = []

    def check(holds, failure):
        if not holds:
            failures.append(failure)

    done = await_progress(moving, publisher, lambda: publisher.count == len(bodies), options.patience)
    check(done, f"only {publisher.count} of {len(bodies)} are confirmed, the last {publisher.quiet_for():.1f} s ago")
    gap = max(publisher.gap, 0.0 if done else publisher.quiet_for())
    drained = await_progress(moving, publisher, lambda: consumer.distinct >= publisher.count, options.patience)
    finished = time.monotonic()
    lost = sum(1 for number, yes in enumerate(publisher.confirmed) if yes and not consumer.times[number])
    check(drained and lost == 0, f"{lost} confirmed messages never arrived")
    try:
        eventually("in sync again", in_sync(survivors[0], QUEUE, len(cluster.nodes)), options.patience)
        again = f"{time.monotonic() - killed:.1f} s after the kill"
    except TimeoutError:
        again = "not again"
        check(False, "the killed node is not in sync again")
    # Acknowledgements are on their way still: the queue is empty soon.
    empty = lambda: (lambda queue: queue and queue["ready"] + queue["unacked"] == 0)(survivors[0].queue(QUEUE))
    try:
        eventually("empty", empty, 30.0)
    except TimeoutError:
        check(False, f"the queue is not empty: {survivors[0].queue(QUEUE)}")
    publisher.end()
    consumer.end()
    check(consumer.damaged == 0, f"{consumer.damaged} bodies differ from what was published")
    check(consumer.disordered == 0, f"{consumer.disordered} messages out of order")
    if options.kill_all:
        # Publishes whose confirm was lost with the nodes are published again and
        # may be there twice; nothing else may be new twice.
        unexplained = [number for number in consumer.unexplained if number not in publisher.again]
    else:
        unexplained = consumer.unexplained
        check(consumer.doubled == 0, f"{consumer.doubled} messages delivered twice to a client that stayed connected")
        check(publisher.refused == 0, f"{publisher.refused} messages were refused")
        check(not publisher.lost + consumer.lost, f"clients of survivors lost: {publisher.lost + consumer.lost}")
        check(gap <= options.gap, f"{gap:.2f} s without a confirm, more than {options.gap} s")
    check(not unexplained, f"{len(unexplained)} messages delivered twice without being marked as redelivered")
    seconds = finished - started
    print(f"attempted {publisher.attempts}, confirmed {publisher.count}, delivered {consumer.delivered}, lost {lost}, "
          f"doubled {consumer.doubled}, out of order {consumer.disordered}")
    print(f"longest gap without a confirm {gap:.2f} s, in sync {again}, "
          f"{len(bodies) / seconds:.0f} messages/s over {seconds:.1f} s")
    return failures


if __name__ == "__main__":
    sys.exit(main())
