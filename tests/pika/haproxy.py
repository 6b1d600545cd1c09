"""The primary-backup pair of deploy/ behind HAProxy with deploy/haproxy.cfg as
written, but for ports: a client that knows one address only goes on after the
primary is killed, and nothing that was confirmed is lost.

    haproxy.py --messages 500
"""

import argparse
import os
import pathlib
import re
import shutil
import socket
import subprocess
import tempfile
import time

import pika

from cluster import Cluster, eventually

DEPLOY = pathlib.Path(__file__).resolve().parents[2] / "deploy"
QUEUE = "behind-haproxy"
PROXY = shutil.which("haproxy", path=f"{os.environ['PATH']}:/usr/sbin")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def configuration(cluster, front: int) -> str:
    """deploy/haproxy.cfg with the ports of this cluster."""
    ports = {5670: front}
    for nth, node in enumerate(cluster.nodes):
        ports |= {5672 + nth: node.port, 15672 + nth: int(node.http.rsplit(":", 1)[1])}
    text = (DEPLOY / "haproxy.cfg").read_text()
    return re.sub(r"\b(5670|567[2-4]|1567[2-4])\b", lambda found: str(ports[int(found[0])]), text)


class Client:
    """Publishes with confirms through the one address, and connects anew."""

    def __init__(self, port: int):
        self.parameters = pika.ConnectionParameters("127.0.0.1", port, heartbeat=10, blocked_connection_timeout=10)
        self.connection = None
        self.confirmed: set[int] = set()
        self.broken = 0

    def channel(self):
        if self.connection is None:
            self.connection = pika.BlockingConnection(self.parameters)
            self.opened = self.connection.channel()
            self.opened.queue_declare(QUEUE, durable=True)
            self.opened.confirm_delivery()
        return self.opened

    def publish(self, number: int) -> None:
        deadline = time.monotonic() + 60
        while True:
            try:
                properties = pika.BasicProperties(delivery_mode=2)
                self.channel().basic_publish("", QUEUE, b"%d" % number, properties, mandatory=True)
                self.confirmed.add(number)
                return
            except (pika.exceptions.AMQPError, OSError):
                self.connection, self.broken = None, self.broken + 1
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.1)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--messages", type=int, default=500)
    given = parser.parse_args()
    with Cluster() as cluster, tempfile.NamedTemporaryFile("w", suffix=".cfg") as file:
        cluster.nodes[2].warren("policy", "apply", str(DEPLOY / "primary-backup.toml"))
        front = free_port()
        file.write(configuration(cluster, front))
        file.flush()
        proxy = subprocess.Popen([PROXY, "-db", "-f", file.name], stdout=subprocess.DEVNULL, stderr=subprocess.STDOUT)
        try:
            client = Client(front)

            def answers():
                client.publish(0)
                return True

            eventually("served through HAProxy", answers)
            for number in range(1, given.messages):
                client.publish(number)
            eventually("in sync", lambda: len(cluster.nodes[2].queue(QUEUE)["in_sync"]) == 2)
            cluster.nodes[0].kill()
            killed = time.monotonic()
            client.publish(given.messages)
            gap = time.monotonic() - killed
            for number in range(given.messages + 1, 2 * given.messages):
                client.publish(number)
            leader = cluster.nodes[2].queue(QUEUE)["leader"]
            assert leader == "node-2", leader
            got = set()
            for method, _, body in client.channel().consume(QUEUE, inactivity_timeout=10):
                assert method is not None, f"{len(client.confirmed - got)} confirmed messages are missing"
                client.channel().basic_ack(method.delivery_tag)
                got.add(int(body))
                if client.confirmed <= got:
                    break
            print(f"{len(got)} messages through HAProxy, none lost; the client was broken off {client.broken} times, "
                  f"{gap:.1f} s from the kill to the next confirm")
        finally:
            proxy.terminate()
            proxy.wait()


if __name__ == "__main__":
    main()
