"""Exchanges: declaring, deleting, binding, and how each type routes."""

from trial import Trial, case
from wire import Typed


@case
def those_that_are_there(t: Trial):
    channel = t.channel()
    for name, kind in [("amq.direct", "direct"), ("amq.fanout", "fanout"), ("amq.topic", "topic"),
                       ("amq.headers", "headers"), ("amq.match", "headers"), ("", "direct")]:
        yield f"{name!r}", t.channel().call("exchange.declare", exchange=name, type=kind, durable=True)
        yield f"{name!r} passively", t.channel().call("exchange.declare", exchange=name, passive=True)
    yield "of RabbitMQ's log and trace", [
        t.channel().call("exchange.declare", exchange=name, passive=True)
        for name in ("amq.rabbitmq.trace", "amq.rabbitmq.log")]


@case
def declare(t: Trial):
    channel = t.channel()
    name = t.name("x")
    for kind in ("direct", "fanout", "topic", "headers"):
        yield kind, channel.call("exchange.declare", exchange=f"{name}-{kind}", type=kind, durable=True)
        yield f"{kind} again", channel.call("exchange.declare", exchange=f"{name}-{kind}", type=kind, durable=True)


@case
def declare_otherwise(t: Trial):
    channel = t.channel()
    name = t.exchange(channel)
    for label, how in [("type", {"type": "fanout", "durable": True}), ("durable", {"type": "direct", "durable": False}),
                       ("auto-delete", {"type": "direct", "durable": True, "auto_delete": True}),
                       ("internal", {"type": "direct", "durable": True, "internal": True}),
                       ("arguments", {"type": "direct", "durable": True, "arguments": {"alternate-exchange": "x"}}),
                       ("unknown arguments", {"type": "direct", "durable": True, "arguments": {"colour": "red"}})]:
        yield label, t.channel().call("exchange.declare", exchange=name, **how)


@case
def passive(t: Trial):
    name = t.exchange(t.channel())
    yield "there", t.channel().call("exchange.declare", exchange=name, passive=True)
    yield "of another type", t.channel().call("exchange.declare", exchange=name, type="fanout", passive=True)
    yield "not there", t.channel().call("exchange.declare", exchange=t.name("none"), passive=True)


@case
def reserved_and_long_names(t: Trial):
    yield "amq.", t.channel().call("exchange.declare", exchange="amq.mine", type="direct")
    long = t.name("x" * 246)
    yield "255 bytes", t.channel().call("exchange.declare", exchange=long, type="direct")
    yield "unicode", t.channel().call("exchange.declare", exchange=t.name("größe-日本"), type="direct")
    yield "bytes that are no text", t.channel().call("exchange.declare", exchange=b"\xff\xfe" + t.mark.encode(), type="direct")
    yield "line breaks", t.channel().call("exchange.declare", exchange=t.name("a\r\nb"), type="direct")


@case
def unknown_type(t: Trial):
    yield "unknown", t.channel().call("exchange.declare", exchange=t.name("x"), type="x-unknown")
    yield "empty", t.channel().call("exchange.declare", exchange=t.name("x"), type="")
    yield "upper case", t.channel().call("exchange.declare", exchange=t.name("x"), type="Direct")


@case
def unknown_type_no_wait(t: Trial):
    channel = t.channel()
    channel.send("exchange.declare", exchange=t.name("x"), type="x-unknown", nowait=True)
    yield "closed", channel.next()


@case
def delete(t: Trial):
    channel = t.channel()
    name = t.exchange(channel)
    yield "deleted", channel.call("exchange.delete", exchange=name)
    yield "again", channel.call("exchange.delete", exchange=name)
    yield "gone", channel.call("exchange.declare", exchange=name, passive=True)
    yield "amq.direct", t.channel().call("exchange.delete", exchange="amq.direct")
    yield "default", t.channel().call("exchange.delete", exchange="")


@case
def delete_if_unused(t: Trial):
    channel = t.channel()
    name, queue = t.exchange(channel), t.queue(channel)
    channel.call("queue.bind", queue=queue, exchange=name, routing_key="k")
    yield "used", channel.call("exchange.delete", exchange=name, if_unused=True)
    channel.open()
    channel.call("queue.unbind", queue=queue, exchange=name, routing_key="k")
    yield "unused", channel.call("exchange.delete", exchange=name, if_unused=True)


@case
def delete_if_unused_as_destination(t: Trial):
    channel = t.channel()
    name, source = t.exchange(channel), t.exchange(channel, "source")
    channel.call("exchange.bind", destination=name, source=source, routing_key="k")
    yield "only a destination", channel.call("exchange.delete", exchange=name, if_unused=True)


@case
def auto_delete(t: Trial):
    channel = t.channel()
    name, queue = t.exchange(channel, auto_delete=True), t.queue(channel)
    yield "before any binding", channel.call("exchange.declare", exchange=name, passive=True)
    channel.call("queue.bind", queue=queue, exchange=name, routing_key="a")
    channel.call("queue.bind", queue=queue, exchange=name, routing_key="b")
    channel.call("queue.unbind", queue=queue, exchange=name, routing_key="a")
    yield "one binding left", channel.call("exchange.declare", exchange=name, passive=True)
    channel.call("queue.unbind", queue=queue, exchange=name, routing_key="b")
    yield "none left", channel.call("exchange.declare", exchange=name, passive=True)


@case
def auto_delete_when_the_queue_goes(t: Trial):
    channel = t.channel()
    name, queue = t.exchange(channel, auto_delete=True), t.queue(channel)
    channel.call("queue.bind", queue=queue, exchange=name)
    channel.call("queue.delete", queue=queue)
    yield "gone", channel.call("exchange.declare", exchange=name, passive=True)


@case
def auto_delete_along_a_chain(t: Trial):
    channel = t.channel()
    first, second, queue = t.exchange(channel, "a", auto_delete=True), t.exchange(channel, "b", auto_delete=True), t.queue(channel)
    channel.call("exchange.bind", source=first, destination=second)
    channel.call("queue.bind", queue=queue, exchange=second)
    channel.call("queue.delete", queue=queue)
    yield "second", t.channel().call("exchange.declare", exchange=second, passive=True)
    yield "first", t.channel().call("exchange.declare", exchange=first, passive=True)


@case
def internal(t: Trial):
    channel = t.channel(confirm=True)
    inner, outer, queue = t.exchange(channel, internal=True), t.exchange(channel, "outer"), t.queue(channel)
    channel.call("exchange.bind", source=outer, destination=inner, routing_key="k")
    channel.call("queue.bind", queue=queue, exchange=inner, routing_key="k")
    t.put(channel, "k", "through", exchange=outer)
    yield "through another", t.bodies(channel, queue)
    channel.publish(inner, "k", "x")
    yield "directly", channel.next()


@case
def the_default_exchange_is_not_bound(t: Trial):
    channel = t.channel()
    queue, name = t.queue(channel), t.exchange(channel)
    yield "queue.bind", t.channel().call("queue.bind", queue=queue, exchange="", routing_key="x")
    yield "queue.unbind", t.channel().call("queue.unbind", queue=queue, exchange="", routing_key=queue)
    yield "as source", t.channel().call("exchange.bind", source="", destination=name, routing_key="x")
    yield "as destination", t.channel().call("exchange.bind", source=name, destination="", routing_key="x")
    yield "exchange.unbind", t.channel().call("exchange.unbind", source="", destination=name, routing_key="x")


@case
def bind_what_is_not_there(t: Trial):
    channel = t.channel()
    queue, name = t.queue(channel), t.exchange(channel)
    for label, method, how in [
            ("no exchange", "queue.bind", {"queue": queue, "exchange": t.name("none")}),
            ("no queue", "queue.bind", {"queue": t.name("none"), "exchange": name}),
            ("neither", "queue.bind", {"queue": t.name("none"), "exchange": t.name("none")}),
            ("no source", "exchange.bind", {"source": t.name("none"), "destination": name}),
            ("no destination", "exchange.bind", {"source": name, "destination": t.name("none")}),
            ("unbind: no exchange", "queue.unbind", {"queue": queue, "exchange": t.name("none")}),
            ("unbind: no queue", "queue.unbind", {"queue": t.name("none"), "exchange": name}),
            ("unbind: no binding", "queue.unbind", {"queue": queue, "exchange": name, "routing_key": "k"}),
            ("exchange.unbind: no source", "exchange.unbind", {"source": t.name("none"), "destination": name}),
            ("exchange.unbind: no binding", "exchange.unbind", {"source": name, "destination": "amq.direct"})]:
        yield label, t.channel().call(method, **how)


@case
def bind_twice_is_once(t: Trial):
    channel = t.channel(confirm=True)
    queue, name = t.queue(channel), t.exchange(channel)
    for _ in range(2):
        yield "bind", channel.call("queue.bind", queue=queue, exchange=name, routing_key="k")
    t.put(channel, "k", "once", exchange=name)
    yield "messages", t.bodies(channel, queue)
    yield "unbind", channel.call("queue.unbind", queue=queue, exchange=name, routing_key="k")
    t.put(channel, "k", "none", exchange=name)
    yield "after", t.bodies(channel, queue)


@case
def bindings_with_other_arguments_are_others(t: Trial):
    channel = t.channel(confirm=True)
    queue, name = t.queue(channel), t.exchange(channel)
    channel.call("queue.bind", queue=queue, exchange=name, routing_key="k", arguments={"a": 1})
    channel.call("queue.bind", queue=queue, exchange=name, routing_key="k", arguments={"a": 2})
    t.put(channel, "k", "m", exchange=name)
    yield "once all the same", t.bodies(channel, queue)
    channel.call("queue.unbind", queue=queue, exchange=name, routing_key="k", arguments={"a": 1})
    t.put(channel, "k", "m", exchange=name)
    yield "the other is left", t.bodies(channel, queue)
    channel.call("queue.unbind", queue=queue, exchange=name, routing_key="k")
    t.put(channel, "k", "m", exchange=name)
    yield "no arguments are no arguments", t.bodies(channel, queue)


@case
def the_last_queue_of_the_channel(t: Trial):
    channel = t.channel(confirm=True)
    name = t.exchange(channel)
    yield "bind without one", t.channel().call("queue.bind", exchange=name, routing_key="x")
    queue = t.queue(channel)
    yield "bind", channel.call("queue.bind", exchange=name)
    yield "the key is empty", t.put(channel, "", "empty key", exchange=name)
    yield "messages", t.bodies(channel, queue)
    yield "the key would be the name", [t.put(channel, queue, "name", exchange=name), t.bodies(channel, queue)]
    yield "get", channel.call("basic.get", no_ack=True)
    yield "purge", channel.call("queue.purge")
    yield "unbind", channel.call("queue.unbind", exchange=name)
    yield "delete", channel.call("queue.delete")
    yield "get what is gone", channel.call("basic.get", no_ack=True)


@case
def fanout_in_order(t: Trial):
    channel = t.channel(confirm=True)
    name = t.exchange(channel, kind="fanout")
    queues = [t.queue(channel, f"q{number}") for number in range(5)]
    for queue in queues:
        channel.call("queue.bind", queue=queue, exchange=name, routing_key="ignored")
    t.put(channel, "whatever", "a", "b", exchange=name)
    yield "each has all", [t.bodies(channel, queue) for queue in queues]


@case
def exchange_to_exchange(t: Trial):
    channel = t.channel(confirm=True)
    source, middle, last, queue = t.exchange(channel, "s", "topic"), t.exchange(channel, "m", "fanout"), t.exchange(channel, "l"), t.queue(channel)
    yield "bind", channel.call("exchange.bind", source=source, destination=middle, routing_key="a.#")
    channel.call("exchange.bind", source=middle, destination=last)
    channel.call("queue.bind", queue=queue, exchange=last, routing_key="a.b")
    channel.call("queue.bind", queue=queue, exchange=source, routing_key="a.*")
    t.put(channel, "a.b", "once", exchange=source)
    message = channel.call("basic.get", queue=queue, no_ack=True)
    yield "message", message
    yield "only one", t.bodies(channel, queue)
    yield "unbind", channel.call("exchange.unbind", source=source, destination=middle, routing_key="a.#")
    yield "unbind again", channel.call("exchange.unbind", source=source, destination=middle, routing_key="a.#")


@case
def exchanges_in_a_circle(t: Trial):
    channel = t.channel(confirm=True)
    one, other, queue = t.exchange(channel, "one", "fanout"), t.exchange(channel, "other", "fanout"), t.queue(channel)
    channel.call("exchange.bind", source=one, destination=other)
    channel.call("exchange.bind", source=other, destination=one)
    channel.call("exchange.bind", source=one, destination=one)
    channel.call("queue.bind", queue=queue, exchange=one)
    t.put(channel, "k", "x", exchange=other)
    yield "once", t.bodies(channel, queue)


@case
def no_wait(t: Trial):
    channel = t.channel(confirm=True)
    name, queue = t.name("x"), t.queue(channel)
    channel.send("exchange.declare", exchange=name, type="fanout", durable=True, nowait=True)
    channel.send("exchange.declare", exchange=f"{name}-2", type="fanout", durable=True, nowait=True)
    channel.send("exchange.bind", source=name, destination=f"{name}-2", nowait=True)
    channel.send("queue.bind", queue=queue, exchange=f"{name}-2", nowait=True)
    yield "publish", t.put(channel, "", "m", exchange=name)
    yield "message", t.bodies(channel, queue)
    channel.send("exchange.unbind", source=name, destination=f"{name}-2", nowait=True)
    yield "publish after unbind", t.put(channel, "", "m", exchange=name)
    yield "no message", t.bodies(channel, queue)
    channel.send("exchange.delete", exchange=name, nowait=True)
    yield "deleted", channel.call("exchange.declare", exchange=name, passive=True)


@case
def a_transient_exchange(t: Trial):
    channel = t.channel(confirm=True)
    name, queue = t.exchange(channel, durable=False), t.queue(channel)
    yield "bind a durable queue", channel.call("queue.bind", queue=queue, exchange=name, routing_key="k")
    t.put(channel, "k", "m", exchange=name)
    yield "messages", t.bodies(channel, queue)


@case
def deleting_an_exchange_with_bindings(t: Trial):
    channel = t.channel(confirm=True)
    name, queue = t.exchange(channel), t.queue(channel)
    channel.call("queue.bind", queue=queue, exchange=name, routing_key="k")
    channel.call("exchange.delete", exchange=name)
    t.exchange(channel)
    t.put(channel, "k", "m", exchange=name)
    yield "its bindings are gone", t.bodies(channel, queue)


@case
def publishing_to_one_that_is_not_there(t: Trial):
    channel = t.channel(confirm=True)
    channel.publish(t.name("none"), "k", "x")
    yield "closed", channel.next()
    yield "nothing more", channel.quiet(0.2)


@case
def arguments_of_any_type_are_kept(t: Trial):
    channel = t.channel()
    arguments = {"a": 1, "b": "x", "c": {"d": [True, None, 1.5]}, "e": Typed("T", 1)}
    name = t.exchange(channel, arguments=arguments)
    yield "again", channel.call("exchange.declare", exchange=name, type="direct", durable=True, arguments=arguments)
