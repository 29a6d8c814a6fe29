"""A Celery application whose tasks wait in the broker until their ETA.

The worker: `celery -A tasks worker`, in this folder.
"""

import os
import time

from celery import Celery
from kombu import Exchange, Queue

app = Celery("reminders", broker=os.environ.get("AMQP_URL", "amqp://guest:guest@localhost:5672/"), backend="rpc://")
app.conf.update(
    task_default_queue="reminders",
    # Celery puts the time of a task into the header `eta`. A policy with delivery-time-header does the same for queues
    # that exist already.
    task_queues=[Queue("reminders", Exchange(), "reminders", queue_arguments={"x-delivery-time-header": "eta"})],
    task_acks_late=True,
    worker_prefetch_multiplier=1,
    worker_enable_remote_control=False,
    worker_cancel_long_running_tasks_on_connection_loss=True,
)


@app.task
def remind(name):
    """Return when the reminder was sent, in seconds since the epoch."""
    return time.time()
