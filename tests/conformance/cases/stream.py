"""Streams by AMQP: consuming from an offset, as often as one likes."""

from trial import Trial, case

STREAM = {"x-queue-type": "stream"}


def streamed(t: Trial, count: int, arguments=None) -> tuple:
    channel = t.channel(confirm=True)
    queue = t.queue(channel, arguments=STREAM | (arguments or {}))
    for number in range(count):
        channel.publish("", queue, str(number), delivery_mode=2)
    confirmed = 0
    while confirmed < count and (event := channel.next()):
        confirmed = max(confirmed, event.delivery_tag)
    return channel, queue


def reader(t: Trial, queue: str, offset=None, prefetch=10, **how) -> tuple:
    channel = t.channel()
    channel.call("basic.qos", prefetch_count=prefetch)
    arguments = {} if offset is None else {"x-stream-offset": offset}
    return channel, channel.call("basic.consume", queue=queue, consumer_tag="c", arguments=arguments, **how)


def offsets(events: list) -> list:
    return [[e.body.decode(), e.properties.get("headers", {}).get("x-stream-offset")] if e.body is not None else e for e in events]


@case
def declare(t: Trial):
    yield "durable", t.channel().call("queue.declare", queue=t.name("a"), durable=True, arguments=STREAM)
    yield "again", t.channel().call("queue.declare", queue=t.name("a"), durable=True, arguments=STREAM)
    yield "not durable", t.channel().call("queue.declare", queue=t.name("b"), arguments=STREAM)
    yield "exclusive", t.channel().call("queue.declare", queue=t.name("c"), durable=True, exclusive=True, arguments=STREAM)
    yield "auto-delete", t.channel().call("queue.declare", queue=t.name("d"), durable=True, auto_delete=True, arguments=STREAM)
    yield "server-named", t.channel().call("queue.declare", durable=True, arguments=STREAM)
    for argument, value in [("x-max-age", "1h"), ("x-max-age", "1x"), ("x-max-age", 5), ("x-max-length-bytes", 100000), ("x-max-length", 5),
                            ("x-stream-max-segment-size-bytes", 100000), ("x-message-ttl", 1000), ("x-max-priority", 5),
                            ("x-dead-letter-exchange", "x"), ("x-overflow", "reject-publish"), ("x-initial-cluster-size", 1)]:
        yield f"{argument} {value}", t.channel().call(
            "queue.declare", queue=t.name(f"{argument} {value}"), durable=True, arguments=STREAM | {argument: value})


@case
def from_the_first(t: Trial):
    _, queue = streamed(t, 5)
    channel, ok = reader(t, queue, "first")
    yield "ok", ok
    yield "messages", offsets(channel.take(5))


@case
def from_an_offset(t: Trial):
    _, queue = streamed(t, 5)
    yield "messages", offsets(reader(t, queue, 3)[0].take(2))


@case
def from_the_next(t: Trial):
    publisher, queue = streamed(t, 3)
    channel, _ = reader(t, queue, "next")
    publisher.publish("", queue, "new", delivery_mode=2)
    yield "only new ones", offsets(channel.take(1))


@case
def twice(t: Trial):
    _, queue = streamed(t, 3)
    for number in range(2):
        channel, _ = reader(t, queue, "first")
        yield f"reader {number}", offsets(channel.take(3))
        channel.send("basic.ack", delivery_tag=3, multiple=True)


@case
def prefetch(t: Trial):
    _, queue = streamed(t, 6)
    channel, _ = reader(t, queue, "first", 2)
    yield "two", offsets(channel.take(2) + channel.quiet())
    channel.send("basic.ack", delivery_tag=2, multiple=True)
    yield "two more", offsets(channel.take(2) + channel.quiet())


@case
def what_is_not_possible(t: Trial):
    _, queue = streamed(t, 1)
    yield "without prefetch", reader(t, queue, "first", 0)[1]
    yield "without acks", reader(t, queue, "first", no_ack=True)[1]
    yield "get", t.channel().call("basic.get", queue=queue)
    yield "purge", t.channel().call("queue.purge", queue=queue)
    yield "exclusive", reader(t, queue, "first", exclusive=True)[1]
    for offset in ("nonsense", -1, True, 1.5):
        yield f"offset {offset!r}", reader(t, queue, offset)[1]


@case
def rejecting_is_not_possible(t: Trial):
    for label, method, how in [("nack", "basic.nack", {"requeue": False}), ("reject", "basic.reject", {"requeue": True})]:
        _, queue = streamed(t, 1)
        channel, _ = reader(t, queue, "first")
        yield f"{label}: message", offsets(channel.take(1))
        channel.send(method, delivery_tag=1, **how)
        yield label, channel.next()


@case
def properties_are_kept(t: Trial):
    channel = t.channel(confirm=True)
    queue = t.queue(channel, arguments=STREAM)
    t.put(channel, queue, "body", content_type="text/plain", headers={"mine": 1}, message_id="m", priority=3)
    yield "message", reader(t, queue, "first")[0].take(1)


@case
def deleted(t: Trial):
    _, queue = streamed(t, 2)
    channel, _ = reader(t, queue, "first")
    channel.take(2)
    yield "delete", t.channel().call("queue.delete", queue=queue).name
    yield "consumer is told", channel.next()
