import itertools
import json
from dataclasses import replace
from typing import Any

import pytest

from amqpbroker.broker.batches.batch import Batch, recovered_batch
from amqpbroker.broker.queues.groups.queue import GroupQueue
from amqpbroker.broker.queues.local_queue import LocalQueue
from amqpbroker.compiled import is_compiled
from amqpbroker.message.checksum import content_checksum
from amqpbroker.testing.recorder import Recorder
from amqpbroker.wire.values import Field, longstr
from tests.broker.batches.batching import KINDS, TO_GRAVE, Job, batch_headers
from tests.broker.storing import depth
from tests.harness import Wire

OF_ALL_KINDS = pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)
ALL = "complete,success,death"


# --- completion -------------------------------------------------------------------------------------------------------


@OF_ALL_KINDS
def test_batch_is_complete_when_all_members_are_acknowledged(kind: dict[str, Field]) -> None:
    job = Job(**kind)
    job.send("1")
    job.send("2", size=2)
    job.ack()
    assert job.events() == []
    assert job.counts() == (1, 0, 1)
    job.ack()
    assert job.results() == [("complete", 2, 0)]
    assert job.batch().state == "success"


def test_batch_of_unknown_size_is_not_complete() -> None:
    job = Job()
    job.send("1")
    job.ack()
    assert job.events() == []
    job.send("2", size=3)
    job.send("3")
    job.ack(2)
    assert job.results() == [("complete", 3, 0)]


def test_event_message_has_headers_and_a_body() -> None:
    job = Job(**TO_GRAVE)
    job.send("1", size=2)
    job.send("2")
    job.ack()
    job.reject()
    got = job.get("events")
    assert got.properties == {
        "content_type": b"application/json",
        "delivery_mode": 2,
        "message_id": b"b:complete",
        "headers": {
            "x-batch-id": longstr("b"),
            "x-batch-event": longstr("complete"),
            "x-batch-size": Field("l", 2),
            "x-batch-ok": Field("l", 1),
            "x-batch-failed": Field("l", 1),
        },
    }
    assert json.loads(got.body or b"") == {
        "id": "b",
        "event": "complete",
        "size": 2,
        "ok": 1,
        "failed": 1,
        "failures": [{"message_id": "2", "queue": "q", "reason": "rejected"}],
    }


def test_first_failure_completion_and_success_each_have_an_event() -> None:
    job = Job(**TO_GRAVE)
    for number in range(3):
        job.send(str(number), size=3, events=ALL)
    job.reject()
    assert job.results() == [("death", 0, 1)]
    job.reject()
    job.ack()
    assert job.results() == [("complete", 1, 2)]
    job.move()
    job.ack()
    assert job.events() == []
    assert job.counts() == (2, 1, 0)
    job.ack()
    assert job.results() == [("success", 3, 0)]


@pytest.mark.parametrize("size", [0, 1])
def test_success_together_with_completion_is_sent_once(size: int) -> None:
    job = Job()
    job.send("1", size=size, events=ALL)
    job.ack()
    assert job.results() == [("complete", size, 0), ("success", size, 0)]
    assert job.events() == []


def test_member_that_is_dropped_by_a_redrive_fails() -> None:
    last_value = {"x-last-value-key": longstr("key")}
    job = Job(**TO_GRAVE, **last_value)
    headers = {**batch_headers(size=1), "key": longstr("k")}
    job.client.publish("q", b"1", message_id=b"1", headers=headers, expiration="1")
    job.advance(1)
    job.client.publish("q", b"newer", headers={"key": longstr("k")})
    job.redrive()
    assert [*job.batch().failures.values()] == [(b"1", "q", "replaced")]


def test_only_requested_events_are_sent() -> None:
    job = Job(**TO_GRAVE)
    job.send("1", size=1, events="success")
    job.reject()
    assert job.events() == []
    job.move()
    job.ack()
    assert job.results() == [("success", 1, 0)]


def test_success_at_the_same_time_as_completion_is_sent_once() -> None:
    job = Job()
    for name in "12":
        job.send(name, size=2, events=ALL)
    job.ack(2)
    for _ in range(3):
        job.advance()
    assert job.results() == [("complete", 2, 0), ("success", 2, 0)]
    job.crash()
    job.advance()
    assert job.results() == []


def test_empty_batch_is_complete_at_once_and_its_message_is_no_member() -> None:
    job = Job()
    job.send("1", size=0)
    assert job.results() == [("complete", 0, 0)]
    job.ack()
    assert job.events() == []


def test_size_may_grow_until_the_batch_is_complete() -> None:
    job = Job()
    job.send("1", size=2)
    job.send("2", size=3)
    job.ack(2)
    assert job.events() == []
    job.send("3")
    job.ack()
    assert job.results() == [("complete", 3, 0)]


def test_late_member_is_not_counted() -> None:
    job = Job()
    job.send("1", size=1)
    job.ack()
    job.send("2", size=2)
    job.reject()
    assert job.results() == [("complete", 1, 0)]
    assert job.counts() == (1, 0, 0)


def test_message_goes_to_the_reply_to_of_the_first_member_without_a_routing_key() -> None:
    job = Job()
    headers = batch_headers(routing_key=None, size=1)
    job.client.publish("q", b"", headers=headers, reply_to=b"events")
    job.client.receive()
    job.ack()
    assert job.events() == ["complete"]


#: Headers of members that name the target in parts, and the reply_to of the first one; and the queue of the message.
PARTS = {
    "key replaces a reply_to": ([{"reply_to": "other"}, {"routing_key": "events"}], "events"),
    "key precedes a reply_to": ([{"routing_key": "events"}, {"reply_to": "other"}], "events"),
    "first of two reply_tos": ([{"reply_to": "events"}, {"reply_to": "other"}], "events"),
    "exchange replaces a reply_to": ([{"reply_to": "other"}, {"exchange": "by-key"}], "grave"),
    "exchange precedes a reply_to": ([{"exchange": "by-key"}, {"reply_to": "other"}], "grave"),
    "exchange of a message with a reply_to": ([{"exchange": "by-key", "reply_to": "other"}], "grave"),
    "default exchange keeps a reply_to": ([{"reply_to": "events"}, {"exchange": ""}], "events"),
    "reply_to after the default exchange": ([{"exchange": ""}, {"reply_to": "events"}], "events"),
    "both replace a reply_to": ([{"reply_to": "other"}, {"exchange": "by-key", "routing_key": "k"}], "events"),
    "exchange, then key": ([{"exchange": "by-key"}, {"routing_key": "k"}], "events"),
    "key, then exchange": ([{"routing_key": "k"}, {"exchange": "by-key"}], "events"),
    "exchange, reply_to, key": ([{"exchange": "by-key"}, {"reply_to": "other"}, {"routing_key": "k"}], "events"),
    "reply_to, key, exchange": ([{"reply_to": "other"}, {"routing_key": "k"}, {"exchange": "by-key"}], "events"),
    "reply_to, exchange, key": ([{"reply_to": "other"}, {"exchange": "by-key"}, {"routing_key": "k"}], "events"),
}


@pytest.mark.parametrize("crashes", [False, True])
@pytest.mark.parametrize(("members", "queue"), PARTS.values(), ids=PARTS)
def test_members_name_the_target_in_parts(members: list[dict[str, Any]], queue: str, crashes: bool) -> None:
    job = Job()
    with_exchange(job)
    for number, each in enumerate(members):
        named = {"message_id": b"%d" % number, "delivery_mode": 2}
        if "reply_to" in each:
            named["reply_to"] = each["reply_to"].encode()
        headers = {"routing_key": None, **{name: part for name, part in each.items() if name != "reply_to"}}
        job.client.publish("q", b"", headers=batch_headers(**headers), **named)
        assert job.client.receive() == []
        job.node.broker.sync()
        if crashes:
            job.crash()
            with_exchange(job)
    job.send("last", routing_key=None, size=len(members) + 1)
    job.ack(len(members) + 1)
    depths = {name: job.client.depth(name) for name in ("events", "grave", "other")}
    assert depths == {name: int(name == queue) for name in depths}


def with_exchange(job: Job) -> None:
    """Declare an exchange that routes the key "k" to the queue "events", and the empty key to the queue "grave"."""
    job.client.call(1, "exchange.declare", exchange="by-key", exchange_type="topic", durable=True)
    job.client.call(1, "queue.bind", queue="grave", exchange="by-key", routing_key="")
    job.client.call(1, "queue.bind", queue="events", exchange="by-key", routing_key="k")


@pytest.mark.parametrize(
    ("first", "second", "text"),
    [
        ({"routing_key": "k"}, {"routing_key": "other"}, "'x-batch-routing-key': 'other' contradicts 'k'"),
        ({"exchange": ""}, {"exchange": "by-key"}, "'x-batch-exchange': 'by-key' contradicts ''"),
    ],
)
def test_parts_of_the_target_contradict_only_the_same_parts(
    first: dict[str, Any], second: dict[str, Any], text: str
) -> None:
    job = Job()
    with_exchange(job)
    job.send("1", **{"routing_key": None, **first})
    job.send("2", routing_key=None, size=3)
    assert job.refused("3", **{"routing_key": None, **second}) == (
        406,
        f"PRECONDITION_FAILED - invalid header {text} of an earlier member",
    )


def test_key_that_repeats_a_reply_to_is_a_header() -> None:
    job = Job()
    headers = batch_headers(routing_key=None)
    job.client.publish("q", b"", headers=headers, message_id=b"1", reply_to=b"events", delivery_mode=2)
    job.client.receive()
    job.send("2", routing_key="events")
    job.crash()
    assert job.refused("3", routing_key="other")[0] == 406


def test_target_that_changes_after_an_event_gets_the_later_events() -> None:
    job = Job()
    job.send("1", routing_key="other", events=ALL)
    job.reject()
    assert job.client.depth("other") == 1
    job.client.call(1, "exchange.declare", exchange="e", exchange_type="fanout", durable=True)
    job.client.call(1, "queue.bind", queue="events", exchange="e", routing_key="")
    job.send("2", routing_key=None, exchange="e", size=2)
    job.ack()
    assert job.results() == [("complete", 1, 1)]


def test_event_of_an_inner_batch_does_not_complete_a_target_that_members_have_named() -> None:
    job = Job()
    with_exchange(job)
    job.send("1", "q", size=1, outer_id="o", outer_exchange="by-key", outer_size=2)
    job.send("2", "other", id="o", routing_key="other")
    job.ack()
    assert job.batch("o").terms.target == ("", b"other")


def test_direct_reply_gets_the_message() -> None:
    job = Job()
    job.client.consume("amq.rabbitmq.reply-to", no_ack=True)
    headers = batch_headers(routing_key=None, size=1)
    job.client.publish("q", b"", headers=headers, reply_to=b"amq.rabbitmq.reply-to")
    job.client.receive()
    got = job.client.call(1, "basic.get", queue="q", no_ack=True)
    assert got.name == "basic.get-ok"
    job.advance()
    (reply,) = job.client.receive()
    assert reply.name == "basic.deliver"
    assert reply.properties is not None
    assert reply.properties["headers"]["x-batch-event"] == longstr("complete")


def test_message_to_a_full_queue_is_sent_again() -> None:
    job = Job()
    job.client.declare("full", arguments={"x-max-length": Field("l", 1), "x-overflow": longstr("reject-publish")})
    job.client.publish("full", b"first")
    job.send("1", size=1, routing_key="full")
    job.ack()
    assert job.get("full", no_ack=True).body == b"first"
    job.advance(1000)
    got = job.get("full", no_ack=True)
    assert got.properties is not None
    assert got.properties["message_id"] == b"b:complete"
    job.advance(5000)
    assert job.client.depth("full") == 0


@pytest.mark.parametrize("outer_id", [None, "o"])
@pytest.mark.parametrize("kind", ["fanout", "x-message-deduplication"])
@pytest.mark.parametrize("full_first", [False, True])
def test_message_that_one_of_two_queues_takes_is_not_sent_again(
    kind: str, outer_id: str | None, full_first: bool, caplog: pytest.LogCaptureFixture
) -> None:
    job = Job()
    job.client.declare("full", arguments={"x-max-length": Field("l", 0), "x-overflow": longstr("reject-publish")})
    arguments = {"x-cache-size": Field("l", 9)} if kind != "fanout" else {}
    job.client.call(1, "exchange.declare", exchange="told", exchange_type=kind, arguments=arguments)
    for queue in ("full", "events") if full_first else ("events", "full"):
        job.client.call(1, "queue.bind", queue=queue, exchange="told", routing_key="k")
    job.send("1", size=1, exchange="told", routing_key="k", outer_id=outer_id)
    job.ack()
    job.advance(5000)
    assert job.results() == [("complete", 1, 0)]
    assert job.batch().state == "success"
    assert outer_id is None or job.counts("o") == (1, 0, 0)
    assert "message 'b:complete' about a batch is dropped by full queues 'full'" in caplog.text
    job.crash()
    job.advance(1000)
    assert job.events() == []


def test_message_that_all_queues_refuse_is_sent_again() -> None:
    job = Job()
    job.client.call(1, "exchange.declare", exchange="told", exchange_type="fanout")
    for queue in ("one", "two"):
        refusing = {"x-max-length": Field("l", 1), "x-overflow": longstr("reject-publish")}
        job.client.declare(queue, arguments=refusing)
        job.client.publish(queue, b"first")
        job.client.call(1, "queue.bind", queue=queue, exchange="told", routing_key="")
    job.send("1", size=1, exchange="told", routing_key="")
    job.ack()
    job.advance(1000)
    for queue in ("one", "two"):
        job.get(queue, no_ack=True)
    job.advance(1000)
    assert [job.client.depth(queue) for queue in ("one", "two")] == [1, 1]
    assert job.batch().state == "success"


def test_completion_is_a_member_of_the_outer_batch() -> None:
    job = Job()
    for name in ("one", "two"):
        headers = {
            **batch_headers(name, size=1, routing_key="other"),
            "x-batch-outer-id": longstr("whole"),
            "x-batch-outer-size": Field("l", 2),
            "x-batch-outer-routing-key": longstr("events"),
        }
        job.client.publish("q", b"", headers=headers, message_id=name.encode(), delivery_mode=2)
        job.client.receive()
    job.ack(2)
    assert job.client.depth("other") == 2
    assert job.events() == []
    assert job.counts("whole") == (0, 0, 2)
    job.ack(2, "other")
    assert job.results() == [("complete", 2, 0)]


# --- members ----------------------------------------------------------------------------------------------------------


def test_member_that_is_published_again_counts_once() -> None:
    job = Job()
    job.send("1", size=2)
    job.send("1")
    assert job.counts() == (0, 0, 1)
    job.ack(2)
    job.send("1")
    assert job.counts() == (1, 0, 0)
    assert job.events() == []


def test_members_without_a_message_id_count_each() -> None:
    job = Job()
    job.send(size=2)
    job.send()
    assert job.counts() == (0, 0, 2)
    job.ack(2)
    assert job.results() == [("complete", 2, 0)]


@pytest.mark.parametrize("id_", ["1", None])
def test_member_is_settled_with_its_last_copy(id_: str | None) -> None:
    job = Job()
    job.fan_out("q", "other")
    job.send(id_, via="all", size=1)
    assert job.counts() == (0, 0, 1)
    job.ack()
    assert job.counts() == (0, 0, 1)
    job.ack(queue="other")
    assert job.results() == [("complete", 1, 0)]


def test_member_has_failed_if_one_copy_has() -> None:
    job = Job(**TO_GRAVE)
    job.fan_out("q", "other")
    job.send("1", via="all", size=1, events=ALL)
    job.reject()
    assert job.results() == [("death", 0, 0)]
    job.ack(queue="other")
    assert job.results() == [("complete", 0, 1)]
    job.move()
    job.ack()
    assert job.results() == [("success", 1, 0)]


def test_unroutable_member_has_failed() -> None:
    job = Job()
    job.send("1", queue="nowhere", size=1)
    assert job.results() == [("complete", 0, 1)]
    job.send("1")
    job.ack()
    assert job.counts() == (1, 0, 0)


@OF_ALL_KINDS
def test_return_changes_nothing(kind: dict[str, Field]) -> None:
    job = Job(**kind)
    job.send("1", size=1)
    job.reject(3, requeue=True)
    assert job.counts() == (0, 0, 1)
    job.ack()
    assert job.results() == [("complete", 1, 0)]


def test_return_to_the_end_of_a_quorum_queue_changes_nothing() -> None:
    job = Job(**KINDS["quorum"], **{"x-delivery-limit": Field("l", -1)})
    job.send("1", size=2)
    job.send("2")
    job.reject(3, requeue=True)
    assert job.counts() == (0, 0, 2)
    job.ack(2)
    assert job.results() == [("complete", 2, 0)]


@OF_ALL_KINDS
def test_delivery_without_acknowledgement_settles(kind: dict[str, Field]) -> None:
    job = Job(**kind)
    job.send("waiting", size=3)
    job.send("got")
    assert job.get(no_ack=True).body
    job.client.consume("q", no_ack=True)
    job.send("at once")
    assert job.counts() == (3, 0, 0)


def test_multiple_acknowledgement_settles_each() -> None:
    job = Job()
    job.send("1", size=3)
    job.send("2")
    job.send("3")
    job.client.consume("q")
    job.client.send(1, "basic.ack", delivery_tag=3, multiple=True)
    job.client.receive()
    job.advance()
    assert job.results() == [("complete", 3, 0)]


def test_member_counts_at_the_commit_of_its_transaction() -> None:
    job = Job()
    job.client.call(1, "tx.select")
    job.send("1", size=1)
    assert job.find() is None
    job.client.call(1, "tx.rollback")
    assert job.find() is None
    job.send("1", size=2)
    job.send("2", queue="nowhere")
    job.client.receive()
    job.client.call(1, "tx.commit")
    assert job.counts() == (0, 1, 1)


def test_refused_member_does_not_count_until_it_is_accepted() -> None:
    job = Job(**{"x-max-length": Field("l", 1), "x-overflow": longstr("reject-publish")})
    job.send("1", size=2)
    job.send("2")
    assert job.counts() == (0, 0, 1)
    job.ack()
    assert job.events() == []
    job.send("2")
    job.ack()
    assert job.results() == [("complete", 2, 0)]


def test_duplicate_that_a_queue_drops_does_not_count() -> None:
    job = Job(**{"x-message-deduplication": Field("t", True), "x-deduplication-property": longstr("message_id")})
    job.send("1", size=2)
    job.send("1")
    assert job.counts() == (0, 0, 1)
    job.ack()
    assert job.counts() == (1, 0, 0)


def test_delayed_member_is_open_until_it_is_acknowledged() -> None:
    job = Job()
    arguments = {"x-delayed-type": longstr("fanout")}
    job.client.call(1, "exchange.declare", exchange="later", exchange_type="x-delayed-message", arguments=arguments)
    job.client.call(1, "queue.bind", queue="q", exchange="later", routing_key="")
    headers = {**batch_headers(size=1), "x-delay": Field("l", 1000)}
    job.client.publish("", b"", "later", headers=headers, message_id=b"1", delivery_mode=2)
    job.client.receive()
    assert job.counts() == (0, 0, 1)
    job.advance(1000)
    assert job.counts() == (0, 0, 1)
    job.ack()
    assert job.results() == [("complete", 1, 0)]


def test_delayed_member_fails_with_its_exchange() -> None:
    job = Job()
    arguments = {"x-delayed-type": longstr("fanout")}
    job.client.call(1, "exchange.declare", exchange="later", exchange_type="x-delayed-message", arguments=arguments)
    headers = {**batch_headers(size=1), "x-delay": Field("l", 1000)}
    job.client.publish("", b"", "later", headers=headers, message_id=b"1")
    job.client.call(1, "exchange.delete", exchange="later")
    job.advance()
    assert job.results() == [("complete", 0, 1)]


# --- failures ---------------------------------------------------------------------------------------------------------


def declared(job: Job, name: str, **arguments: Any) -> None:
    job.client.declare(name, arguments={key.replace("_", "-"): value for key, value in arguments.items()})


@pytest.mark.parametrize(
    "letters",
    [{}, TO_GRAVE, {**TO_GRAVE, "x-dead-letter-routing-key": longstr("nowhere")}],
    ids=["no DLX", "DLX", "unroutable DLX"],
)
def test_rejected_member_has_failed(letters: dict[str, Field]) -> None:
    job = Job(**letters)
    job.send("1", size=1)
    job.reject()
    assert job.results() == [("complete", 0, 1)]
    assert [failure.reason for failure in job.batch().failures.values()] == ["rejected"]


def test_member_beyond_the_delivery_limit_has_failed() -> None:
    job = Job(**TO_GRAVE, **{"x-delivery-limit": Field("l", 1)})
    job.send("1", size=1)
    job.reject(2, requeue=True)
    assert job.results() == [("complete", 0, 1)]
    assert [failure.reason for failure in job.batch().failures.values()] == ["delivery_limit"]


def test_expired_member_is_open_while_a_dead_letter_queue_has_it() -> None:
    job = Job(**TO_GRAVE, **{"x-message-ttl": Field("l", 10)})
    job.send("1", size=1)
    job.advance(10)
    assert job.client.depth("grave") == 1
    assert job.counts() == (0, 0, 1)
    job.ack(queue="grave")
    assert job.results() == [("complete", 1, 0)]


def test_member_over_the_length_limit_is_open_while_a_dead_letter_queue_has_it() -> None:
    job = Job(**TO_GRAVE, **{"x-max-length": Field("l", 1)})
    job.send("1", size=2)
    job.send("2")
    assert job.client.depth("grave") == 1
    job.ack(queue="grave")
    job.ack()
    assert job.results() == [("complete", 2, 0)]


def test_refused_member_that_is_dead_lettered_is_open() -> None:
    limits = {"x-max-length": Field("l", 0), "x-overflow": longstr("reject-publish-dlx")}
    job = Job(**TO_GRAVE, **limits)
    job.send("1", size=1)
    assert job.counts() == (0, 0, 1)
    job.ack(queue="grave")
    assert job.results() == [("complete", 1, 0)]


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [({"x-message-ttl": Field("l", 10)}, "expired"), ({"x-max-length": Field("l", 0)}, "maxlen")],
    ids=["expired", "maxlen"],
)
def test_member_that_is_dropped_without_a_dead_letter_has_failed(arguments: dict[str, Field], reason: str) -> None:
    job = Job(**arguments)
    job.send("1", size=1)
    job.advance(10)
    assert job.results() == [("complete", 0, 1)]
    assert [failure.reason for failure in job.batch().failures.values()] == [reason]


@OF_ALL_KINDS
def test_purged_members_have_failed(kind: dict[str, Field]) -> None:
    job = Job(**kind)
    job.send("1", size=2)
    job.send("2")
    job.client.call(1, "queue.purge", queue="q")
    job.advance()
    assert job.results() == [("complete", 0, 2)]
    assert {failure.reason for failure in job.batch().failures.values()} == {"purged"}


def test_purged_members_on_the_disk_have_failed() -> None:
    job = Job(limits={"page_count": 4, "read_count": 4})
    for number in range(40):
        job.send(str(number), size=40)
    queue = job.node.broker.vhosts["/"].queues["q"]
    assert queue.info().messages_paged_out > 0
    job.client.call(1, "queue.purge", queue="q")
    job.advance()
    assert job.results() == [("complete", 0, 40)]


def test_members_fail_with_their_queue_except_delivered_ones() -> None:
    job = Job()
    job.send("1", size=3)
    job.send("2")
    job.send("3")
    tags = [job.get().arguments["delivery_tag"] for _ in range(2)]
    job.client.call(1, "queue.delete", queue="q")
    job.advance()
    assert job.counts() == (0, 1, 2)
    job.client.send(1, "basic.ack", delivery_tag=tags[0])
    job.client.send(1, "basic.nack", delivery_tag=tags[1], requeue=True)
    job.client.receive()
    job.advance()
    assert job.results() == [("complete", 1, 2)]
    assert {failure.reason for failure in job.batch().failures.values()} == {"deleted"}


def test_acknowledgement_in_the_dead_letter_queue_changes_nothing() -> None:
    job = Job(**TO_GRAVE)
    job.send("1", size=1)
    job.reject()
    job.ack(queue="grave")
    assert job.results() == [("complete", 0, 1)]
    assert job.counts() == (0, 1, 0)


def test_failed_member_that_a_client_publishes_again_can_succeed() -> None:
    job = Job(**TO_GRAVE)
    job.send("1", size=1, events=ALL)
    job.reject()
    assert job.events() == ["death", "complete"]
    job.send("1")
    job.ack()
    assert job.results() == [("success", 1, 0)]


@pytest.mark.parametrize("keep_history", [False, True])
def test_redriven_member_can_succeed(keep_history: bool) -> None:
    job = Job(**TO_GRAVE)
    for number in range(2):
        job.send(str(number), size=2, events=ALL)
    job.reject(2)
    assert job.results()[-1] == ("complete", 0, 2)
    job.redrive(keep_history=keep_history)
    assert job.counts() == (0, 2, 0)
    job.ack(2)
    assert job.results() == [("success", 2, 0)]


@pytest.mark.parametrize("keep_history", [False, True])
@pytest.mark.parametrize("crashes", [False, True])
def test_member_that_is_redriven_to_another_queue_can_succeed_there(keep_history: bool, crashes: bool) -> None:
    job = Job(**TO_GRAVE)
    job.send("1", size=1, events=ALL)
    job.reject()
    assert job.results()[-1] == ("complete", 0, 1)
    job.redrive(destination="other", keep_history=keep_history)
    if crashes:
        job.crash()
    job.ack(queue="other")
    assert job.results() == [("success", 1, 0)]


def test_member_that_is_redriven_with_its_history_can_fail_again() -> None:
    job = Job(**TO_GRAVE)
    job.client.declare("second", arguments=TO_GRAVE, durable=True)
    job.send("1", size=1, events=ALL)
    job.reject()
    for _ in range(2):
        job.redrive(destination="second", keep_history=True)
        job.reject(queue="second")
        assert job.counts() == (0, 1, 0)
    job.move()
    job.ack(queue="q")
    assert job.results()[-1] == ("complete", 0, 1)


def test_member_that_is_redriven_with_its_history_can_be_retried_by_expiry() -> None:
    job = Job(**TO_GRAVE)
    to_other = {"x-dead-letter-exchange": longstr(""), "x-dead-letter-routing-key": longstr("other")}
    job.client.declare("retry", arguments={**to_other, "x-message-ttl": Field("l", 10)}, durable=True)
    job.send("1", size=1, events=ALL)
    job.reject()
    assert job.results()[-1] == ("complete", 0, 1)
    job.redrive(destination="retry", keep_history=True)
    job.advance(10)
    got = job.get("other")
    assert got.properties is not None
    assert len(got.properties["headers"]["x-death"].value) == 2
    job.client.send(1, "basic.ack", delivery_tag=got.arguments["delivery_tag"])
    job.client.receive()
    job.advance()
    assert job.results() == [("success", 1, 0)]


def test_redrive_without_history_removes_the_mark_of_one_with_history() -> None:
    job = Job(**TO_GRAVE)
    job.send("1", size=1)
    for keep_history in (True, False):
        job.reject()
        job.redrive(keep_history=keep_history)
    got = job.get()
    assert got.properties is not None
    assert {name for name in got.properties["headers"] if not name.startswith("x-batch")} == set()


FORGED = [
    Field("l", 1),
    Field("l", 2**63 - 1),
    Field("l", -(2**63)),
    Field("l", 0),
    Field("b", -1),
    Field("t", True),
    Field("d", 1.5),
    Field("D", (2, 150)),
    Field("T", 1),
    Field("V", None),
    Field("x", b"1"),
    Field("A", [Field("l", 1)]),
    Field("F", {"x": Field("l", 1)}),
    longstr("1"),
]


@pytest.mark.parametrize("forged", FORGED, ids=lambda field: f"{field.kind}-{field.value}"[:12])
@pytest.mark.parametrize("reason", ["rejected", "expired first"])
def test_header_about_a_redrive_of_a_publisher_has_no_effect(forged: Field, reason: str) -> None:
    job = Job(**TO_GRAVE)
    expires = {**TO_GRAVE, "x-dead-letter-routing-key": longstr("q"), "x-message-ttl": Field("l", 10)}
    job.client.declare("wait", arguments=expires, durable=True)
    headers = {**batch_headers(size=1), "x-redriven-rejections": forged}
    job.client.publish("wait" if reason == "expired first" else "q", b"", message_id=b"1", headers=headers)
    job.advance(10)
    job.reject()
    assert job.results() == [("complete", 0, 1)]
    grave = job.get("grave")
    assert grave.properties is not None
    assert "x-redriven-rejections" not in grave.properties["headers"]


def test_rejections_after_a_redrive_with_history_count_if_a_client_publishes_the_message_again() -> None:
    job = Job(**TO_GRAVE)
    job.send("1", size=1)
    job.reject()
    job.redrive(keep_history=True)
    got = job.get(no_ack=True)
    assert got.properties is not None
    assert got.properties["headers"]["x-redriven-rejections"] == Field("l", 1)
    copied = {**got.properties["headers"], "x-batch-id": longstr("copy")}
    job.client.publish("q", b"", message_id=b"1", headers=copied)
    job.reject()
    assert job.counts("copy") == (0, 1, 0)


def test_redriven_member_that_is_open_does_not_count_twice() -> None:
    job = Job(**TO_GRAVE, **{"x-message-ttl": Field("l", 10)})
    job.send("1", size=1)
    job.advance(10)
    job.redrive()
    assert job.counts() == (0, 0, 1)
    job.ack()
    assert job.results() == [("complete", 1, 0)]


def test_redriven_member_that_is_discarded_at_its_destination_has_failed() -> None:
    job = Job(**TO_GRAVE, **{"x-message-ttl": Field("l", 10)})
    job.send("1", size=1)
    job.advance(10)
    job.redrive(destination="other")
    queue = job.node.broker.vhosts["/"].queues["other"]
    ((_, entry),) = queue.ready_following(0, 1)
    assert queue.remove_ready(entry.sequence, content_checksum(entry.message))
    job.advance()
    assert job.results() == [("complete", 0, 1)]
    assert [failure.reason for failure in job.batch().failures.values()] == ["purged"]


def grouped(on_dead: str, **arguments: Field) -> Job:
    """Return a broker in which all members are of one message group, by their routing key."""
    return Job(**{"x-group-header": longstr(""), "x-group-on-dead": longstr(on_dead), **arguments})


def resume(job: Job, discards: bool = False) -> None:
    """Redrive the stopped message group of the queue."""
    queues = job.node.broker.vhosts["/"].queues
    queue, grave = queues["q"], queues["grave"]
    assert isinstance(queue, GroupQueue)
    assert isinstance(grave, LocalQueue)
    (group,) = queue.line.groups.stopped()
    if discards:
        queue.discard_first(group, [grave])
    else:
        queue.redrive_group(group, [grave])
    job.advance()


@pytest.mark.parametrize("kind", [{}, {"x-queue-type": longstr("quorum")}], ids=["classic", "quorum"])
def test_members_of_a_closed_message_group_are_open_until_they_come_back(kind: dict[str, Field]) -> None:
    job = grouped("follow", **TO_GRAVE, **kind)
    for number in range(3):
        job.send(str(number), size=3, events=ALL)
    job.reject()
    assert job.client.depth("grave") == 3
    assert job.counts() == (0, 1, 2)
    resume(job)
    assert job.client.depth("grave") == 0
    assert job.counts() == (0, 1, 2)
    job.ack(3)
    assert job.results()[-1] == ("success", 3, 0)


def test_members_of_a_closed_message_group_come_back_once_after_a_crash() -> None:
    job = grouped("follow", **TO_GRAVE)
    for number in range(3):
        job.send(str(number), size=3, events=ALL)
    job.reject()
    resume(job)
    job.crash()
    assert job.counts() == (0, 1, 2)
    job.ack(3)
    assert job.results()[-1] == ("success", 3, 0)


@pytest.mark.parametrize("kind", [{}, {"x-queue-type": longstr("quorum")}], ids=["classic", "quorum"])
@pytest.mark.parametrize("crashes", [False, True])
def test_member_that_is_redriven_with_its_message_group_can_be_retried_by_expiry(
    kind: dict[str, Field], crashes: bool
) -> None:
    job = grouped("follow", **TO_GRAVE, **kind, **{"x-message-ttl": Field("l", 10)})
    job.send("1", size=1, events=ALL)
    job.reject()
    resume(job)
    if crashes:
        job.crash()
    job.advance(10)
    assert job.client.depth("grave") == 1
    job.ack(queue="grave")
    assert job.results()[-1] == ("success", 1, 0)


@pytest.mark.parametrize("on_dead", ["park", "follow"])
def test_member_that_is_discarded_from_a_stopped_message_group_has_failed(on_dead: str) -> None:
    job = grouped(on_dead, **TO_GRAVE)
    for number in range(2):
        job.send(str(number), size=2, events=ALL)
    job.reject()
    assert job.counts() == (0, int(on_dead == "follow"), 2 - int(on_dead == "follow"))
    resume(job, discards=True)
    job.ack()
    assert job.results()[-1] == ("complete", 1, 1)


def test_superseded_member_of_a_message_group_has_failed_if_nothing_takes_it() -> None:
    job = Job(**{"x-group-header": longstr(""), "x-group-version-header": longstr("version")})
    for number in range(2):
        headers = {**batch_headers(size=2, events=ALL), "version": Field("l", 2 - number)}
        job.client.publish("q", b"", "", message_id=str(number).encode(), delivery_mode=2, headers=headers)
    job.ack()
    job.client.receive()
    assert job.client.call(1, "basic.get", queue="q", no_ack=True).name == "basic.get-empty"
    job.advance()
    assert job.results()[-1] == ("complete", 1, 1)
    assert [failure.reason for failure in job.batch().failures.values()] == ["superseded"]


def test_superseded_member_is_open_until_its_dead_letter_is_acknowledged() -> None:
    job = Job(**TO_GRAVE, **{"x-group-header": longstr(""), "x-group-version-header": longstr("version")})
    for number in range(2):
        headers = {**batch_headers(size=2, events=ALL), "version": Field("l", 2 - number)}
        job.client.publish("q", b"", "", message_id=str(number).encode(), delivery_mode=2, headers=headers)
    job.ack()
    assert job.client.call(1, "basic.get", queue="q", no_ack=True).name == "basic.get-empty"
    job.advance()
    assert job.counts() == (1, 0, 1)
    job.ack(queue="grave")
    assert job.results() == [("complete", 2, 0), ("success", 2, 0)]


def test_member_that_followed_its_message_group_can_succeed_in_the_dead_letter_queue() -> None:
    job = grouped("follow", **TO_GRAVE)
    for number in range(2):
        job.send(str(number), size=2, events=ALL)
    job.reject()
    assert job.counts() == (0, 1, 1)
    job.ack(2, "grave")
    assert job.counts() == (1, 1, 0)


def test_retry_queue_with_a_ttl_fails_the_member_until_it_succeeds() -> None:
    job = Job(**TO_GRAVE)
    back = {"x-dead-letter-exchange": longstr(""), "x-dead-letter-routing-key": longstr("q")}
    job.client.call(1, "queue.delete", queue="grave")
    job.client.declare("grave", arguments={**back, "x-message-ttl": Field("l", 10)})
    job.send("1", size=1, events=ALL)
    job.reject()
    assert job.events() == ["death", "complete"]
    job.advance(10)
    job.ack()
    assert job.results() == [("success", 1, 0)]


def test_queue_that_ignores_rejects_leaves_the_member_open_until_nothing_takes_it() -> None:
    job = Job(**TO_GRAVE, **{"x-batch-ignore-rejects": Field("t", True)})
    job.send("1", size=2)
    job.send("2")
    job.reject(2)
    assert job.counts() == (0, 0, 2)
    job.ack(queue="grave")
    job.reject(queue="grave")
    assert job.results() == [("complete", 1, 1)]


# --- refused headers --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("headers", "text"),
    [
        ({"id_": ""}, "'x-batch-id': expected 1 to 255 bytes"),
        ({"id_": "b" * 256}, "'x-batch-id': expected at most 255 bytes, got 256"),
        ({"id_": 1}, "'x-batch-id': expected longstr, got long"),
        ({"size": "2"}, "'x-batch-size': expected integer, got longstr"),
        ({"size": -1}, "'x-batch-size': expected 0 to 100000, got -1"),
        ({"ttl": 0}, "'x-batch-ttl': expected 1 to 315360000000, got 0"),
        ({"events": "complete,failed"}, "'x-batch-events': expected some of complete,success,death, got 'failed'"),
        ({"outer_id": ""}, "'x-batch-outer-id': expected 1 to 255 bytes"),
        ({"outer_size": "a"}, "'x-batch-outer-size': expected integer, got longstr"),
        ({"outer_size": Field("F", {})}, "'x-batch-outer-size': expected integer, got table"),
        ({"outer_size": Field("V", None)}, "'x-batch-outer-size': expected integer, got void"),
        ({"outer_ttl": -1}, "'x-batch-outer-ttl': expected 1 to 315360000000, got -1"),
        ({"outer_events": "x"}, "'x-batch-outer-events': expected some of complete,success,death, got 'x'"),
        ({"outer_exchange": 1}, "'x-batch-outer-exchange': expected longstr, got long"),
        ({"outer_routing_key": 7}, "'x-batch-outer-routing-key': expected longstr, got long"),
    ],
)
def test_invalid_header_is_refused(headers: dict[str, Any], text: str) -> None:
    job = Job()
    headers = dict(headers)
    given = batch_headers(headers.pop("id_", "b"), **headers)
    job.client.publish("q", b"", headers=given)
    (got,) = job.client.receive()
    assert (got.arguments["reply_code"], got.arguments["reply_text"]) == (
        406,
        f"PRECONDITION_FAILED - invalid header {text}",
    )


def test_outer_headers_of_a_refused_member_do_not_prevent_events() -> None:
    job = Job()
    job.send("1", size=1, outer_size=1)
    assert job.refused("2", outer_size=Field("F", {}))[0] == 406
    job.client.publish("q", b"", headers=batch_headers("c", size=1), message_id=b"3", delivery_mode=2)
    job.client.receive()
    job.send("1", outer_id="o")
    job.ack(3)
    assert job.events() == ["complete", "complete"]
    assert job.counts("o") == (1, 0, 0)


@pytest.mark.parametrize(
    ("headers", "text"),
    [
        ({"size": 1}, "'x-batch-size': 1 is less than 2, the size so far"),
        ({"routing_key": "other"}, "'x-batch-routing-key': 'other' contradicts 'events' of an earlier member"),
        ({"exchange": "amq.topic"}, "'x-batch-exchange': 'amq.topic' contradicts 'amq.fanout' of an earlier member"),
        ({"exchange": ""}, "'x-batch-exchange': '' contradicts 'amq.fanout' of an earlier member"),
        ({"events": "death"}, "'x-batch-events': 'death' contradicts 'complete' of an earlier member"),
        ({"ttl": 2000}, "'x-batch-ttl': '2000' contradicts '1000' of an earlier member"),
        ({"outer_id": "p"}, "'x-batch-outer-id': 'p' contradicts 'o' of an earlier member"),
        ({"outer_id": "o", "outer_ttl": 6}, "'x-batch-outer-ttl': '6' contradicts '5' of an earlier member"),
        ({"outer_id": "o", "outer_size": 3}, "'x-batch-outer-size': 3 is less than 4, the size so far"),
    ],
)
@pytest.mark.parametrize("crashes", [False, True])
def test_contradicting_header_is_refused(headers: dict[str, Any], text: str, crashes: bool) -> None:
    job = Job()
    job.send("1", exchange="amq.fanout", size=2, events="complete", ttl=1000, outer_id="o", outer_size=4, outer_ttl=5)
    if crashes:
        job.crash()
    assert job.refused("2", **headers) == (406, f"PRECONDITION_FAILED - invalid header {text}")
    assert job.counts() == (0, 0, 1)


def test_headers_that_repeat_the_first_ones_are_accepted() -> None:
    job = Job()
    headers = {"size": 2, "events": "complete", "ttl": 1000, "outer_id": "o", "outer_ttl": 5}
    job.send("1", **headers)
    job.send("2", **headers)
    assert job.counts() == (0, 0, 2)


def test_size_of_the_outer_batch_may_grow() -> None:
    job = Job()
    job.send("1", size=2, outer_id="o", outer_size=1)
    job.send("2", outer_id="o", outer_size=2, outer_routing_key="events")
    job.ack(2)
    assert job.counts("o") == (0, 0, 1)
    assert job.batch("o").terms.size == 2


def test_other_headers_with_such_names_have_no_meaning_without_an_id() -> None:
    job = Job()
    job.client.publish("q", b"", headers={"x-batch-size": longstr("large"), "x-batch": longstr("b")})
    assert job.client.receive() == []
    assert job.client.depth("q") == 1


def test_target_needs_permission_to_write() -> None:
    job = Job()
    users = job.node.broker.users
    users.add_user("limited", "p", ())
    users.set_permissions("limited", "/", "", "^(q|amq.topic)$", ".*")
    client = job.other_client(user="limited", password="p")
    client.publish("k", b"", "amq.topic", headers=batch_headers(exchange="amq.topic"))
    assert client.receive() == []
    client.publish("k", b"", "amq.topic", headers=batch_headers("c"))
    (got,) = client.receive()
    assert got.arguments["reply_code"] == 403
    assert "'amq.default'" in got.arguments["reply_text"]
    assert job.find("c") is None


def with_limited_user(job: Job, *, exchanges: str = "^(amq.default|by-key)$", keys: str = "^(other|)$") -> Wire:
    """Return a client of a user with permission to write to these exchanges, and these keys of the topic exchange."""
    with_exchange(job)
    users = job.node.broker.users
    users.add_user("limited", "p", ())
    users.set_permissions("limited", "/", "", exchanges, ".*")
    users.set_topic_permissions("limited", "/", "by-key", keys, ".*")
    return job.other_client(user="limited", password="p")


def member_of(client: Wire, *, reply_to: bytes = b"", **headers: Any) -> int:
    """Publish a member of the batch "b", and return the code of its refusal, 0 if it is accepted."""
    properties = {"reply_to": reply_to} if reply_to else {}
    headers = batch_headers(**{"routing_key": None, **headers})
    client.publish("q", b"", headers=headers, message_id=b"m", **properties)
    return sum([got.arguments["reply_code"] for got in client.receive()])


@pytest.mark.parametrize(
    ("earlier", "own"),
    [
        ({"routing_key": "k"}, {"exchange": "by-key"}),
        ({"exchange": "by-key"}, {"routing_key": "k"}),
        ({"exchange": "by-key", "routing_key": "k"}, {}),
        ({"exchange": "by-key", "routing_key": "k"}, {"reply_to": b"other"}),
        ({"exchange": "by-key"}, {"outer_routing_key": "k", "outer_exchange": "by-key"}),
        ({"outer_routing_key": "k"}, {"outer_exchange": "by-key"}),
        ({"outer_exchange": "by-key"}, {"outer_routing_key": "k"}),
    ],
)
def test_member_that_completes_the_target_needs_permission_to_write_to_it(
    earlier: dict[str, Any], own: dict[str, Any]
) -> None:
    job = Job()
    client = with_limited_user(job)
    assert member_of(job.client, **earlier) == 0
    before = job.batch().terms.target, job.batch().terms.outer
    assert member_of(client, **own) == 403
    assert (job.batch().terms.target, job.batch().terms.outer) == before


def test_late_member_needs_permission_to_write_to_the_target() -> None:
    job = Job()
    client = with_limited_user(job)
    job.send("m", exchange="by-key", routing_key="k", size=1)
    job.reject()
    # It may succeed now, with a message.
    assert member_of(client) == 403


def test_member_that_replaces_the_target_needs_no_permission_for_the_earlier_one() -> None:
    job = Job()
    client = with_limited_user(job, exchanges="^(by-key)$")
    job.client.call(1, "queue.bind", queue="q", exchange="by-key", routing_key="q")
    assert member_of(job.client, reply_to=b"other") == 0
    headers = batch_headers(exchange="by-key", routing_key="other")
    client.publish("other", b"", "by-key", headers=headers, message_id=b"2")
    assert client.receive() == []
    assert job.batch().terms.target == ("by-key", b"other")


def test_commit_needs_permission_to_write_to_a_target_that_another_user_has_changed() -> None:
    job = Job()
    client = with_limited_user(job)
    client.call(1, "tx.select")
    assert member_of(client, exchange="by-key", outer_exchange="by-key") == 0
    assert member_of(job.client, routing_key="k", outer_routing_key="other") == 0
    assert client.call(1, "tx.commit").arguments["reply_code"] == 403
    assert job.batch().terms.target == ("", b"k")


def test_commit_needs_permission_to_write_to_the_target_of_an_outer_batch_that_another_user_has_changed() -> None:
    job = Job()
    client = with_limited_user(job)
    client.call(1, "tx.select")
    assert member_of(client, routing_key="other", outer_routing_key="k") == 0
    assert member_of(job.client, outer_exchange="by-key") == 0
    assert client.call(1, "tx.commit").arguments["reply_code"] == 403
    assert job.batch().terms.target is None


def test_commit_needs_permission_for_a_reply_to_if_the_batch_is_forgotten_meanwhile() -> None:
    job = Job()
    client = with_limited_user(job, exchanges="^by-key$")
    job.client.call(1, "queue.bind", queue="q", exchange="by-key", routing_key="other")
    job.send("1", exchange="by-key", routing_key="other", ttl=1000)
    client.call(1, "tx.select")
    headers = batch_headers(routing_key=None)
    client.publish("other", b"", "by-key", headers=headers, message_id=b"2", reply_to=b"grave")
    assert client.receive() == []
    job.advance(1001)
    assert job.find() is None
    assert client.call(1, "tx.commit").arguments["reply_code"] == 403
    assert job.find() is None


def test_commit_needs_permission_to_write_to_the_target_of_a_batch_that_is_complete_meanwhile() -> None:
    job = Job()
    client = with_limited_user(job)
    client.call(1, "tx.select")
    assert member_of(client, routing_key="other") == 0
    job.send("1", exchange="by-key", routing_key="k", size=1)
    job.reject()
    assert client.call(1, "tx.commit").arguments["reply_code"] == 403


SECRET = {"x-batch-outer-exchange": longstr("amq.topic")}
OUTER_ID = {"x-batch-outer-id": longstr("o")}


@pytest.mark.parametrize(
    ("earlier", "headers"),
    [
        ({}, {**SECRET, **OUTER_ID}),
        ({}, SECRET),
        (SECRET, OUTER_ID),
        (SECRET, {}),
        ({**SECRET, **OUTER_ID}, {}),
    ],
    ids=["both", "exchange", "id of an earlier exchange", "none after an exchange", "none after both"],
)
def test_target_of_the_outer_batch_needs_permission_to_write(
    earlier: dict[str, Field], headers: dict[str, Field]
) -> None:
    job = Job()
    users = job.node.broker.users
    users.add_user("limited", "p", ())
    users.set_permissions("limited", "/", "", "^amq.default$", ".*")
    job.client.publish("q", b"", headers={**batch_headers(), **earlier}, message_id=b"1")
    assert job.client.receive() == []
    client = job.other_client(user="limited", password="p")
    client.publish("q", b"", headers={**batch_headers(), **headers}, message_id=b"2")
    (got,) = client.receive()
    assert got.arguments["reply_code"] == 403
    assert "'amq.topic'" in got.arguments["reply_text"]


def test_target_that_a_late_member_names_needs_permission_to_write() -> None:
    job = Job()
    users = job.node.broker.users
    users.add_user("limited", "p", ())
    users.set_permissions("limited", "/", "", "^amq.default$", ".*")
    job.send("1", size=1)
    job.ack()
    # At the commit, the complete batch may be forgotten, and the member would begin a new one.
    client = job.other_client(user="limited", password="p")
    client.call(1, "tx.select")
    client.publish("q", b"", headers=batch_headers(exchange="amq.topic"), message_id=b"2")
    (got,) = client.receive()
    assert got.arguments["reply_code"] == 403


def test_limits_of_batches_and_members() -> None:
    job = Job(limits={"batches": 2, "batch_members": 2})
    job.send("1", size=2)
    job.send("2")
    assert job.refused("3")[0] == 406
    job.send("2")
    job.client.publish("q", b"", headers=batch_headers("second", size=1), message_id=b"x", delivery_mode=2)
    job.client.receive()
    job.client.publish("q", b"", headers=batch_headers("third"), message_id=b"x")
    (got,) = job.client.receive()
    assert got.arguments["reply_text"] == (
        "PRECONDITION_FAILED - vhost '/' has reached the limit of 2 batches; publish again later"
    )


def transaction(job: Job, *members: dict[str, Any]) -> str:
    """Publish members in a transaction. Return the answer to the commit, or the text with which it is refused."""
    job.client.receive()
    job.client.call(1, "tx.select")
    for number, headers in enumerate(members):
        named = {"message_id": f"tx{number}".encode(), "delivery_mode": 2}
        queue = headers.pop("queue", "q")
        job.client.publish(queue, b"", headers=batch_headers(headers.pop("id_", "b"), **headers), **named)
    assert job.client.receive() == []
    got = job.client.call(1, "tx.commit")
    job.advance()
    return str(got.arguments.get("reply_text", got.name))


@pytest.mark.parametrize(
    ("members", "text"),
    [
        ([{"size": 2}, {"size": 1}], "'x-batch-size': 1 is less than 2, the size so far"),
        ([{}, {}, {"size": 1}], "'x-batch-size': 1 is less than 2, the size so far"),
        ([{}, {"queue": "nowhere"}, {"size": 1}], "'x-batch-size': 1 is less than 2, the size so far"),
        ([{"ttl": 1}, {"ttl": 2}], "'x-batch-ttl': '2' contradicts '1' of an earlier member"),
        ([{}, {"routing_key": "x"}], "'x-batch-routing-key': 'x' contradicts 'events' of an earlier member"),
        ([{"outer_id": "o"}, {"outer_id": "p"}], "'x-batch-outer-id': 'p' contradicts 'o' of an earlier member"),
    ],
)
def test_transaction_whose_members_contradict_each_other_is_refused(members: list[dict[str, Any]], text: str) -> None:
    job = Job()
    assert transaction(job, *members) == f"PRECONDITION_FAILED - invalid header {text}"
    assert job.find() is None
    assert job.other_client().depth("q") == 0


def test_transaction_is_refused_if_a_batch_has_changed_before_the_commit() -> None:
    job = Job()
    other = job.other_client()
    job.client.call(1, "tx.select")
    job.client.publish("q", b"", headers=batch_headers(ttl=1), message_id=b"1")
    other.publish("q", b"", headers=batch_headers(ttl=2), message_id=b"2")
    assert job.client.call(1, "tx.commit").arguments["reply_code"] == 406
    assert job.counts() == (0, 0, 1)
    assert other.depth("q") == 1


def test_transaction_that_exceeds_the_number_of_batches_is_refused() -> None:
    job = Job(limits={"batches": 2})
    text = "PRECONDITION_FAILED - vhost '/' has reached the limit of 2 batches; publish again later"
    assert transaction(job, {"id_": "a"}, {"id_": "b"}, {"id_": "c"}) == text
    assert job.other_client().depth("q") == 0
    job.client = job.other_client()
    assert transaction(job, {"id_": "a"}, {"id_": "b"}, {"id_": "a"}) == "tx.commit-ok"
    assert job.counts("a") == (0, 0, 2)


def test_batches_that_have_ended_make_space_for_a_transaction() -> None:
    job = Job(limits={"batches": 2})
    assert transaction(job, {"id_": "a", "size": 1}, {"id_": "b", "size": 1}) == "tx.commit-ok"
    job.client = job.other_client()
    job.ack(2)
    # "a" makes space for "c", and begins again in the place of "b".
    assert transaction(job, {"id_": "c"}, {"id_": "a"}, {"id_": "a"}) == "tx.commit-ok"
    assert (job.find("b"), job.counts("a"), job.counts("c")) == (None, (0, 0, 2), (0, 0, 1))


def test_transaction_that_exceeds_the_number_of_members_is_refused() -> None:
    job = Job(limits={"batch_members": 2})
    text = "PRECONDITION_FAILED - vhost '/' has reached the limit of 2 members of a batch; publish again later"
    job.send("tx0")
    assert transaction(job, {}, {}, {}) == text
    assert job.counts() == (0, 0, 1)
    job.client = job.other_client()
    assert transaction(job, {}, {}) == "tx.commit-ok"


def test_duplicates_in_a_transaction_are_not_counted() -> None:
    job = Job(limits={"batch_members": 1}, **{"x-message-deduplication": Field("t", True)})
    job.client.call(1, "tx.select")
    for name in (b"1", b"2"):
        headers = {**batch_headers(), "x-deduplication-header": longstr("same")}
        job.client.publish("q", b"", headers=headers, message_id=name)
    assert job.client.call(1, "tx.commit").name == "tx.commit-ok"
    assert job.counts() == (0, 0, 1)


def test_duplicates_that_an_exchange_drops_need_no_space_at_the_commit() -> None:
    job = Job(limits={"batch_members": 1}, **{"x-max-length": Field("l", 1), "x-overflow": longstr("reject-publish")})
    arguments = {"x-cache-size": Field("l", 9)}
    kind = "x-message-deduplication"
    job.client.call(1, "exchange.declare", exchange="once", exchange_type=kind, arguments=arguments)
    job.client.call(1, "queue.bind", queue="q", exchange="once", routing_key="q")
    job.client.call(1, "tx.select")
    for name in (b"1", b"2"):
        headers = {**batch_headers(), "x-deduplication-header": longstr("same"), "x-job": Field("t", True)}
        job.client.publish("q", b"", "once", headers=headers, message_id=name)
    assert job.client.call(1, "tx.commit").name == "tx.commit-ok"
    assert job.counts() == (0, 0, 1)


def test_batch_that_has_ended_makes_space_for_another() -> None:
    job = Job(limits={"batches": 1})
    job.send("1", size=1)
    job.ack()
    job.client.publish("q", b"", headers=batch_headers("c", size=1), message_id=b"x")
    job.client.receive()
    assert job.find() is None
    assert job.counts("c") == (0, 0, 1)


def test_batch_is_forgotten_after_its_ttl() -> None:
    job = Job()
    job.send("1", size=2, ttl=1000)
    job.advance(999)
    assert job.find() is not None
    job.advance(1)
    assert job.find() is None
    job.ack()
    assert job.events() == []


def test_first_member_that_names_a_ttl_sets_it_from_the_beginning_of_the_batch() -> None:
    job = Job()
    job.send("1", size=4)
    job.advance(400)
    job.send("2", ttl=1000)
    assert job.refused("3", ttl=1001)[0] == 406
    job.crash()
    assert job.refused("3", ttl=1001)[0] == 406
    job.advance(599)
    assert job.find() is not None
    job.advance(1)
    assert job.find() is None


def test_at_most_100_failures_are_named() -> None:
    job = Job()
    for number in range(101):
        job.send(str(number), size=101)
    job.client.call(1, "queue.purge", queue="q")
    job.advance()
    body = json.loads(job.get("events").body or b"")
    assert (body["failed"], len(body["failures"])) == (101, 100)


# --- restart ----------------------------------------------------------------------------------------------------------


def test_batch_survives_a_crash() -> None:
    job = Job(**TO_GRAVE)
    for number in range(4):
        job.send(str(number), size=4, events=ALL)
    job.ack()
    job.reject()
    assert job.events() == ["death"]
    job.crash()
    assert job.counts() == (1, 1, 2)
    assert [failure.message_id for failure in job.batch().failures.values()] == [b"1"]
    job.ack(2)
    assert job.results() == [("complete", 3, 1)]
    job.crash()
    assert job.events() == []
    job.move()
    job.ack()
    assert job.results() == [("success", 4, 0)]
    job.crash()
    assert job.events() == []
    assert job.batch().state == "success"


def test_event_that_was_not_sent_before_a_crash_is_sent_after_it() -> None:
    job = Job()
    job.send("1", size=1)
    job.client.send(1, "basic.ack", delivery_tag=job.get().arguments["delivery_tag"])
    job.client.receive()
    job.crash()
    assert job.results() == [("complete", 1, 0)]
    job.crash()
    assert job.events() == []


def test_transient_copies_have_failed_after_a_crash() -> None:
    job = Job()
    job.send("1", persistent=False, size=2)
    job.send("2")
    job.crash()
    assert job.counts() == (0, 1, 1)
    job.ack()
    assert job.results() == [("complete", 1, 1)]


def test_expiry_of_a_batch_survives_a_crash() -> None:
    job = Job()
    job.send("1", size=1, ttl=1000)
    job.crash()
    job.advance(1000)
    assert job.find() is None
    job.crash()
    assert job.find() is None


def test_compaction_keeps_the_state_of_open_members() -> None:
    job = Job()
    job.node.persistence.log.segment_bytes = 4_000
    job.send("kept", size=400)
    for number in range(399):
        job.send(str(number))
        job.ack() if number else None
    assert job.node.persistence.log.oldest > 1
    job.crash()
    assert sum(job.counts()) == 400
    assert job.counts()[1] == 0


def test_batches_end_with_their_vhost() -> None:
    job = Job()
    job.send("1", size=1)
    vhost = job.node.broker.vhosts["/"]
    job.node.broker.delete_vhost("/")
    assert vhost.batches is not None
    assert vhost.batches.all() == []


@pytest.mark.skipif(is_compiled(), reason="methods of compiled classes cannot be replaced")
@pytest.mark.parametrize("transient", [False, True])
@OF_ALL_KINDS
def test_members_are_not_settled_one_by_one_if_their_vhost_is_deleted(
    kind: dict[str, Field], transient: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = Job(**kind)
    for number in range(5):
        job.send(str(number), persistent=not transient, size=5, events=ALL)
    job.get()
    broker = job.node.broker
    stored: list[object] = []
    monkeypatch.setattr(broker.storage.store, "add_id", stored.append)
    broker.delete_vhost("/")
    job.advance()
    assert stored == []
    assert broker.storage.batch_records.stored_count() == 0
    job.crash()
    assert job.find() is None


def test_stored_batches_are_retained_while_extensions_are_off() -> None:
    job = Job()
    job.node.persistence.log.segment_bytes = 1000
    job.send("1", size=2)
    job.send("2")
    with_extensions = job.node.config
    off = replace(with_extensions, compat=with_extensions.compat._replace(extensions=False))
    type(job.node).config = off
    job.crash()
    assert job.node.broker.vhosts["/"].batches is None
    for _ in range(10):
        job.client.publish("other", bytes(500), delivery_mode=2)
        job.client.receive()
    type(job.node).config = with_extensions
    job.crash()
    job.ack(2)
    assert job.results() == [("complete", 2, 0)]


def test_observers_see_the_queues_of_a_member() -> None:
    job = Job()
    job.fan_out("q", "other")
    recorder = Recorder()
    job.node.broker.tap(recorder)
    job.send("1", via="all", size=1)
    assert job.refused("2", size=0)[0] == 406
    (publish,) = recorder.publishes
    assert list(publish.queues) == ["q", "other"]


def test_dead_letter_of_an_open_copy_does_not_stand_for_a_failed_one() -> None:
    job = Job(**TO_GRAVE, **{"x-message-ttl": Field("l", 10)})
    job.fan_out("q", "other")
    job.send("1", via="all", size=1)
    job.reject(queue="other")
    job.advance(10)
    job.ack(queue="grave")
    assert job.results() == [("complete", 0, 1)]


def test_earlier_states_of_a_batch_take_no_space() -> None:
    job = Job()
    job.send("1", size=20)
    one = job.node.persistence.log.living.size_bytes
    for number in range(2, 21):
        job.send(str(number))
    job.ack(20)
    assert job.events() == ["complete"]
    assert job.node.persistence.log.living.size_bytes < one


# --- owners -----------------------------------------------------------------------------------------------------------


def test_batch_belongs_to_the_user_of_its_first_member_and_still_does_after_a_restart() -> None:
    job = Job()
    job.send("1", size=3, outer_id="outer", outer_size=2)
    other = with_limited_user(job, exchanges="^amq.default$")
    other.publish("q", b"", headers=batch_headers(), message_id=b"2", delivery_mode=2)
    other.publish("nowhere", b"", headers=batch_headers("unroutable"), message_id=b"1", delivery_mode=2)
    other.receive()
    job.client.receive()
    assert [(each.id, each.user) for each in job.batches().all()] == [(b"b", "guest"), (b"unroutable", "limited")]
    job.crash()
    assert [(each.id, each.user) for each in job.batches().all()] == [(b"b", "guest"), (b"unroutable", "limited")]
    assert set(job.batch().terms.outer) == {"x-batch-outer-id", "x-batch-outer-size"}


def test_outer_batch_belongs_to_the_user_of_the_inner_one() -> None:
    job = Job()
    other = with_limited_user(job, exchanges="^amq.default$")
    other.publish("q", b"", headers=batch_headers(size=1, outer_id="outer"), message_id=b"1", delivery_mode=2)
    other.receive()
    job.ack()
    assert job.batch("outer").user == "limited"


def test_record_that_names_no_user_is_recovered() -> None:
    batch = Batch("/", b"b", 1, "", 0, 1000)
    batch.terms.outer = {"x-batch-outer-id": longstr("outer")}
    found = recovered_batch(batch.new_record())
    assert (found.user, found.terms.outer) == ("", batch.terms.outer)


# --- shares of users --------------------------------------------------------------------------------------------------

#: Two of them are the share of a user.
FOUR = {"batches": 4}


def send_to(job: Job, *ids: str, client: Wire | None = None, **headers: Any) -> list[str]:
    """Publish a member of each of these batches. Return the texts of errors. client: of another user."""
    wire = client if client is not None else job.client
    for id_ in ids:
        wire.publish("q", b"", headers=batch_headers(id_, **headers), message_id=b"m", delivery_mode=2)
    texts = [got.arguments["reply_text"] for got in wire.receive() if got.name == "channel.close"]
    if texts:
        wire.send(1, "channel.close-ok")
        wire.call(1, "channel.open")
    job.advance()
    return texts


def ids(job: Job) -> list[bytes]:
    return [each.id for each in job.batches().all()]


def test_user_may_have_a_share_of_the_batches_also_after_a_restart() -> None:
    job = Job(limits=FOUR, share=0.5)
    text = (
        "PRECONDITION_FAILED - user 'guest' has reached the limit of 2 batches in vhost '/'; delete some, or publish"
        " again later"
    )
    assert send_to(job, "a", "b", "c") == [text]
    job.crash()
    assert send_to(job, "c") == [text]
    other = with_limited_user(job, exchanges="^amq.default$")
    assert send_to(job, "d", "e", client=other) == []
    assert ids(job) == [b"a", b"b", b"d", b"e"]
    job.batches().remove(job.batch("a"))
    assert send_to(job, "c") == []


def test_unroutable_members_count_for_the_share_of_their_user() -> None:
    job = Job(limits=FOUR, share=0.5)
    assert send_to(job, "a") == []
    job.client.publish("nowhere", b"", headers=batch_headers("b"), message_id=b"m")
    assert len(send_to(job, "c")) == 1
    assert ids(job) == [b"a", b"b"]


def test_transaction_that_exceeds_the_share_of_its_user_is_refused() -> None:
    job = Job(limits=FOUR, share=0.5)
    text = transaction(job, {"id_": "a"}, {"id_": "b"}, {"id_": "c"})
    assert "user 'guest' has reached the limit of 2 batches" in text
    job.client = job.other_client()
    assert transaction(job, {"id_": "a"}, {"id_": "b"}) == "tx.commit-ok"


def test_own_batch_that_has_ended_makes_space_before_those_of_other_users() -> None:
    job = Job(limits=FOUR, share=0.5)
    other = with_limited_user(job, exchanges="^amq.default$")
    assert send_to(job, "other", client=other, size=1) == []
    job.ack()
    assert send_to(job, "a", "b", size=1) == []
    job.ack(2)
    assert send_to(job, "c") == []
    assert ids(job) == [b"other", b"b", b"c"]


def test_complete_batch_with_failed_members_makes_space_after_those_that_have_succeeded() -> None:
    job = Job(limits={"batches": 2})
    assert send_to(job, "failed", size=1) == []
    job.reject()
    assert send_to(job, "ok", size=1) == []
    job.ack()
    assert send_to(job, "a") == []
    assert ids(job) == [b"failed", b"a"]
    job.crash()
    assert send_to(job, "b") == []
    assert ids(job) == [b"a", b"b"]
    assert len(send_to(job, "c")) == 1


def test_batch_whose_message_about_its_success_is_refused_makes_no_space() -> None:
    job = Job(limits={"batches": 1}, **TO_GRAVE)
    full = {"x-max-length": Field("l", 0), "x-overflow": longstr("reject-publish")}
    job.client.call(1, "queue.declare", queue="full", arguments=full)
    assert send_to(job, "a", size=1, events="success", routing_key="full") == []
    job.reject()
    job.redrive()
    job.ack()
    assert (job.batch("a").state, job.batch("a").failed) == ("complete", 0)
    assert len(send_to(job, "b")) == 1
    job.client.call(1, "queue.delete", queue="full")
    job.advance(1000)
    assert job.batch("a").state == "success"
    assert send_to(job, "b") == []


# --- deletion ---------------------------------------------------------------------------------------------------------


def test_members_of_a_deleted_batch_stay_in_their_queues_and_count_no_more() -> None:
    job = Job(**TO_GRAVE)
    for number in "1", "2", "3":
        job.send(number, size=3)
    job.ack()
    job.batches().remove(job.batch())
    assert job.find() is None
    assert job.client.depth("q") == 2
    job.crash()
    assert (job.find(), job.batches().stored_count()) == (None, 0)
    job.ack()
    job.reject()
    job.redrive()
    job.ack()
    assert (job.find(), job.events()) == (None, [])
    # The same id begins another batch.
    job.send("4", size=1)
    job.ack()
    assert job.results() == [("complete", 1, 0)]


def test_batch_that_was_deleted_before_its_event_was_sent_sends_none() -> None:
    job = Job()
    job.send("1", size=1)
    job.client.send(1, "basic.ack", delivery_tag=job.get().arguments["delivery_tag"])
    job.client.receive()
    batch = job.batch()
    job.batches().remove(batch)
    job.batches().remove(batch)
    job.advance()
    assert job.events() == []


# --- longest time -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["ttl", "outer_ttl"])
def test_longest_time_of_a_batch_is_a_setting(name: str) -> None:
    job = Job(settings={"batch_max_ttl_ms": 5000})
    header = "x-batch-" + name.replace("_", "-")
    assert job.refused(**{name: 5001}) == (
        406,
        f"PRECONDITION_FAILED - invalid header '{header}': expected at most 5000 milliseconds (setting batch.max_ttl),"
        " got 5001",
    )
    assert job.find() is None
    job.send("1", outer_id="outer", size=1, **{name: 5000})
    assert job.batch().expires_ms - job.batch().created_ms == 5000


def test_batch_with_a_longer_time_than_a_new_setting_allows_is_still_counted() -> None:
    job = Job()
    job.send("1", size=1, ttl=9000, outer_id="outer", outer_ttl=9000, outer_size=2)
    type(job.node).config = replace(job.node.config, batch_max_ttl_ms=5000)
    job.crash()
    assert job.batch().expires_ms - job.batch().created_ms == 9000
    job.ack()
    assert (job.events(), job.counts("outer")) == (["complete"], (1, 0, 0))
    assert job.batch("outer").expires_ms - job.batch("outer").created_ms == 9000


# --- many members at once ---------------------------------------------------------------------------------------------


def filled(count: int = 10, **limits: int) -> Job:
    """Return a job whose queue has members, of which three may leave at once."""
    job = Job({"departures": 3, "page_count": 1, **limits})
    for number in range(count):
        job.send(str(number), size=count)
    return job


@pytest.mark.parametrize("deletes", [True, False])
def test_members_that_leave_together_are_counted_in_slices(deletes: bool) -> None:
    job = filled()
    vhost = job.node.broker.vhosts["/"]
    queue = vhost.queues["q"]
    if deletes:
        vhost.delete_queue(queue)
    else:
        assert queue.purge() == 10
    assert queue.ready_count == 0
    counts = [job.counts()[1]]
    while counts[-1] < 10:
        job.node.clock.fire_due()
        counts.append(job.counts()[1])
    assert max(after - before for before, after in itertools.pairwise(counts)) <= 3
    job.advance()
    assert job.results() == [("complete", 0, 10)]


def test_purge_is_answered_when_all_members_are_counted_and_synced() -> None:
    job = filled()
    job.client.receive()
    job.client.send(1, "queue.purge", queue="q")
    job.client.send(1, "queue.declare", queue="q", passive=True)
    assert job.client.receive() == []
    job.node.clock.fire_due()
    assert job.client.receive() == []
    job.advance()
    purged, declared = job.client.receive()
    assert (purged.name, purged.arguments["message_count"]) == ("queue.purge-ok", 10)
    assert (declared.name, declared.arguments["message_count"]) == ("queue.declare-ok", 0)
    assert job.counts() == (0, 10, 0)
    job.crash()
    assert (job.counts(), depth(job.node, "q")) == ((0, 10, 0), 0)


def test_crash_during_a_purge_leaves_each_member_in_its_queue_or_counted() -> None:
    job = filled()
    job.client.send(1, "queue.purge", queue="q")
    job.node.clock.fire_due()
    job.node.broker.sync()
    assert job.client.receive() == []
    job.crash()
    _, failed, open_ = job.counts()
    assert 0 < failed < 10
    assert depth(job.node, "q") == open_ == 10 - failed


def test_stop_during_a_purge_counts_all_members_before_the_store_is_closed() -> None:
    job = filled()
    job.node.broker.vhosts["/"].queues["q"].purge()
    job.node.broker.finish()
    job.node.broker.sync()
    job.crash()
    assert (job.counts(), depth(job.node, "q")) == ((0, 10, 0), 0)
