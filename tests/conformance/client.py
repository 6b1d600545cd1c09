"""A client that does exactly what a case says, and tells exactly what came back."""

import hashlib
import socket
import struct
import time

import wire
from wire import METHODS, Typed

PATIENCE = 20.0
# How long a connection of a case may last: whatever is wrong, the case ends.
LONGEST = 180.0
# How long is waited for something that should not come.
QUIET = 0.4


class Event:
    """A method with its content that came; or that the connection ended (`eof`)."""

    def __init__(self, name: str, arguments: dict, properties: dict | None = None, body: bytes | None = None):
        self.name, self.arguments, self.properties, self.body = name, arguments, properties, body

    def __getattr__(self, name):
        try:
            return self.arguments[name]
        except KeyError:
            raise AttributeError(f"{self.name} has no {name}") from None

    def plain(self):
        """What a case's observation shows of it."""
        shown = {"method": self.name} | {name: plain(value) for name, value in self.arguments.items()}
        if self.name in ("basic.ack", "basic.nack"):
            # Which confirms come together is a matter of time.
            shown = {"method": self.name, "delivery_tag": self.delivery_tag}
        if self.properties is not None:
            shown |= {"properties": plain(self.properties), "body": body(self.body)}
        return shown


def plain(value):
    """An observation as JSON has it: table values as "type value"."""
    match value:
        case Event():
            return value.plain()
        case Typed(kind, inner) if isinstance(inner, dict | list) and kind != "D":
            return plain(inner)
        case Typed(kind, inner):
            return f"{kind} {inner}" if inner is not None else kind
        case dict():
            return {name: plain(one) for name, one in value.items()}
        case list() | tuple():
            return [plain(one) for one in value]
        case bytes():
            return body(value)
    return value


def body(data: bytes) -> str:
    """A body, or how to know a long one."""
    return wire.text(data) if len(data) <= 200 else f"{len(data)} bytes, sha256 {hashlib.sha256(data).hexdigest()[:16]}"


class Connection:
    """One connection. Made by hand with `raw`, or opened."""

    def __init__(self, address: tuple[str, int]):
        self.socket = socket.create_connection(address, timeout=PATIENCE)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.buffer = bytearray()
        self.inboxes: dict[int, list[Event]] = {}
        self.partial: dict[int, list] = {}
        self.ended = False
        self.frame_max = 131072
        self.channels = 0
        self.heartbeats = 0
        self.over = time.monotonic() + LONGEST

    # Sending

    def write(self, data: bytes) -> None:
        """Bytes as they are. That the peer is gone shows when reading."""
        try:
            self.socket.settimeout(PATIENCE)
            self.socket.sendall(data)
        except (BrokenPipeError, ConnectionResetError):
            pass

    def frame(self, kind: int, channel: int, payload: bytes, end: int = wire.END) -> None:
        self.write(wire.frame(kind, channel, payload, end))

    def send(self, name: str, channel: int = 0, **arguments) -> None:
        """A method."""
        self.frame(wire.METHOD, channel, wire.method_out(name, arguments))

    # Receiving

    def read(self, size: int, deadline: float) -> bytes | None:
        """So many bytes; none when the time is over; what there was when the connection ended."""
        while len(self.buffer) < size and not self.ended:
            left = deadline - time.monotonic()
            if left <= 0:
                return None
            self.socket.settimeout(left)
            try:
                data = self.socket.recv(1 << 20)
            except TimeoutError:
                return None
            except ConnectionError:
                data = b""
            self.buffer += data
            self.ended = not data
        data = bytes(self.buffer[:size])
        del self.buffer[:size]
        return data

    def pump(self, deadline: float) -> bool:
        """Reads one frame into the inboxes; false when the time is over or there is nothing more."""
        if time.monotonic() > self.over:
            raise TimeoutError("the case takes too long")
        if len(self.buffer) < 7:
            if self.ended:
                return False
            head = self.read(7, deadline)
            if head is None:
                return False
            if len(head) < 7:
                self.put(0, Event("eof", {"rest": head} if head else {}))
                return True
            self.buffer[:0] = head
        kind, channel, size = struct.unpack(">BHI", self.buffer[:7])
        if self.buffer[:4] == b"AMQP":
            self.put(0, Event("protocol-header", {"header": self.read(8, deadline).hex()}))
            return True
        whole = self.read(7 + size + 1, max(deadline, time.monotonic() + PATIENCE))
        if whole is None or len(whole) < size + 8 or whole[-1] != wire.END:
            raise ValueError(f"a broken frame of type {kind}, size {size}")
        self.took(kind, channel, whole[7:-1])
        return True

    def took(self, kind: int, channel: int, payload: bytes) -> None:
        """A frame that came."""
        if kind == wire.HEARTBEAT:
            self.heartbeats += 1
        elif kind == wire.METHOD:
            method, arguments = wire.method_in(payload)
            if method.content:
                self.partial[channel] = [Event(method.name, arguments, {}, b""), None, []]
            else:
                self.put(channel, Event(method.name, arguments))
        else:
            event, left, chunks = self.partial[channel]
            if kind == wire.HEADER:
                left, event.properties = wire.header_in(payload)
            else:
                left -= len(payload)
                chunks.append(payload)
            self.partial[channel][1] = left
            if left == 0:
                event.body = b"".join(chunks)
                del self.partial[channel]
                self.put(channel, event)

    def put(self, channel: int, event: Event) -> None:
        """Into the channel's inbox. Closes are answered."""
        if event.name == "channel.close":
            self.send("channel.close-ok", channel)
        elif event.name == "connection.close":
            self.send("connection.close-ok")
        self.inboxes.setdefault(channel, []).append(event)

    def next(self, channel: int = 0, timeout: float = PATIENCE) -> Event | None:
        """The next that came on the channel, or that the connection was closed."""
        deadline = time.monotonic() + timeout
        while True:
            if inbox := self.inboxes.get(channel):
                return inbox.pop(0)
            for end in self.inboxes.get(0, []):
                if end.name in ("connection.close", "eof"):
                    return end
            if not self.pump(deadline):
                return None

    def wait(self, *names: str, channel: int = 0, timeout: float = PATIENCE) -> Event | None:
        """The next event of these names, or a close; what else comes stays in the inbox."""
        deadline, seen = time.monotonic() + timeout, []
        try:
            while event := self.next(channel, deadline - time.monotonic()):
                if event.name in names or event.name in ("channel.close", "connection.close", "eof"):
                    return event
                seen.append(event)
            return None
        finally:
            self.inboxes[channel] = seen + self.inboxes.get(channel, [])

    # Whole steps

    def open(self, user="guest", password="guest", vhost="/", tune=None, properties=None, mechanism="PLAIN",
             response=None) -> Event:
        """The handshake: connection.open-ok, or what came instead."""
        self.write(wire.PROTOCOL)
        event = self.next()
        if event is None or event.name != "connection.start":
            return event
        self.start = event
        if properties is None:
            properties = {"capabilities": dict.fromkeys((
                "publisher_confirms", "exchange_exchange_bindings", "basic.nack", "consumer_cancel_notify",
                "connection.blocked", "authentication_failure_close"), True)}
        self.send("connection.start-ok", client_properties=properties, mechanism=mechanism,
                  response=f"\0{user}\0{password}" if response is None else response, locale="en_US")
        event = self.next()
        if event is None or event.name != "connection.tune":
            return event
        self.tune = event
        tune = {"channel_max": event.channel_max, "frame_max": event.frame_max, "heartbeat": 0} | (tune or {})
        self.frame_max = tune["frame_max"] or event.frame_max
        self.send("connection.tune-ok", **tune)
        self.send("connection.open", virtual_host=vhost)
        return self.next()

    def channel(self) -> "Channel":
        """A new channel, open."""
        self.channels += 1
        channel = Channel(self, self.channels)
        channel.open()
        return channel

    def close(self) -> None:
        """As a good client does, not waiting long."""
        if not self.ended:
            self.send("connection.close", reply_code=200)
            self.wait("connection.close-ok", timeout=2)
        self.socket.close()

    def drop(self) -> None:
        """As a bad client does."""
        self.socket.close()
        self.ended = True


class Channel:
    """One channel of a connection."""

    def __init__(self, connection: Connection, number: int):
        self.connection, self.number = connection, number

    def open(self) -> Event:
        return self.call("channel.open")

    def send(self, name: str, **arguments) -> None:
        """A method, without waiting."""
        self.connection.send(name, self.number, **arguments)

    def call(self, name: str, timeout: float = PATIENCE, **arguments) -> Event | None:
        """A method, and its answer or a close."""
        self.send(name, **arguments)
        answers = [f"{name}-ok"] + ["basic.get-empty"] * (name == "basic.get")
        return self.connection.wait(*answers, channel=self.number, timeout=timeout)

    def publish(self, exchange: str, routing_key: str, body=b"", mandatory=False, immediate=False, **properties):
        """A message; properties by name."""
        body = wire.octets(body)
        room = self.connection.frame_max - 8
        out = [wire.frame(wire.METHOD, self.number, wire.method_out("basic.publish", {
            "exchange": exchange, "routing_key": routing_key, "mandatory": mandatory, "immediate": immediate}))]
        out.append(wire.frame(wire.HEADER, self.number, wire.header_out(len(body), properties)))
        for start in range(0, len(body), room):
            out.append(wire.frame(wire.BODY, self.number, body[start : start + room]))
        self.connection.write(b"".join(out))

    def next(self, timeout: float = PATIENCE) -> Event | None:
        """Whatever comes next."""
        return self.connection.next(self.number, timeout)

    def wait(self, *names: str, timeout: float = PATIENCE) -> Event | None:
        return self.connection.wait(*names, channel=self.number, timeout=timeout)

    def take(self, count: int, timeout: float = PATIENCE) -> list[Event]:
        """The next so many events, fewer if they don't come."""
        deadline, events = time.monotonic() + timeout, []
        while len(events) < count and (event := self.next(deadline - time.monotonic())):
            events.append(event)
            if event.name in ("channel.close", "connection.close", "eof"):
                break
        return events

    def quiet(self, timeout: float = QUIET) -> list[Event]:
        """What comes within a time in which nothing should."""
        return self.take(1000, timeout)
