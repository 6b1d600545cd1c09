"""Lengths: by messages and by bytes, with each overflow."""

from trial import Trial, case
from cases.deadletter import deaths
from cases.publish import acks, until_acked


@case
def drops_the_oldest(t: Trial):
    channel = t.channel(confirm=True)
    queue = t.queue(channel, arguments={"x-max-length": 3})
    yield "all confirmed", t.put(channel, queue, *"abcde")
    yield "the last ones are left", t.bodies(channel, queue)


@case
def drop_head_by_name(t: Trial):
    channel = t.channel(confirm=True)
    queue = t.queue(channel, arguments={"x-max-length": 1, "x-overflow": "drop-head"})
    t.put(channel, queue, *"abc")
    yield "left", t.bodies(channel, queue)


@case
def bytes_are_of_bodies(t: Trial):
    channel = t.channel(confirm=True)
    queue = t.queue(channel, arguments={"x-max-length-bytes": 100})
    for body in ("a" * 40, "b" * 40, "c" * 20, "d" * 1):
        t.put(channel, queue, body, headers={"long": "x" * 500})
    yield "left", [body[:1] for body in t.bodies(channel, queue)]


@case
def one_larger_than_the_limit(t: Trial):
    channel = t.channel(confirm=True)
    queue = t.queue(channel, arguments={"x-max-length-bytes": 10})
    yield "confirmed", t.put(channel, queue, "a" * 5, "b" * 20)
    yield "left", t.bodies(channel, queue)


@case
def both_limits(t: Trial):
    channel = t.channel(confirm=True)
    queue = t.queue(channel, arguments={"x-max-length": 3, "x-max-length-bytes": 10})
    t.put(channel, queue, "aaaaa", "b", "c", "d", "eeeeeeeee")
    yield "left", t.bodies(channel, queue)


@case
def of_length_zero(t: Trial):
    channel = t.channel(confirm=True)
    queue = t.queue(channel, arguments={"x-max-length": 0})
    yield "confirmed", t.put(channel, queue, "a")
    yield "left", t.bodies(channel, queue)
    consumer = t.channel()
    consumer.call("basic.consume", queue=queue, consumer_tag="c", no_ack=True)
    t.put(channel, queue, "b")
    yield "to a consumer", consumer.next(2)


@case
def unacked_ones_do_not_count(t: Trial):
    channel = t.channel(confirm=True)
    queue = t.queue(channel, arguments={"x-max-length": 2})
    t.put(channel, queue, "a", "b")
    channel.call("basic.get", queue=queue)
    t.put(channel, queue, "c")
    yield "ready", t.count(channel, queue)
    channel.send("basic.nack", delivery_tag=1, requeue=True)
    channel.call("basic.qos")
    t.put(channel, queue, "d")
    yield "after a requeue", t.bodies(channel, queue)


@case
def reject_publish(t: Trial):
    channel = t.channel(confirm=True)
    queue = t.queue(channel, arguments={"x-max-length": 2, "x-overflow": "reject-publish"})
    for number in range(4):
        channel.publish("", queue, str(number), delivery_mode=2)
        yield f"publish {number}", channel.next()
    yield "left", t.bodies(channel, queue)
    channel.publish("", queue, "again")
    yield "there is room again", channel.next()


@case
def reject_publish_by_bytes(t: Trial):
    channel = t.channel(confirm=True)
    queue = t.queue(channel, arguments={"x-max-length-bytes": 10, "x-overflow": "reject-publish"})
    for size in (5, 20, 1, 1):
        channel.publish("", queue, "x" * size)
        yield "publish", channel.next()
    yield "left", t.bodies(channel, queue)


@case
def reject_publish_without_confirms(t: Trial):
    channel = t.channel()
    queue = t.queue(channel, arguments={"x-max-length": 1, "x-overflow": "reject-publish"})
    for body in "abc":
        channel.publish("", queue, body, mandatory=True)
    yield "nothing comes", channel.quiet()
    yield "left", t.bodies(channel, queue)


@case
def reject_publish_of_one_of_two_queues(t: Trial):
    channel = t.channel(confirm=True)
    exchange = t.exchange(channel, kind="fanout")
    full = t.queue(channel, "full", arguments={"x-max-length": 0, "x-overflow": "reject-publish"})
    free = t.queue(channel, "free")
    for queue in (full, free):
        channel.call("queue.bind", queue=queue, exchange=exchange)
    channel.publish(exchange, "", "x")
    yield "answer", channel.next()
    yield "messages", [t.bodies(channel, queue) for queue in (full, free)]


@case
def reject_publish_dlx(t: Trial):
    channel = t.channel(confirm=True)
    dead = t.queue(channel, "dead")
    queue = t.queue(channel, arguments={"x-max-length": 1, "x-overflow": "reject-publish-dlx",
                                        "x-dead-letter-exchange": "", "x-dead-letter-routing-key": dead})
    for body in "ab":
        channel.publish("", queue, body)
        yield body, channel.next()
    yield "left", t.bodies(channel, queue)
    yield "dead", deaths(t, dead, 1)


@case
def drop_head_dead_letters(t: Trial):
    channel = t.channel(confirm=True)
    dead = t.queue(channel, "dead")
    queue = t.queue(channel, arguments={"x-max-length": 1, "x-dead-letter-exchange": "", "x-dead-letter-routing-key": dead})
    t.put(channel, queue, *"abc")
    yield "dead", deaths(t, dead, 2)
    yield "left", t.bodies(channel, queue)


@case
def many_at_once(t: Trial):
    channel = t.channel(confirm=True)
    queue = t.queue(channel, arguments={"x-max-length": 10})
    for number in range(200):
        channel.publish("", queue, str(number))
    yield "all confirmed", len(acks(until_acked(channel, 200)))
    yield "the last ten", t.bodies(channel, queue)


@case
def a_waiting_consumer_gets_them(t: Trial):
    channel, consumer = t.channel(confirm=True), t.channel()
    queue = t.queue(channel, arguments={"x-max-length": 1})
    consumer.call("basic.consume", queue=queue, consumer_tag="c", no_ack=True)
    t.put(channel, queue, *"abc")
    yield "all", [e.body.decode() for e in consumer.take(3, 5)]
