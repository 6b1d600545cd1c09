"""Gives a Warren cluster the users, virtual hosts, permissions and limits that the
cases expect, which RabbitMQ reads from the same file. Usage: definitions.py WARREN FILE, with
WARREN_NODE set."""

import json
import subprocess
import sys


def main() -> int:
    program, file = sys.argv[1:]
    with open(file) as text:
        wanted = json.load(text)

    def warren(*arguments: str, needed=True) -> None:
        done = subprocess.run([program, *arguments], capture_output=True, text=True)
        if done.returncode and needed:
            raise SystemExit(f"warren {' '.join(arguments)}: {done.stderr.strip()}")

    for vhost in wanted["vhosts"]:
        if vhost["name"] != "/":
            warren("vhost", "add", vhost["name"])
    for user in wanted["users"]:
        if user["name"] != "guest":
            tags = ["--tags", user["tags"]] if user["tags"] else []
            warren("user", "add", user["name"], user["password"], *tags)
    for one in wanted["permissions"]:
        warren("permissions", "set", one["user"], one["configure"], one["write"], one["read"], "--vhost", one["vhost"])
    for one in wanted["topic_permissions"]:
        warren("permissions", "set-topic", one["user"], one["exchange"], one["write"], one["read"], "--vhost", one["vhost"])
    for one in wanted["parameters"]:
        if one["component"] == "vhost-limits":
            warren("vhost", "limit", "set", one["vhost"], json.dumps(one["value"]))
    return 0


if __name__ == "__main__":
    sys.exit(main())
