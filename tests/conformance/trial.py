"""What a case has at hand: connections to the broker's nodes, names of its own, and
the operator's commands. A case is a generator function with `@case`; it yields
(label, observation) and knows nothing of which broker it talks to."""

import json
import os
import pathlib
import re
import signal
import subprocess
import time
import traceback
from typing import Callable, NamedTuple

import client
from client import Channel, Connection, plain


class Case(NamedTuple):
    """A case, by its theme (the file) and name."""

    name: str
    run: Callable
    alone: bool
    expected: dict | None


CASES: dict[str, Case] = {}


def case(function=None, *, alone=False, expected=None):
    """Makes a function a case. `alone`: it changes something for all. `expected`: what must be seen, where RabbitMQ can't say."""

    def register(function):
        name = f"{pathlib.Path(function.__code__.co_filename).stem}/{function.__name__}"
        CASES[name] = Case(name, function, alone, expected)
        return function

    return register(function) if function else register


class Broker(NamedTuple):
    """A running broker: where its nodes listen, and the program for its operator."""

    kind: str
    addresses: list[tuple[str, int]]
    command: str
    data: pathlib.Path | None = None

    def alarm(self, raised: bool) -> None:
        """Makes the broker hold back publishers, and let them go on."""
        if self.kind == "rabbitmq":
            mark = ["absolute", "1"] if raised else ["0.6"]
            subprocess.run([self.command, "set_vm_memory_high_watermark", *mark], check=True, capture_output=True, timeout=120)
            return
        # The last node says that its disk is full. It has an alarm for as long as it runs so.
        folder = sorted(self.data.glob("node-*"))[-1]
        pid = int((folder / "pid").read_text())
        os.kill(pid, signal.SIGTERM)
        while pathlib.Path(f"/proc/{pid}/cmdline").exists() and pathlib.Path(f"/proc/{pid}/cmdline").read_bytes():
            time.sleep(0.05)
        with open(folder / "log", "ab") as log:
            subprocess.Popen([self.command, "server", "--config", folder / "config.toml"], stdout=log, stderr=log, start_new_session=True,
                             env=os.environ | ({"WARREN_ALARMS__DISK_FREE_LIMIT": "1000000TiB"} if raised else {}))


class Trial:
    """One run of one case."""

    def __init__(self, broker: Broker):
        self.broker = broker
        self.mark = os.urandom(4).hex()
        self.connections: list[Connection] = []

    def name(self, base: str) -> str:
        """A name that no other case has; observations show it as `base-~`."""
        return f"{base}-{self.mark}"

    def raw(self, node: int | None = None) -> Connection:
        """A connection of which nothing was sent. One after the other they go to all nodes."""
        at = len(self.connections) if node is None else node
        connection = Connection(self.broker.addresses[at % len(self.broker.addresses)])
        self.connections.append(connection)
        return connection

    def connect(self, node: int | None = None, **how) -> Connection:
        """An open connection."""
        connection = self.raw(node)
        event = connection.open(**how)
        if event is None or event.name != "connection.open-ok":
            raise RuntimeError(f"not let in: {event and event.plain()}")
        return connection

    def channel(self, node: int | None = None, confirm=False, **how) -> Channel:
        """A channel of a connection of its own."""
        channel = self.connect(node, **how).channel()
        if confirm:
            channel.call("confirm.select")
        return channel

    def queue(self, channel: Channel, base="q", arguments=None, **how) -> str:
        """A durable queue."""
        name, how = self.name(base), {"durable": True} | how
        event = channel.call("queue.declare", queue=name, arguments=arguments or {}, **how)
        if event is None or event.name != "queue.declare-ok":
            raise RuntimeError(f"no queue: {event and event.plain()}")
        return name

    def exchange(self, channel: Channel, base="x", kind="direct", arguments=None, **how) -> str:
        """A durable exchange."""
        name, how = self.name(base), {"durable": True} | how
        event = channel.call("exchange.declare", exchange=name, type=kind, arguments=arguments or {}, **how)
        if event is None or event.name != "exchange.declare-ok":
            raise RuntimeError(f"no exchange: {event and event.plain()}")
        return name

    def put(self, channel: Channel, queue: str, *bodies, exchange="", **how) -> list:
        """Messages, one confirmed after the other; the channel is in confirm mode. What came that was no ack."""
        odd = []
        for body in bodies:
            channel.publish(exchange, queue, body, **({"delivery_mode": 2} | how))
            event = channel.wait("basic.ack", "basic.nack")
            if event is None or event.name != "basic.ack":
                odd.append(event)
        return odd

    def drain(self, channel: Channel, queue: str, patience: float = 0.0) -> list:
        """All messages that are ready, taken; waiting so long for the first."""
        events, deadline = [], time.monotonic() + patience
        while True:
            event = channel.call("basic.get", queue=queue, no_ack=True)
            if event is None or event.name != "basic.get-ok":
                if not events and event is not None and event.name == "basic.get-empty" and time.monotonic() < deadline:
                    time.sleep(0.05)
                    continue
                return events if event is not None and event.name == "basic.get-empty" else [*events, event]
            events.append(event)

    def bodies(self, channel: Channel, queue: str, patience: float = 0.0) -> list:
        """The same, of messages their bodies."""
        return [client.body(e.body) if e is not None and e.body is not None else e
                for e in self.drain(channel, queue, patience)]

    def count(self, channel: Channel, queue: str):
        """Ready messages and consumers of a queue, or why not."""
        event = channel.call("queue.declare", queue=queue, passive=True)
        return [event.message_count, event.consumer_count] if event.name == "queue.declare-ok" else event

    def eventually(self, look, patience: float = client.PATIENCE):
        """Looks until there is something."""
        deadline = time.monotonic() + patience
        while not (found := look()) and time.monotonic() < deadline:
            time.sleep(0.05)
        return found

    def until_count(self, channel: Channel, queue: str, ready: int, patience: float = client.PATIENCE):
        """Waits until a queue has so many ready messages; tells how many it has."""
        self.eventually(lambda: self.count(channel, queue)[0] == ready, patience)
        return self.count(channel, queue)[0]

    def ended(self) -> None:
        for connection in self.connections:
            try:
                connection.close()
            except OSError:
                pass


def observe(broker: Broker, case: Case) -> list:
    """Runs a case: its observations, as JSON has them."""
    trial, seen = Trial(broker), []
    try:
        for label, value in case.run(trial):
            seen.append([label, normal(plain(value), trial.mark)])
    except Exception as error:  # A case that breaks is an observation, too.
        where = traceback.extract_tb(error.__traceback__)
        line = next((f"{at.name}:{at.line}" for at in reversed(where) if "/cases/" in at.filename), "")
        seen.append(["broken", normal(f"{type(error).__name__}: {error} in {line}", trial.mark)])
    finally:
        trial.ended()
    return json.loads(json.dumps(seen))


# What no two runs have in common, and what stands for it.
RULES = [
    (re.compile(r"amq\.gen-[A-Za-z0-9_-]{22}"), "amq.gen-~"),
    (re.compile(r"amq\.ctag-[A-Za-z0-9_-]{22}"), "amq.ctag-~"),
    (re.compile(r"amq\.rabbitmq\.reply-to\.[A-Za-z0-9_/+=.-]+"), "amq.rabbitmq.reply-to.~"),
    (re.compile(r"127\.0\.0\.1:\d+"), "127.0.0.1:~"),
]


def normal(value, mark: str):
    """An observation without what is different in every run."""
    if isinstance(value, str):
        value = value.replace(mark, "~")
        for rule, instead in RULES:
            value = rule.sub(instead, value)
        return value
    if isinstance(value, list):
        return [normal(one, mark) for one in value]
    if isinstance(value, dict):
        # The time of an `x-death` is when it happened.
        return {normal(name, mark): "T ~" if name == "time" and str(one).startswith("T ") else normal(one, mark)
                for name, one in value.items()}
    return value
