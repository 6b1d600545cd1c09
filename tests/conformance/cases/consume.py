"""Consuming: tags, prefetch, priorities, exclusive and single active consumers, and being cancelled."""

from trial import Trial, case
from wire import Typed


def filled(t: Trial, *bodies, **how) -> tuple:
    channel = t.channel(confirm=True)
    queue = t.queue(channel, **how)
    t.put(channel, queue, *bodies)
    return channel, queue


@case
def consume(t: Trial):
    _, queue = filled(t, "a", "b")
    channel = t.channel()
    yield "ok", channel.call("basic.consume", queue=queue, consumer_tag="mine")
    yield "messages", channel.take(2)
    for tag in (1, 2):
        channel.send("basic.ack", delivery_tag=tag)
    yield "cancel", channel.call("basic.cancel", consumer_tag="mine")
    yield "all acked", t.count(channel, queue)


@case
def tags(t: Trial):
    _, queue = filled(t)
    channel = t.channel()
    yield "made up", channel.call("basic.consume", queue=queue)
    yield "given", channel.call("basic.consume", queue=queue, consumer_tag="x" * 255)
    channel.call("basic.consume", queue=queue, consumer_tag="same")
    yield "twice", channel.call("basic.consume", queue=queue, consumer_tag="same")
    yield "on another channel", t.channel().call("basic.consume", queue=queue, consumer_tag="same")


@case
def no_such_queue(t: Trial):
    yield "consume", t.channel().call("basic.consume", queue=t.name("none"))
    yield "get", t.channel().call("basic.get", queue=t.name("none"))


@case
def cancel_unknown(t: Trial):
    channel = t.channel()
    yield "ok", channel.call("basic.cancel", consumer_tag="unknown")


@case
def no_ack(t: Trial):
    _, queue = filled(t, "a", "b")
    channel = t.channel()
    channel.call("basic.consume", queue=queue, consumer_tag="c", no_ack=True)
    yield "messages", channel.take(2)
    channel.send("basic.ack", delivery_tag=1)
    yield "ack of what needs none", channel.next()


@case
def no_wait(t: Trial):
    _, queue = filled(t, "a")
    channel = t.channel()
    channel.send("basic.consume", queue=queue, consumer_tag="c", nowait=True)
    yield "message", channel.next()
    channel.send("basic.cancel", consumer_tag="c", nowait=True)
    yield "no answer", channel.call("basic.qos")
    yield "no consumer", t.count(channel, queue)


@case
def cancel_keeps_unacked(t: Trial):
    channel, queue = filled(t, "a")
    channel.call("basic.consume", queue=queue, consumer_tag="c")
    event = channel.next()
    channel.call("basic.cancel", consumer_tag="c")
    yield "not ready", t.count(t.channel(), queue)
    channel.send("basic.ack", delivery_tag=event.delivery_tag)
    channel.call("channel.close", reply_code=200)
    yield "acked afterwards", t.count(t.channel(), queue)


@case
def deliveries_stop_with_cancel(t: Trial):
    channel, queue = filled(t)
    consumer = t.channel()
    consumer.call("basic.consume", queue=queue, consumer_tag="c", no_ack=True)
    consumer.call("basic.cancel", consumer_tag="c")
    t.put(channel, queue, "late")
    yield "nothing", consumer.quiet()
    yield "in the queue", t.bodies(channel, queue)


@case
def prefetch_of_a_consumer(t: Trial):
    _, queue = filled(t, *"abcdef")
    channel = t.channel()
    yield "qos", channel.call("basic.qos", prefetch_count=2)
    channel.call("basic.consume", queue=queue, consumer_tag="one")
    channel.call("basic.consume", queue=queue, consumer_tag="two")
    first = channel.take(4)
    yield "two each", sorted(e.consumer_tag for e in first)
    yield "no more", channel.quiet()
    channel.send("basic.ack", delivery_tag=first[0].delivery_tag)
    yield "one more", [e.body.decode() for e in channel.take(1) + channel.quiet()]


@case
def prefetch_of_a_channel(t: Trial):
    _, queue = filled(t, *"abcdef")
    channel = t.channel()
    yield "qos", channel.call("basic.qos", prefetch_count=3, **{"global": True})
    channel.call("basic.consume", queue=queue, consumer_tag="one")
    channel.call("basic.consume", queue=queue, consumer_tag="two")
    yield "three together", len(channel.take(3)) + len(channel.quiet())
    channel.send("basic.ack", delivery_tag=2, multiple=True)
    yield "two more", len(channel.take(2)) + len(channel.quiet())


@case
def prefetch_of_both(t: Trial):
    _, queue = filled(t, *"abcdefgh")
    channel = t.channel()
    channel.call("basic.qos", prefetch_count=5, **{"global": True})
    channel.call("basic.qos", prefetch_count=2)
    channel.call("basic.consume", queue=queue, consumer_tag="one")
    yield "two", len(channel.take(2)) + len(channel.quiet())
    channel.call("basic.consume", queue=queue, consumer_tag="two")
    channel.call("basic.consume", queue=queue, consumer_tag="three")
    yield "five in all", 2 + len(channel.take(3)) + len(channel.quiet())


@case
def prefetch_changed_later(t: Trial):
    _, queue = filled(t, *"abcdef")
    channel = t.channel()
    channel.call("basic.qos", prefetch_count=1)
    channel.call("basic.consume", queue=queue, consumer_tag="one")
    yield "one", len(channel.take(1)) + len(channel.quiet())
    channel.call("basic.qos", prefetch_count=3)
    yield "the consumer keeps its own", len(channel.quiet())
    channel.call("basic.consume", queue=queue, consumer_tag="two")
    yield "the next has the new", len(channel.take(3)) + len(channel.quiet())


@case
def prefetch_of_a_channel_changed(t: Trial):
    _, queue = filled(t, *"abcdef")
    channel = t.channel()
    channel.call("basic.qos", prefetch_count=1, **{"global": True})
    channel.call("basic.consume", queue=queue, consumer_tag="one")
    yield "one", len(channel.take(1)) + len(channel.quiet())
    channel.call("basic.qos", prefetch_count=3, **{"global": True})
    yield "two more", len(channel.take(2)) + len(channel.quiet())
    channel.call("basic.qos", prefetch_count=0, **{"global": True})
    yield "the rest", len(channel.take(3)) + len(channel.quiet())


@case
def prefetch_counts_what_was_got(t: Trial):
    _, queue = filled(t, *"abcd")
    channel = t.channel()
    channel.call("basic.qos", prefetch_count=2, **{"global": True})
    for _ in range(2):
        channel.call("basic.get", queue=queue)
    channel.call("basic.consume", queue=queue, consumer_tag="one")
    yield "how many", len(channel.quiet(1))


@case
def prefetch_size(t: Trial):
    yield "of bytes", t.channel().call("basic.qos", prefetch_size=1000)


@case
def prefetch_does_not_hold_no_ack(t: Trial):
    _, queue = filled(t, *"abcdef")
    channel = t.channel()
    channel.call("basic.qos", prefetch_count=1)
    channel.call("basic.consume", queue=queue, consumer_tag="one", no_ack=True)
    yield "all", len(channel.take(6))


@case
def round_robin(t: Trial):
    channel, queue = filled(t)
    consumer = t.channel()
    for tag in ("one", "two", "three"):
        consumer.call("basic.consume", queue=queue, consumer_tag=tag, no_ack=True)
    t.put(channel, queue, *[str(number) for number in range(9)])
    events = consumer.take(9)
    yield "three each", sorted(e.consumer_tag for e in events)
    yield "in order", [e.body.decode() for e in events]


@case
def consumer_priorities(t: Trial):
    channel, queue = filled(t)
    consumer = t.channel()
    consumer.call("basic.qos", prefetch_count=2)
    for tag, priority in (("low", -1), ("none", None), ("high", 10)):
        arguments = {} if priority is None else {"x-priority": priority}
        consumer.call("basic.consume", queue=queue, consumer_tag=tag, arguments=arguments)
    t.put(channel, queue, *"abcde")
    yield "who gets what", [[e.consumer_tag, e.body.decode()] for e in consumer.take(5)]


@case
def consumer_priority_wrong(t: Trial):
    _, queue = filled(t)
    for label, value in [("a string", "high"), ("a float", 1.5), ("true", True), ("large", 2**40), ("negative", -(2**31))]:
        yield label, t.channel().call("basic.consume", queue=queue, consumer_tag="c", arguments={"x-priority": value})


@case
def exclusive(t: Trial):
    _, queue = filled(t)
    one, other = t.channel(), t.channel()
    yield "exclusive", one.call("basic.consume", queue=queue, consumer_tag="one", exclusive=True)
    yield "another", other.call("basic.consume", queue=queue, consumer_tag="other")
    yield "another exclusive", t.channel().call("basic.consume", queue=queue, consumer_tag="other", exclusive=True)
    yield "of the same channel", one.connection.channel().call("basic.consume", queue=queue, consumer_tag="x")
    one.call("basic.cancel", consumer_tag="one")
    yield "afterwards", t.channel().call("basic.consume", queue=queue, consumer_tag="other")


@case
def exclusive_when_there_are_others(t: Trial):
    _, queue = filled(t)
    t.channel().call("basic.consume", queue=queue, consumer_tag="one")
    yield "refused", t.channel().call("basic.consume", queue=queue, consumer_tag="other", exclusive=True)
    yield "getting is allowed", t.channel().call("basic.get", queue=queue)


@case
def getting_beside_an_exclusive_consumer(t: Trial):
    channel, queue = filled(t)
    t.channel().call("basic.consume", queue=queue, exclusive=True)
    yield "get", t.channel().call("basic.get", queue=queue)


@case
def single_active_consumer(t: Trial):
    channel = t.channel(confirm=True)
    queue = t.queue(channel, arguments={"x-single-active-consumer": True})
    one, two = t.channel(), t.channel()
    one.call("basic.consume", queue=queue, consumer_tag="one")
    two.call("basic.consume", queue=queue, consumer_tag="two")
    t.put(channel, queue, "a", "b")
    yield "the first has all", [[e.consumer_tag, e.body.decode()] for e in one.take(2)]
    yield "the second has none", two.quiet()
    one.send("basic.ack", delivery_tag=1)
    one.call("basic.cancel", consumer_tag="one")
    t.put(channel, queue, "c")
    yield "the second goes on", [[e.consumer_tag, e.body.decode(), e.redelivered] for e in two.take(1)]
    one.call("channel.close", reply_code=200)
    yield "and gets what was left", [[e.consumer_tag, e.body.decode(), e.redelivered] for e in two.take(1)]


@case
def single_active_consumer_is_not_exclusive(t: Trial):
    channel = t.channel()
    queue = t.queue(channel, arguments={"x-single-active-consumer": True})
    yield "exclusive", t.channel().call("basic.consume", queue=queue, exclusive=True)


@case
def single_active_consumer_and_priority(t: Trial):
    channel = t.channel(confirm=True)
    queue = t.queue(channel, arguments={"x-single-active-consumer": True})
    consumer = t.channel()
    consumer.call("basic.consume", queue=queue, consumer_tag="low")
    consumer.call("basic.consume", queue=queue, consumer_tag="high", arguments={"x-priority": 5})
    t.put(channel, queue, "a")
    yield "who", [e.consumer_tag for e in consumer.take(1)]
    consumer.call("basic.consume", queue=queue, consumer_tag="higher", arguments={"x-priority": 7})
    consumer.call("basic.cancel", consumer_tag="low")
    t.put(channel, queue, "b")
    yield "who is next", [e.consumer_tag for e in consumer.take(1)]


@case
def cancelled_by_deleting_the_queue(t: Trial):
    _, queue = filled(t)
    channel = t.channel()
    channel.call("basic.consume", queue=queue, consumer_tag="c")
    t.channel().call("queue.delete", queue=queue)
    yield "notified", channel.next()
    yield "channel goes on", channel.call("basic.qos")


@case
def not_told_without_the_capability(t: Trial):
    _, queue = filled(t)
    channel = t.channel(properties={})
    channel.call("basic.consume", queue=queue, consumer_tag="c")
    t.channel().call("queue.delete", queue=queue)
    yield "nothing", channel.quiet()


@case
def consuming_after_connection_loss(t: Trial):
    _, queue = filled(t, "a", "b")
    first = t.channel()
    first.call("basic.consume", queue=queue, consumer_tag="c")
    first.take(2)
    second = t.channel()
    second.call("basic.consume", queue=queue, consumer_tag="c")
    first.connection.drop()
    yield "again, in order", [[e.body.decode(), e.redelivered] for e in second.take(2)]


@case
def the_last_queue_of_the_channel(t: Trial):
    channel = t.channel(confirm=True)
    yield "none", t.channel().call("basic.consume")
    queue = t.queue(channel)
    yield "consume", channel.call("basic.consume", consumer_tag="c", no_ack=True)
    t.put(channel, queue, "x")
    yield "message", t.eventually(lambda: channel.next(1))


@case
def no_local_is_ignored(t: Trial):
    channel = t.channel(confirm=True)
    queue = t.queue(channel)
    channel.call("basic.consume", queue=queue, consumer_tag="c", no_local=True, no_ack=True)
    t.put(channel, queue, "mine")
    yield "message", channel.next()


@case
def get(t: Trial):
    channel, queue = filled(t, "a", "b", "c")
    yield "first", channel.call("basic.get", queue=queue)
    yield "second", channel.call("basic.get", queue=queue, no_ack=True)
    yield "third", channel.call("basic.get", queue=queue)
    yield "empty", channel.call("basic.get", queue=queue)
    channel.send("basic.ack", delivery_tag=2)
    yield "ack of the one without", channel.next()


@case
def tags_are_counted_by_the_channel(t: Trial):
    _, queue = filled(t, "a", "b", "c", "d")
    channel = t.channel()
    yield "get", channel.call("basic.get", queue=queue).delivery_tag
    yield "get no-ack", channel.call("basic.get", queue=queue, no_ack=True).delivery_tag
    channel.call("basic.consume", queue=queue, consumer_tag="c")
    yield "deliver", [e.delivery_tag for e in channel.take(2)]
    other = channel.connection.channel()
    other.call("basic.consume", queue=queue, consumer_tag="c")
    channel.send("basic.nack", delivery_tag=1)
    yield "on another channel", [e.delivery_tag for e in other.take(1) or channel.take(1)]


@case
def consumer_arguments_of_any_type(t: Trial):
    _, queue = filled(t, "a")
    channel = t.channel()
    yield "ok", channel.call("basic.consume", queue=queue, consumer_tag="c", no_ack=True, arguments={
        "x-mine": 1, "nested": {"a": [None, 1.5]}, "when": Typed("T", 1), "x-cancel-on-ha-failover": True})
    yield "message", channel.next()


@case
def a_hundred_consumers(t: Trial):
    channel, queue = filled(t)
    consumer = t.channel()
    for number in range(100):
        consumer.send("basic.consume", queue=queue, consumer_tag=str(number), no_ack=True, nowait=True)
    consumer.call("basic.qos")
    yield "counted", t.eventually(lambda: t.count(channel, queue)[1] == 100)
    t.put(channel, queue, *[str(number) for number in range(100)])
    yield "one each", len({e.consumer_tag for e in consumer.take(100)})
