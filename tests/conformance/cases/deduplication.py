"""De-duplicating exchanges, which RabbitMQ has by a plugin that Debian does not package: what
must be seen is said here."""

from trial import Trial, case

ONCE = {"x-cache-size": 1000}


def once(t: Trial, base="x", arguments=None) -> tuple:
    channel = t.channel(confirm=True)
    exchange, queue = t.exchange(channel, base, "x-message-deduplication", ONCE | (arguments or {})), t.queue(channel, f"q-{base}")
    channel.call("queue.bind", queue=queue, exchange=exchange, routing_key="any")
    return channel, exchange, queue


def valued(t: Trial, channel, exchange: str, *messages) -> None:
    for body, value in messages:
        headers = {} if value is None else {"x-deduplication-header": value}
        assert not t.put(channel, "k", body, exchange=exchange, headers=headers)


@case(expected={"each value once, whatever the routing key": ["a", "b", "d", "e", "f"]})
def values(t: Trial):
    channel, exchange, queue = once(t)
    valued(t, channel, exchange, ("a", "1"), ("b", "2"), ("c", "1"), ("d", None), ("e", None), ("f", 1), ("g", 1))
    yield "each value once, whatever the routing key", t.bodies(channel, queue)


@case(expected={"gone and still known": [], "no longer": ["c"]})
def for_some_time(t: Trial):
    channel, exchange, queue = once(t, arguments={"x-cache-ttl": 1000})
    valued(t, channel, exchange, ("a", "1"))
    t.bodies(channel, queue)
    valued(t, channel, exchange, ("b", "1"))
    yield "gone and still known", t.bodies(channel, queue)
    t.channel().quiet(1.2)
    valued(t, channel, exchange, ("c", "1"))
    yield "no longer", t.bodies(channel, queue)


@case(expected={"one exchange's values": ["a"], "are not the other's": ["b"], "together": ["a", "b", "c"]})
def of_each_exchange(t: Trial):
    channel, one, first = once(t, "one")
    _, two, second = once(t, "two")
    both = t.queue(channel, "both")
    for exchange in (one, two):
        channel.call("queue.bind", queue=both, exchange=exchange)
    valued(t, channel, one, ("a", "1"), ("a again", "1"))
    valued(t, channel, two, ("b", "1"), ("b again", "1"))
    channel.publish("", both, "c", headers={"x-deduplication-header": "1"})
    channel.next()
    yield "one exchange's values", t.bodies(channel, first)
    yield "are not the other's", t.bodies(channel, second)
    yield "together", t.bodies(channel, both)


@case(expected={"behind another exchange": ["a"], "before another": ["a"]})
def among_others(t: Trial):
    channel, exchange, queue = once(t)
    before, behind, last = t.exchange(channel, "before", "fanout"), t.exchange(channel, "behind", "fanout"), t.queue(channel, "last")
    channel.call("exchange.bind", source=before, destination=exchange)
    channel.call("exchange.bind", source=exchange, destination=behind)
    channel.call("queue.bind", queue=last, exchange=behind)
    valued(t, channel, before, ("a", "1"), ("b", "1"))
    valued(t, channel, exchange, ("c", "1"))
    yield "behind another exchange", t.bodies(channel, queue)
    yield "before another", t.bodies(channel, last)


@case(expected={"without a size": [406, "Missing or invalid argument, 'x-cache-size' must be an integer greater than 0"],
                "again": "exchange.declare-ok"})
def declare(t: Trial):
    event = t.channel().call("exchange.declare", exchange=t.name("y"), type="x-message-deduplication")
    yield "without a size", [event.reply_code, event.reply_text.split(" - ", 1)[1]]
    _, exchange, _ = once(t)
    yield "again", t.channel().call(
        "exchange.declare", exchange=exchange, type="x-message-deduplication", durable=True, arguments=ONCE).name
