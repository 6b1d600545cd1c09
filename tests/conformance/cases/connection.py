"""Connections: negotiation, authentication, and what ends one."""

import wire
from trial import Trial, case


def shake(t: Trial, **how):
    """The end of a handshake, and what comes after it."""
    connection = t.raw()
    event = connection.open(**how)
    return connection, event


@case
def start(t: Trial):
    peer = t.raw()
    peer.write(wire.PROTOCOL)
    event = peer.next()
    yield "version", [event.version_major, event.version_minor]
    yield "mechanisms", sorted(event.mechanisms.split())
    yield "locales", event.locales
    yield "capabilities", event.server_properties["capabilities"].value
    yield "types of server properties", {name: event.server_properties[name].type for name in (
        "capabilities", "cluster_name", "copyright", "information", "platform", "product", "version")
        if name in event.server_properties}


@case
def wrong_protocol_header(t: Trial):
    for label, header in [("of 0-8", b"AMQP\x01\x01\x08\x00"), ("of 0-9", b"AMQP\x01\x01\x00\x09"),
                          ("of 1.0", b"AMQP\x00\x01\x00\x00"), ("of 1.0 SASL", b"AMQP\x03\x01\x00\x00"),
                          ("of HTTP", b"GET / HTTP/1.1\r\n\r\n"), ("none", b"\0\0\0\0\0\0\0\0")]:
        peer = t.raw()
        peer.write(header)
        event = peer.next()
        yield label, [event.name, event.arguments.get("header"), event.arguments.get("version_major")]
        yield f"{label}: then", peer.next(timeout=2) if event.name == "protocol-header" else None


@case
def tune_says(t: Trial):
    peer, event = shake(t)
    yield "tune", peer.tune
    yield "open-ok", event


@case
def wrong_password(t: Trial):
    yield "with the capability", shake(t, password="wrong")[1]
    yield "without", shake(t, password="wrong", properties={})[1]


@case
def unknown_user(t: Trial):
    yield "closed", shake(t, user="stranger", password="stranger")[1]


@case
def unknown_vhost(t: Trial):
    yield "closed", shake(t, vhost="nowhere")[1]


@case
def no_access_to_the_vhost(t: Trial):
    yield "closed", shake(t, user="nobody", password="nobody")[1]


@case
def unknown_mechanism(t: Trial):
    for mechanism in ("EXTERNAL", "CRAM-MD5", "plain", ""):
        yield f"closed for {mechanism!r}", shake(t, mechanism=mechanism)[1]


@case
def malformed_plain_response(t: Trial):
    for label, response in [("empty", b""), ("one part", b"guest"), ("no password", b"\0guest"),
                            ("with an authorization identity", b"guest\0guest\0guest")]:
        yield label, shake(t, response=response)[1]


@case
def amqplain(t: Trial):
    login = wire.table_out({"LOGIN": "guest", "PASSWORD": "guest"})[4:]
    yield "let in", shake(t, mechanism="AMQPLAIN", response=login)[1]
    login = wire.table_out({"LOGIN": "guest", "PASSWORD": "wrong"})[4:]
    yield "wrong password", shake(t, mechanism="AMQPLAIN", response=login)[1]
    login = wire.table_out({"LOGIN": "guest"})[4:]
    yield "no password", shake(t, mechanism="AMQPLAIN", response=login)[1]


@case
def tune_frame_max_too_small(t: Trial):
    yield "closed", shake(t, tune={"frame_max": 4095})[1]


@case
def tune_frame_max_too_large(t: Trial):
    yield "closed", shake(t, tune={"frame_max": 131073})[1]


@case
def tune_frame_max_smallest(t: Trial):
    peer, event = shake(t, tune={"frame_max": 4096})
    yield "open", event
    channel = peer.channel()
    queue = t.queue(channel, exclusive=True, durable=False)
    channel.publish("", queue, b"x" * 10000)
    t.until_count(channel, queue, 1)
    yield "message", channel.call("basic.get", queue=queue, no_ack=True).body.decode()


@case
def tune_frame_max_zero(t: Trial):
    yield "open", shake(t, tune={"frame_max": 0})[1]


@case
def tune_channel_max_too_large(t: Trial):
    yield "closed", shake(t, tune={"channel_max": 2048})[1]


@case
def tune_channel_max_zero(t: Trial):
    yield "open or not", shake(t, tune={"channel_max": 0})[1]


@case
def channel_above_the_maximum(t: Trial):
    peer, _ = shake(t, tune={"channel_max": 5})
    peer.send("channel.open", 5)
    yield "the last", peer.next(5)
    peer.send("channel.open", 6)
    yield "a number above it", peer.next(6)
    for number in (1, 2, 3):
        peer.send("channel.open", number)
        yield f"channel {number}", peer.next(number)
    peer.send("channel.open", 4)
    yield "one too many", peer.next(4)


@case
def channel_number_above_the_default(t: Trial):
    peer, _ = shake(t)
    peer.send("channel.open", 2047)
    yield "the last", peer.next(2047)
    peer.send("channel.open", 2048)
    yield "one more", peer.next(2048)


@case
def heartbeats_come(t: Trial):
    peer, _ = shake(t, tune={"heartbeat": 2})
    for _ in range(4):
        peer.frame(wire.HEARTBEAT, 0, b"")
        peer.quiet = peer.next(0, timeout=1)
    yield "some came", peer.heartbeats > 0


@case
def heartbeats_missed(t: Trial):
    peer, _ = shake(t, tune={"heartbeat": 1})
    yield "ended", peer.next(0, timeout=15)


@case
def heartbeat_on_a_channel(t: Trial):
    peer, _ = shake(t)
    peer.frame(wire.HEARTBEAT, 1, b"")
    yield "answer", peer.next(0, timeout=2)


@case
def close(t: Trial):
    peer, _ = shake(t)
    peer.send("connection.close", reply_code=200, reply_text="bye")
    yield "answer", peer.next()


@case
def close_with_open_channels(t: Trial):
    peer, _ = shake(t)
    for _ in range(3):
        peer.channel()
    peer.send("connection.close", reply_code=320, reply_text="enough", class_id=10, method_id=20)
    yield "answer", peer.next()


@case
def frames_after_close_are_ignored(t: Trial):
    peer, _ = shake(t)
    channel = peer.channel()
    peer.write(wire.frame(wire.METHOD, 0, wire.method_out("connection.close", {"reply_code": 200}))
               + wire.frame(wire.METHOD, channel.number, wire.method_out("queue.declare", {"queue": t.name("late")})))
    yield "answer", peer.next()
    yield "not declared", t.channel().call("queue.declare", queue=t.name("late"), passive=True)


@case
def update_secret(t: Trial):
    peer, _ = shake(t)
    peer.send("connection.update-secret", new_secret="guest", reason="why not")
    yield "answer", peer.next()
    yield "works on", peer.channel().call("basic.qos", prefetch_count=1)


@case
def methods_that_clients_do_not_send(t: Trial):
    for name in ("connection.start", "connection.tune", "connection.open-ok", "connection.secure", "connection.blocked",
                 "connection.unblocked", "connection.close-ok"):
        peer, _ = shake(t)
        peer.send(name, **({"reason": "x"} if name == "connection.blocked" else {}))
        yield name, peer.next(0, timeout=2)


@case
def methods_of_a_channel_on_channel_zero(t: Trial):
    for name, arguments in [("queue.declare", {"queue": "x"}), ("channel.open", {}), ("basic.qos", {}),
                            ("channel.close", {"reply_code": 200})]:
        peer, _ = shake(t)
        peer.send(name, 0, **arguments)
        yield name, [peer.next(0, timeout=3), peer.next(0, timeout=3)][:1]


@case
def methods_of_a_connection_on_a_channel(t: Trial):
    peer, _ = shake(t)
    channel = peer.channel()
    channel.send("connection.close", reply_code=200)
    yield "answer", channel.next(timeout=3)


@case
def unknown_method(t: Trial):
    for label, ids in [("of a known class", (50, 99)), ("of an unknown class", (99, 10)), ("of the class file", (70, 10))]:
        peer, _ = shake(t)
        channel = peer.channel()
        peer.frame(wire.METHOD, channel.number, bytes([0, ids[0], 0, ids[1]]))
        yield label, channel.next()


@case
def method_cut_off(t: Trial):
    peer, _ = shake(t)
    channel = peer.channel()
    payload = wire.method_out("queue.declare", {"queue": "abc"})
    peer.frame(wire.METHOD, channel.number, payload[:8])
    yield "answer", channel.next()


@case
def method_with_more_behind(t: Trial):
    peer, _ = shake(t)
    channel = peer.channel()
    peer.frame(wire.METHOD, channel.number, wire.method_out("basic.qos", {}) + b"more")
    yield "answer", channel.next()


@case
def unknown_frame_type(t: Trial):
    for kind in (0, 4, 9, 255):
        peer, _ = shake(t)
        channel = peer.channel()
        peer.frame(kind, channel.number, b"xyz")
        yield f"type {kind}", channel.next(timeout=3)


@case
def frame_end_wrong(t: Trial):
    peer, _ = shake(t)
    peer.frame(wire.METHOD, 1, wire.method_out("channel.open", {}), end=0)
    yield "answer", peer.next(1)


@case
def frame_too_large(t: Trial):
    peer, _ = shake(t, tune={"frame_max": 8192})
    channel = peer.channel()
    peer.frame(wire.METHOD, channel.number, wire.method_out("queue.declare", {"arguments": {"a": "x" * 9000}}))
    yield "answer", channel.next()


@case
def table_with_an_unknown_type(t: Trial):
    peer, _ = shake(t)
    channel = peer.channel()
    channel.send("queue.declare", queue=t.name("q"), arguments=wire.long(wire.short("key") + b"?" + b"1234"))
    yield "answer", channel.next()


@case
def table_cut_off(t: Trial):
    peer, _ = shake(t)
    channel = peer.channel()
    channel.send("queue.declare", queue=t.name("q"), arguments=wire.long(wire.short("key") + b"S\0\0\1\0abc"))
    yield "answer", channel.next()


@case
def open_twice(t: Trial):
    peer, _ = shake(t)
    peer.send("connection.open", virtual_host="/")
    yield "answer", peer.next()


@case
def client_properties_of_all_kinds(t: Trial):
    peer, event = shake(t, properties={
        "product": "test", "connection_name": t.name("c"), "number": 1, "nested": {"a": [1, "b", None, {"c": 2.5}]},
        "capabilities": {"consumer_cancel_notify": True}})
    yield "open", event


@case
def connections_are_closed_when_the_vhost_is_full(t: Trial):
    for number in range(2):
        yield f"connection {number}", shake(t, vhost="narrow")[1]
    yield "one more", shake(t, vhost="narrow")[1]
    t.connections[0].close()
    again = t.eventually(lambda: (lambda event: event if event.name == "connection.open-ok" else None)(
        shake(t, vhost="narrow")[1]))
    yield "after one has gone", again


@case
def a_virtual_host_has_its_own_names(t: Trial):
    here, there = t.channel(), t.channel(vhost="other")
    queue = t.queue(here)
    yield "not known there", there.call("queue.declare", queue=queue, passive=True)


@case
def half_a_handshake_then_gone(t: Trial):
    peer = t.raw()
    peer.write(wire.PROTOCOL[:4])
    peer.drop()
    yield "others get in", shake(t)[1]


@case
def start_ok_twice(t: Trial):
    peer = t.raw()
    peer.write(wire.PROTOCOL)
    peer.next()
    for _ in range(2):
        peer.send("connection.start-ok", client_properties={}, mechanism="PLAIN", response="\0guest\0guest", locale="en_US")
    yield "tune", peer.next()
    yield "then", peer.next()


@case
def channel_before_open(t: Trial):
    peer = t.raw()
    peer.write(wire.PROTOCOL)
    peer.next()
    peer.send("channel.open", 1)
    yield "answer", peer.next(1, timeout=3)
