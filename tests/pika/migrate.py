"""A RabbitMQ broker is migrated to a cluster; the migration is killed in the
middle, more than once, and run again until it says that all of it is there.

    migrate.py --http http://guest:guest@127.0.0.1:15672 --amqp amqp://guest:guest@127.0.0.1:5672

The broker is filled with queues of its own first: --queues, --messages.
"""

import argparse
import json
import pathlib
import signal
import subprocess
import sys
import tempfile
import time
import urllib.parse
import urllib.request

import pika

from cluster import WARREN, Cluster, eventually

PERSISTENT = pika.BasicProperties(delivery_mode=2, headers={"kept": 1})


def ask(http: str, method: str, path: str, body=None):
    """Asks RabbitMQ's management API."""
    uri = urllib.parse.urlparse(http)
    passwords = urllib.request.HTTPPasswordMgrWithDefaultRealm()
    base = f"http://{uri.hostname}:{uri.port}"
    passwords.add_password(None, base, uri.username, uri.password)
    opener = urllib.request.build_opener(urllib.request.HTTPBasicAuthHandler(passwords))
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(base + path, data=data, method=method, headers={"Content-Type": "application/json"})
    with opener.open(request) as answer:
        text = answer.read()
    return json.loads(text) if text else None


def fill(http: str, amqp: str, queues: int, messages: int) -> None:
    ask(http, "PUT", "/api/vhosts/shop")
    ask(http, "PUT", "/api/users/teller", {"password": "s3cret", "tags": "monitoring"})
    for user in ("guest", "teller"):
        ask(http, "PUT", f"/api/permissions/shop/{user}", {"configure": "", "write": ".*", "read": ".*"}
            if user == "teller" else {"configure": ".*", "write": ".*", "read": ".*"})
    parameters = pika.URLParameters(amqp)
    parameters.virtual_host = "shop"
    with pika.BlockingConnection(parameters) as connection:
        channel = connection.channel()
        channel.exchange_declare("sales", "topic", durable=True)
        channel.exchange_declare("all", "fanout", durable=True)
        channel.exchange_bind("all", "sales", "#")
        each = messages // queues
        for queue in range(queues):
            channel.queue_declare(f"q{queue}", durable=True)
            channel.queue_bind(f"q{queue}", "sales", f"k.{queue}.#")
            for number in range(each):
                channel.basic_publish("", f"q{queue}", b"%d %d" % (queue, number), PERSISTENT)
    parameters.virtual_host = "shop"
    print(f"{queues} queues with {each} messages each are in RabbitMQ")


def migrate(cluster: Cluster, options, folder: pathlib.Path, kill_after: float | None) -> int | None:
    """Runs the migration; None if it was killed."""
    command = [WARREN, "migrate", options.http, "--from-amqp", options.amqp, "--node", cluster.nodes[0].http,
               "--journal", folder / "journal.json", "--policy-file", folder / "policy.toml"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    try:
        output, _ = process.communicate(timeout=kill_after)
    except subprocess.TimeoutExpired:
        process.send_signal(signal.SIGKILL)
        process.communicate()
        return None
    print(output.strip())
    return process.returncode


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--http", required=True)
    parser.add_argument("--amqp", required=True)
    parser.add_argument("--queues", type=int, default=100)
    parser.add_argument("--messages", type=int, default=50_000)
    parser.add_argument("--kills", type=int, default=2)
    parser.add_argument("--after", type=float, default=3.0, help="seconds of a run before it is killed")
    parser.add_argument("--filled", action="store_true", help="the broker is full already")
    options = parser.parse_args()
    if not options.filled:
        fill(options.http, options.amqp, options.queues, options.messages)
    each = options.messages // options.queues
    with Cluster() as cluster, tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        began, kills, result = time.monotonic(), 0, None
        while result is None:
            # Once definitions are through, each run is killed in the middle of messages.
            result = migrate(cluster, options, folder, options.after if kills < options.kills else None)
            kills += result is None
            if result is None:
                print(f"killed after {options.after} s, run again")
        print(f"done in {time.monotonic() - began:.1f} s, killed {kills} times")
        assert result == 0, "the migration says that something is missing"
        node = cluster.nodes[1]
        parameters = node.parameters(virtual_host="shop", credentials=pika.PlainCredentials("teller", "s3cret"))
        twice = 0
        with pika.BlockingConnection(parameters) as connection:
            channel = connection.channel()
            for queue in range(options.queues):
                seen: dict[bytes, int] = {}
                # As many as there are, and whatever there is beyond.
                length = channel.queue_declare(f"q{queue}", passive=True).method.message_count
                for method, properties, body in channel.consume(f"q{queue}", auto_ack=True, inactivity_timeout=10):
                    if method is None:
                        break
                    assert properties.headers == {"kept": 1}, properties
                    seen[body] = seen.get(body, 0) + 1
                    length -= 1
                    if length == 0:
                        break
                channel.cancel()
                expected = {b"%d %d" % (queue, number) for number in range(each)}
                assert seen.keys() == expected, f"q{queue}: {len(expected - seen.keys())} lost"
                twice += sum(count - 1 for count in seen.values())
            # The bindings are there too.
            channel.basic_publish("sales", "k.0.x", b"new")
            eventually("routed", lambda: channel.basic_get("q0", auto_ack=True)[0] is not None)
        print(f"{options.messages} messages of {options.queues} queues: 0 lost, {twice} twice; user, permissions and bindings work")


if __name__ == "__main__":
    sys.exit(main())
