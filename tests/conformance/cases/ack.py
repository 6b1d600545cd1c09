"""Acknowledging, rejecting, recovering: what comes back, in which order, and wrong tags."""

from trial import Trial, case
from cases.consume import filled


def shown(events: list) -> list:
    return [[e.body.decode(), e.delivery_tag, e.redelivered] if e is not None and e.body is not None else e for e in events]


@case
def ack_one(t: Trial):
    channel, queue = filled(t, "a", "b")
    for _ in range(2):
        channel.call("basic.get", queue=queue)
    channel.send("basic.ack", delivery_tag=2)
    channel.call("channel.close", reply_code=200)
    yield "the other is left", shown(t.drain(t.channel(), queue, 2))


@case
def ack_multiple(t: Trial):
    channel, queue = filled(t, *"abcde")
    for _ in range(5):
        channel.call("basic.get", queue=queue)
    channel.send("basic.ack", delivery_tag=3, multiple=True)
    channel.call("channel.close", reply_code=200)
    yield "later ones are left", shown(t.drain(t.channel(), queue, 2))


@case
def ack_all(t: Trial):
    channel, queue = filled(t, *"abc")
    for _ in range(3):
        channel.call("basic.get", queue=queue)
    channel.send("basic.ack", delivery_tag=0, multiple=True)
    channel.call("channel.close", reply_code=200)
    yield "none left", t.count(t.channel(), queue)


@case
def wrong_tags(t: Trial):
    for label, method, how in [
            ("ack", "basic.ack", {"delivery_tag": 5}), ("ack of zero", "basic.ack", {"delivery_tag": 0}),
            ("ack up to", "basic.ack", {"delivery_tag": 5, "multiple": True}),
            ("ack all of none", "basic.ack", {"delivery_tag": 0, "multiple": True}),
            ("nack", "basic.nack", {"delivery_tag": 5}), ("nack all of none", "basic.nack", {"delivery_tag": 0, "multiple": True}),
            ("reject", "basic.reject", {"delivery_tag": 5}), ("reject of zero", "basic.reject", {"delivery_tag": 0}),
            ("huge", "basic.ack", {"delivery_tag": 2**64 - 1})]:
        channel = t.channel()
        channel.send(method, **how)
        yield label, channel.next(timeout=1)


@case
def ack_twice(t: Trial):
    channel, queue = filled(t, "a")
    channel.call("basic.get", queue=queue)
    channel.send("basic.ack", delivery_tag=1)
    yield "once", channel.call("basic.qos")
    channel.send("basic.ack", delivery_tag=1)
    yield "twice", channel.next()


@case
def ack_on_another_channel(t: Trial):
    channel, queue = filled(t, "a")
    channel.call("basic.get", queue=queue)
    other = channel.connection.channel()
    other.send("basic.ack", delivery_tag=1)
    yield "closed", other.next()


@case
def ack_multiple_with_a_gap(t: Trial):
    channel, queue = filled(t, *"abc")
    for _ in range(3):
        channel.call("basic.get", queue=queue)
    channel.send("basic.ack", delivery_tag=2)
    channel.send("basic.ack", delivery_tag=2, multiple=True)
    yield "answer", channel.next(timeout=1)
    yield "left", t.until_count(t.channel(), queue, 2, 3)


@case
def reject_and_requeue(t: Trial):
    channel, queue = filled(t, "a", "b")
    channel.call("basic.get", queue=queue)
    channel.send("basic.reject", delivery_tag=1, requeue=True)
    t.until_count(channel, queue, 2)
    yield "first again", shown(t.drain(channel, queue))


@case
def reject_and_drop(t: Trial):
    channel, queue = filled(t, "a", "b")
    channel.call("basic.get", queue=queue)
    channel.send("basic.reject", delivery_tag=1, requeue=False)
    yield "gone", shown(t.drain(channel, queue))
    channel.call("channel.close", reply_code=200)
    yield "for good", t.count(t.channel(), queue)


@case
def nack_multiple(t: Trial):
    channel, queue = filled(t, *"abcdef")
    for _ in range(5):
        channel.call("basic.get", queue=queue)
    channel.send("basic.nack", delivery_tag=2, multiple=True, requeue=False)
    channel.send("basic.nack", delivery_tag=4, multiple=True, requeue=True)
    t.until_count(channel, queue, 3)
    yield "ready", shown(t.drain(channel, queue))


@case
def nack_all(t: Trial):
    channel, queue = filled(t, *"abc")
    for _ in range(3):
        channel.call("basic.get", queue=queue)
    channel.send("basic.nack", delivery_tag=0, multiple=True, requeue=True)
    t.until_count(channel, queue, 3)
    yield "ready", shown(t.drain(channel, queue))


@case
def requeued_in_their_old_places(t: Trial):
    channel, queue = filled(t, *"abcdef")
    for _ in range(4):
        channel.call("basic.get", queue=queue)
    for tag in (3, 1, 4, 2):
        channel.send("basic.nack", delivery_tag=tag, requeue=True)
    t.until_count(channel, queue, 6)
    yield "order", shown(t.drain(channel, queue))


@case
def requeued_by_closing(t: Trial):
    for how in ("channel", "connection", "drop"):
        channel, queue = filled(t, *"abcd", base=how)
        for _ in range(3):
            channel.call("basic.get", queue=queue)
        channel.send("basic.ack", delivery_tag=2)
        if how == "channel":
            channel.call("channel.close", reply_code=200)
        elif how == "connection":
            channel.connection.close()
        else:
            channel.call("basic.qos")
            channel.connection.drop()
        other = t.channel()
        t.until_count(other, queue, 3)
        yield how, shown(t.drain(other, queue))


@case
def rejected_to_the_same_consumer(t: Trial):
    _, queue = filled(t, "a")
    channel = t.channel()
    channel.call("basic.consume", queue=queue, consumer_tag="c")
    seen = []
    for _ in range(3):
        event = channel.next()
        seen.append(event)
        channel.send("basic.nack", delivery_tag=event.delivery_tag, requeue=True)
    yield "again and again", shown(seen)


@case
def prefetch_one_and_requeue(t: Trial):
    _, queue = filled(t, "a", "b", "c")
    channel = t.channel()
    channel.call("basic.qos", prefetch_count=1)
    channel.call("basic.consume", queue=queue, consumer_tag="c")
    seen = []
    for requeue in (True, False, True):
        event = channel.next()
        seen.append(event)
        channel.send("basic.nack", delivery_tag=event.delivery_tag, requeue=requeue)
    seen.append(channel.next())
    yield "order", shown(seen)


@case
def recover(t: Trial):
    _, queue = filled(t, "a", "b")
    channel = t.channel()
    channel.call("basic.consume", queue=queue, consumer_tag="c")
    yield "first", shown(channel.take(2))
    channel.send("basic.ack", delivery_tag=1)
    yield "recover", channel.call("basic.recover", requeue=True)
    yield "again", shown(channel.take(1))


@case
def recover_to_any_consumer(t: Trial):
    _, queue = filled(t, "a", "b")
    channel = t.channel()
    for _ in range(2):
        channel.call("basic.get", queue=queue)
    yield "recover", channel.call("basic.recover", requeue=True)
    t.until_count(channel, queue, 2)
    yield "ready", shown(t.drain(t.channel(), queue))


@case
def recover_without_requeue(t: Trial):
    _, queue = filled(t, "a")
    channel = t.channel()
    channel.call("basic.get", queue=queue)
    yield "not implemented", channel.call("basic.recover", requeue=False)


@case
def recover_async(t: Trial):
    _, queue = filled(t, "a")
    channel = t.channel()
    channel.call("basic.get", queue=queue)
    channel.send("basic.recover-async", requeue=True)
    t.until_count(channel, queue, 1)
    yield "ready", shown(t.drain(channel, queue))


@case
def recover_with_nothing(t: Trial):
    yield "ok", t.channel().call("basic.recover", requeue=True)


@case
def acks_across_queues(t: Trial):
    channel, one = filled(t, "a", base="one")
    _, other = filled(t, "b", base="other")
    channel.call("basic.get", queue=one)
    channel.call("basic.get", queue=other)
    channel.send("basic.ack", delivery_tag=2, multiple=True)
    channel.call("channel.close", reply_code=200)
    yield "none left", [t.count(t.channel(), queue) for queue in (one, other)]


@case
def redelivered_flag_stays(t: Trial):
    channel, queue = filled(t, "a")
    yield "first", channel.call("basic.get", queue=queue).redelivered
    channel.send("basic.nack", delivery_tag=1, requeue=True)
    t.until_count(channel, queue, 1)
    event = channel.call("basic.get", queue=queue)
    yield "second", event.redelivered
    channel.call("channel.close", reply_code=200)
    other = t.channel()
    t.until_count(other, queue, 1)
    yield "elsewhere", other.call("basic.get", queue=queue).redelivered


@case
def delivery_limit_of_a_quorum_queue(t: Trial):
    channel = t.channel(confirm=True)
    queue = t.queue(channel, arguments={"x-queue-type": "quorum", "x-delivery-limit": 2})
    t.put(channel, queue, "a")
    consumer = t.channel()
    consumer.call("basic.consume", queue=queue, consumer_tag="c")
    for number in range(3):
        event = consumer.next()
        yield f"delivery {number}", event
        consumer.send("basic.nack", delivery_tag=event.delivery_tag, requeue=True)
    yield "then nothing", consumer.quiet()
    yield "dropped", t.count(channel, queue)
