"""Publishers that are held back when memory runs out. It changes something for all."""

from trial import Trial, case

@case(alone=True)
def told_and_held(t: Trial):
    publisher, consumer, old = t.channel(0, confirm=True), t.channel(1), t.channel(1, confirm=True, properties={})
    queue = t.queue(publisher)
    t.put(publisher, queue, "before")
    try:
        t.broker.alarm(True)

        # A broker may tell only those that publish, and takes what is on its way.
        def told():
            publisher.publish("", queue, "on its way")
            return publisher.connection.wait("connection.blocked", timeout=0.2)

        event = t.eventually(told)
        yield "told", event and event.name
        publisher.quiet(1)
        publisher.publish("", queue, "held")
        old.publish("", queue, "held, too")
        yield "no confirm", publisher.quiet()
        yield "without the capability just held", old.quiet()
        event = consumer.call("basic.get", queue=queue, no_ack=True)
        yield "consumers go on", [event.name, event.body.decode()]
    finally:
        t.broker.alarm(False)
    yield "told that it is over", publisher.connection.wait("connection.unblocked")
    yield "confirmed", [event and event.name for event in (publisher.next(), old.next())]
    t.eventually(lambda: not publisher.quiet(0.2))
    yield "all came", sorted(body for body in t.bodies(consumer, queue) if body != "on its way")
