"""Celery tasks with an ETA wait in the broker, not in a worker, so they cost no worker anything and outlive it.

Without `x-delivery-time-header`, the first worker receives all reminders at once, and holds them until they are due.
"""

import os
import subprocess
import sys
import time
from pathlib import Path

import httpx
import tasks

MANAGEMENT_URL = os.environ.get("MANAGEMENT_URL", "http://localhost:15672")
DELAY_S = 12
#: Time that a busy machine may need beyond that.
LATE_S = 60


def start_worker():
    # Celery warns if it is started by a superuser, as in a container.
    python = [sys.executable, "-W", "ignore"]
    command = [*python, "-m", "celery", "-A", "tasks", "worker", "--pool=solo", "--loglevel=ERROR"]
    options = ["--without-mingle", "--without-gossip", "--without-heartbeat"]
    return subprocess.Popen(
        [*command, *options], cwd=Path(__file__).parent, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )


def waiting(count):
    """Return the number of reminders that wait in the broker, and that a worker holds.

    count: of the two together. The worker acknowledges a reminder after its result, so there may be more for a moment.
    """
    end = time.monotonic() + LATE_S
    while True:
        queue = httpx.get(f"{MANAGEMENT_URL}/api/queues/%2F/reminders", auth=("guest", "guest")).json()
        found = queue["messages_delayed"], queue["messages_unacknowledged"]
        if sum(found) == count or time.monotonic() > end:
            return found
        time.sleep(0.05)


def main():
    first = start_worker()
    second = None
    try:
        sent_at = time.time()
        later = {name: tasks.remind.apply_async([name], countdown=DELAY_S) for name in ("Ann", "Bob", "Eve")}
        tasks.remind.delay("Zoe").get(timeout=LATE_S)
        print("Zoe is reminded at once")
        in_broker, in_worker = waiting(len(later))
        print(f"{in_broker} reminders wait in the broker, {in_worker} in the worker")
        first.kill()
        print("the worker is killed")
        second = start_worker()
        for name, result in later.items():
            reminded_at = result.get(timeout=DELAY_S + LATE_S)
            assert reminded_at >= sent_at + DELAY_S, f"{name} was reminded too early"
            print(f"{name} is reminded on time")
    finally:
        for worker in (first, second):
            if worker is not None:
                worker.kill()
                worker.wait()
        with tasks.app.connection_for_write() as connection:
            connection.default_channel.queue_delete("reminders")
            connection.default_channel.exchange_delete("reminders")
        tasks.app.backend.result_consumer.stop()
        tasks.app.pool.force_close_all()
        tasks.app.close()


if __name__ == "__main__":
    main()
