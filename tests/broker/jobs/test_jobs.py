from typing import Any

import pytest

from amqpbroker.broker.jobs.job import Job, recovered_job
from amqpbroker.broker.jobs.jobs import Jobs
from amqpbroker.compiled import is_compiled
from amqpbroker.store.keys import JOB_NUMBERS, PLACE
from amqpbroker.store.message_id_record import MessageIdRecord
from amqpbroker.store.record import JOBS_ID
from amqpbroker.wire.values import Field, longstr
from tests.broker.jobs.working import KINDS, TO_GRAVE, Work
from tests.harness import Wire

OF_ALL_KINDS = pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)


def jobs_of(work: Work) -> Jobs:
    jobs = work.node.broker.vhosts["/"].jobs
    assert jobs is not None
    return jobs


# --- life of a job ----------------------------------------------------------------------------------------------------


@OF_ALL_KINDS
def test_job_is_queued_then_running_then_done(kind: dict[str, Field]) -> None:
    work = Work(**kind)
    work.send()
    assert work.state() == "queued"
    work.consume()
    got = work.take()
    assert work.state() == "running"
    work.reply(got, b"result")
    assert work.state() == "running"
    work.settle(got)
    assert (work.state(), work.result()) == ("done", b"result")


def test_job_that_is_acknowledged_without_a_reply_is_done() -> None:
    work = Work()
    work.send()
    work.ack()
    assert (work.state(), work.result()) == ("done", None)


@OF_ALL_KINDS
def test_returned_job_is_retrying_until_it_is_delivered_again(kind: dict[str, Field]) -> None:
    work = Work(**kind)
    work.send()
    work.consume()
    work.settle(work.take(), "nack", requeue=True)
    assert work.state() == "running"  # delivered again
    assert work.job_status().attempt == 2
    work.worker.send(1, "channel.close", reply_code=200, reply_text="", class_id=0, method_id=0)
    work.advance()
    assert work.state() == "retrying"


@OF_ALL_KINDS
@pytest.mark.parametrize("dead_letters", [{}, TO_GRAVE], ids=["dropped", "dead-lettered"])
def test_rejected_job_has_failed(kind: dict[str, Field], dead_letters: dict[str, Field]) -> None:
    work = Work(**kind, **dead_letters)
    work.send()
    work.consume()
    work.settle(work.take(), "reject", requeue=False)
    assert (work.state(), work.reason()) == ("failed", "rejected")


def test_failed_job_has_the_deaths_of_its_dead_letter() -> None:
    work = Work(**TO_GRAVE)
    work.send()
    work.reject()
    failure = work.job().failure
    assert failure is not None
    assert (failure.queue, failure.reason) == ("q", "rejected")
    assert b"rejected" in failure.deaths


def test_job_that_comes_back_from_the_dead_letter_queue_can_still_be_done() -> None:
    work = Work(**TO_GRAVE)
    work.send()
    work.reject()
    work.move()
    assert (work.state(), work.reason()) == ("retrying", None)
    work.ack()
    assert work.state() == "done"


def test_acknowledgement_in_a_dead_letter_queue_changes_nothing() -> None:
    work = Work(**TO_GRAVE)
    work.send()
    work.reject()
    work.ack("grave")
    assert (work.state(), work.reason()) == ("failed", "rejected")


def test_dead_copy_does_not_settle_a_live_copy_in_the_same_queue() -> None:
    work = Work(**TO_GRAVE)
    work.send()
    work.reject()
    work.send(expiration=b"10")  # the job lives again
    work.advance(10)
    work.ack("grave")
    assert work.state() == "queued"
    work.ack("grave")
    assert work.state() == "done"


def test_expired_job_has_failed_unless_a_queue_takes_it() -> None:
    work = Work()
    work.send(expiration=b"10")
    work.advance(10)
    assert (work.state(), work.reason()) == ("failed", "expired")
    work = Work(**TO_GRAVE)
    work.send(expiration=b"10")
    work.advance(10)
    assert work.state() == "queued"
    work.ack("grave")
    assert work.state() == "done"


def test_purge_and_deletion_fail_a_job() -> None:
    work = Work()
    work.send("1")
    work.client.call(1, "queue.purge", queue="q")
    work.send("2")
    work.client.call(1, "queue.delete", queue="q")
    assert (work.state("1"), work.reason("1")) == ("failed", "purged")
    assert (work.state("2"), work.reason("2")) == ("failed", "deleted")


def test_unroutable_job_has_failed() -> None:
    work = Work()
    work.send(queue="nowhere")
    assert (work.state(), work.reason()) == ("failed", "unroutable")


def test_delivery_without_acknowledgement_ends_a_job() -> None:
    work = Work()
    work.consume(no_ack=True)
    work.send()
    got = work.take()
    assert work.state() == "done"
    work.reply(got, b"late")
    assert work.result() == b"late"


def test_job_is_refused_by_a_full_queue_and_not_followed() -> None:
    work = Work(**{"x-max-length": Field("l", 0), "x-overflow": longstr("reject-publish")})
    work.client.call(1, "confirm.select")
    assert [got.name for got in work.send()] == ["basic.nack"]
    assert work.find() is None
    assert not jobs_of(work).active


def test_job_in_a_transaction_begins_at_the_commit() -> None:
    work = Work()
    work.client.call(1, "tx.select")
    work.send()
    assert work.find() is None
    work.client.call(1, "tx.commit")
    assert work.state() == "queued"


def test_least_advanced_copy_counts() -> None:
    work = Work()
    work.fan_out("q", "other")
    work.send(via="all")
    work.consume()
    got = work.take()
    assert (work.state(), work.job_status().queue) == ("queued", "other")
    work.settle(got)
    assert work.state() == "queued"
    work.get("other")
    assert work.state() == "running"


def test_one_failed_copy_fails_the_job_at_its_end() -> None:
    work = Work()
    work.fan_out("q", "other")
    work.send(via="all")
    work.reject()
    assert work.state() == "queued"
    work.ack("other")
    assert (work.state(), work.reason()) == ("failed", "rejected")


def test_message_without_the_header_is_no_job() -> None:
    work = Work()
    work.send(headers={"x-job": Field("t", False)})
    work.client.publish("q", b"", message_id=b"2")
    assert jobs_of(work).all() == []


def test_held_job_is_delayed() -> None:
    work = Work()
    arguments = {"x-delayed-type": longstr("direct")}
    work.client.call(1, "exchange.declare", exchange="later", exchange_type="x-delayed-message", arguments=arguments)
    work.client.call(1, "queue.bind", queue="q", exchange="later", routing_key="q")
    now_ms = work.node.clock.wall_ms()
    work.send(via="later", headers={"x-delay": Field("l", 500)})
    assert (work.state(), work.job_status().until_ms) == ("delayed", now_ms + 500)
    work.advance(500)
    assert work.state() == "queued"
    work.ack()
    assert work.state() == "done"


def test_job_with_a_delayed_retry_is_retrying_until_then() -> None:
    work = Work(**{"x-delayed-retry-type": longstr("all"), "x-delayed-retry-min": Field("l", 500)})
    work.send()
    now_ms = work.node.clock.wall_ms()
    work.reject(requeue=True)
    assert (work.state(), work.job_status().until_ms) == ("retrying", now_ms + 500)
    work.advance(500)
    assert (work.state(), work.job_status().until_ms) == ("retrying", 0)


# --- publishing again -------------------------------------------------------------------------------------------------


def test_job_that_is_published_again_has_a_further_copy() -> None:
    work = Work()
    work.send()
    got = work.get()
    work.send()  # as a worker does that retries a message itself
    work.settle(got)
    assert work.state() == "queued"
    again = work.get()
    work.reply(again, b"result")
    work.settle(again)
    assert (work.state(), work.result()) == ("done", b"result")


def test_job_with_the_id_of_one_that_has_ended_replaces_it() -> None:
    work = Work()
    work.send()
    work.reject()
    work.send()
    assert (work.state(), work.reason()) == ("queued", None)


# --- replies ----------------------------------------------------------------------------------------------------------


def test_job_has_a_reply_to_and_a_correlation_id() -> None:
    work = Work()
    work.send("a")
    properties = work.get().properties
    assert properties is not None
    assert properties["reply_to"].startswith(b"amq.job-reply.")
    assert properties["correlation_id"] == b"a"
    work.send("b", correlation_id=b"own")
    assert (work.get().properties or {})["correlation_id"] == b"own"


def test_reply_to_of_the_publisher_is_kept() -> None:
    work = Work()
    work.send(reply_to=b"other")
    got = work.get()
    work.reply(got, b"result")
    work.settle(got)
    assert (work.state(), work.result()) == ("done", None)
    assert work.get("other").body == b"result"


def test_last_reply_counts() -> None:
    work = Work()
    work.send()
    for body in b"first", b"second":
        got = work.get()
        work.reply(got, body)
        work.settle(got, "nack", requeue=True)
    work.ack()
    assert work.result() == b"second"


def test_reply_waits_for_the_disk_like_any_publish() -> None:
    work = Work()
    work.worker.call(1, "confirm.select")
    work.send()
    got = work.get()
    work.reply(got, b"result")
    assert [each.name for each in work.worker.receive()] == ["basic.ack"]


def test_too_large_reply_is_refused() -> None:
    work = Work({"job_reply_bytes": 100})
    work.worker.call(1, "confirm.select")
    work.send()
    got = work.get()
    work.reply(got, b"x" * 101)
    assert [each.name for each in work.worker.receive()] == ["basic.nack"]
    assert work.result() is None
    work.reply(got, b"x" * 100)
    assert [each.name for each in work.worker.receive()] == ["basic.ack"]
    work.settle(got)
    assert work.result() == b"x" * 100


def test_replies_make_space_by_forgetting_the_jobs_that_ended_first() -> None:
    work = Work({"job_replies_bytes": 1000})
    for name in "123":
        work.send(name)
        got = work.get()
        work.reply(got, b"x" * 400)
        work.settle(got)
    assert [job.id for job in jobs_of(work).all()] == [b"2", b"3"]
    assert work.result("3") == b"x" * 400


def test_reply_to_an_unknown_job_is_unroutable() -> None:
    work = Work()
    work.client.publish("amq.job-reply.guess", b"", mandatory=True)
    assert [got.name for got in work.client.receive()] == ["basic.return"]


# --- end --------------------------------------------------------------------------------------------------------------


def test_job_is_forgotten_an_hour_after_its_end() -> None:
    work = Work()
    work.send()
    work.advance(10 * 3_600_000)
    work.ack()
    work.advance(3_600_000 - 1)
    assert work.state() == "done"
    work.advance(1)
    assert work.find() is None
    assert not jobs_of(work).active


def test_time_after_the_end_is_set_by_a_header() -> None:
    work = Work()
    work.send(headers={"x-job-ttl": Field("l", 5)})
    work.ack()
    work.advance(5)
    assert work.find() is None


def test_failed_job_that_lives_again_is_not_forgotten() -> None:
    work = Work(**TO_GRAVE)
    work.send(headers={"x-job-ttl": Field("l", 1000)})
    work.reject()
    work.advance(500)
    work.move()
    work.advance(1000)
    assert work.state() == "retrying"
    work.ack()
    work.advance(999)
    assert work.state() == "done"
    work.advance(1)
    assert work.find() is None


def test_watcher_is_called_once_at_the_end() -> None:
    work = Work()
    work.send()
    calls = []
    jobs_of(work).watch(work.job(), lambda: calls.append("first"))
    unwatch = jobs_of(work).watch(work.job(), lambda: calls.append("second"))
    unwatch()
    got = work.get()
    assert calls == []
    work.settle(got)
    assert calls == ["first"]


# --- users ------------------------------------------------------------------------------------------------------------


def send_as_mallory(work: Work, queue: str = "other", **headers: Field) -> None:
    """Publish a job as another user."""
    work.node.broker.users.add_user("mallory", "p")
    work.node.broker.users.set_permissions("mallory", "/", ".*", ".*", ".*")
    guest, work.client = work.client, work.other_client(user="mallory", password="p")
    assert work.send(queue=queue, headers=headers) == []
    work.client = guest


def test_users_have_jobs_of_their_own_with_one_id_also_after_a_crash() -> None:
    work = Work()
    work.send()
    send_as_mallory(work, **{"x-job-user": longstr("guest")})
    work.crash()
    assert [(job.user, job.queues, job.first_queues) for job in jobs_of(work).all()] == [
        ("guest", ["q"], ["q"]),
        ("mallory", ["other"], ["other"]),
    ]
    work.reject("other")
    work.crash()
    work.ack()
    assert [(job.user, job.done, job.failed) for job in jobs_of(work).all()] == [("guest", 1, 0), ("mallory", 0, 1)]
    work.advance(3_600_000)
    assert jobs_of(work).all() == []
    work.crash()
    assert jobs_of(work).all() == []


def test_dead_letters_and_moves_stay_with_the_user_of_the_job() -> None:
    work = Work(**TO_GRAVE)
    send_as_mallory(work, "q")
    work.reject()
    work.crash()
    work.send(queue="other")
    work.move()
    found = jobs_of(work).find(b"1", "mallory")
    assert found is not None
    assert (found.queues, found.failed) == (["q"], 0)
    work.ack()
    assert (found.done, work.state()) == (1, "queued")


def test_unroutable_jobs_have_users() -> None:
    work = Work()
    send_as_mallory(work, "nowhere")
    assert work.find() is None
    work.send(queue="nowhere")
    assert [(job.user, job.has_ended) for job in jobs_of(work).all()] == [("mallory", True), ("guest", True)]


def test_jobs_of_users_with_one_id_count_in_a_transaction() -> None:
    work = Work({"jobs": 2})
    send_as_mallory(work)
    assert transaction(work, ("1", "q"), ("1", "q")) == "tx.commit-ok"
    assert len(jobs_of(work)) == 2
    work.ack("other")
    assert transaction(work, ("2", "q"), ("3", "q"))[:19] == "PRECONDITION_FAILED"
    assert transaction(work, ("1", "q"), ("2", "q")) == "tx.commit-ok"
    assert [(job.id, job.user) for job in jobs_of(work).all()] == [(b"1", "guest"), (b"2", "guest")]


def test_first_queues_are_those_that_the_job_was_published_to() -> None:
    arguments = {"x-dead-letter-exchange": longstr("all"), "x-message-ttl": Field("l", 0)}
    work = Work(**arguments)
    work.fan_out("grave", "other")
    work.send()
    assert (work.job().queues, work.job().first_queues) == (["grave", "other"], ["q"])
    work.send("2", "", "all")
    work.ack("other")
    work.ack("other")
    work.send("2", "q")  # a further copy
    assert work.job("2").first_queues == ["grave", "other"]


def test_number_of_first_queues_is_limited() -> None:
    work = Work()
    for number in range(130):
        work.client.call(1, "queue.declare", queue=str(number))
    work.fan_out(*[str(number) for number in range(130)])
    work.send(via="all")
    assert len(work.job().places) == 130
    assert work.job().first_queues == [str(number) for number in range(64)]


def test_first_queues_of_a_held_job_are_known_when_it_is_due() -> None:
    work = Work()
    delayed = {"x-delayed-type": longstr("direct")}
    work.client.call(1, "exchange.declare", exchange="later", exchange_type="x-delayed-message", arguments=delayed)
    work.client.call(1, "queue.bind", queue="q", exchange="later", routing_key="q")
    work.client.call(1, "queue.bind", queue="other", exchange="later", routing_key="q")
    work.send(via="later", headers={"x-delay": Field("l", 500)})
    assert work.job().first_queues == []
    work.advance(500)
    assert work.job().first_queues == ["q", "other"]


def test_copy_with_the_reply_address_in_a_transaction_never_begins_a_job() -> None:
    work = Work()
    send_as_mallory(work, "q")
    got = work.get()
    assert got.properties is not None
    work.client.call(1, "tx.select")
    work.send(reply_to=got.properties["reply_to"])
    work.settle(got)
    number = jobs_of(work).all()[0].number
    work.client.call(1, "tx.commit")
    assert [(job.user, job.number) for job in jobs_of(work).all()] == [("mallory", number)]


# --- limits and refusals ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("id_", "headers", "problem"),
    [
        ("1", {"x-job": longstr("true")}, "invalid header 'x-job': expected boolean, got longstr"),
        (None, {}, "invalid header 'x-job': a job needs the property message_id, which is the id of the job"),
        *(
            (
                id_,
                {},
                f"invalid header 'x-job': the property message_id is '{id_}', which clients remove from the URL of a "
                "job: use another id",
            )
            for id_ in (".", "..")
        ),
        ("1", {"x-job-ttl": longstr("5")}, "invalid header 'x-job-ttl': expected integer, got longstr"),
        (
            "1",
            {"x-job-ttl": Field("l", 0)},
            "invalid header 'x-job-ttl': expected 1 to 315360000000 milliseconds, got 0",
        ),
    ],
)
def test_invalid_headers_are_refused(id_: str | None, headers: dict[str, Any], problem: str) -> None:
    work = Work()
    assert work.refused(id_, headers=headers) == (406, f"PRECONDITION_FAILED - {problem}")


def transaction(work: Work, *jobs: tuple[str, str]) -> str:
    """Publish jobs with these ids to these queues in a transaction; return the method, or the text of the refusal."""
    work.client = work.node.client()
    work.client.call(1, "tx.select")
    for id_, queue in jobs:
        assert work.send(id_, queue) == []
    got = work.client.call(1, "tx.commit")
    return str(got.arguments.get("reply_text", got.name))


def test_transaction_that_exceeds_the_number_of_jobs_is_refused() -> None:
    work = Work(limits={"jobs": 2})
    text = "PRECONDITION_FAILED - vhost '/' has reached the limit of 2 jobs; publish again later"
    assert transaction(work, ("1", "q"), ("2", "q"), ("3", "q")) == text
    assert work.node.client().depth("q") == 0
    assert transaction(work, ("1", "q"), ("1", "q"), ("2", "q")) == "tx.commit-ok"
    assert work.node.client().depth("q") == 3


def test_jobs_that_have_ended_make_space_for_a_transaction() -> None:
    work = Work(limits={"jobs": 2})
    # Unroutable jobs have ended at once.
    assert transaction(work, ("1", "nowhere"), ("2", "nowhere"), ("3", "nowhere")) == "tx.commit-ok"
    # A job that begins again is not one that makes space.
    assert transaction(work, ("2", "q"), ("4", "q"), ("5", "q"))[:19] == "PRECONDITION_FAILED"
    assert transaction(work, ("2", "q"), ("4", "q")) == "tx.commit-ok"


def test_job_beyond_the_limit_is_refused_until_one_has_ended() -> None:
    work = Work({"jobs": 2})
    work.send("1")
    work.send("2")
    assert work.refused("3") == (
        406,
        "PRECONDITION_FAILED - vhost '/' has reached the limit of 2 jobs; publish again later",
    )
    work.ack()
    work.send("3")
    assert [job.id for job in jobs_of(work).all()] == [b"2", b"3"]


def test_job_of_too_many_copies_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("amqpbroker.broker.jobs.jobs.MOST_PLACES", 1)
    work = Work()
    work.fan_out("q", "other")
    assert work.refused(via="all") == (406, "PRECONDITION_FAILED - vhost '/' has a limit of 1 copies of a job")
    work.send()
    work.send()
    work.ack()
    assert work.state() == "done"  # the second copy is not followed


# --- restart ----------------------------------------------------------------------------------------------------------


@OF_ALL_KINDS
def test_job_survives_a_crash_with_its_state(kind: dict[str, Field]) -> None:
    work = Work(**kind)
    work.send("queued")
    work.crash()
    assert work.state("queued") == "queued"
    work.consume()
    work.take()
    work.crash()
    assert work.state("queued") == "retrying"
    work.consume()
    got = work.take()
    work.reply(got, b"r" * 150_000, content_type=b"text/plain")
    work.crash()
    assert work.state("queued") == "retrying"
    work.consume()
    work.settle(work.take())
    work.crash()
    assert (work.state("queued"), work.result("queued")) == ("done", b"r" * 150_000)
    work.advance(3_600_000)
    assert work.find("queued") is None
    work.crash()
    assert work.find("queued") is None


def test_failed_and_delayed_jobs_survive_a_crash() -> None:
    work = Work(**TO_GRAVE, **{"x-delayed-retry-type": longstr("all"), "x-delayed-retry-min": Field("l", 500)})
    work.send("failed")
    work.reject()
    work.send("delayed")
    work.reject(requeue=True)
    work.crash()
    assert (work.state("failed"), work.reason("failed")) == ("failed", "rejected")
    assert work.state("delayed") == "retrying"
    assert work.job_status("delayed").until_ms


def test_transient_job_is_lost_at_a_crash() -> None:
    work = Work()
    work.send(persistent=False)
    work.crash()
    assert (work.state(), work.reason()) == ("failed", "lost")


def test_worker_can_reply_to_a_job_after_a_crash() -> None:
    work = Work()
    work.send()
    work.crash()
    got = work.get()
    work.reply(got, b"result")
    work.settle(got)
    assert work.result() == b"result"


@pytest.mark.skipif(is_compiled(), reason="methods of compiled classes cannot be replaced")
@OF_ALL_KINDS
def test_jobs_do_not_end_one_by_one_if_their_vhost_is_deleted(
    kind: dict[str, Field], monkeypatch: pytest.MonkeyPatch
) -> None:
    work = Work(**kind)
    for number in range(5):
        work.send(str(number))
    work.get()
    broker = work.node.broker
    stored: list[object] = []
    monkeypatch.setattr(broker.storage.store, "add_id", stored.append)
    broker.delete_vhost("/")
    work.advance()
    assert stored == []
    assert broker.storage.job_records.stored_count() == 0
    work.crash()
    assert jobs_of(work).all() == []


def test_deleted_vhost_forgets_its_jobs() -> None:
    work = Work()
    work.send()
    called = []
    jobs_of(work).watch(work.job(), lambda: called.append(True))
    work.node.broker.delete_vhost("/")
    work.node.broker.sync()
    assert called == [True]
    assert work.node.broker.storage.job_records.stored_count() == 0


# --- stores of earlier versions ---------------------------------------------------------------------------------------


def test_record_without_first_queues_is_read_and_written_without_them() -> None:
    names = [b"/", b"1", b"guest", b"", b"q", b"token", b"", b"grave", b"rejected", b""]
    key = b"J" + JOB_NUMBERS.pack(1000, 2000, 0, 3, 4, 5, 1)
    key += b"".join([len(name).to_bytes(2, "big") + name for name in names]) + PLACE.pack(7, 8, 0, 1, 0)
    job = recovered_job(MessageIdRecord(key, JOBS_ID, 9, 0, True), {7: "q"})
    assert (job.vhost, job.id, job.user, job.token, job.named) == ("/", b"1", "guest", "token", False)
    assert (job.queues, job.first_queues, job.guards) == (["q"], [], ["q"])
    assert job.new_record().key == key


def test_messages_that_do_not_name_a_user_stay_with_their_stored_jobs(monkeypatch: pytest.MonkeyPatch) -> None:
    def unnamed(*arguments: Any) -> Job:
        job = Job(*arguments)
        job.named = False
        return job

    work = Work(**TO_GRAVE)
    with monkeypatch.context() as earlier:
        earlier.setattr("amqpbroker.broker.jobs.jobs.Job", unnamed)
        earlier.setattr("amqpbroker.broker.actions.mark", lambda message, request: None)
        work.send()
    work.crash()
    send_as_mallory(work)
    work.send()  # a further copy, which names the user
    work.reject("other")
    work.reject()
    work.crash()
    assert work.state() == "queued"
    work.move()
    work.ack()
    work.ack()
    assert [(job.user, job.done, job.failed) for job in jobs_of(work).all()] == [("guest", 2, 0), ("mallory", 0, 1)]
    work.send()
    assert work.job().named


# --- shares of users, longest time ------------------------------------------------------------------------------------


def other_user(work: Work) -> Wire:
    """Return a client of another user."""
    work.node.broker.users.add_user("other", "p", ())
    work.node.broker.users.set_permissions("other", "/", ".*", ".*", ".*")
    return Wire(work.node.broker).log_in(user="other", password="p")


def send_as(work: Work, client: Wire, id_: str, queue: str = "q") -> list[str]:
    """Publish a job with a client, and return the text with which it is refused."""
    client.publish(queue, b"", headers={"x-job": Field("t", True)}, message_id=id_.encode(), delivery_mode=2)
    work.advance()
    return [got.arguments["reply_text"] for got in client.receive() if got.name == "channel.close"]


def test_user_may_have_a_share_of_the_jobs_also_after_a_restart() -> None:
    work = Work({"jobs": 4}, share=0.5)
    work.send("1")
    work.send("2")
    text = "user 'guest' has reached the limit of 2 jobs in vhost '/'; delete some, or publish again later"
    assert work.refused("3") == (406, f"PRECONDITION_FAILED - {text}")
    work.crash()
    assert work.refused("3") == (406, f"PRECONDITION_FAILED - {text}")
    assert send_as(work, other_user(work), "other") == []
    jobs_of(work).remove(work.job("1"))
    work.client = work.node.client()
    assert work.send("3") == []
    assert [job.id for job in jobs_of(work).all()] == [b"2", b"other", b"3"]


def test_transaction_with_more_jobs_than_the_share_of_its_user_is_refused() -> None:
    work = Work({"jobs": 4}, share=0.5)
    work.send("1")
    assert "user 'guest' has reached the limit of 2 jobs" in transaction(work, ("2", "q"), ("3", "q"))
    assert transaction(work, ("2", "q"), ("2", "q")) == "tx.commit-ok"


def test_job_that_ended_makes_space_for_its_user_before_those_of_others() -> None:
    work = Work({"jobs": 4}, share=0.5)
    assert send_as(work, other_user(work), "other", "nowhere") == []
    for name in "123":
        work.send(name)
        work.ack()
    assert [job.id for job in jobs_of(work).all()] == [b"other", b"2", b"3"]


def test_ended_jobs_of_other_users_cannot_be_taken_beyond_the_share() -> None:
    work = Work({"jobs": 4}, share=0.5)
    client = other_user(work)
    work.send("1")
    work.ack()
    assert send_as(work, client, "a") + send_as(work, client, "b") == []
    assert len(send_as(work, client, "1")) == 1
    assert work.job("1").user == "guest"


def test_replies_of_a_user_leave_space_for_those_of_others() -> None:
    work = Work({"job_replies_bytes": 2000, "job_reply_bytes": 500}, share=0.5)
    assert send_as(work, other_user(work), "other") == []
    for name in "123":
        if name != "1":
            work.send(name)
        got = work.get()
        work.reply(got, b"x" * 400)
        work.settle(got)
    assert work.result("other", "other") == b"x" * 400
    for name in "45":
        work.send(name)
        got = work.get()
        work.reply(got, b"x" * 400)
        work.settle(got)
    assert [job.id for job in jobs_of(work).all()] == [b"other", b"4", b"5"]
    work.crash()
    assert [job.id for job in jobs_of(work).all()] == [b"other", b"4", b"5"]
    work.send("6")
    got = work.get()
    work.reply(got, b"x" * 400)
    assert [job.id for job in jobs_of(work).all()] == [b"other", b"5", b"6"]


def test_last_reply_replaces_the_earlier_one_in_the_share() -> None:
    work = Work({"job_replies_bytes": 1000, "job_reply_bytes": 800})
    work.worker.call(1, "confirm.select")
    work.send()
    got = work.get()
    for size in 700, 800, 700:
        work.reply(got, b"x" * size)
        assert [each.name for each in work.worker.receive()] == ["basic.ack"]
    work.send("2")
    other = work.get()
    work.reply(other, b"x" * 700)
    assert [each.name for each in work.worker.receive()] == ["basic.nack"]
    assert work.result() == b"x" * 700
    work.settle(got)
    work.reply(other, b"x" * 700)
    assert work.find() is None


def test_longest_time_after_the_end_is_a_setting() -> None:
    work = Work(settings={"job_max_ttl_ms": 5000})
    assert work.refused(headers={"x-job-ttl": Field("l", 5001)}) == (
        406,
        "PRECONDITION_FAILED - invalid header 'x-job-ttl': expected at most 5000 milliseconds (setting job.max_ttl),"
        " got 5001",
    )
    work.send()
    assert work.job().ttl_ms == 5000
    work.send("2", headers={"x-job-ttl": Field("l", 4000)})
    assert work.job("2").ttl_ms == 4000


def test_unroutable_jobs_count_for_the_share_of_their_user() -> None:
    work = Work({"jobs": 4}, share=0.5)
    assert transaction(work, ("1", "nowhere")) == "tx.commit-ok"
    assert work.job().user == "guest"


def test_transaction_cannot_take_ended_jobs_of_other_users_beyond_the_share() -> None:
    work = Work({"jobs": 4}, share=0.5)
    assert send_as(work, other_user(work), "ended", "nowhere") == []
    work.send("1")
    assert "user 'guest' has reached the limit" in transaction(work, ("2", "q"), ("ended", "q"))
    assert transaction(work, ("ended", "q")) == "tx.commit-ok"
    assert work.job("ended").user == "guest"
