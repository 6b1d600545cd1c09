"""Queues: declaring, equivalence, names, exclusive and auto-delete ones, deleting, purging."""

from trial import Trial, case
from wire import Typed


@case
def declare(t: Trial):
    channel = t.channel()
    for label, how in [("plain", {}), ("durable", {"durable": True}), ("auto-delete", {"auto_delete": True}),
                       ("exclusive", {"exclusive": True}), ("exclusive durable", {"exclusive": True, "durable": True})]:
        name = t.name(label)
        yield label, channel.call("queue.declare", queue=name, **how)
        yield f"{label} again", channel.call("queue.declare", queue=name, **how)


@case
def counts(t: Trial):
    channel = t.channel(confirm=True)
    name = t.queue(channel)
    t.put(channel, name, "a", "b", "c")
    yield "ready", t.count(channel, name)
    channel.call("basic.qos", prefetch_count=1)
    channel.call("basic.consume", queue=name, consumer_tag="one")
    channel.wait("basic.deliver")
    yield "unacked ones are not counted", channel.call("queue.declare", queue=name, durable=True)
    yield "for others, too", t.count(t.channel(), name)


@case
def declare_otherwise(t: Trial):
    name = t.queue(t.channel())
    for label, how in [("durable", {"durable": False}), ("auto-delete", {"durable": True, "auto_delete": True}),
                       ("exclusive", {"durable": True, "exclusive": True}), ("both", {"auto_delete": True})]:
        yield label, t.channel().call("queue.declare", queue=name, **how)


EQUIVALENT = {"x-expires": 100000, "x-message-ttl": 100000, "x-max-length": 10, "x-max-length-bytes": 1000,
              "x-dead-letter-exchange": "some", "x-dead-letter-routing-key": "key", "x-max-priority": 5,
              "x-overflow": "reject-publish", "x-single-active-consumer": True, "x-queue-mode": "lazy",
              "x-queue-type": "classic", "x-queue-master-locator": "client-local"}


@case
def inequivalent_arguments(t: Trial):
    for argument, value in EQUIVALENT.items():
        if argument == "x-dead-letter-routing-key":
            continue
        plain = t.queue(t.channel(), f"without {argument}")
        yield f"{argument}: now with", t.channel().call("queue.declare", queue=plain, durable=True, arguments={argument: value})
        name = t.queue(t.channel(), argument, {argument: value})
        yield f"{argument}: the same", t.channel().call("queue.declare", queue=name, durable=True, arguments={argument: value})
        yield f"{argument}: now without", t.channel().call("queue.declare", queue=name, durable=True)


@case
def inequivalent_values(t: Trial):
    for argument, value, other in [
            ("x-expires", 100000, 100001), ("x-message-ttl", 1000, 1001), ("x-max-length", 1, 2), ("x-max-length-bytes", 1, 2),
            ("x-dead-letter-exchange", "a", "b"), ("x-max-priority", 5, 6), ("x-overflow", "drop-head", "reject-publish"),
            ("x-single-active-consumer", True, False), ("x-queue-mode", "lazy", "default"), ("x-queue-type", "classic", "quorum")]:
        name = t.queue(t.channel(), argument, {argument: value})
        yield argument, t.channel().call("queue.declare", queue=name, durable=True, arguments={argument: other})


@case
def equivalent_by_number(t: Trial):
    for kind in "bsIilBu":
        name = t.queue(t.channel(), f"q-{kind}", {"x-max-length": Typed(kind, 10)})
        yield f"declared with {kind}", t.channel().call("queue.declare", queue=name, durable=True, arguments={"x-max-length": Typed("l", 10)})


@case
def unknown_arguments(t: Trial):
    channel = t.channel()
    arguments = {"x-mine": 1, "colour": "red", "nested": {"a": [1, 2, {"b": None}]}, "when": Typed("T", 5), "f": 1.5,
                 "binary": Typed("x", "xyz"), "decimal": Typed("D", (2, 314))}
    name = t.queue(channel, arguments=arguments)
    yield "again", channel.call("queue.declare", queue=name, durable=True, arguments=arguments)
    yield "without", channel.call("queue.declare", queue=name, durable=True)
    yield "other", channel.call("queue.declare", queue=name, durable=True, arguments={"x-mine": 2})


WRONG = {
    "x-expires": [0, -1, "10", 1.5, True, None, 2**32, 2**63 - 1, {"a": 1}],
    "x-message-ttl": [0, -1, "10", 1.5, True, None, 2**32, 2**63 - 1],
    "x-max-length": [0, -1, "10", 1.5, True, None, 2**40],
    "x-max-length-bytes": [0, -1, "10", 1.5, True, None, 2**40],
    "x-max-priority": [0, -1, 1, 255, 256, "10", 1.5, True],
    "x-dead-letter-exchange": [1, "", None, "not there", True],
    "x-overflow": ["drop-head", "reject-publish", "reject-publish-dlx", "drop-tail", "", 1, None],
    "x-single-active-consumer": [True, False, 1, "true", None],
    "x-queue-mode": ["default", "lazy", "other", 1],
    "x-queue-type": ["classic", "other", "", 1],
    "x-queue-master-locator": ["client-local", "min-masters", "random", "other", 1],
    "x-queue-version": [1, 2, 3, "1"],
    "x-max-age": ["1h", 1],
    "x-delivery-limit": [5, "5"],
}


def _register(argument: str, values: list):
    def validated(t: Trial):
        for value in values:
            shown = f"{value!r}"
            yield f"{shown}", t.channel().call(
                "queue.declare", queue=t.name(f"q {shown}"), durable=True, arguments={argument: value})

    validated.__name__ = "validated_" + argument[2:].replace("-", "_")
    globals()[validated.__name__] = case(validated)


for _argument, _values in WRONG.items():
    _register(_argument, _values)


@case
def dead_letter_routing_key_alone(t: Trial):
    yield "without an exchange", t.channel().call("queue.declare", queue=t.name("a"), arguments={"x-dead-letter-routing-key": "k"})
    yield "of a wrong type", t.channel().call(
        "queue.declare", queue=t.name("b"), arguments={"x-dead-letter-exchange": "", "x-dead-letter-routing-key": 5})
    yield "empty", t.channel().call(
        "queue.declare", queue=t.name("c"), arguments={"x-dead-letter-exchange": "", "x-dead-letter-routing-key": ""})


@case
def overflow_with_dead_lettering(t: Trial):
    yield "reject-publish-dlx", t.channel().call(
        "queue.declare", queue=t.name("q"), durable=True,
        arguments={"x-overflow": "reject-publish-dlx", "x-dead-letter-exchange": "amq.fanout", "x-max-length": 1})


@case
def quorum_type(t: Trial):
    quorum = {"x-queue-type": "quorum"}
    yield "durable", t.channel().call("queue.declare", queue=t.name("a"), durable=True, arguments=quorum)
    yield "again as classic", t.channel().call("queue.declare", queue=t.name("a"), durable=True)
    yield "not durable", t.channel().call("queue.declare", queue=t.name("b"), arguments=quorum)
    yield "exclusive", t.channel().call("queue.declare", queue=t.name("c"), durable=True, exclusive=True, arguments=quorum)
    yield "auto-delete", t.channel().call("queue.declare", queue=t.name("d"), durable=True, auto_delete=True, arguments=quorum)
    yield "server-named", t.channel().call("queue.declare", durable=True, arguments=quorum)
    for argument, value in [("x-max-priority", 5), ("x-delivery-limit", 3), ("x-delivery-limit", -1), ("x-overflow", "reject-publish"),
                            ("x-overflow", "reject-publish-dlx"), ("x-message-ttl", 1000), ("x-expires", 60000),
                            ("x-max-length", 5), ("x-single-active-consumer", True), ("x-queue-mode", "lazy"),
                            ("x-quorum-initial-group-size", 3), ("x-dead-letter-strategy", "at-least-once")]:
        yield f"{argument} {value}", t.channel().call(
            "queue.declare", queue=t.name(f"q {argument} {value}"), durable=True, arguments=quorum | {argument: value})


@case
def passive(t: Trial):
    name = t.queue(t.channel())
    yield "there", t.channel().call("queue.declare", queue=name, passive=True)
    yield "its properties don't matter", t.channel().call("queue.declare", queue=name, passive=True, auto_delete=True, arguments={"x-expires": 1})
    yield "not there", t.channel().call("queue.declare", queue=t.name("none"), passive=True)
    yield "no name", t.channel().call("queue.declare", passive=True)


@case
def server_named(t: Trial):
    channel = t.channel()
    first_connection = channel.connection
    first = channel.call("queue.declare", exclusive=True)
    yield "first", first
    second = channel.call("queue.declare", exclusive=True)
    yield "another", first.queue != second.queue
    yield "declared again", channel.call("queue.declare", queue=first.queue, exclusive=True)
    yield "passively", first_connection.channel().call("queue.declare", queue=first.queue, passive=True)


@case
def names(t: Trial):
    yield "reserved", t.channel().call("queue.declare", queue="amq.mine")
    yield "reserved, unknown, passively", t.channel().call("queue.declare", queue="amq.mine", passive=True)
    long = t.name("q" * 246)
    channel = t.channel(confirm=True)
    yield "255 bytes", channel.call("queue.declare", queue=long, durable=True)
    yield "and it takes messages", [t.put(channel, long, "x"), t.bodies(channel, long)]
    for label, name in [("unicode", "größe-日本"), ("spaces", " a b "), ("line breaks", "a\r\nb"), ("zero", "a\0b"), ("slash", "a/b%2f")]:
        name = t.name(name)
        yield label, channel.call("queue.declare", queue=name, durable=True)
        yield f"{label}: messages", [t.put(channel, name, "x"), t.bodies(channel, name)]
    yield "bytes that are no text", t.channel().call("queue.declare", queue=b"\xff\xfe")


@case
def exclusive_from_another_connection(t: Trial):
    name = t.queue(t.channel(), exclusive=True, durable=False)
    for label, method, how in [
            ("declare", "queue.declare", {"queue": name}), ("declare exclusively", "queue.declare", {"queue": name, "exclusive": True}),
            ("passively", "queue.declare", {"queue": name, "passive": True}),
            ("bind", "queue.bind", {"queue": name, "exchange": "amq.direct", "routing_key": "k"}),
            ("unbind", "queue.unbind", {"queue": name, "exchange": "amq.direct", "routing_key": "k"}),
            ("get", "basic.get", {"queue": name}), ("consume", "basic.consume", {"queue": name}),
            ("purge", "queue.purge", {"queue": name}), ("delete", "queue.delete", {"queue": name})]:
        yield label, t.channel().call(method, **how)


@case
def exclusive_takes_messages_from_anybody(t: Trial):
    owner, other = t.channel(), t.channel(confirm=True)
    name = t.queue(owner, exclusive=True, durable=False)
    yield "publish", t.put(other, name, "hello")
    yield "message", t.bodies(owner, name)


@case
def exclusive_goes_with_its_connection(t: Trial):
    owner, other = t.channel(), t.channel()
    for how in ("closed", "dropped"):
        name = t.queue(owner, how, exclusive=True, durable=False)
        if how == "closed":
            owner.connection.close()
            owner = t.channel()
        else:
            owner.connection.drop()
        gone = t.eventually(lambda: (lambda e: e if e.reply_code == 404 else None)(
            t.channel().call("queue.declare", queue=name, passive=True)))
        yield how, gone


@case
def exclusive_stays_when_its_channel_goes(t: Trial):
    owner = t.channel()
    name = t.queue(owner, exclusive=True, durable=False)
    owner.call("channel.close", reply_code=200)
    yield "there", owner.connection.channel().call("queue.declare", queue=name, passive=True)


@case
def auto_delete(t: Trial):
    channel = t.channel()
    name = t.queue(channel, auto_delete=True)
    yield "before any consumer", t.count(channel, name)
    for tag in ("one", "two"):
        channel.call("basic.consume", queue=name, consumer_tag=tag)
    channel.call("basic.cancel", consumer_tag="one")
    yield "one left", t.count(channel, name)
    channel.call("basic.cancel", consumer_tag="two")
    gone = t.eventually(lambda: (lambda e: e if e.name == "channel.close" else None)(
        t.channel().call("queue.declare", queue=name, passive=True)))
    yield "none left", gone


@case
def auto_delete_when_the_channel_goes(t: Trial):
    for how in ("channel", "connection"):
        channel = t.channel()
        name = t.queue(channel, how, auto_delete=True)
        channel.call("basic.consume", queue=name)
        channel.call("channel.close", reply_code=200) if how == "channel" else channel.connection.drop()
        gone = t.eventually(lambda: (lambda e: e if e.name == "channel.close" else None)(
            t.channel().call("queue.declare", queue=name, passive=True)))
        yield how, gone


@case
def auto_delete_is_not_by_getting(t: Trial):
    channel = t.channel(confirm=True)
    name = t.queue(channel, auto_delete=True)
    t.put(channel, name, "x")
    yield "message", t.bodies(channel, name)
    yield "there", t.count(channel, name)


@case
def delete(t: Trial):
    channel = t.channel(confirm=True)
    name = t.queue(channel)
    t.put(channel, name, "a", "b")
    yield "deleted", channel.call("queue.delete", queue=name)
    yield "again", channel.call("queue.delete", queue=name)
    yield "empty name", t.channel().call("queue.delete", queue="")
    yield "gone", channel.call("queue.declare", queue=name, passive=True)


@case
def delete_if_empty(t: Trial):
    channel = t.channel(confirm=True)
    name = t.queue(channel)
    t.put(channel, name, "a")
    yield "not empty", t.channel().call("queue.delete", queue=name, if_empty=True)
    channel.call("queue.purge", queue=name)
    yield "empty", t.channel().call("queue.delete", queue=name, if_empty=True)


@case
def delete_if_unused(t: Trial):
    channel = t.channel()
    name = t.queue(channel)
    channel.call("basic.consume", queue=name, consumer_tag="c")
    yield "used", t.channel().call("queue.delete", queue=name, if_unused=True)
    channel.call("basic.cancel", consumer_tag="c")
    yield "unused", t.channel().call("queue.delete", queue=name, if_unused=True)


@case
def delete_if_both(t: Trial):
    channel = t.channel(confirm=True)
    name = t.queue(channel)
    t.put(channel, name, "a")
    yield "unused, not empty", t.channel().call("queue.delete", queue=name, if_unused=True, if_empty=True)
    channel.call("basic.consume", queue=name)
    yield "used, not empty", t.channel().call("queue.delete", queue=name, if_unused=True, if_empty=True)


@case
def delete_with_unacked(t: Trial):
    channel = t.channel(confirm=True)
    name = t.queue(channel)
    t.put(channel, name, "a", "b")
    event = channel.call("basic.get", queue=name)
    yield "counts ready ones", t.channel().call("queue.delete", queue=name)
    channel.send("basic.ack", delivery_tag=event.delivery_tag)
    yield "ack is fine", channel.call("basic.qos")


@case
def purge(t: Trial):
    channel = t.channel(confirm=True)
    name = t.queue(channel)
    t.put(channel, name, "a", "b", "c")
    event = channel.call("basic.get", queue=name)
    yield "ready ones", channel.call("queue.purge", queue=name)
    yield "again", channel.call("queue.purge", queue=name)
    channel.send("basic.nack", delivery_tag=event.delivery_tag, requeue=True)
    yield "the unacked one is left", t.bodies(channel, name, 2)
    yield "not there", channel.call("queue.purge", queue=t.name("none"))


@case
def no_wait(t: Trial):
    channel = t.channel(confirm=True)
    name = t.name("q")
    channel.send("queue.declare", queue=name, durable=True, nowait=True)
    channel.send("queue.bind", queue=name, exchange="amq.direct", routing_key=name, nowait=True)
    yield "publish", t.put(channel, name, "a", exchange="amq.direct")
    yield "count", t.count(channel, name)
    channel.send("queue.purge", queue=name, nowait=True)
    yield "purged", t.count(channel, name)
    channel.send("queue.delete", queue=name, nowait=True)
    yield "deleted", channel.call("queue.declare", queue=name, passive=True)


@case
def no_wait_that_fails(t: Trial):
    name = t.queue(t.channel())
    for label, method, how in [
            ("declare", "queue.declare", {"queue": name, "durable": False}),
            ("bind", "queue.bind", {"queue": name, "exchange": t.name("none")}),
            ("delete", "queue.delete", {"queue": name, "if_unused": True}),
            ("purge", "queue.purge", {"queue": t.name("none")})]:
        channel = t.channel()
        channel.send(method, nowait=True, **how)
        yield label, channel.next(timeout=1)


@case
def deleted_and_declared_again_is_empty(t: Trial):
    channel = t.channel(confirm=True)
    name = t.queue(channel)
    channel.call("queue.bind", queue=name, exchange="amq.direct", routing_key=name)
    t.put(channel, name, "old")
    channel.call("queue.delete", queue=name)
    t.queue(channel)
    yield "empty", t.count(channel, name)
    channel.publish("amq.direct", name, "x", mandatory=True)
    yield "its bindings are gone", channel.take(2)


@case
def a_full_virtual_host(t: Trial):
    channel = t.channel(vhost="shallow")
    for number in range(2):
        yield f"queue {number}", channel.call("queue.declare", queue=t.name(f"q{number}"), durable=True)
    yield "one more", channel.call("queue.declare", queue=t.name("q2"), durable=True)
    channel = channel.connection.channel()
    yield "one that is there", channel.call("queue.declare", queue=t.name("q0"), durable=True)
    for number in range(2):
        channel.call("queue.delete", queue=t.name(f"q{number}"))
