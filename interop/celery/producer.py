"""Celery: tasks sent to real worker processes, which retry, wait for an ETA, reject, die and reconnect.

Run by `python -m interop celery`.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import time

from amqp.exceptions import MessageNacked, NotFound, PreconditionFailed
from celery import chain, chord, group
from kombu import Queue
from kombu.exceptions import OperationalError

from interop.checks import check, expect, finish, restart_broker, version

results = tempfile.TemporaryDirectory(prefix="interop-celery-")
os.environ["RESULTS_DIRECTORY"] = results.name

from interop.celery import durable, tasks  # noqa: E402

GET_TIMEOUT_S = 60


def start_worker(module: str, *options: str) -> subprocess.Popen[bytes]:
    """A worker process for the application in `module`, as `celery worker` starts it."""
    command = [sys.executable, "-m", "celery", "-A", f"interop.celery.{module}", "worker", "--loglevel=INFO"]
    return subprocess.Popen(
        [*command, f"--hostname={module}@interop", *options], stdin=subprocess.DEVNULL, stdout=sys.stderr
    )


def wait_for_workers() -> None:
    for _ in range(120):
        if len(tasks.app.control.ping(destination=["tasks@interop", "durable@interop"], timeout=0.5)) == 2:
            return
    raise TimeoutError("the workers do not answer")


def stop_workers(workers: list[subprocess.Popen[bytes]]) -> None:
    """By a cold shutdown: no task is left that a warm one would wait for."""
    for worker in workers:
        worker.send_signal(signal.SIGQUIT)
    for worker in workers:
        try:
            worker.wait(5)
        except subprocess.TimeoutExpired:
            worker.kill()


def start_consuming(queue: str) -> None:
    """Tell the worker, through its control queue, to consume another queue."""
    (reply,) = tasks.app.control.add_consumer(queue, destination=["tasks@interop"], reply=True, timeout=30)
    assert reply == {"tasks@interop": {"ok": f"add consumer {queue}"}}, reply


def topology() -> None:
    """A topic exchange for one task's queue, and a fanout exchange that remote control speaks through."""
    with tasks.app.connection_for_write() as connection:
        channel = connection.default_channel
        for queue in (*tasks.app.conf.task_queues, *tasks.UNCONSUMED):
            queue(channel).declare()
    start_consuming("reports")
    result = tasks.add.apply_async((1, 2), exchange="reports", routing_key="report.daily.sum")
    assert result.get(timeout=GET_TIMEOUT_S) == 3


def confirms() -> None:
    """Every send waits for the broker's confirm, and learns of a refusal."""
    results = [tasks.add.delay(number, 1) for number in range(20)]
    assert [result.get(timeout=GET_TIMEOUT_S) for result in results] == list(range(1, 21))
    tasks.add.apply_async((1, 1), queue="full")
    with expect(OperationalError) as refused:
        tasks.add.apply_async((1, 1), queue="full", retry=False)
    assert isinstance(refused.error.__cause__, MessageNacked)


def acks() -> None:
    """The process that executes the task is killed before it has acknowledged, so another executes it again."""
    assert tasks.survive.delay().get(timeout=GET_TIMEOUT_S) is True


def priorities() -> None:
    """Tasks wait in the queue until the worker is told to consume it."""
    results = {}
    for priority in (1, 9, 5, 0):
        results[priority] = tasks.now.apply_async(queue="ranked", priority=priority)
    start_consuming("ranked")
    executed_at = {priority: result.get(timeout=GET_TIMEOUT_S) for priority, result in results.items()}
    assert sorted(executed_at, key=executed_at.__getitem__) == [9, 5, 1, 0], executed_at


def ttl_to_dlx() -> None:
    sent_at = time.monotonic()
    result = tasks.deaths.apply_async(queue="parked", expiration=0.3)
    assert result.get(timeout=GET_TIMEOUT_S) == [["parked", "expired", 1]]
    assert time.monotonic() - sent_at >= 0.3


def wait_and_retry() -> None:
    """The next task of the chain gets the number of rejections, once there have been enough."""
    chained = chain(tasks.flaky.s().set(queue="jobs"), tasks.add.s(100))()
    assert chained.get(timeout=GET_TIMEOUT_S) == 103


def reject_to_dlq() -> None:
    sent = tasks.poison.apply_async(queue="fragile")
    with tasks.app.connection_for_read() as connection, connection.SimpleQueue(Queue("dead")) as dead:
        message = dead.get(timeout=30)
        message.ack()
    assert (message.headers["id"], message.headers["task"]) == (sent.id, "interop.celery.tasks.poison")
    (death,) = message.headers["x-death"]
    assert (death["queue"], death["reason"], death["count"]) == ("fragile", "rejected", 1)


def retries() -> None:
    assert tasks.unstable.delay().get(timeout=GET_TIMEOUT_S) == 3


def eta() -> None:
    """The worker holds a task, unacknowledged, until it is due, and executes others meanwhile."""
    for countdown in (0.5, 5):  # a machine that is busy with something else may do nothing for as long as the first
        sent_at = time.time()
        later = tasks.now.apply_async(countdown=countdown)
        sooner = tasks.now.delay()
        later_at, sooner_at = later.get(timeout=GET_TIMEOUT_S), sooner.get(timeout=GET_TIMEOUT_S)
        assert later_at >= sent_at + countdown
        if sooner_at < sent_at + countdown:
            return
    raise AssertionError("the one that was due at once was executed after the other")


def canvas() -> None:
    """A chain hands each result on; a group runs side by side."""
    chained = chain(tasks.add.s(1, 2), tasks.add.s(10), tasks.add.s(100))()
    assert chained.get(timeout=GET_TIMEOUT_S) == 113
    grouped = group(tasks.add.s(number, number) for number in range(10))()
    assert grouped.get(timeout=GET_TIMEOUT_S) == [2 * number for number in range(10)]


def large_message() -> None:
    text = os.urandom(10 * 1024 * 1024).hex()  # 20 MB of text
    assert tasks.digest.delay(text).get(timeout=GET_TIMEOUT_S) == tasks.digest(text)


def channel_error() -> None:
    with tasks.app.connection_for_write() as connection:
        with expect(NotFound) as missing:
            Queue("no.such.queue")(connection.channel()).queue_declare(passive=True)
        assert missing.error.reply_text == "NOT_FOUND - no queue 'no.such.queue' in vhost '/'", missing.error
        with expect(PreconditionFailed) as inequivalent:
            Queue("ranked", max_priority=5)(connection.channel()).queue_declare()
        assert (missing.error.reply_code, inequivalent.error.reply_code) == (404, 406)
        assert inequivalent.error.reply_text == (
            "PRECONDITION_FAILED - inequivalent arg 'x-max-priority' for queue 'ranked' in vhost '/': "
            "received '5' but current is '10'"
        ), inequivalent.error
        assert Queue("ranked")(connection.channel()).queue_declare(passive=True).queue == "ranked"


def chords() -> None:
    """The body of a chord runs when all tasks of its header are done."""
    summed = chord(durable.square.s(number) for number in range(10))(durable.total.s())
    assert summed.get(timeout=GET_TIMEOUT_S) == sum(number * number for number in range(10))


def delay_in_broker() -> None:
    """A countdown with a quorum queue is spent in the broker, in queues whose TTLs add up to it."""
    sent_at = time.time()
    executed_at = durable.now.apply_async(countdown=1).get(timeout=GET_TIMEOUT_S)
    assert 1 <= executed_at - sent_at < 30, executed_at - sent_at


def reconnect() -> None:
    """The workers find their way back by themselves; so does the application that sends."""
    assert tasks.add.delay(1, 1).get(timeout=GET_TIMEOUT_S) == 2
    restart_broker()
    assert tasks.add.delay(20, 22).get(timeout=GET_TIMEOUT_S) == 42
    assert durable.square.delay(12).get(timeout=GET_TIMEOUT_S) == 144


def main() -> None:
    version("celery")
    workers = [
        start_worker("tasks", "--concurrency=1", "--queues=celery,jobs,fragile"),
        start_worker("durable", "--concurrency=2"),
    ]
    try:
        wait_for_workers()
        with check("topology"):
            topology()
        with check("confirms"):
            confirms()
        with check("acks"):
            acks()
        with check("priorities"):
            priorities()
        with check("ttl-dlx"):
            ttl_to_dlx()
        with check("wait-retry"):
            wait_and_retry()
        with check("reject-dlq"):
            reject_to_dlq()
        with check("retries"):
            retries()
        with check("eta"):
            eta()
        with check("canvas"):
            canvas()
        with check("large-message"):
            large_message()
        with check("channel-error"):
            channel_error()
        with check("chords"):
            chords()
        with check("delay-in-broker"):
            delay_in_broker()
        with check("reconnect"):
            reconnect()
    finally:
        stop_workers(workers)
    finish()


if __name__ == "__main__":
    main()
