"""Mirror mode by deploy/policy.toml as written, which every node reads by itself: a
queue of each of its policies is where the policy says, and its leader is killed
under load, with every message accounted for.

    mirrored.py --messages 20000
"""

import argparse
import pathlib
import sys
import tomllib
import urllib.parse

import failover
from cluster import Cluster, eventually

POLICY = pathlib.Path(__file__).resolve().parents[2] / "deploy" / "policy.toml"
# The policy that is to win, by the queue's name.
QUEUES = {"orders": "default", "critical.orders": "critical"}


def explained(node, queue):
    """What the node says of the plan of a queue, once it has read the file."""
    path = "/api/policies/explain?vhost=%2F&queue=" + urllib.parse.quote(queue)
    return lambda: (lambda told: told if told["policy"] == QUEUES[queue] else None)(node.get(path))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--messages", type=int, default=20_000)
    parser.add_argument("--gap", type=float, default=5.0, help="the longest gap without a confirm, in seconds")
    given = parser.parse_args()
    policies = {policy["name"]: policy["mirror"] for policy in tomllib.loads(POLICY.read_text())["policy"]}
    assert set(QUEUES.values()) == set(policies), "a policy of the sample is not tested"
    options = argparse.Namespace(
        messages=given.messages, window=1000, gap=given.gap, kill_all=False, patience=60.0)
    failures = []
    with Cluster(None, 3, None, f'policy.file="{POLICY}"') as cluster:
        for queue, policy in QUEUES.items():
            for node in cluster.nodes:
                print(f"{queue}: {eventually('in force', explained(node, queue))['plan']}")
            failover.QUEUE = queue
            failures += failover.drill(cluster, options)
            row = cluster.nodes[0].queue(queue)
            everywhere = {row["leader"], *row["mirrors"]} == {node.name for node in cluster.nodes}
            if row["mode"] != "mirror" or not everywhere:
                failures.append(f"{queue} is not as {policy} says: {row}")
    for failure in failures:
        print(f"FAILED: {failure}")
    print("passed" if not failures else "failed")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
