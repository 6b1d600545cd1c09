"""kombu (with py-amqp) at work: see README.md."""

import sys

from kombu import Connection, Consumer, Queue

from checks import Checks, body


def publish(uri: str, queue: str, count: int) -> None:
    with Connection(uri, transport_options={"confirm_publish": True}) as connection:
        producer = connection.Producer()
        for number in range(count):
            producer.publish(body(number), routing_key=queue, content_type="text/plain", content_encoding="utf-8",
                             message_id=str(number), headers={"number": number}, delivery_mode=2)
            if number + 1 == count // 2:
                print("half", flush=True)


def consume(uri: str, queue: str, count: int) -> None:
    checks, done = Checks(count), False

    def took(message) -> None:
        nonlocal done
        content = message.body.encode() if isinstance(message.body, str) else message.body
        done = checks.took(content, message.content_type, message.properties["message_id"], message.headers["number"],
                           message.delivery_info["redelivered"])
        message.ack()

    with Connection(uri) as connection:
        with Consumer(connection, [Queue(queue, no_declare=True)], on_message=took, prefetch_count=50):
            while not done:
                connection.drain_events(timeout=60)


what, uri, queue, count = sys.argv[1:]
{"publish": publish, "consume": consume}[what](uri, queue, int(count))
