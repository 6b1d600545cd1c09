"""Transactions: what happens at commit, at rollback, and what is not part of them."""

from trial import Trial, case
from cases.consume import filled


def begun(t: Trial) -> tuple:
    channel = t.channel()
    queue = t.queue(channel)
    channel.call("tx.select")
    return channel, queue


@case
def select(t: Trial):
    channel = t.channel()
    yield "select", channel.call("tx.select")
    yield "again", channel.call("tx.select")
    yield "commit of nothing", channel.call("tx.commit")
    yield "rollback of nothing", channel.call("tx.rollback")


@case
def without_select(t: Trial):
    yield "commit", t.channel().call("tx.commit")
    yield "rollback", t.channel().call("tx.rollback")


@case
def and_confirms(t: Trial):
    channel = t.channel()
    channel.call("tx.select")
    yield "confirm after tx", channel.call("confirm.select")
    channel = t.channel()
    channel.call("confirm.select")
    yield "tx after confirm", channel.call("tx.select")


@case
def publishes_are_there_at_commit(t: Trial):
    channel, queue = begun(t)
    for body in "abc":
        channel.publish("", queue, body, delivery_mode=2)
    channel.call("basic.qos")
    yield "before", t.count(t.channel(), queue)
    yield "commit", channel.call("tx.commit")
    yield "after", t.bodies(t.channel(), queue)


@case
def publishes_are_gone_at_rollback(t: Trial):
    channel, queue = begun(t)
    channel.publish("", queue, "a")
    yield "rollback", channel.call("tx.rollback")
    channel.publish("", queue, "b")
    yield "commit", channel.call("tx.commit")
    yield "after", t.bodies(t.channel(), queue)


@case
def acks_count_at_commit(t: Trial):
    _, queue = filled(t, "a", "b")
    channel = t.channel()
    channel.call("tx.select")
    channel.call("basic.get", queue=queue)
    channel.send("basic.ack", delivery_tag=1)
    channel.call("tx.commit")
    channel.call("basic.get", queue=queue)
    channel.send("basic.ack", delivery_tag=2)
    channel.call("channel.close", reply_code=200)
    other = t.channel()
    t.until_count(other, queue, 1)
    yield "the uncommitted one is back", t.drain(other, queue)


@case
def acks_are_undone_at_rollback(t: Trial):
    _, queue = filled(t, "a")
    channel = t.channel()
    channel.call("tx.select")
    channel.call("basic.get", queue=queue)
    channel.send("basic.ack", delivery_tag=1)
    yield "rollback", channel.call("tx.rollback")
    yield "still unacked, not ready", t.count(t.channel(), queue)
    channel.send("basic.ack", delivery_tag=1)
    yield "acked again", channel.call("tx.commit")
    channel.call("channel.close", reply_code=200)
    yield "gone", t.count(t.channel(), queue)


@case
def rejects_count_at_commit(t: Trial):
    _, queue = filled(t, "a", "b")
    channel = t.channel()
    channel.call("tx.select")
    for _ in range(2):
        channel.call("basic.get", queue=queue)
    channel.send("basic.reject", delivery_tag=1, requeue=True)
    channel.send("basic.nack", delivery_tag=2, requeue=False)
    channel.call("basic.qos")
    yield "before", t.count(t.channel(), queue)
    channel.call("tx.commit")
    other = t.channel()
    t.until_count(other, queue, 1)
    yield "after", t.drain(other, queue)


@case
def ack_twice(t: Trial):
    _, queue = filled(t, "a")
    channel = t.channel()
    channel.call("tx.select")
    channel.call("basic.get", queue=queue)
    channel.send("basic.ack", delivery_tag=1)
    channel.send("basic.ack", delivery_tag=1)
    yield "closed", channel.next()


@case
def returns_come_at_commit(t: Trial):
    channel, queue = begun(t)
    channel.publish("", t.name("none"), "m", mandatory=True)
    yield "before", channel.quiet()
    channel.send("tx.commit")
    yield "commit", channel.take(2)


@case
def several_queues(t: Trial):
    channel, one = begun(t)
    other = t.queue(t.channel(), "other")
    exchange = t.exchange(channel, kind="fanout")
    for queue in (one, other):
        channel.call("queue.bind", queue=queue, exchange=exchange)
    for body in "ab":
        channel.publish(exchange, "", body)
    channel.call("tx.commit")
    yield "both", [t.bodies(t.channel(), queue) for queue in (one, other)]


@case
def declares_are_not_part_of_it(t: Trial):
    channel = t.channel()
    channel.call("tx.select")
    queue = t.queue(channel)
    channel.call("tx.rollback")
    yield "there", t.count(t.channel(), queue)


@case
def closing_is_a_rollback(t: Trial):
    channel, queue = begun(t)
    channel.publish("", queue, "a")
    channel.call("channel.close", reply_code=200)
    yield "nothing", t.count(t.channel(), queue)


@case
def publish_to_nowhere_closes_and_rolls_back(t: Trial):
    channel, queue = begun(t)
    channel.publish("", queue, "a")
    channel.publish(t.name("none"), "k", "b")
    yield "closed", channel.next()
    yield "nothing", t.count(t.channel(), queue)


@case
def order_of_many(t: Trial):
    channel, queue = begun(t)
    for number in range(300):
        channel.publish("", queue, str(number))
        if number % 70 == 0:
            channel.call("tx.commit")
    channel.call("tx.commit")
    yield "in order", t.bodies(t.channel(), queue) == [str(number) for number in range(300)]


@case
def deliveries_go_on(t: Trial):
    _, queue = filled(t, "a", "b")
    channel = t.channel()
    channel.call("tx.select")
    channel.call("basic.qos", prefetch_count=1)
    channel.call("basic.consume", queue=queue, consumer_tag="c")
    yield "first", channel.next()
    channel.send("basic.ack", delivery_tag=1)
    yield "not before the commit", channel.quiet()
    yield "commit", channel.call("tx.commit")
    yield "second", channel.next()
