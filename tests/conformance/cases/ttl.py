"""Time to live: of messages by queue and by message, and of queues."""

import time

from trial import Trial, case
from cases.consume import filled


def expired(t: Trial, queue: str, expected: int = 0):
    return t.until_count(t.channel(), queue, expected, 5)


@case
def of_a_queue(t: Trial):
    channel, queue = filled(t, "a", "b", arguments={"x-message-ttl": 300})
    yield "then none", expired(t, queue)
    yield "get", channel.call("basic.get", queue=queue)


@case
def of_a_message(t: Trial):
    channel = t.channel(confirm=True)
    queue = t.queue(channel)
    t.put(channel, queue, "a", expiration="300")
    t.put(channel, queue, "b")
    yield "one is left", expired(t, queue, 1)
    yield "which", t.bodies(channel, queue)


@case
def the_shorter_one_counts(t: Trial):
    channel = t.channel(confirm=True)
    queue = t.queue(channel, arguments={"x-message-ttl": 300})
    t.put(channel, queue, "a", expiration="600000")
    yield "gone", expired(t, queue)
    queue = t.queue(channel, "other", arguments={"x-message-ttl": 600000})
    t.put(channel, queue, "a", expiration="300")
    yield "gone, too", expired(t, queue)


@case
def zero_of_a_queue(t: Trial):
    channel = t.channel(confirm=True)
    queue = t.queue(channel, arguments={"x-message-ttl": 0})
    t.put(channel, queue, "nobody waits")
    yield "nothing", t.bodies(channel, queue)
    consumer = t.channel()
    consumer.call("basic.consume", queue=queue, consumer_tag="c", no_ack=True)
    t.put(channel, queue, "somebody waits")
    yield "delivered", consumer.next(2)


@case
def zero_of_a_message(t: Trial):
    channel = t.channel(confirm=True)
    queue = t.queue(channel)
    t.put(channel, queue, "nobody waits", expiration="0")
    yield "nothing", t.bodies(channel, queue)
    consumer = t.channel()
    consumer.call("basic.consume", queue=queue, consumer_tag="c", no_ack=True)
    t.put(channel, queue, "somebody waits", expiration="0")
    yield "delivered", consumer.next(2)


@case
def unacked_ones_do_not_expire(t: Trial):
    channel, queue = filled(t, "a", arguments={"x-message-ttl": 400})
    event = channel.call("basic.get", queue=queue)
    time.sleep(0.6)
    channel.send("basic.ack", delivery_tag=event.delivery_tag)
    yield "ack is fine", channel.call("basic.qos")


@case
def requeued_ones_expire(t: Trial):
    channel, queue = filled(t, "a", arguments={"x-message-ttl": 400})
    event = channel.call("basic.get", queue=queue)
    time.sleep(0.6)
    channel.send("basic.nack", delivery_tag=event.delivery_tag, requeue=True)
    time.sleep(0.2)
    yield "gone", t.bodies(channel, queue)


@case
def behind_a_longer_one(t: Trial):
    channel = t.channel(confirm=True)
    queue = t.queue(channel)
    t.put(channel, queue, "long", expiration="60000")
    t.put(channel, queue, "short", expiration="100")
    time.sleep(0.5)
    yield "the expired one behind it", t.bodies(channel, queue)


@case
def the_property_of_what_is_delivered(t: Trial):
    channel = t.channel(confirm=True)
    queue = t.queue(channel)
    t.put(channel, queue, "a", expiration="60000")
    yield "as sent", channel.call("basic.get", queue=queue, no_ack=True)


@case
def of_an_unused_queue(t: Trial):
    channel = t.channel()
    queue = t.queue(channel, arguments={"x-expires": 400})
    gone = t.eventually(lambda: (lambda e: e if e.name == "channel.close" else None)(
        (time.sleep(0.6), t.channel().call("queue.declare", queue=queue, passive=True))[1]), 10)
    yield "gone", gone


@case
def of_a_used_queue(t: Trial):
    channel, consumer = t.channel(), t.channel()
    queue = t.queue(channel, arguments={"x-expires": 500})
    consumer.call("basic.consume", queue=queue, consumer_tag="c")
    time.sleep(1)
    yield "there", t.count(channel, queue)
    consumer.call("basic.cancel", consumer_tag="c")
    time.sleep(1.2)
    yield "gone", t.channel().call("queue.declare", queue=queue, passive=True)


@case
def declaring_again_and_getting_is_use(t: Trial):
    channel = t.channel()
    arguments = {"x-expires": 700}
    queue = t.queue(channel, arguments=arguments)
    for _ in range(3):
        time.sleep(0.4)
        channel.call("queue.declare", queue=queue, durable=True, arguments=arguments)
    yield "declaring", t.count(channel, queue)
    for _ in range(3):
        time.sleep(0.4)
        channel.call("basic.get", queue=queue)
    yield "getting", t.count(channel, queue)


@case
def publishing_is_no_use(t: Trial):
    channel = t.channel(confirm=True)
    queue = t.queue(channel, arguments={"x-expires": 600})
    for _ in range(3):
        time.sleep(0.4)
        channel.publish("", queue, "x")
        channel.wait("basic.ack")
    yield "gone", t.channel().call("queue.declare", queue=queue, passive=True)
