"""Delayed messages, which RabbitMQ has by a plugin that Debian does not package: what
must be seen is said here."""

import time

from trial import Trial, case


def delaying(t: Trial, kind="direct") -> tuple:
    channel = t.channel(confirm=True)
    exchange, queue = t.exchange(channel, kind="x-delayed-message", arguments={"x-delayed-type": kind}), t.queue(channel)
    channel.call("queue.bind", queue=queue, exchange=exchange, routing_key="k")
    return channel, exchange, queue


@case(expected={"confirmed": [], "not at once": [], "then": ["later"]})
def after_its_time(t: Trial):
    channel, exchange, queue = delaying(t)
    started = time.monotonic()
    yield "confirmed", t.put(channel, "k", "later", exchange=exchange, headers={"x-delay": 1500})
    yield "not at once", t.bodies(channel, queue)
    t.until_count(channel, queue, 1)
    yield "then", t.bodies(channel, queue) if time.monotonic() - started >= 1.5 else "too early"


@case(expected={"at once": ["a", "b", "c"]})
def without_a_delay(t: Trial):
    channel, exchange, queue = delaying(t)
    t.put(channel, "k", "a", exchange=exchange)
    t.put(channel, "k", "b", exchange=exchange, headers={"x-delay": 0})
    t.put(channel, "k", "c", exchange=exchange, headers={"x-delay": "nonsense"})
    t.until_count(channel, queue, 3, 2)
    yield "at once", t.bodies(channel, queue)


@case(expected={"order": ["short", "middle", "long"]})
def by_their_times(t: Trial):
    channel, exchange, queue = delaying(t)
    for body, delay in (("long", 2000), ("short", 400), ("middle", 1200)):
        t.put(channel, "k", body, exchange=exchange, headers={"x-delay": delay})
    t.until_count(channel, queue, 3)
    yield "order", t.bodies(channel, queue)


@case(expected={"routed when its time comes": [[], ["m"]]})
def to_what_is_bound_by_then(t: Trial):
    channel, exchange, queue = delaying(t, "topic")
    other = t.queue(channel, "other")
    t.put(channel, "a.b", "m", exchange=exchange, headers={"x-delay": 1200})
    channel.call("queue.bind", queue=other, exchange=exchange, routing_key="a.*")
    t.until_count(channel, other, 1)
    yield "routed when its time comes", [t.bodies(channel, queue), t.bodies(channel, other)]


@case(expected={"no type": ["channel.close", 406], "an unknown type": ["connection.close", 503]})
def arguments(t: Trial):
    for label, arguments in (("no type", {}), ("an unknown type", {"x-delayed-type": "nonsense"})):
        event = t.channel().call("exchange.declare", exchange=t.name("x"), type="x-delayed-message", arguments=arguments)
        yield label, [event.name, event.arguments.get("reply_code")]
