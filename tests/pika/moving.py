"""Messages that move on by themselves, while nodes are killed: the dead along a
chain of queues led by three nodes, the delayed to where they were published.

    moving.py --messages 10000
    moving.py --messages 10000 --data data/cluster
"""

import argparse
import collections
import threading
import time

import pika

from cluster import Cluster, eventually, in_sync

PERSISTENT = pika.BasicProperties(delivery_mode=2)
ROOM = "x-delayed-message:later"


def channel(node) -> pika.adapters.blocking_connection.BlockingChannel:
    """A channel of a connection of its own, as soon as the node takes one."""

    def connect():
        try:
            return pika.BlockingConnection(node.parameters(heartbeat=30))
        except pika.exceptions.AMQPConnectionError:
            return None

    return eventually(f"connected to {node.name}", connect).channel()


def declare(node, queue: str, **arguments) -> None:
    """Declares a mirrored queue that this node leads, and waits for its mirrors."""
    arguments = {name.replace("_", "-"): value for name, value in arguments.items()}
    arguments["x-queue-leader-locator"] = "client-local"
    with channel(node).connection as connection:
        connection.channel().queue_declare(queue, durable=True, arguments=arguments)
    eventually(f"{queue} in sync", in_sync(node, queue, 3))
    leader = node.queue(queue)["leader"]
    assert leader == node.name, f"{queue} is led by {leader}"


class Drain(threading.Thread):
    """Consumes a queue: what came and when, by its text; acknowledged or rejected."""

    def __init__(self, node, queue: str, reject: bool = False):
        super().__init__(daemon=True)
        self.node, self.queue, self.reject = node, queue, reject
        self.came: dict[str, list] = collections.defaultdict(list)
        self.ended = threading.Event()
        self.start()

    def run(self):
        while not self.ended.is_set():
            try:
                source = channel(self.node)
                source.basic_qos(prefetch_count=500)
                for method, properties, body in source.consume(self.queue, inactivity_timeout=0.2):
                    if self.ended.is_set():
                        source.connection.close()
                        return
                    if method is None:
                        continue
                    self.came[body.decode()].append((time.time(), properties))
                    if self.reject:
                        source.basic_reject(method.delivery_tag, requeue=False)
                    else:
                        source.basic_ack(method.delivery_tag)
            except pika.exceptions.AMQPError:
                time.sleep(0.2)

    def end(self):
        self.ended.set()
        self.join(10)


def publish(node, exchange: str, key: str, messages) -> None:
    """Publishes (text, properties) and waits until all are confirmed."""
    target = channel(node)
    target.confirm_delivery()
    for text, properties in messages:
        target.basic_publish(exchange, key, text.encode(), properties)
    target.connection.close()


def chain_of_the_dead(cluster: Cluster, messages: int) -> None:
    """first: rejected; second: expired; third: kept. The leader of the first is
    killed while its messages are on their way."""
    one, two, three = cluster.nodes
    declare(three, "third")
    declare(two, "second", x_dead_letter_exchange="", x_dead_letter_routing_key="third", x_message_ttl=20)
    declare(one, "first", x_dead_letter_exchange="", x_dead_letter_routing_key="second")
    publish(two, "", "first", ((f"{number:06}", PERSISTENT) for number in range(messages)))

    last = Drain(three, "third")
    rejects = Drain(two, "first", reject=True)
    eventually("a third of them rejected", lambda: len(rejects.came) > messages / 3)
    killed = time.monotonic()
    one.kill()
    eventually("all of them in the third queue", lambda: len(last.came) == messages)
    took = time.monotonic() - killed
    rejects.end()
    last.end()
    doubled = sum(len(times) - 1 for times in last.came.values())
    for text, times in last.came.items():
        _, properties = times[0]
        deaths = [(death["queue"], death["reason"], death["count"]) for death in properties.headers["x-death"]]
        assert deaths == [("second", "expired", 1), ("first", "rejected", 1)], f"{text}: {deaths}"
        assert properties.headers["x-first-death-queue"] == "first"
    print(f"dead letters: {messages} went through two queues, none lost, {doubled} twice; "
          f"the last {took:.1f} s after the leader was killed")
    cluster.run(one)
    eventually("first in sync again", in_sync(two, "first", 3))


def rejected_at_once(cluster: Cluster, messages: int) -> None:
    """All of a queue's messages are rejected by one basic.nack: they are moved on bit by bit,
    so that memory grows by what is under way and not by what waits."""
    one, two, three = cluster.nodes
    size = 4_000
    declare(three, "bin")
    declare(one, "full", x_dead_letter_exchange="", x_dead_letter_routing_key="bin")
    publish(two, "", "full", ((f"{number:06}" + "." * size, PERSISTENT) for number in range(messages)))
    client = channel(two)
    held = 0
    for method, _, _ in client.consume("full"):
        held += 1
        if held == messages:
            break
    before = {node.name: node.rss() for node in cluster.nodes}
    most = dict(before)

    def arrived():
        for node in cluster.nodes:
            most[node.name] = max(most[node.name], node.rss())
        return two.queue("bin")["ready"] == messages

    started = time.monotonic()
    client.basic_nack(method.delivery_tag, multiple=True, requeue=False)
    client.connection.process_data_events()
    eventually("all of them in the other queue", arrived)
    took = time.monotonic() - started
    drain = Drain(two, "bin")
    eventually("each of them", lambda: len(drain.came) == messages)
    drain.end()
    assert all(len(times) == 1 for times in drain.came.values()), "some came twice, and nothing failed"
    grown = max(most[name] - before[name] for name in before)
    print(f"rejected at once: {messages} of {size} bytes moved on in {took:.1f} s, each once; "
          f"no node grew by more than {grown >> 20} MiB")
    assert grown < 128 << 20, f"a node grew by {grown >> 20} MiB"
    client.connection.close()


def delayed(cluster: Cluster, messages: int) -> None:
    """The waiting room's leader is killed, then all nodes are; each message comes
    when it is due and not before."""
    one, two, three = cluster.nodes
    declare(two, "now")
    topology = channel(three)
    topology.exchange_declare("later", "x-delayed-message", durable=True, arguments={"x-delayed-type": "direct"})
    topology.queue_bind("now", "later", "k")
    topology.connection.close()
    eventually("the waiting room in sync", in_sync(two, ROOM, 3))

    due: dict[str, float] = {}
    sink = Drain(two, "now")

    def some(start: int):
        for number in range(start, start + messages):
            text, delay = f"{number:06}", 2000 + (number * 7919) % 58000
            due[text] = time.time() + delay / 1000
            yield text, pika.BasicProperties(delivery_mode=2, headers={"x-delay": delay})

    publish(three, "later", "k", some(0))
    leader = cluster.named(two.queue(ROOM)["leader"])
    leader.kill()
    cluster.run(leader)
    eventually("all nodes in the waiting room again", in_sync(next(n for n in cluster.nodes if n is not leader), ROOM, 3))
    half = len(due) / 2
    eventually("half of them delivered", lambda: len(sink.came) > half)
    for node in cluster.nodes:
        node.kill()
    for node in cluster.nodes:
        cluster.run(node)
    eventually("the waiting room running", in_sync(two, ROOM, 3))
    back = time.time()
    eventually("all of them delivered", lambda: len(sink.came) == len(due))
    sink.end()
    late = []
    for text, times in sink.came.items():
        early = due[text] - times[0][0]
        assert early < 0.05, f"{text} came {early:.3f} s too early"
        assert times[0][1].headers["x-delay"] < 0, f"{text}: {times[0][1].headers}"
        if due[text] > back:
            late.append(-early)
    doubled = sum(len(times) - 1 for times in sink.came.values())
    assert late, "nothing was due after the restart"
    assert max(late) < 3, f"{max(late):.1f} s late"
    print(f"delayed: {len(due)} came when due, none lost, none early, {doubled} twice; "
          f"{len(late)} of them after all nodes were killed, at most {max(late):.2f} s late")


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--messages", type=int, default=10_000)
    arguments.add_argument("--data", help="the folder of a cluster that runs already")
    arguments.add_argument("--only", choices=["dead", "rejected", "delayed"])
    chosen = arguments.parse_args()
    with Cluster(chosen.data) as cluster:
        if chosen.only in (None, "dead"):
            chain_of_the_dead(cluster, chosen.messages)
        if chosen.only in (None, "rejected"):
            rejected_at_once(cluster, 10_000)
        if chosen.only in (None, "delayed"):
            delayed(cluster, max(chosen.messages // 20, 100))


if __name__ == "__main__":
    main()
