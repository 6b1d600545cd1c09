"""A cluster of real processes for the Python tests: started and stopped as its
users do, on free ports, or one that runs already."""

import base64
import json
import os
import pathlib
import shutil
import signal
import subprocess
import tempfile
import time
import tomllib
import urllib.parse
import urllib.request

import pika

WARREN = os.environ.get("WARREN", "warren")
PATIENCE = 60.0


class Node:
    """One node, known by its folder."""

    def __init__(self, folder: pathlib.Path):
        self.folder = folder
        config = tomllib.loads((folder / "config.toml").read_text())
        self.name = config["node"]["name"]
        host, port = config["amqp"]["listen"].rsplit(":", 1)
        self.host, self.port = host, int(port)
        self.http = "http://" + config["http"]["listen"]

    def parameters(self, **more) -> pika.ConnectionParameters:
        """Where clients connect."""
        return pika.ConnectionParameters(self.host, self.port, **more)

    def kill(self) -> None:
        """kill -9; the process is gone afterwards, and its ports with it."""
        pid = int((self.folder / "pid").read_text())
        os.kill(pid, signal.SIGKILL)

        def is_gone() -> bool:
            try:
                # Until its parent has looked, a dead process is a zombie; its ports are
                # free only when its last thread has ended, too.
                state = pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
                return state == "Z" and len(os.listdir(f"/proc/{pid}/task")) <= 1
            except (FileNotFoundError, ProcessLookupError):
                return True

        eventually("dead", is_gone)

    def run(self, **environment: str) -> subprocess.Popen:
        """Runs the stopped node, as an operator does."""
        with open(self.folder / "log", "ab") as log:
            config = self.folder / "config.toml"
            return subprocess.Popen([WARREN, "server", "--config", config], stdout=log, stderr=log,
                                    start_new_session=True, env=os.environ | environment)

    def warren(self, *arguments: str) -> None:
        """Runs a command of the operators', asking this node."""
        subprocess.run([WARREN, *arguments, "--node", self.http], check=True, stdout=subprocess.DEVNULL)

    def rss(self) -> int:
        """Resident memory in bytes."""
        pages = pathlib.Path(f"/proc/{(self.folder / 'pid').read_text().strip()}/statm").read_text().split()[1]
        return int(pages) * os.sysconf("SC_PAGESIZE")

    def get(self, path: str):
        """Asks the management API as guest."""
        request = urllib.request.Request(self.http + path)
        request.add_header("Authorization", "Basic " + base64.b64encode(b"guest:guest").decode())
        with urllib.request.urlopen(request, timeout=10) as answer:
            return json.load(answer)

    def queue(self, name: str) -> dict | None:
        """What the node tells of a queue of the vhost /."""
        found = self.get(f"/api/queues?vhost=%2F&name={urllib.parse.quote(name)}")
        return found[0] if found else None


class Cluster:
    """All nodes of a folder; `with` stops what it started. `name` and other
    settings are for the configuration of the nodes."""

    def __init__(self, data: str | None = None, nodes: int = 3, name: str | None = None, *settings: str):
        self.own = data is None
        self.processes: list[subprocess.Popen] = []
        self.data = pathlib.Path(data or tempfile.mkdtemp(prefix="warren-pika-"))
        if self.own:
            settings = (*settings, f'cluster.name="{name}"') if name else settings
            more = [option for setting in settings for option in ("--set", setting)]
            self.up("--nodes", str(nodes), "--amqp-port", "0", "--http-port", "0", *more)
        folders = sorted(self.data.glob("node-*"), key=lambda folder: int(folder.name.split("-")[1]))
        self.nodes = [Node(folder) for folder in folders]

    def up(self, *options: str) -> None:
        """Starts whatever does not run."""
        subprocess.run([WARREN, "cluster", "up", "--detach", "--data", self.data, *options],
                       check=True, stdout=subprocess.DEVNULL)

    def run(self, node: Node, **environment: str) -> None:
        """Runs one stopped node."""
        self.processes.append(node.run(**environment))

    def named(self, name: str) -> Node:
        """The node of that name."""
        return next(node for node in self.nodes if node.name == name)

    def __enter__(self):
        return self

    def __exit__(self, kind, *_):
        if not self.own:
            return
        if kind is not None:
            for node in self.nodes:
                lines = (node.folder / "log").read_text(errors="replace").splitlines()
                print(f"--- the end of {node.name}'s log", *lines[-40:], sep="\n")
        subprocess.run([WARREN, "cluster", "down", "--timeout", "20s", "--data", self.data],
                       check=False, stdout=subprocess.DEVNULL)
        for process in self.processes:
            process.wait()
        shutil.rmtree(self.data, ignore_errors=True)


def eventually(what: str, look, patience: float = PATIENCE):
    """Looks until `look` returns something true."""
    deadline = time.monotonic() + patience
    while True:
        try:
            found, instead = look(), None
        except OSError as error:
            found, instead = None, error
        if found:
            return found
        if time.monotonic() > deadline:
            raise TimeoutError(f"not {what} after {patience} s ({instead})")
        time.sleep(0.05)


def in_sync(node: Node, queue: str, replicas: int):
    """For `eventually`: the queue runs and all replicas are in sync."""

    def look():
        found = node.queue(queue)
        return found if found and found["state"] == "running" and len(found["in_sync"]) == replicas else None

    return look
