"""The Celery application of the main worker: tasks of the ordinary kinds, results through the broker (rpc://).

The worker: `celery -A interop.celery.tasks worker -Q celery,jobs,fragile`.
"""

from __future__ import annotations

import hashlib
import os
import signal
import time
from typing import Any

from celery import Celery, Task
from celery.exceptions import Reject
from kombu import Exchange, Queue

from interop.checks import AMQP_URL

DIRECT = Exchange("")  # the default exchange, with a queue's name as the routing key

app = Celery("interop.tasks", broker=AMQP_URL, backend="rpc://")
app.conf.update(
    broker_transport_options={"confirm_publish": True},
    broker_connection_retry_on_startup=True,
    worker_prefetch_multiplier=4,
    worker_cancel_long_running_tasks_on_connection_loss=True,
    worker_hijack_root_logger=False,
    task_default_queue="celery",
    task_queues=[
        Queue("celery"),
        Queue("reports", Exchange("reports", type="topic"), routing_key="report.#"),
        Queue("ranked", max_priority=10),
        # A task parked here is executed when its expiration is over: nobody consumes the queue.
        Queue("parked", queue_arguments={"x-dead-letter-exchange": "celery", "x-dead-letter-routing-key": "celery"}),
        Queue("jobs", queue_arguments={"x-dead-letter-exchange": "", "x-dead-letter-routing-key": "jobs.wait"}),
        Queue("fragile", queue_arguments={"x-dead-letter-exchange": "", "x-dead-letter-routing-key": "dead"}),
        Queue("full", max_length=1, queue_arguments={"x-overflow": "reject-publish"}),
    ],
)
UNCONSUMED = [
    Queue(
        "jobs.wait",
        message_ttl=0.1,
        queue_arguments={"x-dead-letter-exchange": "", "x-dead-letter-routing-key": "jobs"},
    ),
    Queue("dead"),
]


@app.task
def add(x: int, y: int) -> int:
    return x + y


@app.task
def now() -> float:
    """When it was executed, in seconds since the epoch."""
    return time.time()


@app.task
def digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def x_death(task: Task) -> list[dict[str, Any]]:
    """The x-death header of the message that brought this task."""
    deaths: list[dict[str, Any]] = (task.request.headers or {}).get("x-death", [])
    return deaths


@app.task(bind=True)
def deaths(self: Task) -> list[tuple[str, str, int]]:
    """Return the deaths of this task's message: queue, reason and count."""
    return [(death["queue"], death["reason"], death["count"]) for death in x_death(self)]


@app.task(bind=True, acks_late=True, reject_on_worker_lost=True)
def survive(self: Task) -> bool:
    """Kills the process it runs in, unless it was delivered before."""
    redelivered: bool = self.request.delivery_info["redelivered"]
    if not redelivered:
        os.kill(os.getpid(), signal.SIGKILL)
    return redelivered


@app.task(bind=True, autoretry_for=(ConnectionError,), max_retries=3, default_retry_delay=0.1)
def unstable(self: Task) -> int:
    """Fails and is retried until the third retry."""
    if self.request.retries < 3:
        raise ConnectionError("try again")
    return self.request.retries


@app.task(bind=True, acks_late=True, ignore_result=True)  # a rejection would count as its result
def flaky(self: Task) -> int:
    """Rejected into the wait queue, which brings it back, until it has been rejected three times."""
    rejections = sum(
        death["count"] for death in x_death(self) if (death["queue"], death["reason"]) == ("jobs", "rejected")
    )
    if rejections < 3:
        raise Reject("not yet", requeue=False)
    return rejections


@app.task(acks_late=True)
def poison() -> None:
    raise Reject("cannot digest this", requeue=False)
