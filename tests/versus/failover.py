"""What a client of a surviving node notices when the node of its queue's leader is
killed or frozen: three nodes of Warren or RabbitMQ, one queue, a publisher with
confirms and a consumer on another node. Prints one line of figures.

    failover.py NAME --fault kill|freeze --uris URI,URI,URI --pids FILE,FILE,FILE
                [--type quorum] [--queue NAME] [--observe SECONDS]

The queue is declared through the first node, which leads it; its process is the
one in the first pid file. The clients connect to the second.
"""

import argparse
import collections
import os
import pathlib
import signal
import sys
import threading
import time

import pika

RATE = 500
TICK = 0.02
# Messages that must have come through before anything is done.
WARM = 1500
PERSISTENT = pika.BasicProperties(delivery_mode=2)


class Gap:
    """The longest time without an event, from `start` on."""

    def __init__(self):
        self.since, self.longest, self.on = 0.0, 0.0, False

    def start(self):
        self.since, self.on = time.monotonic(), True

    def event(self):
        if self.on:
            now = time.monotonic()
            self.longest, self.since = max(self.longest, now - self.since), now

    def end(self) -> str:
        """As seconds; with `>` if it had not ended."""
        open_end = time.monotonic() - self.since
        return f"> {open_end:.0f} s" if open_end > max(self.longest, 1.0) else f"{self.longest * 1000:.0f} ms"


class Client(threading.Thread):
    """A connection with a thread of its own, made again when it is lost."""

    def __init__(self, uri: str, queue: str):
        super().__init__(daemon=True)
        self.parameters = pika.URLParameters(uri + "?heartbeat=0&socket_timeout=5")
        self.queue = queue
        self.gap, self.lost, self.ended = Gap(), -1, False
        self.connection = self.channel = None

    def run(self):
        while not self.ended:
            self.lost += 1
            self.connection = pika.SelectConnection(
                self.parameters,
                on_open_callback=lambda connection: connection.channel(on_open_callback=self.opened),
                on_open_error_callback=lambda connection, _: connection.ioloop.stop(),
                on_close_callback=lambda connection, _: connection.ioloop.stop(),
            )
            self.connection.ioloop.start()
            time.sleep(0.1)

    def opened(self, channel):
        channel.add_on_close_callback(lambda *_: self.connection.is_open and self.connection.close())
        self.begin(channel)

    def end(self):
        """From another thread."""
        self.ended = True
        self.connection.ioloop.add_callback_threadsafe(lambda: self.connection.is_open and self.connection.close())
        self.join(5)


class Publisher(Client):
    """RATE messages a second, each a number; what is not confirmed goes again after a lost connection."""

    def __init__(self, uri: str, queue: str):
        super().__init__(uri, queue)
        self.next, self.again = 0, collections.deque()
        self.pending: dict[int, int] = {}
        self.confirmed: set[int] = set()
        self.paused, self.due = False, 0.0

    def begin(self, channel):
        self.again.extend(self.pending.values())
        self.pending.clear()
        self.channel, self.tag, self.due = channel, 0, time.monotonic()
        channel.confirm_delivery(self.answered, callback=lambda _: self.tick(channel))

    def tick(self, channel):
        if not channel.is_open:
            return
        while self.due <= time.monotonic() and not self.paused:
            self.due += 1 / RATE
            number = self.again.popleft() if self.again else self.next
            self.next += number == self.next
            self.tag += 1
            self.pending[self.tag] = number
            channel.basic_publish("", self.queue, str(number).encode(), PERSISTENT)
        self.connection.ioloop.call_later(TICK, lambda: self.tick(channel))

    def answered(self, frame):
        tag, multiple = frame.method.delivery_tag, frame.method.multiple
        for done in [open_tag for open_tag in self.pending if open_tag <= tag] if multiple else [tag]:
            number = self.pending.pop(done, None)
            if number is not None and isinstance(frame.method, pika.spec.Basic.Ack):
                self.confirmed.add(number)
        self.gap.event()


class Consumer(Client):
    """Counts how often it was given each number."""

    def __init__(self, uri: str, queue: str):
        super().__init__(uri, queue)
        self.seen = collections.Counter()

    def begin(self, channel):
        channel.basic_qos(prefetch_count=200)
        channel.basic_consume(self.queue, self.given, callback=lambda _: None)
        channel.add_on_cancel_callback(lambda _: self.connection.close())

    def given(self, channel, method, _, body):
        self.seen[int(body)] += 1
        self.gap.event()
        channel.basic_ack(method.delivery_tag)


def main() -> int:
    """Runs it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("name")
    parser.add_argument("--fault", choices=["kill", "freeze"], required=True)
    parser.add_argument("--uris", required=True)
    parser.add_argument("--pids", required=True)
    parser.add_argument("--queue", default="mirrored-failover")
    parser.add_argument("--type", default="classic")
    parser.add_argument("--observe", type=float, default=20)
    options = parser.parse_args()
    uris, pids = options.uris.split(","), options.pids.split(",")
    arguments = {"x-queue-type": options.type, "x-queue-leader-locator": "client-local"}
    with pika.BlockingConnection(pika.URLParameters(uris[0])) as connection:
        connection.channel().queue_declare(options.queue, durable=True, arguments=arguments)
    publisher, consumer = Publisher(uris[1], options.queue), Consumer(uris[1], options.queue)
    consumer.start()
    publisher.start()
    deadline = time.monotonic() + 30
    while len(consumer.seen) < WARM:
        if time.monotonic() > deadline:
            print("too little flows", len(publisher.confirmed), len(consumer.seen), file=sys.stderr)
            return 1
        time.sleep(0.1)
    victim = int(pathlib.Path(pids[0]).read_text())
    publisher.gap.start()
    consumer.gap.start()
    os.kill(victim, signal.SIGKILL if options.fault == "kill" else signal.SIGSTOP)
    time.sleep(options.observe)
    confirms, deliveries = publisher.gap.end(), consumer.gap.end()
    if options.fault == "freeze":
        os.kill(victim, signal.SIGCONT)
    publisher.paused = True
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and (publisher.pending or publisher.confirmed - consumer.seen.keys()):
        time.sleep(0.2)
    lost = len(publisher.confirmed - consumer.seen.keys())
    doubled = sum(count - 1 for count in consumer.seen.values())
    publisher.end()
    consumer.end()
    cells = [options.name, options.fault, confirms, deliveries, lost, doubled, publisher.lost + consumer.lost]
    print("{:<22} {:<7} {:>12} {:>12} {:>6} {:>10} {:>12}".format(*cells))
    return 0


if __name__ == "__main__":
    sys.exit(main())
