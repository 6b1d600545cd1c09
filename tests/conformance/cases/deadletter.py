"""Dead-lettering: why, where to, and what the message tells of it."""

from trial import Trial, case


def deaths(t: Trial, queue: str, count: int) -> list:
    """The messages of a queue, as soon as there are so many."""
    channel = t.channel()
    t.until_count(channel, queue, count, 10)
    return t.drain(channel, queue)


def dying(t: Trial, arguments=None, key=True, **how) -> tuple:
    """A confirming channel, a queue whose messages die, and the queue they go to."""
    channel = t.channel(confirm=True)
    dead = t.queue(channel, "dead")
    arguments = {"x-dead-letter-exchange": ""} | ({"x-dead-letter-routing-key": dead} if key else {}) | (arguments or {})
    return channel, t.queue(channel, arguments=arguments, **how), dead


@case
def rejected(t: Trial):
    channel, queue, dead = dying(t)
    t.put(channel, queue, "a", content_type="text/plain", headers={"mine": 1}, message_id="m")
    channel.call("basic.get", queue=queue)
    channel.send("basic.reject", delivery_tag=1, requeue=False)
    yield "dead", deaths(t, dead, 1)


@case
def nacked_several(t: Trial):
    channel, queue, dead = dying(t)
    t.put(channel, queue, *"abcd")
    for _ in range(4):
        channel.call("basic.get", queue=queue)
    channel.send("basic.nack", delivery_tag=3, multiple=True, requeue=False)
    yield "dead, in order", [e.body.decode() for e in deaths(t, dead, 3)]


@case
def expired_by_queue(t: Trial):
    channel, queue, dead = dying(t, {"x-message-ttl": 200})
    t.put(channel, queue, "a", "b")
    yield "dead", deaths(t, dead, 2)


@case
def expired_by_message(t: Trial):
    channel, queue, dead = dying(t)
    t.put(channel, queue, "a", expiration="200")
    yield "dead: expiration is in x-death only", deaths(t, dead, 1)


@case
def too_many(t: Trial):
    channel, queue, dead = dying(t, {"x-max-length": 1})
    t.put(channel, queue, "a", "b")
    yield "dead", deaths(t, dead, 1)


@case
def delivery_limit(t: Trial):
    channel, queue, dead = dying(t, {"x-queue-type": "quorum", "x-delivery-limit": 1})
    t.put(channel, queue, "a")
    consumer = t.channel()
    consumer.call("basic.consume", queue=queue, consumer_tag="c")
    for _ in range(2):
        event = consumer.next()
        consumer.send("basic.nack", delivery_tag=event.delivery_tag, requeue=True)
    yield "dead", deaths(t, dead, 1)


@case
def requeued_is_not_dead(t: Trial):
    channel, queue, dead = dying(t)
    t.put(channel, queue, "a")
    channel.call("basic.get", queue=queue)
    channel.send("basic.reject", delivery_tag=1, requeue=True)
    t.until_count(channel, queue, 1)
    yield "none", t.count(channel, dead)


@case
def purged_or_deleted_is_not_dead(t: Trial):
    channel, queue, dead = dying(t)
    t.put(channel, queue, "a")
    channel.call("queue.purge", queue=queue)
    t.put(channel, queue, "b")
    channel.call("queue.delete", queue=queue)
    yield "none", t.count(channel, dead)


@case
def keeps_its_key(t: Trial):
    channel = t.channel(confirm=True)
    exchange, dead = t.exchange(channel, kind="topic"), t.queue(channel, "dead")
    queue = t.queue(channel, arguments={"x-dead-letter-exchange": exchange})
    channel.call("queue.bind", queue=dead, exchange=exchange, routing_key="#")
    channel.call("queue.bind", queue=queue, exchange="amq.direct", routing_key=t.name("key"))
    t.put(channel, t.name("key"), "a", exchange="amq.direct")
    channel.call("basic.get", queue=queue)
    channel.send("basic.reject", delivery_tag=1, requeue=False)
    yield "dead", deaths(t, dead, 1)


@case
def to_an_exchange_that_is_not_there(t: Trial):
    channel = t.channel(confirm=True)
    queue = t.queue(channel, arguments={"x-dead-letter-exchange": t.name("none")})
    t.put(channel, queue, "a")
    channel.call("basic.get", queue=queue)
    channel.send("basic.reject", delivery_tag=1, requeue=False)
    yield "just dropped", channel.call("basic.qos")
    yield "gone", t.count(channel, queue)


@case
def to_nowhere(t: Trial):
    channel = t.channel(confirm=True)
    exchange = t.exchange(channel)
    queue = t.queue(channel, arguments={"x-dead-letter-exchange": exchange})
    t.put(channel, queue, "a")
    channel.call("basic.get", queue=queue)
    channel.send("basic.reject", delivery_tag=1, requeue=False)
    yield "just dropped", channel.quiet()


@case
def by_way_of_an_alternate_exchange(t: Trial):
    channel = t.channel(confirm=True)
    spare, dead = t.exchange(channel, "spare", "fanout"), t.queue(channel, "dead")
    exchange = t.exchange(channel, arguments={"alternate-exchange": spare})
    channel.call("queue.bind", queue=dead, exchange=spare)
    queue = t.queue(channel, arguments={"x-dead-letter-exchange": exchange})
    t.put(channel, queue, "a")
    channel.call("basic.get", queue=queue)
    channel.send("basic.reject", delivery_tag=1, requeue=False)
    yield "dead", deaths(t, dead, 1)


@case
def twice_in_the_same_queue(t: Trial):
    channel, queue, dead = dying(t)
    t.put(channel, queue, "a")
    for _ in range(3):
        event = t.eventually(lambda: (lambda e: e if e.name == "basic.get-ok" else None)(channel.call("basic.get", queue=queue)))
        channel.send("basic.reject", delivery_tag=event.delivery_tag, requeue=False)
        event = t.eventually(lambda: (lambda e: e if e.name == "basic.get-ok" else None)(channel.call("basic.get", queue=dead, no_ack=True)))
        yield "dead", event
        channel.publish("", queue, event.body, **event.properties)
        channel.wait("basic.ack")


@case
def through_two_queues(t: Trial):
    channel = t.channel(confirm=True)
    last = t.queue(channel, "last")
    second = t.queue(channel, "second", arguments={"x-dead-letter-exchange": "", "x-dead-letter-routing-key": last, "x-message-ttl": 100})
    first = t.queue(channel, "first", arguments={"x-dead-letter-exchange": "", "x-dead-letter-routing-key": second})
    t.put(channel, first, "a")
    channel.call("basic.get", queue=first)
    channel.send("basic.reject", delivery_tag=1, requeue=False)
    yield "dead", deaths(t, last, 1)


@case
def in_a_circle_by_expiry_is_dropped(t: Trial):
    channel = t.channel(confirm=True)
    one, other = t.name("one"), t.name("other")
    for name, next in ((one, other), (other, one)):
        channel.call("queue.declare", queue=name, durable=True, arguments={
            "x-dead-letter-exchange": "", "x-dead-letter-routing-key": next, "x-message-ttl": 100})
    t.put(channel, one, "a")
    yield "dropped in the end", t.eventually(
        lambda: [t.count(channel, one)[0], t.count(channel, other)[0]] == [0, 0], 10)
    channel.quiet(0.5)
    yield "for good", [t.count(channel, one)[0], t.count(channel, other)[0]]


@case
def in_a_circle_by_rejection_goes_on(t: Trial):
    channel = t.channel(confirm=True)
    one, other = t.name("one"), t.name("other")
    channel.call("queue.declare", queue=one, durable=True, arguments={"x-dead-letter-exchange": "", "x-dead-letter-routing-key": other})
    channel.call("queue.declare", queue=other, durable=True, arguments={
        "x-dead-letter-exchange": "", "x-dead-letter-routing-key": one, "x-message-ttl": 100})
    t.put(channel, one, "a")
    for number in range(3):
        event = t.eventually(lambda: (lambda e: e if e.name == "basic.get-ok" else None)(channel.call("basic.get", queue=one)))
        yield f"round {number}", event
        channel.send("basic.reject", delivery_tag=event.delivery_tag, requeue=False)


@case
def to_itself_by_expiry(t: Trial):
    channel = t.channel(confirm=True)
    queue = t.name("q")
    channel.call("queue.declare", queue=queue, durable=True, arguments={"x-dead-letter-exchange": "", "x-message-ttl": 100})
    t.put(channel, queue, "a")
    yield "dropped", t.until_count(channel, queue, 0, 5)


@case
def with_cc(t: Trial):
    channel = t.channel(confirm=True)
    exchange, dead = t.exchange(channel, kind="fanout"), t.queue(channel, "dead")
    channel.call("queue.bind", queue=dead, exchange=exchange)
    queue = t.queue(channel, arguments={"x-dead-letter-exchange": exchange})
    t.put(channel, queue, "a", headers={"CC": [t.name("one")], "BCC": [t.name("other")]})
    channel.call("basic.get", queue=queue)
    channel.send("basic.reject", delivery_tag=1, requeue=False)
    yield "dead", deaths(t, dead, 1)


@case
def with_bcc_that_is_routed_by_again(t: Trial):
    channel = t.channel(confirm=True)
    exchange = t.exchange(channel, kind="direct")
    queue = t.queue(channel, arguments={"x-dead-letter-exchange": exchange})
    blind, shown = t.queue(channel, "blind"), t.queue(channel, "shown")
    for dead, key in ((blind, "b"), (shown, "c")):
        channel.call("queue.bind", queue=dead, exchange=exchange, routing_key=key)
    t.put(channel, queue, "a", headers={"CC": ["c"], "BCC": ["b"], "n": 1})
    yield "as it came", channel.call("basic.get", queue=queue)
    channel.send("basic.reject", delivery_tag=1, requeue=False)
    yield "by the blind copy's key", deaths(t, blind, 1)
    yield "by the other's", deaths(t, shown, 1)


@case
def with_cc_and_a_key_of_its_own(t: Trial):
    channel, queue, dead = dying(t)
    t.put(channel, queue, "a", headers={"CC": [t.name("one")]})
    channel.call("basic.get", queue=queue)
    channel.send("basic.reject", delivery_tag=1, requeue=False)
    yield "dead", deaths(t, dead, 1)


@case
def with_headers_that_say_so_already(t: Trial):
    for label, headers in [("x-death of a wrong type", {"x-death": "nonsense"}), ("an empty list", {"x-death": []}),
                           ("first death", {"x-first-death-reason": "mine", "x-first-death-queue": "q", "x-first-death-exchange": "x"})]:
        channel = t.channel(confirm=True)
        dead = t.queue(channel, f"dead {label}")
        queue = t.queue(channel, f"q {label}", arguments={"x-dead-letter-exchange": "", "x-dead-letter-routing-key": dead})
        t.put(channel, queue, "a", headers=headers)
        channel.call("basic.get", queue=queue)
        channel.send("basic.reject", delivery_tag=1, requeue=False)
        yield label, deaths(t, dead, 1)


@case
def transient_messages_too(t: Trial):
    channel, queue, dead = dying(t)
    t.put(channel, queue, "a", delivery_mode=1)
    channel.call("basic.get", queue=queue)
    channel.send("basic.reject", delivery_tag=1, requeue=False)
    yield "dead", deaths(t, dead, 1)


@case
def user_id_goes(t: Trial):
    channel, queue, dead = dying(t)
    t.put(channel, queue, "a", user_id="guest", priority=3, correlation_id="c", reply_to="r")
    channel.call("basic.get", queue=queue)
    channel.send("basic.reject", delivery_tag=1, requeue=False)
    yield "dead", deaths(t, dead, 1)


@case
def a_thousand(t: Trial):
    channel, queue, dead = dying(t, {"x-message-ttl": 300})
    for number in range(1000):
        channel.publish("", queue, str(number))
    yield "all came", t.until_count(t.channel(), dead, 1000)
    yield "in order", t.bodies(t.channel(), dead) == [str(number) for number in range(1000)]
