"""Publishers that are held back when memory runs out. It changes something for all."""

from trial import Trial, case

@case(alone=True)
def told_and_held(t: Trial):
    publisher, consumer, old = t.channel(0, confirm=True), t.channel(1), t.channel(1, confirm=True, properties={})
    queue = t.queue(publisher)
    t.put(publisher, queue, "before")
    try:
        t.broker.alarm(True)
        # Those that have published before are told at once, or with the next message.
        publisher.publish("", queue, "held")
        told = publisher.connection.wait("connection.blocked", timeout=30)
        yield "told", told and told.name
        yield "no confirm", publisher.quiet()
        old.publish("", queue, "held, too")
        yield "without the capability just held", old.quiet()
        yield "consumers go on", consumer.call("basic.get", queue=queue, no_ack=True)
    finally:
        t.broker.alarm(False)
    yield "told that it is over", publisher.connection.wait("connection.unblocked", timeout=30)
    yield "confirmed", [publisher.next(), old.next()]
    yield "both came", len(t.bodies(consumer, queue))
