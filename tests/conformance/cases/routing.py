"""How topic, headers, direct and consistent-hash exchanges choose, and alternate exchanges."""

from trial import Trial, case
from wire import Typed


def reached(t: Trial, kind: str, bindings: list, messages: list, arguments=None):
    """For each message (key, headers): the numbers of the bindings (key, arguments) that it takes."""
    channel = t.channel(confirm=True)
    exchange = t.exchange(channel, kind=kind, arguments=arguments)
    queues = []
    for number, (key, how) in enumerate(bindings):
        queue = t.queue(channel, f"q{number}")
        event = channel.call("queue.bind", queue=queue, exchange=exchange, routing_key=key, arguments=how)
        if event.name != "queue.bind-ok":
            raise RuntimeError(event.plain())
        queues.append(queue)
    for at, (key, headers) in enumerate(messages):
        t.put(channel, key, str(at), exchange=exchange, headers=headers)
    found = [t.bodies(channel, queue) for queue in queues]
    for at, (key, headers) in enumerate(messages):
        yield f"{key!r} {headers if headers is not None else ''}".strip(), [n for n, bodies in enumerate(found) if str(at) in bodies]


@case
def topic(t: Trial):
    patterns = ["a.b.c", "a.*.c", "a.#", "#.c", "#", "*", "*.*", "", "a", "a.#.c", "#.b.#", "*.#", "#.*", "a.*.#", "*.b.*",
                "#.#", "a.#.#", "*.#.*", "a..c", ".", "#.a.#.c.#"]
    keys = ["", "a", "a.b", "a.b.c", "a.c", "b", "a.b.b.c", ".", "..", "a.", ".a", "a..c", "c.b.a", "a.#", "*", "#", "a.*", "A",
            "a.b.c.d"]
    yield from reached(t, "topic", [(pattern, {}) for pattern in patterns], [(key, None) for key in keys])


@case
def topic_words_that_are_no_wildcards(t: Trial):
    patterns = ["a*", "*a", "a#", "##", "**", "a.*b", "größe.*", "a b.*"]
    keys = ["a*", "ab", "*a", "ba", "a#", "##", "x", "**", "a.*b", "a.xb", "größe.x", "a b.c"]
    yield from reached(t, "topic", [(pattern, {}) for pattern in patterns], [(key, None) for key in keys])


@case
def topic_after_unbinding(t: Trial):
    channel = t.channel(confirm=True)
    exchange, queue = t.exchange(channel, kind="topic"), t.queue(channel)
    for key in ("a.#", "a.*.c", "#"):
        channel.call("queue.bind", queue=queue, exchange=exchange, routing_key=key)
    for key in ("#", "a.#", "a.*.c"):
        t.put(channel, "a.b.c", f"before {key}", exchange=exchange)
        channel.call("queue.unbind", queue=queue, exchange=exchange, routing_key=key)
    t.put(channel, "a.b.c", "none", exchange=exchange)
    yield "messages", t.bodies(channel, queue)


@case
def topic_with_a_long_key(t: Trial):
    long = ".".join(["ab"] * 85)
    yield from ((label[:20], value) for label, value in reached(
        t, "topic", [("#", {}), (long[:-3] + ".*", {}), ("ab.#.ab", {}), ("*.ab", {})], [(long, None)]))


@case
def direct(t: Trial):
    yield from reached(t, "direct", [("a", {}), ("A", {}), ("", {}), ("a", {"x": 1}), ("*", {}), ("a.b", {})],
                       [("a", None), ("A", None), ("", None), ("*", None), ("b", None), ("a.b", None)])


HEADERS = [None, {}, {"a": 1}, {"b": "two"}, {"a": 1, "b": "two"}, {"a": 1, "b": "two", "c": 3}, {"a": 2, "b": "two"},
           {"a": "1", "b": "two"}, {"A": 1, "b": "two"}, {"x-a": 1}, {"a": None, "b": None}]


@case
def headers_all(t: Trial):
    yield from reached(t, "headers", [("", {"x-match": "all", "a": 1, "b": "two"}), ("", {"x-match": "all"}), ("", {"a": 1}),
                                      ("", {})], [("", headers) for headers in HEADERS])


@case
def headers_any(t: Trial):
    yield from reached(t, "headers", [("", {"x-match": "any", "a": 1, "b": "two"}), ("", {"x-match": "any"}),
                                      ("", {"x-match": "any", "c": 3})], [("", headers) for headers in HEADERS])


@case
def headers_with_x(t: Trial):
    forms = ["all", "any", "all-with-x", "any-with-x"]
    yield from reached(t, "headers", [("", {"x-match": form, "x-a": 1, "a": 1}) for form in forms],
                       [("", headers) for headers in (None, {"a": 1}, {"x-a": 1}, {"a": 1, "x-a": 1}, {"a": 2, "x-a": 1})])


@case
def headers_without_a_value(t: Trial):
    yield from reached(t, "headers", [("", {"x-match": "all", "a": None}), ("", {"x-match": "any", "a": None, "b": None})],
                       [("", headers) for headers in (None, {"a": 1}, {"a": None}, {"b": "x"}, {"c": 1}, {"a": {"deep": 1}})])


@case
def headers_by_type(t: Trial):
    values = [1, Typed("l", 1), Typed("b", 1), Typed("s", 1), Typed("B", 1), Typed("u", 1), Typed("i", 1), 1.0, Typed("f", 1.0), "1", True, Typed("x", "1"),
              Typed("T", 1), [1], {"k": 1}, Typed("D", (0, 1))]
    yield from reached(t, "headers", [("", {"x-match": "all", "a": value}) for value in values],
                       [("", {"a": value}) for value in values])


@case
def headers_ignore_the_key(t: Trial):
    yield from reached(t, "headers", [("k", {"x-match": "all", "a": 1})], [("other", {"a": 1}), ("k", {"a": 2}), ("k", None)])


@case
def headers_x_match_wrong(t: Trial):
    for label, value in [("some", "some"), ("a number", 1), ("upper case", "ALL"), ("nothing", None)]:
        channel = t.channel()
        exchange, queue = t.exchange(channel, f"x {label}", "headers"), t.queue(channel, f"q {label}")
        yield label, channel.call("queue.bind", queue=queue, exchange=exchange, arguments={"x-match": value, "a": 1})


@case
def alternate_exchange(t: Trial):
    channel = t.channel(confirm=True)
    last = t.exchange(channel, "last", "fanout")
    middle = t.exchange(channel, "middle", "direct", {"alternate-exchange": last})
    first = t.exchange(channel, "first", "topic", {"alternate-exchange": middle})
    queues = {}
    for exchange, key in ((last, ""), (middle, "m"), (first, "f.#")):
        queues[key] = t.queue(channel, f"q-{key}")
        channel.call("queue.bind", queue=queues[key], exchange=exchange, routing_key=key)
    for key in ("f.x", "m", "other"):
        channel.publish(first, key, key, mandatory=True)
        yield f"{key}: answer", channel.next()
    for key, queue in queues.items():
        yield f"queue of {key!r}", t.drain(channel, queue)


@case
def alternate_exchange_takes_nothing(t: Trial):
    channel = t.channel(confirm=True)
    empty = t.exchange(channel, "empty", "fanout")
    first = t.exchange(channel, "first", "direct", {"alternate-exchange": empty})
    channel.publish(first, "k", "m", mandatory=True)
    yield "mandatory", channel.take(2)


@case
def alternate_exchange_is_not_there(t: Trial):
    channel = t.channel(confirm=True)
    first = t.exchange(channel, "first", "direct", {"alternate-exchange": t.name("none")})
    channel.publish(first, "k", "m", mandatory=True)
    yield "mandatory", channel.take(2)
    channel.publish(first, "k", "m")
    yield "not mandatory", channel.take(1)


@case
def alternate_exchanges_in_a_circle(t: Trial):
    channel = t.channel(confirm=True)
    one, other = t.name("one"), t.name("other")
    for name, next in ((one, other), (other, one)):
        channel.call("exchange.declare", exchange=name, type="direct", durable=True, arguments={"alternate-exchange": next})
    channel.publish(one, "k", "m", mandatory=True)
    yield "mandatory", channel.take(2)


@case
def alternate_exchange_wrong(t: Trial):
    for label, value in [("a number", 5), ("a table", {}), ("nothing", None), ("empty", "")]:
        yield label, t.channel().call("exchange.declare", exchange=t.name(f"x {label}"), type="direct",
                                      arguments={"alternate-exchange": value})


@case
def alternate_exchange_is_internal(t: Trial):
    channel = t.channel(confirm=True)
    inner, queue = t.exchange(channel, "inner", "fanout", internal=True), t.queue(channel)
    first = t.exchange(channel, "first", "direct", {"alternate-exchange": inner})
    channel.call("queue.bind", queue=queue, exchange=inner)
    channel.publish(first, "k", "m", mandatory=True)
    yield "answer", channel.next()
    yield "message", t.drain(channel, queue)


@case
def alternate_exchange_of_one_bound_to(t: Trial):
    channel = t.channel(confirm=True)
    spare, queue = t.exchange(channel, "spare", "fanout"), t.queue(channel)
    inner = t.exchange(channel, "inner", "direct", {"alternate-exchange": spare})
    outer = t.exchange(channel, "outer", "fanout")
    channel.call("exchange.bind", source=outer, destination=inner)
    channel.call("queue.bind", queue=queue, exchange=spare)
    channel.publish(outer, "k", "m", mandatory=True)
    yield "answer", channel.next()
    yield "message", t.bodies(channel, queue)


@case
def consistent_hash(t: Trial):
    channel = t.channel(confirm=True)
    exchange = t.exchange(channel, kind="x-consistent-hash")
    queues = [t.queue(channel, f"q{number}") for number in range(4)]
    for queue in queues:
        yield "bind", channel.call("queue.bind", queue=queue, exchange=exchange, routing_key="10")
    for number in range(400):
        channel.publish(exchange, f"key-{number % 100}", f"{number % 100}")
    while (event := channel.next(timeout=5)) and not (event.name == "basic.ack" and event.delivery_tag == 400):
        pass
    found = [t.bodies(channel, queue) for queue in queues]
    yield "all arrived once", sum(len(bodies) for bodies in found)
    yield "a key goes to one queue", all(
        sum(str(key) in bodies for bodies in found) == 1 for key in range(100))
    yield "each has some", all(len(bodies) > 20 for bodies in found)


@case
def consistent_hash_weights(t: Trial):
    for label, weight in [("word", "heavy"), ("negative", "-1"), ("zero", "0"), ("empty", "")]:
        channel = t.channel()
        exchange, queue = t.exchange(channel, f"x {label}", "x-consistent-hash"), t.queue(channel, f"q {label}")
        yield label, channel.call("queue.bind", queue=queue, exchange=exchange, routing_key=weight)


@case
def consistent_hash_on_a_header(t: Trial):
    for label, arguments, properties in [
            ("header", {"hash-header": "who"}, [{"headers": {"who": "a"}}, {"headers": {"who": "b"}}, {}]),
            ("message-id", {"hash-property": "message_id"}, [{"message_id": "a"}, {"message_id": "b"}, {}]),
            ("correlation-id", {"hash-property": "correlation_id"}, [{"correlation_id": "a"}, {}]),
            ("timestamp", {"hash-property": "timestamp"}, [{"timestamp": 5}, {}])]:
        channel = t.channel(confirm=True)
        exchange = t.exchange(channel, f"x {label}", "x-consistent-hash", arguments)
        queues = [t.queue(channel, f"q {label} {number}") for number in range(2)]
        for queue in queues:
            channel.call("queue.bind", queue=queue, exchange=exchange, routing_key="1")
        for at, how in enumerate(properties * 3):
            t.put(channel, str(at), str(at % len(properties)), exchange=exchange, **how)
        found = [t.bodies(channel, queue) for queue in queues]
        yield f"{label}: the same go together", all(
            sum(str(at) in bodies for bodies in found) == 1 for at in range(len(properties)))
        yield f"{label}: all arrived", sum(map(len, found))


@case
def consistent_hash_arguments_wrong(t: Trial):
    for label, arguments in [("both", {"hash-header": "a", "hash-property": "message_id"}),
                             ("unknown property", {"hash-property": "priority"})]:
        yield label, t.channel().call("exchange.declare", exchange=t.name(f"x {label}"), type="x-consistent-hash",
                                      arguments=arguments)
