"""How fast a shovel moves 1 KiB messages between two durable queues of one broker,
beside what a publisher and a consumer of their own reach there: Warren (three
nodes, three replicas) and, if it is given, RabbitMQ with its shovel.

    shovel.py WARREN [--amqp URI --http URI] [--messages N]

The RabbitMQ broker needs the plugins rabbitmq_management and rabbitmq_shovel.
"""

import argparse
import json
import os
import pathlib
import subprocess
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).parent.parent / "pika"))

BODY = b"x" * 1024


def length(connection, queue: str) -> int:
    return connection.channel().queue_declare(queue, passive=True).method.message_count


def measure(parameters, count: int, start) -> float:
    """Messages a second of the shovel that `start` sets up from speed.a to speed.b."""
    import pika
    with pika.BlockingConnection(parameters) as connection:
        channel = connection.channel()
        for queue in ("speed.a", "speed.b"):
            channel.queue_declare(queue, durable=True)
            channel.queue_purge(queue)
        for _ in range(count):
            channel.basic_publish("", "speed.a", BODY, pika.BasicProperties(delivery_mode=2))
        while length(connection, "speed.a") < count:
            time.sleep(0.05)
        start()
        began = None
        while (there := length(connection, "speed.b")) < count:
            # From the first messages on: setting up is not moving.
            if there and began is None:
                began, first = time.monotonic(), there
            time.sleep(0.01)
        return (count - first) / (time.monotonic() - began)


def bench(warren: str, uri: str) -> float:
    done = subprocess.run([warren, "bench", "--uri", uri, "--size", "1024", "--duration", "5s", "--json"],
                          check=True, capture_output=True, text=True)
    return json.loads(done.stdout)["deliver_rate"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("warren")
    parser.add_argument("--amqp", help="RabbitMQ")
    parser.add_argument("--http", help="RabbitMQ's management API")
    parser.add_argument("--messages", type=int, default=100_000)
    options = parser.parse_args()
    os.environ["WARREN"] = options.warren
    import pika
    from cluster import Cluster
    from migrate import ask
    from shovel import add
    shovel = {"src-queue": "speed.a", "dest-queue": "speed.b", "ack-mode": "on-confirm", "src-prefetch-count": 1000}
    with Cluster() as cluster:
        node = cluster.nodes[0]
        uri = f"amqp://guest:guest@{node.host}:{node.port}"
        plain = bench(options.warren, uri)
        moved = measure(node.parameters(), options.messages, lambda: add(node, "speed", **shovel))
        print(f"Warren: a publisher and a consumer {plain:,.0f}/s, a shovel {moved:,.0f}/s: {moved / plain:.0%}")
    if options.amqp:
        plain = bench(options.warren, options.amqp)
        value = {**shovel, "src-uri": "amqp://", "dest-uri": "amqp://"}
        set_up = lambda: ask(options.http, "PUT", "/api/parameters/shovel/%2f/speed", {"value": value})
        moved = measure(pika.URLParameters(options.amqp), options.messages, set_up)
        ask(options.http, "DELETE", "/api/parameters/shovel/%2f/speed")
        print(f"RabbitMQ: a publisher and a consumer {plain:,.0f}/s, a shovel {moved:,.0f}/s: {moved / plain:.0%}")


if __name__ == "__main__":
    main()
