"""Direct reply-to, and requests and answers by ordinary queues."""

from trial import Trial, case

REPLIES = "amq.rabbitmq.reply-to"


@case
def there_and_back(t: Trial):
    client, server = t.channel(), t.channel()
    queue = t.queue(server)
    server.call("basic.consume", queue=queue, consumer_tag="server", no_ack=True)
    yield "consume", client.call("basic.consume", queue=REPLIES, consumer_tag="replies", no_ack=True)
    for number in range(2):
        client.publish("", queue, f"request {number}", reply_to=REPLIES, correlation_id=str(number))
        request = server.next()
        yield "its own name", [request.properties["reply_to"] != REPLIES, request.properties["reply_to"].startswith(REPLIES + ".")]
        server.publish("", request.properties["reply_to"], f"answer {number}", correlation_id=request.properties["correlation_id"])
        answer = client.next()
        yield "answer", [answer.name, answer.consumer_tag, answer.delivery_tag, answer.redelivered, answer.exchange, answer.body.decode(),
                         answer.properties]


@case
def needs_no_ack(t: Trial):
    yield "closed", t.channel().call("basic.consume", queue=REPLIES, consumer_tag="replies")


@case
def consumed_twice(t: Trial):
    channel = t.channel()
    channel.call("basic.consume", queue=REPLIES, consumer_tag="one", no_ack=True)
    yield "closed", channel.call("basic.consume", queue=REPLIES, consumer_tag="two", no_ack=True)


@case
def publishing_without_consuming(t: Trial):
    channel = t.channel(confirm=True)
    channel.publish("", t.queue(channel), "x", reply_to=REPLIES)
    yield "closed", channel.next()


@case
def declared(t: Trial):
    channel = t.channel()
    yield "when nobody consumes", t.channel().call("queue.declare", queue=REPLIES, passive=True)
    channel.call("basic.consume", queue=REPLIES, consumer_tag="one", no_ack=True)
    yield "when the channel consumes", channel.call("queue.declare", queue=REPLIES)
    yield "of a channel that is gone", t.channel().call("queue.declare", queue=REPLIES + ".nonsense", passive=True)


@case
def is_the_client_there(t: Trial):
    client, server = t.channel(), t.channel()
    queue = t.queue(server)
    client.call("basic.consume", queue=REPLIES, consumer_tag="replies", no_ack=True)
    client.publish("", queue, "x", reply_to=REPLIES)
    t.until_count(server, queue, 1)
    name = server.call("basic.get", queue=queue, no_ack=True).properties["reply_to"]
    event = server.call("queue.declare", queue=name, passive=True)
    yield "there", [event.name, event.arguments.get("message_count"), event.arguments.get("consumer_count")]
    client.connection.close()
    gone = t.eventually(lambda: (lambda e: e.reply_code if e.name == "channel.close" else None)(
        t.channel().call("queue.declare", queue=name, passive=True)))
    yield "gone", gone


@case
def answer_to_one_that_is_gone(t: Trial):
    client, server = t.channel(), t.channel(confirm=True)
    queue = t.queue(server)
    client.call("basic.consume", queue=REPLIES, consumer_tag="replies", no_ack=True)
    client.publish("", queue, "x", reply_to=REPLIES)
    t.until_count(server, queue, 1)
    name = server.call("basic.get", queue=queue, no_ack=True).properties["reply_to"]
    client.connection.close()
    t.eventually(lambda: t.channel().call("queue.declare", queue=name, passive=True).name == "channel.close")
    server.publish("", name, "late", mandatory=True)
    yield "mandatory", [[e.name, e.arguments.get("reply_code")] for e in server.take(2, 3)]


@case
def answer_with_confirm(t: Trial):
    client, server = t.channel(), t.channel(confirm=True)
    queue = t.queue(server)
    client.call("basic.consume", queue=REPLIES, consumer_tag="replies", no_ack=True)
    client.publish("", queue, "x", reply_to=REPLIES)
    t.until_count(server, queue, 1)
    name = server.call("basic.get", queue=queue, no_ack=True).properties["reply_to"]
    server.publish("", name, "answer", mandatory=True)
    yield "confirm", server.next()
    yield "answer", client.next().body.decode()


@case
def cancelled(t: Trial):
    channel = t.channel(confirm=True)
    channel.call("basic.consume", queue=REPLIES, consumer_tag="replies", no_ack=True)
    yield "cancel", channel.call("basic.cancel", consumer_tag="replies")
    channel.publish("", t.queue(channel), "x", reply_to=REPLIES)
    yield "publishing then", channel.next()


@case
def other_methods(t: Trial):
    for method in ("basic.get", "queue.purge", "queue.delete"):
        yield method, t.channel().call(method, queue=REPLIES)
    yield "bind", t.channel().call("queue.bind", queue=REPLIES, exchange="amq.direct", routing_key="k")


@case
def by_ordinary_queues(t: Trial):
    client, server = t.channel(), t.channel()
    requests = t.queue(server)
    answers = client.call("queue.declare", exclusive=True).queue
    client.call("basic.consume", queue=answers, consumer_tag="answers", no_ack=True)
    server.call("basic.consume", queue=requests, consumer_tag="requests")
    client.publish("", requests, "ping", reply_to=answers, correlation_id="7")
    request = server.next()
    server.publish("", request.properties["reply_to"], "pong", correlation_id="7")
    server.send("basic.ack", delivery_tag=request.delivery_tag)
    yield "answer", client.next()
