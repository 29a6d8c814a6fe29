import pytest

from amqpbroker.broker.redrive.redrive import CANCELLED, COMPLETED
from amqpbroker.broker.redrive.redrives import KEPT, RedriveRunsError
from amqpbroker.broker.vhost import Vhost
from tests.broker.queueing import declare
from tests.broker.redrive.driving import advance, kill, redrive, started, work_with_dlq


def test_a_queue_has_one_running_task(vhost: Vhost) -> None:
    _, dlq = work_with_dlq(vhost)
    task = started(dlq)
    with pytest.raises(RedriveRunsError, match="redrive of queue 'dlq' in vhost '/' is running already"):
        started(dlq)
    started(declare(vhost, "other"))
    assert vhost.redrives.running == 2
    advance(vhost, 0)
    assert vhost.redrives.running == 0
    assert vhost.redrives.current("dlq") is None
    second = started(dlq)
    assert vhost.redrives.tasks("dlq") == [second, task]


def test_last_tasks_of_a_queue_are_remembered(vhost: Vhost) -> None:
    _, dlq = work_with_dlq(vhost)
    tasks = [redrive(dlq) for _ in range(KEPT + 3)]
    assert vhost.redrives.tasks("dlq") == list(reversed(tasks[3:]))
    assert {task.state for task in tasks} == {COMPLETED}
    vhost.delete_queue(dlq)
    assert vhost.redrives.tasks("dlq") == []


def test_tasks_of_a_deleted_vhost_end(vhost: Vhost) -> None:
    work, dlq = work_with_dlq(vhost)
    kill(work, b"1")
    task = started(dlq)
    vhost.close()
    assert task.reason == "queue 'dlq' was deleted"
    assert vhost.redrives.running == 0


def test_cancelled_task_is_no_longer_running(vhost: Vhost) -> None:
    _, dlq = work_with_dlq(vhost)
    task = started(dlq)
    task.cancel()
    assert (task.state, vhost.redrives.running) == (CANCELLED, 0)
