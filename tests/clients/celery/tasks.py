"""The application: its tasks, for the worker and for the caller."""

import os
import pathlib
import time

from celery import Celery
from kombu import Queue

folder = pathlib.Path(os.environ["CELERY_FOLDER"])
app = Celery("warren", broker=os.environ["CELERY_URI"], backend=os.environ["CELERY_BACKEND"])
app.conf.update(
    task_queues=[Queue("celery", durable=True), Queue("ranked", durable=True, queue_arguments={"x-max-priority": 10})],
    task_default_queue="celery",
    worker_prefetch_multiplier=1,
    task_acks_late=True,
    broker_transport_options={"confirm_publish": True},
    broker_connection_retry_on_startup=True,
    task_publish_retry=True,
)


@app.task
def add(one, other):
    return one + other


@app.task
def total(numbers):
    return sum(numbers)


@app.task(bind=True, max_retries=5)
def flaky(self, good_at):
    """Fails until it was tried so often."""
    if self.request.retries + 1 < good_at:
        raise self.retry(countdown=0.1)
    return self.request.retries + 1


@app.task
def note(what):
    with open(folder / "noted", "a") as notes:
        notes.write(f"{what}\n")


def noted() -> list[str]:
    path = folder / "noted"
    return path.read_text().split() if path.exists() else []


@app.task(acks_late=True, reject_on_worker_lost=True)
def careful():
    """Hangs the first time."""
    if not (folder / "begun").exists():
        (folder / "begun").touch()
        time.sleep(600)
    return "done at the second time"
