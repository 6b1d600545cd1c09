"""Primary-backup with `replication = "async"`, by deploy/async.toml as written: the backup is frozen, so that it
falls behind by all that `max-lag` allows; both are killed; the backup starts again
and takes over. What was confirmed and is lost must be no more than `max-lag`, exactly what
the cluster says may be missing, and found again in the log that is put aside. Meanwhile an
alarm says that there is no backup.

    lagging.py --messages 3000
"""

import argparse
import json
import os
import pathlib
import signal
import subprocess
import threading
import time
import tomllib

import pika

from cluster import WARREN, Cluster, eventually

QUEUE = "lagging"
POLICY = pathlib.Path(__file__).resolve().parents[2] / "deploy" / "async.toml"


class Publisher(threading.Thread):
    """Publishes numbered messages without waiting, and notes what is confirmed."""

    def __init__(self, node):
        super().__init__(daemon=True)
        self.confirmed: dict[int, float] = {}
        self.sent = 0
        self.ready = threading.Event()
        self.connection = pika.SelectConnection(node.parameters(), on_open_callback=self.opened)

    def run(self):
        self.connection.ioloop.start()

    def opened(self, connection):
        connection.channel(on_open_callback=self.confirms)

    def confirms(self, channel):
        self.channel = channel
        channel.confirm_delivery(ack_nack_callback=self.answered, callback=lambda _: self.ready.set())

    def answered(self, frame):
        assert isinstance(frame.method, pika.spec.Basic.Ack), frame
        first = frame.method.delivery_tag if not frame.method.multiple else self.lowest
        for tag in range(first, frame.method.delivery_tag + 1):
            self.confirmed.setdefault(tag, time.monotonic())

    @property
    def lowest(self):
        tag = 1
        while tag in self.confirmed:
            tag += 1
        return tag

    def publish(self, count):
        def send():
            for _ in range(count):
                self.sent += 1
                properties = pika.BasicProperties(delivery_mode=2)
                self.channel.basic_publish("", QUEUE, b"%d" % self.sent, properties)

        self.connection.ioloop.add_callback_threadsafe(send)

    def stop(self):
        self.connection.ioloop.add_callback_threadsafe(self.connection.close)


def declare(node):
    with pika.BlockingConnection(node.parameters()) as connection:
        connection.channel().queue_declare(QUEUE, durable=True)


def drain(node, count):
    """So many messages, in order."""
    bodies = []
    with pika.BlockingConnection(node.parameters()) as connection:
        channel = connection.channel()
        for method, _, body in channel.consume(QUEUE, inactivity_timeout=10):
            if method is None:
                break
            channel.basic_ack(method.delivery_tag)
            bodies.append(int(body))
            if len(bodies) == count:
                break
    return bodies


def trails(ask, backup):
    return lambda: backup in (ask.queue(QUEUE) or {}).get("trailing", {})


def run(cluster, messages, max_lag):
    primary, backup, third = cluster.nodes
    declare(third)
    eventually("a backup that trails", trails(third, backup.name))
    publisher = Publisher(third)
    publisher.start()
    assert publisher.ready.wait(20)
    publisher.publish(messages)
    eventually("confirmed", lambda: len(publisher.confirmed) == messages)
    eventually("caught up", lambda: third.queue(QUEUE)["trailing"][backup.name]["messages"] == 0)

    os.kill(int((backup.folder / "pid").read_text()), signal.SIGSTOP)
    frozen = time.monotonic()
    publisher.publish(messages)
    # Less than it takes to be found dead: the limit holds confirms up.
    time.sleep(0.6)
    ahead = len(publisher.confirmed) - messages
    assert 0 < ahead <= max_lag, f"{ahead} confirmed although the backup is frozen"
    primary.kill()
    killed = time.monotonic()
    before = set(publisher.confirmed)
    # What is in its sockets would make up for it.
    backup.kill()
    cluster.run(backup)

    eventually("confirmed by the backup", lambda: len(publisher.confirmed) == 2 * messages)
    gap = min(at for at in publisher.confirmed.values() if at > killed) - killed
    row = eventually("a takeover that is told of", lambda: third.queue(QUEUE).get("unclean") and third.queue(QUEUE))
    publisher.stop()
    got = drain(third, row["ready"])
    assert len(got) == len(set(got)), "delivered twice"
    lost = sorted(set(range(1, 2 * messages + 1)) - set(got))
    assert set(lost) <= before, "lost although it was not confirmed by the former primary"
    assert len(lost) <= max_lag, f"{len(lost)} are lost"
    # Offsets are publish order here, from 0.
    kept = row["unclean"]["kept_below"]
    assert lost and lost == list(range(kept + 1, kept + 1 + len(lost))), (kept, lost)
    assert row["unclean"]["at_most"][0] == max_lag, row["unclean"]

    alarm = f"{backup.name}: max-lag: 1 queue, '{QUEUE}' by 0 messages"
    eventually("an alarm, for nobody would take over", lambda: third.get("/health")["alarms"] == [alarm])
    cluster.run(primary)
    eventually("the former primary a backup", trails(third, primary.name))
    eventually("no alarm", lambda: third.get("/health")["alarms"] == [])
    files = list((primary.folder / "data" / "aside").glob("*.log")) or list(primary.folder.rglob("aside/*.log"))
    salvaged = set()
    for file in files:
        lines = subprocess.run([WARREN, "salvage", file], check=True, stdout=subprocess.PIPE).stdout.splitlines()
        salvaged |= {int(json.loads(line)["body"]) for line in lines}
    assert set(lost) <= salvaged, (lost, salvaged)
    print(f"backup frozen for {killed - frozen:.1f} s: {ahead} confirmed beyond it (max-lag {max_lag}), "
          f"{len(lost)} lost, all of them reported and salvaged; {gap:.2f} s without a confirm")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--messages", type=int, default=3000)
    given = parser.parse_args()
    policy = tomllib.loads(POLICY.read_text())["policy"][0]["primary-backup"]
    with Cluster() as cluster:
        cluster.nodes[0].warren("policy", "apply", POLICY)
        run(cluster, given.messages, policy["max-lag"]["messages"])


if __name__ == "__main__":
    main()
