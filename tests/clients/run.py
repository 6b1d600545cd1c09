"""Real clients at work on a cluster of three nodes: see README.md. Usage: run.py BUILT
[NAME...], with the folder where run.sh built what has to be built; names choose clients."""

import os
import pathlib
import socket
import subprocess
import sys
import threading
import time

HERE = pathlib.Path(__file__).parent
sys.path.insert(0, str(HERE.parent / "pika"))

import pika  # noqa: E402
from cluster import Cluster, eventually, in_sync  # noqa: E402

BUILT = pathlib.Path(sys.argv[1])
COUNT = 1000
ENVIRONMENT = os.environ | {"NODE_PATH": str(BUILT / "node_modules"), "PYTHONUNBUFFERED": "1"}
CLIENTS = {
    "aio-pika": [sys.executable, HERE / "python/aio_pika_work.py"],
    "kombu": [sys.executable, HERE / "python/kombu_work.py"],
    "node": ["node", HERE / "node/work.js"],
    "go": [BUILT / "go-work"],
    "lapin": [BUILT / "lapin-work"],
    "java": ["java", "-cp", f"/usr/share/java/amqp-client.jar:/usr/share/java/slf4j-api.jar:{BUILT}", "Work"],
    "php": ["php", HERE / "php/work.php"],
    "ruby": ["ruby", HERE / "ruby/work.rb"],
}


def uri(node) -> str:
    return f"amqp://guest:guest@{node.host}:{node.port}"


class Program:
    """A running program, its output gathered."""

    def __init__(self, *command):
        self.process = subprocess.Popen(list(map(str, command)), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                                        env=ENVIRONMENT)
        self.lines = []
        self.reader = threading.Thread(target=lambda: self.lines.extend(iter(self.read, "")), daemon=True)
        self.reader.start()

    def read(self) -> str:
        return self.process.stdout.readline()

    def said(self, what: str) -> bool:
        """For `eventually`: it said so. An end without is an error."""
        if any(line.startswith(what) for line in self.lines):
            return True
        if self.process.poll() not in (None, 0):
            raise RuntimeError("".join(self.lines))
        return False

    def ended(self, what: str) -> None:
        """Waits for its end, which must be a good one."""
        try:
            status = self.process.wait(90)
        except subprocess.TimeoutExpired:
            self.process.kill()
            raise TimeoutError(f"{what} does not end: {''.join(self.lines)}") from None
        self.reader.join(5)
        if status:
            raise RuntimeError(f"{what}: {''.join(self.lines)}")


def pair(cluster: Cluster, publisher: str, consumer: str) -> None:
    """One publishes, the other consumes, each on its node; the leader of the queue is killed meanwhile."""
    started, queue = time.monotonic(), f"{publisher}-{consumer}"
    with pika.BlockingConnection(cluster.nodes[0].parameters()) as connection:
        connection.channel().queue_declare(queue, durable=True)
    leader = cluster.named(eventually("in sync", in_sync(cluster.nodes[0], queue, 3))["leader"])
    one, other = (node for node in cluster.nodes if node is not leader)
    consume = Program(*CLIENTS[consumer], "consume", uri(other), queue, COUNT)
    publish = Program(*CLIENTS[publisher], "publish", uri(one), queue, COUNT)
    eventually(f"half of it published by {publisher}", lambda: publish.said("half"))
    leader.kill()
    publish.ended(f"{publisher} publishing")
    consume.ended(f"{consumer} consuming")
    # What the consumer did not need may be there again, but nothing that nobody had.
    with pika.BlockingConnection(one.parameters()) as connection:
        channel = connection.channel()
        while (found := channel.basic_get(queue, auto_ack=True))[0]:
            if not found[0].redelivered:
                raise AssertionError(f"{found[2]!r} was left")
        channel.queue_delete(queue)
    cluster.run(leader)
    eventually("serving again", lambda: socket.create_connection((leader.host, leader.port), 5).close() is None)
    print(f"{publisher:9} -> {consumer:9} {COUNT} messages, {consume.lines[-1].strip()}, {time.monotonic() - started:.1f} s", flush=True)


def tools(cluster: Cluster) -> None:
    """amqp-tools on all nodes."""
    started = time.monotonic()
    program = Program(HERE / "tools.sh", *map(uri, cluster.nodes), "tools")
    program.ended("amqp-tools")
    print(f"amqp-tools             501 messages, {program.lines[-1].strip()}, {time.monotonic() - started:.1f} s", flush=True)


def celery(cluster: Cluster) -> None:
    """The Celery application, its worker and its caller on two nodes."""
    for backend in ("rpc", "file"):
        started = time.monotonic()
        program = Program(sys.executable, HERE / "celery/work.py", uri(cluster.nodes[0]), uri(cluster.nodes[1]), backend)
        program.ended("celery")
        done = "; ".join(line.strip() for line in program.lines)
        print(f"celery    -> celery    {done}, {time.monotonic() - started:.1f} s", flush=True)


def main() -> None:
    chosen = sys.argv[2:] or [*CLIENTS, "tools", "celery"]
    names = [name for name in CLIENTS if name in chosen]
    started = time.monotonic()
    with Cluster() as cluster:
        for publisher, consumer in zip(names, names[1:] + names[:1]):
            pair(cluster, publisher, consumer)
        if "tools" in chosen:
            tools(cluster)
        if "celery" in chosen:
            celery(cluster)
    print(f"clients: all well in {time.monotonic() - started:.0f} s")


if __name__ == "__main__":
    main()
