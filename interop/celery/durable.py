"""The Celery application of the second worker: a quorum queue, and results in files so that chords can be used.

With a quorum queue Celery delays a task in the broker, through 28 queues whose TTLs are powers of two, instead of
holding it in the worker. The worker: `celery -A interop.celery.durable worker`.
"""

from __future__ import annotations

import os
import time

from celery import Celery
from kombu import Exchange, Queue

from interop.checks import AMQP_URL

app = Celery("interop.durable", broker=AMQP_URL, backend=f"file://{os.environ['RESULTS_DIRECTORY']}")
app.conf.update(
    broker_connection_retry_on_startup=True,
    worker_hijack_root_logger=False,
    task_default_queue="durable",
    task_default_queue_type="quorum",
    task_default_exchange_type="topic",
    task_queues=[
        Queue(
            "durable",
            Exchange("durable", type="topic"),
            routing_key="durable",
            queue_arguments={"x-queue-type": "quorum"},
        )
    ],
    task_default_routing_key="durable",
    result_chord_retry_interval=0.2,
)


@app.task
def square(x: int) -> int:
    return x * x


@app.task
def total(numbers: list[int]) -> int:
    return sum(numbers)


@app.task
def now() -> float:
    """When it was executed, in seconds since the epoch."""
    return time.time()
