"""Celery at work: an application, its caller on one node and a worker on another. Usage:
work.py URI-OF-THE-CALLER URI-OF-THE-WORKER rpc|file; what comes back by files can be a chord."""

import os
import pathlib
import signal
import subprocess
import sys
import tempfile
import time

HERE = pathlib.Path(__file__).parent
PATIENCE = 60


class Worker:
    """A worker with one process for tasks; `kill` takes it as a whole."""

    def __init__(self, folder: pathlib.Path, uri: str, name: str):
        with open(folder / "log", "ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "celery", "-A", "tasks", "worker", "--concurrency", "1", "--loglevel", "INFO",
                 "--queues", "celery,ranked", "--hostname", f"{name}@here"],
                cwd=HERE, stdout=log, stderr=log, start_new_session=True, env=os.environ | {"CELERY_URI": uri})

    def kill(self) -> None:
        if self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()


def until(what: str, look) -> None:
    """Waits for a condition."""
    deadline = time.monotonic() + PATIENCE
    while not look():
        assert time.monotonic() < deadline, what
        time.sleep(0.05)


def by_rpc(tasks) -> None:
    """What needs answers only."""
    results = [tasks.add.delay(number, 1).get(timeout=PATIENCE) for number in range(20)]
    assert results == list(range(1, 21)), results
    print("results by rpc: 20")
    until("all notes are taken", lambda: len(tasks.noted()) == 5)
    assert tasks.noted() == ["9", "9", "5", "0", "0"], tasks.noted()
    print("priorities: in order")
    assert tasks.flaky.delay(3).get(timeout=PATIENCE) == 3
    print("retry: well at the third try")
    started = time.time()
    assert tasks.add.apply_async((2, 3), countdown=2).get(timeout=PATIENCE) == 5
    assert time.time() - started >= 2
    print("countdown: not before its time")


def by_file(tasks, folder: pathlib.Path, worker: Worker, uri: str) -> Worker:
    """What needs results that are kept."""
    from celery import chord

    assert chord(tasks.add.s(number, number) for number in range(10))(tasks.total.s()).get(timeout=PATIENCE) == 90
    print("chord: ten and their sum")
    result = tasks.careful.delay()
    until("the task begins", (folder / "begun").exists)
    worker.kill()
    worker = Worker(folder, uri, "second")
    assert result.get(timeout=PATIENCE) == "done at the second time"
    print("acks_late: done by another worker, after kill -9")
    return worker


def main(folder: pathlib.Path) -> None:
    of_caller, of_worker, backend = sys.argv[1:]
    os.environ |= {"CELERY_URI": of_caller, "CELERY_FOLDER": str(folder), "CELERY_BACKEND": "rpc://"}
    if backend == "file":
        (folder / "results").mkdir()
        os.environ["CELERY_BACKEND"] = f"file://{folder}/results"
    sys.path.insert(0, str(HERE))
    import tasks

    if backend == "rpc":
        # All wait when the worker starts, which fetches one at a time.
        for priority in (0, 9, 5, 9, 0):
            tasks.note.apply_async((priority,), queue="ranked", priority=priority)
    worker = Worker(folder, of_worker, "first")
    try:
        if backend == "rpc":
            by_rpc(tasks)
        else:
            worker = by_file(tasks, folder, worker, of_caller)
    except BaseException:
        print((folder / "log").read_text()[-6000:])
        raise
    finally:
        worker.kill()


with tempfile.TemporaryDirectory(prefix="warren-celery-") as folder:
    main(pathlib.Path(folder))
