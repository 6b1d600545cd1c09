"""What a user may do: configure, write, read, and topics."""

from trial import Trial, case


@case
def of_queues(t: Trial):
    guest = t.channel()
    mine, theirs = t.queue(guest, "limited-q"), t.queue(guest, "other")
    user = {"user": "limited", "password": "limited"}
    yield "declare", t.channel(**user).call("queue.declare", queue=t.name("limited-new"))
    yield "declare another", t.channel(**user).call("queue.declare", queue=t.name("new"))
    yield "declare another passively", t.channel(**user).call("queue.declare", queue=theirs, passive=True)
    yield "declare what is there", t.channel(**user).call("queue.declare", queue=theirs, durable=True)
    for label, method, how in [
            ("delete", "queue.delete", {}), ("purge", "queue.purge", {}), ("consume", "basic.consume", {}), ("get", "basic.get", {})]:
        yield f"{label} another", t.channel(**user).call(method, queue=theirs, **how)
        yield label, t.channel(**user).call(method, queue=mine, **how) if method != "queue.delete" else None
    yield "server-named", t.channel(**user).call("queue.declare", exclusive=True)


@case
def of_exchanges(t: Trial):
    guest = t.channel()
    mine, theirs, queue = t.exchange(guest, "limited-x"), t.exchange(guest, "x"), t.queue(guest, "limited-q")
    user = {"user": "limited", "password": "limited"}
    yield "declare", t.channel(**user).call("exchange.declare", exchange=t.name("limited-new"), type="direct")
    yield "declare another", t.channel(**user).call("exchange.declare", exchange=t.name("new"), type="direct")
    yield "delete another", t.channel(**user).call("exchange.delete", exchange=theirs)
    yield "bind", t.channel(**user).call("queue.bind", queue=queue, exchange=mine, routing_key="k")
    yield "bind to another", t.channel(**user).call("queue.bind", queue=queue, exchange=theirs, routing_key="k")
    yield "unbind from another", t.channel(**user).call("queue.unbind", queue=queue, exchange=theirs, routing_key="k")
    yield "bind exchanges", t.channel(**user).call("exchange.bind", source=theirs, destination=mine)
    yield "bind exchanges the other way", t.channel(**user).call("exchange.bind", source=mine, destination=theirs)
    for label, exchange in (("publish", mine), ("publish to another", theirs), ("publish to the default", "")):
        channel = t.channel(confirm=True, **user)
        channel.publish(exchange, "k", "x")
        yield label, channel.next()


@case
def of_alternate_and_dead_letter_exchanges(t: Trial):
    guest = t.channel()
    theirs = t.exchange(guest, "x")
    user = {"user": "limited", "password": "limited"}
    yield "alternate exchange", t.channel(**user).call(
        "exchange.declare", exchange=t.name("limited-a"), type="direct", arguments={"alternate-exchange": theirs})
    yield "dead-letter exchange", t.channel(**user).call(
        "queue.declare", queue=t.name("limited-b"), arguments={"x-dead-letter-exchange": theirs})
    yield "own alternate exchange", t.channel(**user).call(
        "exchange.declare", exchange=t.name("limited-c"), type="direct", arguments={"alternate-exchange": t.name("limited-x")})


@case
def of_a_reader(t: Trial):
    guest = t.channel(confirm=True)
    queue = t.queue(guest)
    t.put(guest, queue, "x")
    user = {"user": "reader", "password": "reader"}
    yield "get", t.channel(**user).call("basic.get", queue=queue, no_ack=True)
    yield "passive", t.channel(**user).call("queue.declare", queue=queue, passive=True)
    yield "declare", t.channel(**user).call("queue.declare", queue=t.name("new"))
    channel = t.channel(**user)
    channel.publish("amq.direct", "k", "x")
    yield "publish", channel.next()
    yield "reserved name first", t.channel(**user).call("queue.declare", queue="amq.x")


@case
def of_topics(t: Trial):
    queue = t.queue(t.channel())
    user = {"user": "topical", "password": "topical"}
    for key in ("mine.a", "yours.a"):
        channel = t.channel(confirm=True, **user)
        channel.publish("amq.topic", key, "x")
        yield f"publish {key}", channel.next()
        yield f"bind {key}", t.channel(**user).call("queue.bind", queue=queue, exchange="amq.topic", routing_key=key)
        channel = t.channel(confirm=True, **user)
        channel.publish("amq.direct", key, "x")
        yield f"publish {key} to a direct exchange", channel.next()


@case
def mandatory_does_not_matter(t: Trial):
    channel = t.channel(user="reader", password="reader", confirm=True)
    channel.publish("amq.fanout", "", "x", mandatory=True)
    yield "closed", channel.next()
