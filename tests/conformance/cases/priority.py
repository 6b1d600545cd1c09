"""Priorities of messages."""

from trial import Trial, case


def ranked(t: Trial, levels: int, *messages, arguments=None) -> tuple:
    channel = t.channel(confirm=True)
    queue = t.queue(channel, arguments={"x-max-priority": levels} | (arguments or {}))
    for body, priority in messages:
        t.put(channel, queue, body, priority=priority)
    return channel, queue


@case
def order(t: Trial):
    channel, queue = ranked(t, 5, ("a", 1), ("b", 5), ("c", 3), ("d", 5), ("e", 0), ("f", None), ("g", 1))
    yield "highest first, then as published", t.bodies(channel, queue)


@case
def above_the_highest(t: Trial):
    channel, queue = ranked(t, 3, ("a", 3), ("b", 200), ("c", 4), ("d", 2))
    yield "are the highest", t.drain(channel, queue)


@case
def without_levels(t: Trial):
    channel = t.channel(confirm=True)
    queue = t.queue(channel)
    for body, priority in (("a", 0), ("b", 9)):
        t.put(channel, queue, body, priority=priority)
    yield "as published", t.bodies(channel, queue)


@case
def requeued_keep_their_place(t: Trial):
    channel, queue = ranked(t, 5, ("a", 1), ("b", 5), ("c", 5), ("d", 1))
    for _ in range(3):
        channel.call("basic.get", queue=queue)
    for tag in (3, 1, 2):
        channel.send("basic.nack", delivery_tag=tag, requeue=True)
    t.until_count(channel, queue, 4)
    yield "order", [[e.body.decode(), e.redelivered] for e in t.drain(channel, queue)]


@case
def a_later_higher_one_overtakes(t: Trial):
    channel, queue = ranked(t, 5, ("a", 1), ("b", 1))
    consumer = t.channel()
    consumer.call("basic.qos", prefetch_count=1)
    consumer.call("basic.consume", queue=queue, consumer_tag="c")
    first = consumer.next()
    t.put(channel, queue, "c", priority=4)
    consumer.send("basic.ack", delivery_tag=first.delivery_tag)
    yield "order", [first.body.decode(), consumer.next().body.decode()]


@case
def dropping_takes_the_lowest_first(t: Trial):
    channel, queue = ranked(t, 5, ("a", 5), ("b", 1), ("c", 5), ("d", 1), arguments={"x-max-length": 2})
    yield "left", t.bodies(channel, queue)


@case
def expiring(t: Trial):
    channel = t.channel(confirm=True)
    queue = t.queue(channel, arguments={"x-max-priority": 5})
    t.put(channel, queue, "high", priority=5)
    t.put(channel, queue, "low", priority=1, expiration="200")
    yield "a low one expires behind a high one", t.until_count(channel, queue, 1, 5)
    yield "left", t.bodies(channel, queue)


@case
def dead_lettered_with_priority(t: Trial):
    channel = t.channel(confirm=True)
    dead = t.queue(channel, "dead", arguments={"x-max-priority": 9})
    queue = t.queue(channel, arguments={"x-max-priority": 9, "x-dead-letter-exchange": "", "x-dead-letter-routing-key": dead})
    t.put(channel, queue, "low", priority=1)
    t.put(channel, queue, "high", priority=7)
    for tag in (1, 2):
        channel.call("basic.get", queue=queue)
    channel.send("basic.nack", delivery_tag=2, requeue=False)
    channel.send("basic.nack", delivery_tag=1, requeue=False)
    t.until_count(channel, dead, 2)
    yield "order", t.bodies(channel, dead)


@case
def purge_and_count(t: Trial):
    channel, queue = ranked(t, 9, *[(str(number), number) for number in range(10)])
    yield "ready", t.count(channel, queue)
    yield "purged", channel.call("queue.purge", queue=queue)


@case
def all_levels(t: Trial):
    channel, queue = ranked(t, 255, *[(str(number), number * 37 % 256) for number in range(64)])
    yield "order", t.bodies(channel, queue)
