"""Publishing: confirms, returns, properties, sizes, and what may not be sent."""

import hashlib

import wire
from client import Event
from trial import Trial, case
from wire import Typed

ALL = {"content_type": "text/plain", "content_encoding": "utf-8", "delivery_mode": 2, "priority": 3, "correlation_id": "c",
       "reply_to": "r", "message_id": "m", "timestamp": 1700000000, "type": "t", "user_id": "guest",
       "app_id": "a", "cluster_id": "x"}
EVERY_TYPE = {"t": True, "f": False, "b": Typed("b", -5), "B": Typed("B", 200), "s": Typed("s", -300), "u": Typed("u", 60000),
              "I": Typed("I", -70000), "i": Typed("i", 4000000000), "l": Typed("l", -(2**40)), "float": Typed("f", 1.5),
              "double": Typed("d", 0.1), "decimal": Typed("D", (2, 314)), "S": "größe", "A": [1, "x", None, [True], {"k": 1}],
              "T": Typed("T", 1700000000), "F": {"in": {"in": {}}}, "V": None, "x": Typed("x", "bytes")}


def acks(events: list[Event]) -> list:
    """What was confirmed, in order, `multiple` taken apart."""
    done = []
    for event in events:
        if event.name not in ("basic.ack", "basic.nack"):
            done.append(event)
            continue
        known = {tag for _, tag in (one for one in done if isinstance(one, list))}
        first = 1 if event.multiple else event.delivery_tag
        done += [[event.name, tag] for tag in range(first, event.delivery_tag + 1) if tag not in known]
    return done


def until_acked(channel, count: int) -> list[Event]:
    """What comes until so many are confirmed."""
    events = []
    while sum(isinstance(one, list) for one in acks(events)) < count and (more := channel.take(1)):
        events += more
    return events


@case
def all_properties_and_types(t: Trial):
    channel = t.channel(confirm=True)
    queue = t.queue(channel)
    yield "confirmed", t.put(channel, queue, "body", headers=EVERY_TYPE, **ALL)
    yield "message", channel.call("basic.get", queue=queue, no_ack=True)


@case
def all_properties_and_types_to_a_consumer(t: Trial):
    channel, consumer = t.channel(confirm=True), t.channel()
    queue = t.queue(channel)
    consumer.call("basic.consume", queue=queue, consumer_tag="c", no_ack=True)
    t.put(channel, queue, "body", headers=EVERY_TYPE, **ALL)
    yield "message", consumer.next()


@case
def no_properties_at_all(t: Trial):
    channel = t.channel(confirm=True)
    queue = t.queue(channel)
    yield "confirmed", t.put(channel, queue, "", delivery_mode=None)
    yield "message", channel.call("basic.get", queue=queue, no_ack=True)


@case
def empty_headers(t: Trial):
    channel = t.channel(confirm=True)
    queue = t.queue(channel)
    t.put(channel, queue, "", headers={}, content_type="")
    yield "message", channel.call("basic.get", queue=queue, no_ack=True)


@case
def odd_delivery_modes(t: Trial):
    queue = t.queue(t.channel())
    for mode in (0, 1, 2, 3, 255):
        channel = t.channel(confirm=True)
        channel.publish("", queue, str(mode), delivery_mode=mode)
        yield f"mode {mode}", channel.next()
    yield "messages", t.drain(t.channel(), queue)


def sized(t: Trial, size: int):
    channel, consumer = t.channel(confirm=True), t.channel()
    queue = t.queue(channel, str(size))
    body = (b"0123456789abcdef" * (size // 16 + 1))[:size]
    channel.publish("", queue, body, delivery_mode=2)
    yield "confirmed", channel.next(timeout=60)
    consumer.call("basic.consume", queue=queue, consumer_tag="c", no_ack=True)
    event = consumer.next(timeout=60)
    yield "whole", [event.name, len(event.body), hashlib.sha256(event.body).hexdigest() == hashlib.sha256(body).hexdigest()]


@case
def sizes(t: Trial):
    for size in (0, 1, 4095, 4096, 131064, 131065, 262128, 1 << 20):
        yield from ((f"{size} bytes: {label}", value) for label, value in sized(t, size))


@case(alone=True)
def size_of_16_mib(t: Trial):
    yield from sized(t, 16 << 20)


@case(alone=True)
def size_of_128_mib(t: Trial):
    yield from sized(t, 128 << 20)


@case
def size_above_the_maximum(t: Trial):
    channel = t.channel(confirm=True)
    channel.send("basic.publish", routing_key=t.queue(channel))
    channel.connection.frame(wire.HEADER, channel.number, wire.header_out((128 << 20) + 1, {}))
    yield "only announced", channel.next(timeout=2)


@case
def confirms_in_order(t: Trial):
    channel = t.channel(confirm=True)
    queue = t.queue(channel)
    for number in range(200):
        channel.publish("", queue, str(number), delivery_mode=2)
    events = until_acked(channel, 200)
    yield "all", sorted(acks(events)) == sorted(["basic.ack", tag] for tag in range(1, 201))
    yield "messages in order", t.bodies(channel, queue) == [str(number) for number in range(200)]


@case
def confirm_select(t: Trial):
    channel = t.channel()
    yield "select", channel.call("confirm.select")
    yield "again", channel.call("confirm.select")
    queue = t.queue(channel)
    channel.publish("", queue, "x")
    yield "tags start at one", channel.next()
    other = t.channel()
    other.send("confirm.select", nowait=True)
    other.publish("", queue, "x")
    yield "without waiting", other.next()


@case
def confirms_count_from_the_select(t: Trial):
    channel = t.channel()
    queue = t.queue(channel)
    for _ in range(3):
        channel.publish("", queue, "before")
    channel.call("confirm.select")
    channel.publish("", queue, "after")
    yield "first tag", channel.next()


@case
def no_confirms_without_select(t: Trial):
    channel = t.channel()
    queue = t.queue(channel)
    channel.publish("", queue, "x")
    yield "nothing", channel.quiet()
    yield "message", t.bodies(channel, queue)


@case
def mandatory(t: Trial):
    channel = t.channel(confirm=True)
    channel.publish("", t.name("none"), "body", mandatory=True, headers={"h": 1}, **ALL)
    yield "return before confirm", channel.take(2)
    channel.publish("amq.topic", "no.one", "", mandatory=True)
    yield "of an exchange", channel.take(2)
    channel.publish("", t.name("none"), "body")
    yield "not mandatory", channel.take(1)


@case
def mandatory_without_confirms(t: Trial):
    channel = t.channel()
    channel.publish("", t.name("none"), "x" * 300000, mandatory=True)
    yield "return", channel.take(1)


@case
def returns_and_confirms_mixed(t: Trial):
    channel = t.channel(confirm=True)
    queue = t.queue(channel)
    for number in range(6):
        channel.publish("", queue if number % 2 else t.name("none"), str(number), mandatory=True)
    seen = until_acked(channel, 6)
    yield "returned", [e.body.decode() for e in seen if e.name == "basic.return"]
    yield "confirmed", sorted(acks([e for e in seen if e.name == "basic.ack"]))


@case
def immediate(t: Trial):
    channel = t.channel()
    channel.publish("", t.queue(channel), "x", immediate=True)
    yield "closed", channel.next()


@case
def user_id(t: Trial):
    channel = t.channel(confirm=True)
    queue = t.queue(channel)
    yield "own", t.put(channel, queue, "x", user_id="guest")
    channel.publish("", queue, "x", user_id="other")
    yield "another's", channel.next()
    channel = t.channel(confirm=True)
    channel.publish("", queue, "x", user_id="")
    yield "empty", channel.next()
    impostor = t.channel(confirm=True, user="impostor", password="impostor")
    impostor.publish("", queue, "x", user_id="guest")
    yield "another's, as impersonator", impostor.next()


@case
def expiration_wrong(t: Trial):
    queue = t.queue(t.channel())
    for value in ("abc", "-1", "", "1.5", " 1", "1 ", "+1", "0x10", "99999999999", "4294967295", "4294967296", "0010", "0"):
        channel = t.channel(confirm=True)
        channel.publish("", queue, "x", expiration=value)
        yield f"{value!r}", channel.next()


@case
def expiration_wrong_but_nowhere_routed(t: Trial):
    channel = t.channel(confirm=True)
    channel.publish("", t.name("none"), "x", expiration="abc")
    yield "closed all the same", channel.next()


@case
def cc_and_bcc(t: Trial):
    channel = t.channel(confirm=True)
    queues = [t.queue(channel, base) for base in ("a", "b", "c")]
    channel.publish("", queues[0], "m", headers={"CC": [queues[1]], "BCC": [queues[2]], "other": 1})
    yield "confirm", channel.next()
    for queue in queues:
        yield queue.split("-")[0], t.drain(channel, queue)


@case
def cc_of_odd_kinds(t: Trial):
    queue = t.queue(t.channel())
    for label, headers in [("a string", {"CC": queue}), ("numbers", {"CC": [1, 2]}), ("a table", {"BCC": {}}), ("empty", {"CC": []}),
                           ("nothing", {"CC": None}), ("itself", {"CC": [queue, queue]})]:
        channel = t.channel(confirm=True)
        channel.publish("", queue, label, headers=headers)
        yield label, channel.next()
    yield "messages", t.bodies(t.channel(), queue)


@case
def cc_with_an_exchange(t: Trial):
    channel = t.channel(confirm=True)
    exchange, queues = t.exchange(channel, kind="topic"), [t.queue(channel, base) for base in ("a", "b")]
    channel.call("queue.bind", queue=queues[0], exchange=exchange, routing_key="a.#")
    channel.call("queue.bind", queue=queues[1], exchange=exchange, routing_key="b.#")
    channel.publish(exchange, "none", "m", mandatory=True, headers={"CC": ["a.x", "b.x", "b.y"]})
    yield "confirm", channel.next()
    yield "messages", [t.drain(channel, queue) for queue in queues]


@case
def returned_with_bcc(t: Trial):
    channel = t.channel(confirm=True)
    channel.publish("", t.name("none"), "m", mandatory=True, headers={"CC": ["x"], "BCC": ["y"]})
    yield "return", channel.take(2)


@case
def order_across_two_queues(t: Trial):
    channel, consumer = t.channel(confirm=True), t.channel()
    queues = [t.queue(channel, base) for base in ("a", "b")]
    for number in range(50):
        channel.publish("", queues[number % 2], str(number))
    for queue in queues:
        t.until_count(channel, queue, 25)
    yield "each in order", [t.bodies(consumer, queue) for queue in queues]


@case
def long_routing_key(t: Trial):
    channel = t.channel(confirm=True)
    exchange, queue = t.exchange(channel, kind="fanout"), t.queue(channel)
    channel.call("queue.bind", queue=queue, exchange=exchange)
    t.put(channel, "k" * 255, "m", exchange=exchange)
    yield "message", t.drain(channel, queue)


@case
def long_headers(t: Trial):
    channel = t.channel(confirm=True)
    queue = t.queue(channel)
    yield "confirm", t.put(channel, queue, "m", headers={"long": "x" * 100000})
    yield "message", t.drain(channel, queue)


@case
def message_in_many_frames_is_one(t: Trial):
    channel = t.channel(tune={"frame_max": 4096}, confirm=True)
    reader = t.channel(tune={"frame_max": 8192})
    queue = t.queue(channel)
    t.put(channel, queue, "0123456789" * 5000)
    yield "message", t.drain(reader, queue)


@case
def publish_to_a_deleted_queue(t: Trial):
    channel = t.channel(confirm=True)
    queue = t.queue(channel)
    t.put(channel, queue, "x")
    t.channel().call("queue.delete", queue=queue)
    channel.publish("", queue, "x", mandatory=True)
    yield "returned", channel.take(2)
