"""Channels: opening, closing, numbers, flow, and what is no method of a client."""

import wire
from trial import Trial, case


@case
def open_and_close(t: Trial):
    channel = t.channel()
    yield "close", channel.call("channel.close", reply_code=200)
    yield "open again", channel.open()
    yield "usable", channel.call("basic.qos", prefetch_count=1)


@case
def open_twice(t: Trial):
    channel = t.channel()
    yield "second open", channel.open()


@case
def a_closed_channel_is_not_there(t: Trial):
    channel = t.channel()
    channel.call("channel.close", reply_code=200)
    yield "method", channel.call("basic.qos")


@case
def a_channel_that_was_never_open(t: Trial):
    peer = t.connect()
    peer.send("queue.declare", 7, queue="x")
    yield "method", peer.next(7)


@case
def content_on_a_channel_that_was_never_open(t: Trial):
    peer = t.connect()
    peer.frame(wire.HEADER, 7, wire.header_out(0, {}))
    yield "header", peer.next(7)


@case
def methods_after_a_channel_error_are_ignored(t: Trial):
    channel = t.channel()
    channel.connection.write(
        wire.frame(wire.METHOD, channel.number, wire.method_out("queue.declare", {"queue": t.name("no"), "passive": True}))
        + wire.frame(wire.METHOD, channel.number, wire.method_out("queue.declare", {"queue": t.name("yes")})))
    yield "close", channel.next()
    yield "nothing more", channel.quiet()
    yield "not declared", t.channel().call("queue.declare", queue=t.name("yes"), passive=True)
    yield "open again", channel.open()


@case
def other_channels_go_on(t: Trial):
    peer = t.connect()
    one, other = peer.channel(), peer.channel()
    yield "one closes", one.call("queue.declare", queue=t.name("no"), passive=True)
    yield "other works", other.call("basic.qos", prefetch_count=3)


@case
def flow(t: Trial):
    channel = t.channel()
    yield "on", channel.call("channel.flow", active=True)
    yield "off", channel.call("channel.flow", active=False)


@case
def flow_ok_unasked(t: Trial):
    channel = t.channel()
    channel.send("channel.flow-ok", active=True)
    yield "answer", channel.next(timeout=2)


@case
def close_ok_unasked(t: Trial):
    channel = t.channel()
    channel.send("channel.close-ok")
    yield "answer", channel.next(timeout=2)


@case
def access_request(t: Trial):
    channel = t.channel()
    yield "answer", channel.call("access.request", realm="/data")


@case
def methods_that_clients_do_not_send(t: Trial):
    for name in ("channel.open-ok", "exchange.declare-ok", "queue.declare-ok", "queue.bind-ok", "basic.qos-ok",
                 "basic.consume-ok", "basic.get-empty", "confirm.select-ok", "tx.select-ok"):
        channel = t.channel()
        channel.send(name)
        yield name, channel.next(timeout=3)


@case
def content_methods_that_clients_do_not_send(t: Trial):
    for name in ("basic.deliver", "basic.return", "basic.get-ok"):
        channel = t.channel()
        channel.send(name)
        channel.connection.frame(wire.HEADER, channel.number, wire.header_out(0, {}))
        yield name, channel.next(timeout=3)


@case
def header_without_publish(t: Trial):
    channel = t.channel()
    channel.connection.frame(wire.HEADER, channel.number, wire.header_out(3, {}))
    yield "answer", channel.next()


@case
def body_without_header(t: Trial):
    channel = t.channel()
    channel.connection.frame(wire.BODY, channel.number, b"abc")
    yield "answer", channel.next()


@case
def publish_then_body(t: Trial):
    channel = t.channel()
    channel.send("basic.publish", routing_key="x")
    channel.connection.frame(wire.BODY, channel.number, b"abc")
    yield "answer", channel.next()


@case
def publish_then_method(t: Trial):
    channel = t.channel()
    channel.send("basic.publish", routing_key="x")
    channel.send("basic.qos")
    yield "answer", channel.next()


@case
def header_then_method(t: Trial):
    channel = t.channel()
    channel.send("basic.publish", routing_key="x")
    channel.connection.frame(wire.HEADER, channel.number, wire.header_out(3, {}))
    channel.send("basic.qos")
    yield "answer", channel.next()


@case
def header_then_header(t: Trial):
    channel = t.channel()
    channel.send("basic.publish", routing_key="x")
    channel.connection.frame(wire.HEADER, channel.number, wire.header_out(3, {}))
    channel.connection.frame(wire.HEADER, channel.number, wire.header_out(3, {}))
    yield "answer", channel.next()


@case
def body_too_long(t: Trial):
    channel = t.channel()
    channel.send("basic.publish", routing_key=t.queue(channel))
    channel.connection.frame(wire.HEADER, channel.number, wire.header_out(3, {}))
    channel.connection.frame(wire.BODY, channel.number, b"abcdef")
    yield "answer", channel.next(timeout=2)


@case
def header_of_another_class(t: Trial):
    channel = t.channel()
    channel.send("basic.publish", routing_key="x")
    channel.connection.frame(wire.HEADER, channel.number, wire.header_out(0, {}, class_id=50))
    yield "answer", channel.next()


@case
def header_with_weight(t: Trial):
    channel = t.channel(confirm=True)
    channel.send("basic.publish", routing_key=t.queue(channel))
    channel.connection.frame(wire.HEADER, channel.number, wire.header_out(0, {}, weight=1))
    yield "answer", channel.next(timeout=2)


@case
def header_cut_off(t: Trial):
    channel = t.channel()
    channel.send("basic.publish", routing_key="x")
    channel.connection.frame(wire.HEADER, channel.number, wire.header_out(0, {"content_type": "text/plain"})[:-4])
    yield "answer", channel.next()


@case
def empty_body_frames(t: Trial):
    channel = t.channel(confirm=True)
    queue = t.queue(channel)
    channel.send("basic.publish", routing_key=queue)
    channel.connection.frame(wire.HEADER, channel.number, wire.header_out(4, {}))
    for part in (b"", b"ab", b"", b"cd"):
        channel.connection.frame(wire.BODY, channel.number, part)
    yield "answer", channel.next()
    yield "message", t.bodies(channel, queue)


@case
def many_channels(t: Trial):
    peer = t.connect()
    channels = [peer.channel() for _ in range(200)]
    for channel in channels:
        channel.send("basic.qos", prefetch_count=1)
    yield "all answer", {channel.next().name for channel in channels} == {"basic.qos-ok"}


@case
def content_of_two_channels_interleaved(t: Trial):
    peer = t.connect()
    one, other = peer.channel(), peer.channel()
    queue = t.queue(one)
    for channel in (one, other):
        channel.call("confirm.select")
        channel.send("basic.publish", routing_key=queue)
    for channel in (other, one):
        peer.frame(wire.HEADER, channel.number, wire.header_out(4, {}))
    for part in (b"aa", b"bb"):
        for channel in (one, other):
            peer.frame(wire.BODY, channel.number, part)
    yield "confirms", [one.next(), other.next()]
    yield "messages", t.bodies(one, queue)
