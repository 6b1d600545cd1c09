"""Two clusters that share a queue (deploy/sites-queues.toml as written), under load at both,
with consumers at the one and then at the other: the network between them is cut
while messages move, a leader is killed at each meanwhile, and it is healed. Every
confirmed message must be handed out exactly once over both sites. Then one site is
drained, and at last one is lost for good.

By hand, with a minute without a network:

    site_queues.py --cut 60 --rate 500
"""

import argparse
import collections
import contextlib
import json
import os
import pathlib
import subprocess
import sys
import tempfile
import threading
import time
import tomllib

import pika

import sites
from cluster import WARREN, Cluster, Node, eventually
from sites import PERSISTENT, Road, ask, kill_leader, status, warren

QUEUE = "jobs.x"

# One file for both sites.
SAMPLE = (pathlib.Path(__file__).parents[2] / "deploy/sites-queues.toml").read_text()
PREFETCH = tomllib.loads(SAMPLE)["policy"][0]["multi-active"]["prefetch"]


def policy(roads: dict[str, list[Road]]) -> str:
    """The sample as written, but for the ports."""
    text = SAMPLE
    for site in tomllib.loads(SAMPLE)["policy"][0]["multi-active"]["sites"]:
        for uri, road in zip(site["uri"], roads[site["name"]], strict=True):
            text = text.replace(json.dumps(uri), f'"amqp://127.0.0.1:{road.port}"')
    return text


class Deaf(Road):
    """A road on which the site hears nothing any more, if it is so wished, before it
    is cut: what it has sent arrives, and it cannot know."""

    def __init__(self, node: Node):
        self.deaf = False
        super().__init__(node)

    def carry(self, one, other) -> None:
        if other.getpeername()[1] == self.node.port:
            other = Swallows(self, other)
        super().carry(one, other)

    def heal(self) -> None:
        self.deaf = False
        super().heal()


class Swallows:
    """What goes to a node, unless it is deaf."""

    def __init__(self, road: Deaf, socket):
        self.road, self.socket, self.shutdown = road, socket, socket.shutdown

    def sendall(self, octets: bytes) -> None:
        if not self.road.deaf:
            self.socket.sendall(octets)


class Publisher(sites.Publisher):
    """To the queue, not to an exchange."""

    def publish(self, channel) -> None:
        channel.confirm_delivery()
        while not self.over.is_set():
            number = self.tried
            self.tried += 1
            channel.basic_publish("", QUEUE, f"{self.name} {number}".encode(), PERSISTENT)
            self.confirmed.add(number)
            time.sleep(self.pause)


class Consumer(threading.Thread):
    """Takes what comes at a site, through a node that is not killed, and acknowledges it."""

    def __init__(self, node: Node, taken: list[bytes], prefetch: int = 50):
        super().__init__(daemon=True)
        self.node, self.taken, self.prefetch = node, taken, prefetch
        self.over, self.failed = threading.Event(), None
        self.start()

    def run(self) -> None:
        try:
            with pika.BlockingConnection(self.node.parameters()) as connection:
                channel = connection.channel()
                channel.basic_qos(prefetch_count=self.prefetch)
                for method, properties, body in channel.consume(QUEUE, inactivity_timeout=0.2):
                    if method is not None:
                        assert properties.headers == {"kept": True}, properties
                        self.taken.append(body)
                        channel.basic_ack(method.delivery_tag)
                    if self.over.is_set():
                        break
                channel.cancel()  # What came and was not taken goes back.
        except Exception as error:
            self.failed = error

    def stop(self) -> None:
        self.over.set()
        self.join(60)
        assert self.failed is None, self.failed


def beside_the_leader(site: Cluster) -> Node:
    leader = eventually("led", lambda: (ask(site, QUEUE) or {}).get("leader"))
    return next(node for node in site.nodes if node.name != leader)


def linked(site: Cluster):
    """For `eventually`: the site's link is with the other."""
    return lambda: all(link["state"] in ("running", "idle") for link in status(site)["inbound"]) and status(site)["inbound"]


def consigned(site: Cluster) -> int:
    return sum(out["lag"] for out in status(site)["outbound"])


def left(site: Cluster) -> int | None:
    queue = ask(site, QUEUE)
    return queue["ready"] + queue["unacked"] if queue and queue["state"] == "running" else None


def account(taken: dict[str, list[bytes]], publishers: list[Publisher]) -> None:
    counts = collections.Counter(body for bodies in taken.values() for body in bodies)
    doubled = [body for body, times in counts.items() if times > 1]
    assert not doubled, f"{len(doubled)} messages more than once, such as {doubled[0]}"
    for publisher in publishers:
        seen = {int(body.split()[1]) for body in counts if body.split()[0] == publisher.name.encode()}
        lost = publisher.confirmed - seen
        assert not lost, f"{len(lost)} confirmed messages of {publisher.name} came nowhere, such as {min(lost)}"


def moved(taken: list[bytes], name: str):
    """For `eventually`: something more of that site's has come."""
    before = len(taken)
    return lambda: any(body.startswith(name.encode()) for body in taken[before:])


def cut_with_much_on_its_way(a: Cluster, b: Cluster, roads: list[Deaf], taken: list[bytes], name: str) -> bool:
    """Cuts the roads while a has much that b does not know of; unless a's link happens
    to want nothing at the moment: then they are whole again."""
    for road in roads:
        road.deaf = True
    with contextlib.suppress(TimeoutError):
        eventually("much is at a, and b does not know", lambda: consigned(b) >= PREFETCH, 4)
        for road in roads:
            road.cut()
        return True
    for road in roads:
        road.cut()
        road.heal()
    eventually("linked", linked(a))
    eventually("moved from b to a", moved(taken, name))
    return False


def under_load(a: Cluster, b: Cluster, roads: list[Deaf], cut: float, rate: float) -> None:
    publishers = [Publisher(a, "a", rate), Publisher(b, "b", rate)]
    taken: dict[str, list[bytes]] = {"a": [], "b": []}
    for publisher in publishers:
        publisher.start()
    at_a = Consumer(beside_the_leader(a), taken["a"])
    eventually("moved from b to a", moved(taken["a"], "b"))
    # The work moves to the other site, and so do the messages.
    at_a.stop()
    at_b = Consumer(beside_the_leader(b), taken["b"])
    eventually("moved from a to b", moved(taken["b"], "a"))
    at_b.stop()
    at_a = Consumer(beside_the_leader(a), taken["a"])
    eventually("moved from b to a again", moved(taken["a"], "b"))
    while not cut_with_much_on_its_way(a, b, roads, taken["a"], "b"):
        pass
    kill_leader(a, QUEUE)
    kill_leader(b, QUEUE)
    # What has been consigned to a is not for consumers at b, who get all the rest.
    at_b = Consumer(beside_the_leader(b), taken["b"])
    time.sleep(cut)
    eventually("work goes on at a", moved(taken["a"], "a"))
    eventually("work goes on at b", moved(taken["b"], "b"))
    stuck = consigned(b)
    assert stuck == PREFETCH, f"{stuck} are consigned"
    for road in roads:
        road.heal()
    eventually("linked again", linked(a), 120)
    eventually("b knows", lambda: consigned(b) < PREFETCH, 120)
    for publisher in publishers:
        publisher.over.set()
    for publisher in publishers:
        publisher.join(60)
    eventually("all taken", lambda: left(a) == 0 and left(b) == 0, 120)
    at_a.stop()
    at_b.stop()
    account(taken, publishers)
    said = ", ".join(f"{len(p.confirmed)} of {p.tried} at {p.name}" for p in publishers)
    crossed = sum(body.startswith(b"b") for body in taken["a"]), sum(body.startswith(b"a") for body in taken["b"])
    print(
        f"cut for {cut:.0f} s with {stuck} consigned, leaders killed at both: confirmed {said}; each taken once; "
        f"{crossed[0]} moved to a, {crossed[1]} to b"
    )


def publish(site: Cluster, name: str, count: int) -> list[bytes]:
    bodies = [f"{name} {number}".encode() for number in range(count)]
    with pika.BlockingConnection(site.nodes[0].parameters()) as connection:
        channel = connection.channel()
        channel.confirm_delivery()
        for body in bodies:
            channel.basic_publish("", QUEUE, body, PERSISTENT)
    return bodies


def drained(a: Cluster, b: Cluster) -> None:
    """Everything leaves a site that is drained, though nobody waits for it elsewhere."""
    for site in (a, b):
        # A link looks a few times a second whether somebody waits.
        eventually("nobody waits", lambda: all(link["state"] == "idle" for link in status(site)["inbound"]))
    bodies = publish(a, "drained", 500)
    time.sleep(1)  # What must not come has no sign of its own.
    assert left(a) == 500 and left(b) == 0, "messages stay where they are while nobody waits"
    warren(a.nodes[1], "site", "drain")
    eventually("drained", lambda: a.nodes[2].get("/api/sites")["state"] == "drained", 60)
    assert left(b) == 500, left(b)
    warren(a.nodes[1], "site", "undrain")
    taken: list[bytes] = []
    eventually("clients again", lambda: takes_clients(a))
    at_a = Consumer(a.nodes[0], taken)
    eventually("moved back", lambda: len(taken) >= 500, 60)
    at_a.stop()
    assert sorted(taken) == sorted(bodies)
    print("a drained site gives all that it has to the other, and takes it back when consumers wait")


def takes_clients(site: Cluster) -> bool:
    with contextlib.suppress(pika.exceptions.AMQPError):
        pika.BlockingConnection(site.nodes[0].parameters()).close()
        return True
    return False


def lost(a: Cluster, b: Cluster, roads: list[Deaf], rate: float) -> None:
    """What a site had when it was lost is for others once it is given up."""
    publisher, taken = Publisher(b, "lost", rate), []
    publisher.start()
    at_a = Consumer(a.nodes[0], taken)
    eventually("moving", moved(taken, "lost"))
    refused = subprocess.run([WARREN, "site", "reclaim", "berlin", "--node", b.nodes[0].http], capture_output=True, text=True)
    assert refused.returncode and "is not lost" in refused.stderr, refused
    while not cut_with_much_on_its_way(a, b, roads, taken, "lost"):
        pass
    publisher.over.set()
    for node in a.nodes:
        node.kill()
    at_a.over.set()
    eventually("its link is gone", lambda: not any(out["connected"] for out in status(b)["outbound"]))
    rest: list[bytes] = []
    at_b = Consumer(b.nodes[1], rest)
    eventually("all but those are taken", lambda: left(b) == PREFETCH)
    assert f"{PREFETCH} messages" in warren(b.nodes[0], "site", "reclaim", "berlin")
    eventually("all taken", lambda: left(b) == 0)
    at_b.stop()
    publisher.join(60)
    assert len(rest) == len(set(rest)), "a message came twice at one site"
    twice = set(rest) & set(taken)
    assert {f"lost {number}".encode() for number in publisher.confirmed} <= set(rest) | set(taken)
    print(f"a lost site had {PREFETCH} messages, which are taken back; it had handed out {len(twice)} of them")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cut", type=float, default=3, help="seconds without a network")
    parser.add_argument("--rate", type=float, default=200, help="messages a second at each site")
    options = parser.parse_args()
    # What the nodes that are started below log in with at the other site.
    os.environ["SITES"] = "guest:guest"
    with Cluster(name="berlin") as a, Cluster(name="paris") as b, tempfile.TemporaryDirectory() as folder:
        roads = {name: [Deaf(node) for node in site.nodes] for name, site in (("berlin", a), ("paris", b))}
        file = pathlib.Path(folder) / "sites-queues.toml"
        file.write_text(policy(roads))
        for here in (a, b):
            warren(here.nodes[0], "policy", "apply", str(file))
            with pika.BlockingConnection(here.nodes[0].parameters()) as connection:
                connection.channel().queue_declare(QUEUE, durable=True)
        for site in (a, b):
            eventually("linked", linked(site))
        every = [road for of_site in roads.values() for road in of_site]
        under_load(a, b, every, options.cut, options.rate)
        drained(a, b)
        lost(a, b, every, options.rate)
        for road in every:
            road.close()


if __name__ == "__main__":
    sys.exit(main())
