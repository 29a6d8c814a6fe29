"""Attempts of jobs, and jobs in message groups; the other states are in `test_jobs`."""

from typing import Any

import pytest

from amqpbroker.amqp.connection import Connection
from amqpbroker.broker.queues.groups.queue import GroupQueue
from amqpbroker.broker.queues.local_queue import LocalQueue
from amqpbroker.wire.values import Field, longstr
from tests.broker.jobs.working import KINDS, TO_GRAVE, Work
from tests.broker.redrive.driving import redrive

PARKED = ("q", "A", "string", "parked")
CLOSED = ("q", "A", "string", "closed")
OF_ALL_KINDS = pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)
OF_BOTH_KINDS = pytest.mark.parametrize("kind", [{}, {"x-queue-type": longstr("quorum")}], ids=["classic", "quorum"])


def grouped(on_dead: str, **arguments: Field) -> Work:
    """Return a broker whose queue "q" has the jobs "1", "2" and "3" of the group "A", of which the first has failed."""
    groups = {"x-group-header": longstr("key"), "x-group-on-dead": longstr(on_dead)}
    work = Work(**groups, **TO_GRAVE, **arguments)
    for id_ in "1", "2", "3":
        send(work, id_)
    work.reject()
    return work


def send(work: Work, id_: str, key: str = "A") -> None:
    work.send(id_, headers={"key": longstr(key)})


def queue_of(work: Work) -> GroupQueue:
    queue = work.node.broker.vhosts["/"].queues["q"]
    assert isinstance(queue, GroupQueue)
    return queue


def redrive_group(work: Work) -> None:
    queue, grave = queue_of(work), work.node.broker.vhosts["/"].queues["grave"]
    group = queue.line.groups.get(b"SA")
    assert group is not None
    assert isinstance(grave, LocalQueue)
    queue.redrive_group(group, [grave])
    work.advance()


def states(work: Work) -> list[str]:
    return [work.state(id_) for id_ in ("1", "2", "3")]


def groups(work: Work) -> list[tuple[str, str, str] | None]:
    return [group_of(work, id_) for id_ in ("1", "2", "3")]


def group_of(work: Work, id_: str) -> tuple[str, str, str] | None:
    """Return queue, key and state of the stopped group of a job."""
    group = work.job_status(id_).group
    return None if group is None else group[:4]


# --- attempts ---------------------------------------------------------------------------------------------------------


def status_of(work: Work, id_: str = "1") -> tuple[str, int]:
    found = work.job_status(id_)
    return found.state, found.attempt


def redrive_queue(work: Work, **options: Any) -> None:
    redrive(work.node.broker.vhosts["/"].queues["grave"], **options)
    work.advance()


@pytest.mark.parametrize("keep_history", [False, True])
@pytest.mark.parametrize("crashes", [False, True])
@OF_ALL_KINDS
def test_redriven_job_is_retrying_with_its_attempts(kind: dict[str, Field], keep_history: bool, crashes: bool) -> None:
    work = Work(**TO_GRAVE, **kind)
    work.send()
    work.reject(requeue=True)
    assert status_of(work) == ("retrying", 1)
    work.reject()
    if crashes:
        work.crash()
    redrive_queue(work, keep_history=keep_history)
    assert status_of(work) == ("retrying", 2)
    if crashes:
        work.crash()
    got = work.get()
    assert status_of(work) == ("running", 3)
    work.settle(got, "reject", requeue=False)
    redrive_queue(work)
    assert status_of(work) == ("retrying", 3)


def test_job_over_the_delivery_limit_has_its_attempts_after_a_redrive() -> None:
    work = Work(**TO_GRAVE, **{"x-queue-type": longstr("quorum"), "x-delivery-limit": Field("l", 1)})
    work.send()
    work.reject(requeue=True)
    work.reject(requeue=True)
    assert work.reason() == "delivery_limit"
    redrive_queue(work)
    assert status_of(work) == ("retrying", 2)


@pytest.mark.parametrize("keep_history", [False, True])
@pytest.mark.parametrize("crashes", [False, True])
def test_job_that_is_redriven_to_another_queue_lives_again_with_its_attempts(keep_history: bool, crashes: bool) -> None:
    work = Work(**TO_GRAVE)
    work.send()
    work.reject()
    redrive_queue(work, destination="other", keep_history=keep_history)
    if crashes:
        work.crash()
    assert (work.job_status().queue, *status_of(work)) == ("other", "retrying", 1)
    work.settle(work.get("other"))
    assert work.job_status().state == "done"


def test_attempts_of_a_retry_queue_add_up() -> None:
    wait = {**TO_GRAVE, "x-batch-ignore-rejects": Field("t", True)}
    work = Work(**wait)
    back = {"x-dead-letter-exchange": longstr(""), "x-dead-letter-routing-key": longstr("q")}
    work.client.call(1, "queue.delete", queue="grave")
    work.client.declare("grave", durable=True, arguments={"x-message-ttl": Field("l", 10), **back})
    work.send()
    for attempt in 1, 2:
        work.reject()
        assert (work.job_status().queue, *status_of(work)) == ("grave", "retrying", attempt)
        work.advance(10)
        assert (work.job_status().queue, *status_of(work)) == ("q", "retrying", attempt)


def test_job_that_moves_to_the_end_of_its_queue_counts_each_attempt_once() -> None:
    work = Work(**{"x-queue-type": longstr("quorum"), "x-delivery-limit": Field("l", -1)})
    work.send()
    for attempt in 1, 2, 3:
        work.reject(requeue=True)
        assert status_of(work) == ("retrying", attempt)


def test_job_that_moves_before_its_first_delivery_is_queued() -> None:
    work = Work()
    work.send()
    work.move("q", "other")
    assert (work.job_status().queue, *status_of(work)) == ("other", "queued", 0)


def test_further_copy_of_a_job_has_no_attempts_of_another() -> None:
    work = Work(**TO_GRAVE)
    work.send()
    work.reject()
    work.send(queue="other")
    assert status_of(work) == ("queued", 0)


def test_parked_job_has_its_attempts_after_the_redrive_of_its_group() -> None:
    work = grouped("park")
    redrive_group(work)
    assert status_of(work) == ("retrying", 1)
    got = work.get()
    assert status_of(work) == ("running", 2)
    work.settle(got)
    assert status_of(work, "2") == ("queued", 0)


@OF_BOTH_KINDS
def test_jobs_of_a_closed_group_have_their_attempts_after_its_redrive(kind: dict[str, Field]) -> None:
    work = grouped("follow", **kind)
    redrive_group(work)
    assert [status_of(work, id_) for id_ in ("1", "2", "3")] == [("retrying", 1), ("queued", 0), ("queued", 0)]
    work.settle(work.get())
    work.get()
    assert status_of(work, "2") == ("running", 1)


# --- message groups ---------------------------------------------------------------------------------------------------


@OF_BOTH_KINDS
def test_first_job_of_a_parked_group_is_parked_and_those_behind_it_are_queued(kind: dict[str, Field]) -> None:
    work = grouped("park", **kind)
    assert states(work) == ["parked", "queued", "queued"]
    assert groups(work) == [PARKED] * 3
    assert work.job_status("1").attempt == 1
    work.crash()
    assert states(work) == ["parked", "queued", "queued"]
    redrive_group(work)
    assert states(work) == ["retrying", "queued", "queued"]
    assert groups(work) == [None] * 3


def test_jobs_of_a_stopped_group_have_no_position() -> None:
    work = grouped("park")
    send(work, "4", "B")
    job_statuses = work.job_statuses()
    positions = [job_statuses.ahead(job_statuses.of(work.job(id_))) for id_ in ("1", "2", "3", "4")]
    assert positions == [None] * 4


@pytest.mark.parametrize("kind", ["ordered", "fair"])
def test_jobs_of_a_queue_with_groups_have_no_position(kind: str) -> None:
    work = Work(**{"x-group-header": longstr("key"), "x-group-type": longstr(kind)})
    for id_, key in ("1", "A"), ("2", "A"), ("3", "B"):
        send(work, id_, key)
    # The job that came last is the second one that is delivered.
    job_statuses = work.job_statuses()
    assert [job_statuses.ahead(job_statuses.of(work.job(id_))) for id_ in ("1", "2", "3")] == [None] * 3


@OF_BOTH_KINDS
def test_jobs_that_follow_their_group_are_queued_until_it_is_redriven(kind: dict[str, Field]) -> None:
    work = grouped("follow", **kind)
    assert states(work) == ["failed", "queued", "queued"]
    assert groups(work) == [None, CLOSED, CLOSED]
    assert work.job_status("2").queue == "grave"
    work.crash()
    assert groups(work) == [None, CLOSED, CLOSED]
    redrive_group(work)
    assert groups(work) == [None] * 3


@OF_BOTH_KINDS
def test_redriven_job_that_follows_its_group_again_has_not_failed_again(kind: dict[str, Field]) -> None:
    prefetch = {"x-group-prefetch": Field("l", 2)}
    work = Work(
        **{"x-group-header": longstr("key"), "x-group-on-dead": longstr("follow")}, **prefetch, **TO_GRAVE, **kind
    )
    for id_ in "1", "2":
        send(work, id_)
    work.consume()
    work.worker.receive()
    work.worker.send(1, "basic.nack", delivery_tag=0, multiple=True, requeue=False)
    work.advance()
    assert [work.state(id_) for id_ in ("1", "2")] == ["failed", "failed"]
    work.worker.call(1, "basic.cancel", consumer_tag="worker")
    redrive_group(work)
    work.reject()
    assert [work.state(id_) for id_ in ("1", "2")] == ["failed", "retrying"]
    assert (group_of(work, "2"), work.job_status("2").queue) == (CLOSED, "grave")


def test_jobs_of_a_closed_group_that_no_queue_takes_are_queued() -> None:
    work = grouped("follow")
    work.client.call(1, "queue.delete", queue="grave")
    send(work, "4")
    assert (work.state("4"), group_of(work, "4")) == ("queued", CLOSED)
    assert work.job_status("4").queue == "q"


def test_job_of_another_group_is_queued() -> None:
    work = grouped("park")
    send(work, "4", "B")
    assert (work.state("4"), group_of(work, "4")) == ("queued", None)


def test_parked_copy_counts_before_copies_that_advance() -> None:
    work = Work(**{"x-group-header": longstr("key"), "x-group-on-dead": longstr("park")})
    work.fan_out("q", "other")
    work.send(queue="", via="all", headers={"key": longstr("A")})
    work.reject()
    assert (work.state(), work.job_status().queue) == ("parked", "q")


# --- cancel -----------------------------------------------------------------------------------------------------------


@OF_BOTH_KINDS
def test_cancelled_first_job_of_a_parked_group_lets_the_next_ones_go_on(kind: dict[str, Field]) -> None:
    work = grouped("park", **kind)
    work.consume()
    assert work.job_statuses().cancel(work.job("1"))
    work.advance()
    assert (states(work), work.reason("1")) == (["failed", "running", "queued"], "cancelled")
    assert queue_of(work).info().groups_parked == 0
    assert work.client.depth("grave") == 0
    work.crash()
    assert states(work) == ["failed", "retrying", "queued"]
    assert groups(work) == [None] * 3


def test_cancelled_job_behind_a_parked_one_leaves_the_group_parked() -> None:
    work = grouped("park")
    assert work.job_statuses().cancel(work.job("2"))
    assert states(work) == ["parked", "failed", "queued"]
    assert queue_of(work).info().groups_parked == 1


def test_cancelled_last_job_of_a_parked_group_ends_the_group() -> None:
    work = grouped("park")
    for id_ in "3", "2", "1":
        assert work.job_statuses().cancel(work.job(id_))
    assert states(work) == ["failed"] * 3
    assert (queue_of(work).info().groups, queue_of(work).info().groups_parked) == (0, 0)


def test_all_copies_of_a_parked_job_are_cancelled() -> None:
    work = grouped("park")
    send(work, "1")
    work.consume()
    assert work.job_statuses().cancel(work.job("1"))
    work.advance()
    assert states(work) == ["failed", "running", "queued"]


def test_time_of_a_parked_group_stood_still_when_its_first_job_is_cancelled() -> None:
    work = grouped("park", **{"x-message-ttl": Field("l", 1000)})
    work.advance(5000)
    assert work.job_statuses().cancel(work.job("1"))
    work.advance(999)
    assert states(work) == ["failed", "queued", "queued"]


# --- search -----------------------------------------------------------------------------------------------------------


class Search:
    """Records how the states of jobs are looked for: in one or all messages of a session, or of those delayed."""

    def __init__(self, work: Work, monkeypatch: pytest.MonkeyPatch) -> None:
        self.work = work
        self.calls: list[str] = []
        for kind, name in (
            (Connection, "held"),
            (Connection, "find_held"),
            (LocalQueue, "delayed_entries"),
            (LocalQueue, "delayed_entry"),
        ):
            monkeypatch.setattr(kind, name, self._recording(name, getattr(kind, name)))

    def _recording(self, name: str, called: Any) -> Any:
        def record(*arguments: Any) -> Any:
            self.calls.append(name)
            return called(*arguments)

        return record

    def states(self, *ids: str) -> list[str]:
        """Return the states of jobs, which one request asks for."""
        self.calls.clear()
        job_statuses = self.work.job_statuses()
        return [job_statuses.of(self.work.job(id_)).state for id_ in ids]


@OF_ALL_KINDS
def test_ready_job_is_found_without_a_search_of_deliveries(
    kind: dict[str, Field], monkeypatch: pytest.MonkeyPatch
) -> None:
    work = Work(**kind)
    work.send("1")
    work.get()
    work.send("2")
    search = Search(work, monkeypatch)
    assert (search.states("2"), search.calls) == (["queued"], [])


@OF_ALL_KINDS
def test_running_job_is_found_without_an_index_of_all_deliveries(
    kind: dict[str, Field], monkeypatch: pytest.MonkeyPatch
) -> None:
    work = Work(**kind)
    for id_ in "1", "2", "3":
        work.send(id_)
        work.get()
    search = Search(work, monkeypatch)
    sessions = len(work.node.broker.sessions)
    assert search.states("3") == ["running"]
    assert 0 < len(search.calls) <= sessions
    assert set(search.calls) == {"find_held"}
    # A list of jobs searches once, and uses an index after that.
    assert search.states("1", "2", "3") == ["running"] * 3
    assert search.calls.count("find_held") <= sessions
    assert search.calls.count("held") == sessions


def test_delayed_job_is_found_without_an_index_of_all_delayed_messages(monkeypatch: pytest.MonkeyPatch) -> None:
    retry = {"x-delayed-retry-type": longstr("all"), "x-delayed-retry-min": Field("l", 60_000)}
    work = Work(limits={"page_count": 2, "least_page_count": 1}, **retry)
    ids = [str(number) for number in range(10)]
    for id_ in ids:
        work.send(id_)
        work.reject(requeue=True)
        work.advance(1)
    search = Search(work, monkeypatch)
    for id_ in ids:
        assert (search.states(id_), search.calls) == (["retrying"], ["delayed_entry"])
    assert search.states(*ids) == ["retrying"] * 10
    assert search.calls == ["delayed_entry", "delayed_entries"]
    dues_ms = [work.job_status(id_).until_ms for id_ in ids]
    assert [due_ms - dues_ms[0] for due_ms in dues_ms] == list(range(10))
