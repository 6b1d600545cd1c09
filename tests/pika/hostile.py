"""Clients that mean harm, all at once, while an ordinary one goes on: it must go
on in bounded time, and the node must stay, with bounded memory."""

import contextlib
import os
import socket
import struct
import threading
import time
import unittest

import pika
from pika.exceptions import AMQPError

from cluster import Cluster

HEADER = b"AMQP\x00\x00\x09\x01"
SECONDS = float(os.environ.get("HOSTILE_SECONDS", "20"))
# An ordinary publish with its confirm, on a busy machine.
PATIENCE = 10.0
RSS = 1 << 30


def frame(kind: int, channel: int, payload: bytes) -> bytes:
    return struct.pack(">BHI", kind, channel, len(payload)) + payload + b"\xce"


def method(class_id: int, method_id: int, rest: bytes = b"") -> bytes:
    return struct.pack(">HH", class_id, method_id) + rest


def short(text: bytes) -> bytes:
    return bytes([len(text)]) + text


def long(text: bytes) -> bytes:
    return struct.pack(">I", len(text)) + text


START_OK = frame(1, 0, method(10, 11, long(b"") + short(b"PLAIN") + long(b"\0guest\0guest") + short(b"en_US")))
TUNE_OK = frame(1, 0, method(10, 31, struct.pack(">HIH", 2047, 131072, 0)))
OPEN = frame(1, 0, method(10, 40, short(b"/") + b"\0\0"))
CHANNEL_OPEN = method(20, 10, b"\0")


class Harm:
    """One kind of it, again and again until told to stop."""

    def __init__(self, node):
        self.node = node
        self.stop = threading.Event()
        self.times = 0

    def dial(self) -> socket.socket:
        return socket.create_connection((self.node.host, self.node.port), timeout=5)

    def opened(self) -> socket.socket:
        """A raw connection whose vhost is open."""
        raw = self.dial()
        raw.sendall(HEADER + START_OK + TUNE_OK + OPEN)
        seen = b""
        while method(10, 41) not in seen:
            received = raw.recv(65536)
            if not received:
                raise OSError("closed in the handshake")
            seen += received
        return raw

    def run(self):
        while not self.stop.is_set():
            try:
                self.once()
            except (OSError, AMQPError):
                pass
            self.times += 1

    def once(self):
        raise NotImplementedError


class HalfOpen(Harm):
    """Hundreds that say hello and no more."""

    def once(self):
        with contextlib.ExitStack() as all_of_them:
            for _ in range(300):
                all_of_them.enter_context(self.dial()).sendall(HEADER)
            self.stop.wait(5)


class Giants(Harm):
    """Frames that claim four gigabytes, before and after the handshake."""

    def once(self):
        for raw in (self.dial(), self.opened()):
            with raw:
                raw.sendall(HEADER if self.times % 2 else b"")
                raw.sendall(struct.pack(">BHI", 3, 1, 0xFFFFFFF0) + b"x" * 65536)
                raw.recv(65536)
        self.stop.wait(0.05)


class TableBombs(Harm):
    """Tables in tables, and lengths that lie."""

    def once(self):
        deep = b""
        while len(deep) < 60_000:
            deep = short(b"t") + b"F" + long(deep)
        lying = short(b"t") + b"S" + struct.pack(">I", 0x7FFFFFFF) + b"x"
        for table in (deep, lying):
            with self.opened() as raw:
                raw.sendall(frame(1, 1, CHANNEL_OPEN))
                declare = method(50, 10, b"\0\0" + short(b"bomb") + b"\x12" + long(table))
                raw.sendall(frame(1, 1, declare))
                raw.recv(65536)
        self.stop.wait(0.05)


class Channels(Harm):
    """Thousands of channels opened and closed."""

    def once(self):
        with self.opened() as raw:
            flood = b"".join(frame(1, number, CHANNEL_OPEN) for number in range(1, 2048))
            close = b"".join(frame(1, number, method(20, 40, b"\0\xc8\0" + bytes(4))) for number in range(1, 2048))
            raw.sendall(flood)
            raw.sendall(close)
            self.stop.wait(0.5)


class SlowLoris(Harm):
    """An octet a second, from a hundred at once."""

    def once(self):
        with contextlib.ExitStack() as all_of_them:
            sockets = [all_of_them.enter_context(self.dial()) for _ in range(100)]
            for octet in HEADER + START_OK:
                if self.stop.wait(1):
                    break
                for raw in sockets:
                    raw.sendall(bytes([octet]))


class NeverReads(Harm):
    """Subscribes to a busy queue and never reads."""

    def once(self):
        with self.opened() as raw:
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            raw.sendall(frame(1, 1, CHANNEL_OPEN))
            consume = method(60, 20, b"\0\0" + short(b"busy") + short(b"deaf") + b"\x02" + long(b""))
            raw.sendall(frame(1, 1, consume))
            self.stop.wait(8)


class NeverAcks(Harm):
    """Takes everything and acknowledges nothing."""

    def once(self):
        with self.opened() as raw:
            raw.sendall(frame(1, 1, CHANNEL_OPEN))
            consume = method(60, 20, b"\0\0" + short(b"busy") + short(b"greedy") + b"\x00" + long(b""))
            raw.sendall(frame(1, 1, consume))
            until = time.monotonic() + 5
            while time.monotonic() < until and not self.stop.is_set():
                if not raw.recv(1 << 20):
                    break


class Flood(Harm):
    """Publishes as fast as it can and never reads a confirm."""

    def once(self):
        with self.opened() as raw:
            raw.sendall(frame(1, 1, CHANNEL_OPEN) + frame(1, 1, method(85, 10, b"\0")))
            publish = frame(1, 1, method(60, 40, b"\0\0" + short(b"") + short(b"busy") + b"\0"))
            header = frame(2, 1, struct.pack(">HHQH", 60, 0, 1024, 0))
            flood = (publish + header + frame(3, 1, b"x" * 1024)) * 20
            until = time.monotonic() + 2
            while time.monotonic() < until and not self.stop.is_set():
                raw.sendall(flood)
        self.stop.wait(1)


class Garbage(Harm):
    """Noise after a good handshake."""

    def once(self):
        with self.opened() as raw:
            raw.sendall(frame(1, 1, CHANNEL_OPEN))
            raw.sendall(os.urandom(4096))
            raw.recv(65536)
        self.stop.wait(0.05)


class Hostile(unittest.TestCase):
    def test_an_ordinary_client_goes_on_and_the_node_stays(self):
        with Cluster() as cluster:
            node = cluster.nodes[0]
            before = (node.folder / "pid").read_text()
            connection = pika.BlockingConnection(node.parameters())
            channel = connection.channel()
            channel.queue_declare("busy", durable=True)
            channel.queue_declare("ordinary", durable=True)
            channel.confirm_delivery()
            kinds = (HalfOpen, Giants, TableBombs, Channels, SlowLoris, NeverReads, NeverAcks, Flood, Garbage)
            harms = [kind(node) for kind in kinds]
            threads = [threading.Thread(target=harm.run, daemon=True) for harm in harms]
            for thread in threads:
                thread.start()
            slowest, most, count = 0.0, 0, 0
            until = time.monotonic() + SECONDS
            while time.monotonic() < until:
                began = time.monotonic()
                channel.basic_publish("", "ordinary", b"message", pika.BasicProperties(delivery_mode=2))
                found, _, body = channel.basic_get("ordinary", auto_ack=True)
                self.assertEqual((found is not None, body), (True, b"message"))
                slowest = max(slowest, time.monotonic() - began)
                most = max(most, node.rss())
                count += 1
                time.sleep(0.02)
            for harm in harms:
                harm.stop.set()
            for thread in threads:
                thread.join(30)
            print(f"{count} ordinary round trips, the slowest {slowest:.2f} s; {most >> 20} MiB resident;",
                  ", ".join(f"{type(harm).__name__} {harm.times}" for harm in harms))
            self.assertLess(slowest, PATIENCE)
            self.assertLess(most, RSS)
            self.assertEqual((node.folder / "pid").read_text(), before)
            self.assertEqual(node.get("/health")["status"], "ok")
            # And new clients are taken.
            pika.BlockingConnection(node.parameters()).close()


if __name__ == "__main__":
    unittest.main()
