"""x-group-on-dead: groups of which a message failed are parked, or follow it to the dead letter queue."""

from typing import Any

import pytest

from amqpbroker.broker.events.events import Events
from amqpbroker.broker.exchanges.exchange import Exchange
from amqpbroker.broker.exchanges.routing import route
from amqpbroker.broker.queues.arguments.declaration import queue_settings
from amqpbroker.broker.queues.groups.following import FOLLOW_AGAIN_MAX_MS, FOLLOW_AGAIN_MS
from amqpbroker.broker.queues.local_queue import LocalQueue
from amqpbroker.broker.vhost import Vhost
from amqpbroker.config.bounds import BOUNDS
from amqpbroker.message.checksum import content_checksum
from amqpbroker.message.message import Message, encode_address
from amqpbroker.wire.properties import encode_properties
from amqpbroker.wire.values import longstr
from tests.broker.queueing import clock_of, get, ready, reasons
from tests.broker.queueing import declare as declare_plain
from tests.broker.queues.groups.grouped import (
    KEY,
    KINDS,
    STORED_KINDS,
    TO_GRAVE,
    declare,
    group,
    message,
    send,
    states,
    waiting,
    work,
)

# --- parked groups ----------------------------------------------------------------------------------------------------


@KINDS
def test_rejected_message_parks_its_group(vhost: Vhost, kind: dict[str, Any]) -> None:
    grave = declare_plain(vhost, "grave")
    queue = declare(vhost, group_on_dead="park", **TO_GRAVE, **kind)
    worker = work(queue)
    send(queue, "a1", "b1", "a2", "-1")
    worker.reject_text("a1")
    send(queue, "a3", "b2")
    worker.ack_text("b1")
    assert worker.texts() == ["a1", "b1", "-1", "b2"]
    assert (waiting(queue), states(queue)) == (["a1", "a2", "a3"], {"a": "parked", "b": "busy"})
    assert len(queue.line.groups.parked) == 3
    assert reasons(grave) == []
    assert queue.redrive_group(group(queue, "a")) == 3
    assert worker.texts() == ["a1"]
    assert worker.held[-1].redelivered
    worker.ack_text("a1")
    assert worker.texts() == ["a2"]
    assert len(queue.line.groups.parked) == 0


@KINDS
def test_delivery_limit_parks_a_group_and_redrive_resets_the_count(vhost: Vhost, kind: dict[str, Any]) -> None:
    queue = declare(vhost, group_on_dead="park", delivery_limit=1, **kind)
    worker = work(queue)
    send(queue, "a1", "a2")
    worker.requeue()
    worker.requeue()
    assert (worker.texts(), states(queue)) == (["a1", "a1"], {"a": "parked"})
    queue.redrive_group(group(queue, "a"))
    worker.requeue()
    assert (worker.texts(), states(queue)) == (["a1", "a1"], {"a": "busy"})


@KINDS
def test_first_message_of_a_parked_group_can_be_discarded(vhost: Vhost, kind: dict[str, Any]) -> None:
    grave = declare_plain(vhost, "grave")
    queue = declare(vhost, group_on_dead="park", **TO_GRAVE, **kind)
    worker = work(queue)
    send(queue, "a1", "a2", "a3")
    worker.reject()
    assert queue.discard_first(group(queue, "a")) == 2
    assert worker.texts() == ["a1", "a2"]
    worker.reject()
    worker.ack(0)
    queue.purge()
    assert (len(queue.line.groups), queue.ready_count, reasons(grave)) == (0, 0, [])
    assert queue.line.groups.stopped_count[1] == 0


@KINDS
@pytest.mark.parametrize("on_dead", ["park", "follow"])
def test_delayed_message_before_the_failed_one_is_not_discarded(
    vhost: Vhost, kind: dict[str, Any], on_dead: str
) -> None:
    grave = declare_plain(vhost, "grave")
    retry = {"delayed_retry_type": "all", "delayed_retry_min": 1000}
    queue = declare(vhost, group_on_dead=on_dead, group_prefetch=2, **TO_GRAVE, **retry, **kind)
    worker = work(queue)
    send(queue, "a1", "a2", "a3")
    worker.requeue_text("a1")
    worker.reject_text("a2")
    assert queue.discard_first(group(queue, "a"), [grave]) == (1 if on_dead == "park" else 0)
    assert (waiting(queue), states(queue), ready(grave)) == (["a3"], {"a": "waiting"}, [])
    clock_of(vhost).advance(1000)
    assert worker.texts() == ["a1", "a2", "a1", "a3"]


@KINDS
@pytest.mark.parametrize("discards", [False, True])
def test_parked_group_whose_only_message_is_delayed_can_be_redriven(
    vhost: Vhost, kind: dict[str, Any], discards: bool
) -> None:
    retry = {"delayed_retry_type": "all", "delayed_retry_min": 1000}
    queue = declare(vhost, group_on_dead="park", group_prefetch=2, **retry, **kind)
    worker = work(queue)
    send(queue, "a1", "a2")
    worker.requeue_text("a1")
    worker.reject_text("a2")
    (entry,) = queue.ready_entries()
    assert queue.remove_ready(entry.sequence, content_checksum(entry.message))
    assert (queue.discard_first if discards else queue.redrive_group)(group(queue, "a")) == 0
    assert (states(queue), queue.info().groups_parked) == ({"a": "waiting"}, 0)
    clock_of(vhost).advance(1000)
    assert worker.texts() == ["a1", "a2", "a1"]


@KINDS
def test_group_goes_on_when_its_parked_message_is_removed(vhost: Vhost, kind: dict[str, Any]) -> None:
    queue = declare(vhost, group_on_dead="park", **TO_GRAVE, **kind)
    worker = work(queue)
    send(queue, "a1", "a2", "a3")
    worker.reject()
    first, second, _ = queue.ready_entries()
    assert not queue.remove_ready(first.sequence, content_checksum(second.message))
    assert queue.remove_ready(second.sequence, content_checksum(second.message))
    assert (worker.texts(), states(queue)) == (["a1"], {"a": "parked"})
    assert queue.remove_ready(first.sequence, content_checksum(first.message))
    assert (worker.texts(), states(queue)) == (["a3"], {"a": "busy"})


@KINDS
@pytest.mark.parametrize("is_deleted", [False, True])
def test_group_goes_on_when_its_parked_message_is_over_the_length_limit(
    vhost: Vhost, kind: dict[str, Any], is_deleted: bool
) -> None:
    grave = declare_plain(vhost, "grave")
    queue = declare(vhost, **TO_GRAVE, **kind)
    queue.apply_settings(queue_settings(queue.kind, queue.arguments, {"group-on-dead": "park"}))
    worker = work(queue)
    send(queue, "a1", "a2", "a3", expiration_ms=100)
    worker.reject()
    clock_of(vhost).advance(1000)
    queue.apply_settings(queue_settings(queue.kind, queue.arguments, {"max-length": 2}))
    if is_deleted:
        queue.close()
    clock_of(vhost).advance(0)
    if not is_deleted:
        assert (worker.texts(), states(queue), reasons(grave)) == (["a1", "a2"], {"a": "busy"}, [(b"a1", "maxlen")])
        # The time of the group stood still.
        clock_of(vhost).advance(99)
        assert waiting(queue) == ["a3"]


@KINDS
def test_group_stays_parked_when_a_message_of_another_group_is_over_the_length_limit(
    vhost: Vhost, kind: dict[str, Any]
) -> None:
    queue = declare(vhost, **kind)
    queue.apply_settings(queue_settings(queue.kind, queue.arguments, {"group-on-dead": "park"}))
    send(queue, "b1", "a1", "a2")
    for failed in [get(queue), get(queue)]:
        if failed.message.body == b"a1":
            queue.reject([failed])
        else:
            queue.requeue([failed])
    queue.apply_settings(queue_settings(queue.kind, queue.arguments, {"max-length": 2}))
    clock_of(vhost).advance(0)
    assert (waiting(queue), states(queue)) == (["a1", "a2"], {"a": "parked"})


def test_last_message_of_a_parked_group_that_is_over_the_length_limit_ends_the_group(vhost: Vhost) -> None:
    queue = declare(vhost)
    queue.apply_settings(queue_settings(queue.kind, queue.arguments, {"group-on-dead": "park"}))
    send(queue, "a1")
    queue.reject([get(queue)])
    queue.apply_settings(queue_settings(queue.kind, queue.arguments, {"max-length": 0}))
    clock_of(vhost).advance(0)
    assert (len(queue.line.groups), queue.line.groups.stopped()) == (0, [])


def test_last_message_of_a_parked_group_can_be_discarded(vhost: Vhost) -> None:
    queue = declare(vhost, group_on_dead="park")
    worker = work(queue)
    send(queue, "a1")
    worker.reject()
    assert queue.discard_first(group(queue, "a")) == 0
    assert (len(queue.line.groups), queue.line.groups.stopped()) == (0, [])
    send(queue, "a2")
    assert worker.texts() == ["a1", "a2"]


@STORED_KINDS
def test_messages_in_work_when_their_group_is_parked_return_to_their_places(vhost: Vhost, kind: dict[str, Any]) -> None:
    queue = declare(vhost, group_on_dead="park", group_prefetch=3, **kind)
    worker = work(queue)
    send(queue, "a1", "a2", "a3", "a4")
    worker.reject_text("a1")
    worker.requeue_text("a3")
    worker.ack_text("a2")
    assert (waiting(queue), states(queue)) == (["a1", "a3", "a4"], {"a": "parked"})
    queue.redrive_group(group(queue, "a"))
    assert worker.texts()[3:] == ["a1", "a3", "a4"]


@STORED_KINDS
def test_consumer_of_a_parked_group_gets_more_after_a_redrive(vhost: Vhost, kind: dict[str, Any]) -> None:
    queue = declare(vhost, group_on_dead="park", group_prefetch=2, **kind)
    worker = work(queue)
    send(queue, "a1", "a2")
    worker.reject_text("a1")
    queue.redrive_group(group(queue, "a"))
    assert worker.texts() == ["a1", "a2", "a1"]


@KINDS
def test_queue_refers_to_no_message_after_the_end_of_the_broker(vhost: Vhost, kind: dict[str, Any]) -> None:
    queue = declare(vhost, group_on_dead="park", **kind)
    worker = work(queue, limit=1)
    send(queue, "a1", "a2", "b1")
    worker.limit = 0
    worker.reject()
    queue.discard()
    assert list(queue.line) == []


@STORED_KINDS
def test_messages_with_a_ttl_stay_when_the_first_one_is_discarded(vhost: Vhost, kind: dict[str, Any]) -> None:
    queue = declare(vhost, group_on_dead="park", message_ttl=1000, **kind)
    worker = work(queue, limit=1)
    send(queue, "a1", "a2", "b1")
    worker.limit = 0
    worker.reject_text("a1")
    assert queue.discard_first(group(queue, "a")) == 1
    assert waiting(queue) == ["a2", "b1"]
    worker.limit = 2
    queue.dispatcher.offer_all([worker])
    assert worker.texts() == ["a1", "a2", "b1"]


@pytest.mark.parametrize("on_dead", ["skip", "park", "follow"])
@KINDS
def test_message_of_a_deleted_queue_can_be_rejected(vhost: Vhost, kind: dict[str, Any], on_dead: str) -> None:
    queue = declare(vhost, group_on_dead=on_dead, **kind)
    worker = work(queue)
    send(queue, "a1", "a2")
    vhost.delete_queue(queue)
    worker.reject()
    assert (queue.unacked_count, queue.ready_count, queue.line.groups.stopped()) == (0, 0, [])


@pytest.mark.parametrize("mode", ["head", "any"])
@STORED_KINDS
def test_time_of_a_parked_group_stands_still(vhost: Vhost, kind: dict[str, Any], mode: str) -> None:
    queue = declare(vhost, group_on_dead="park", message_ttl=1000, message_ttl_mode=mode, **kind)
    worker = work(queue, limit=1)
    send(queue, "a1", "a2")
    clock_of(vhost).advance(400)
    worker.limit = 0
    worker.reject()
    clock_of(vhost).advance(5000)
    assert waiting(queue) == ["a1", "a2"]
    queue.redrive_group(group(queue, "a"))
    clock_of(vhost).advance(500)
    assert waiting(queue) == ["a1", "a2"]
    clock_of(vhost).advance(200)
    assert (waiting(queue), queue.expiry.count) == ([], 0)


def test_message_without_a_key_is_dead_lettered_as_usual(vhost: Vhost) -> None:
    grave = declare_plain(vhost, "grave")
    queue = declare(vhost, group_on_dead="park", **TO_GRAVE)
    worker = work(queue)
    send(queue, "-1")
    worker.reject()
    assert reasons(grave) == [(b"-1", "rejected")]


class Listening(Events):
    def __init__(self) -> None:
        super().__init__()
        self.stopped: list[tuple[bytes, bool]] = []

    def group_stopped(self, vhost: str, queue: Any, key: bytes, is_parked: bool) -> None:
        self.stopped.append((key, is_parked))


def test_event_is_emitted_for_each_stopped_group(vhost: Vhost) -> None:
    events = vhost.events = Listening()
    declare_plain(vhost, "grave")
    queue = declare(vhost, group_on_dead="park", **TO_GRAVE)
    following = declare(vhost, "f", group_on_dead="follow", **TO_GRAVE)
    for each in (queue, following):
        worker = work(each)
        send(each, "a1", "a2", "b1")
        worker.reject(2)
    assert events.stopped == [(b"Sa", True), (b"Sb", True), (b"Sa", False), (b"Sb", False)]


@KINDS
def test_purge_opens_a_parked_group_of_which_a_message_is_delivered(vhost: Vhost, kind: dict[str, Any]) -> None:
    queue = declare(vhost, group_on_dead="park", group_prefetch=2, **kind)
    worker = work(queue)
    send(queue, "a1", "a2", "a3")
    worker.reject_text("a1")
    assert states(queue) == {"a": "parked"}
    queue.purge()
    assert states(queue) == {"a": "busy"}
    send(queue, "a4")
    assert worker.texts() == ["a1", "a2", "a4"]


# --- closed groups ----------------------------------------------------------------------------------------------------


@KINDS
def test_messages_follow_a_dead_one_to_the_dead_letter_queue(vhost: Vhost, kind: dict[str, Any]) -> None:
    grave = declare_plain(vhost, "grave")
    queue = declare(vhost, group_on_dead="follow", **TO_GRAVE, **kind)
    worker = work(queue)
    send(queue, "a1", "b1", "a2", "-1")
    worker.reject_text("a1")
    send(queue, "a3", "b2")
    assert worker.texts() == ["a1", "b1", "-1"]
    assert reasons(grave) == [(b"a1", "rejected"), (b"a2", "group"), (b"a3", "group")]
    assert (waiting(queue), states(queue)) == (["b2"], {"a": "closed", "b": "busy"})


@KINDS
def test_letters_that_leave_together_keep_their_routing_keys(vhost: Vhost, kind: dict[str, Any]) -> None:
    exchange = vhost.declare_exchange("dlx", "direct", False, False, False, {})
    graves = [declare_plain(vhost, name) for name in ("x", "y")]
    for grave in graves:
        vhost.bind(exchange, grave, grave.name.encode(), {})
    queue = declare(vhost, group_on_dead="follow", dead_letter_exchange="dlx", **kind)
    worker = work(queue)
    for keys, texts in ("y", ["-1"]), ("xyx", ["a1", "b1", "c1"]), ("yx", ["d1", "e1"]):
        for key, text in zip(keys, texts, strict=True):
            sent = message(text)
            queue.publish(sent.rewritten(encode_address("e", key.encode()), sent.properties))
        held, worker.held = worker.held, []
        queue.reject(held)
    assert [[body.decode() for body in ready(grave)] for grave in graves] == [["a1", "c1", "e1"], ["-1", "b1", "d1"]]


@KINDS
def test_group_is_parked_if_no_queue_takes_the_dead_letter(vhost: Vhost, kind: dict[str, Any]) -> None:
    queue = declare(vhost, group_on_dead="follow", dead_letter_exchange="", dead_letter_routing_key="nowhere", **kind)
    worker = work(queue)
    send(queue, "a1", "a2")
    worker.reject_text("a1")
    assert (waiting(queue), states(queue)) == (["a1", "a2"], {"a": "parked"})


@KINDS
def test_messages_of_a_closed_group_wait_while_no_queue_takes_them(vhost: Vhost, kind: dict[str, Any]) -> None:
    grave = declare_plain(vhost, "grave")
    queue = declare(vhost, group_on_dead="follow", **TO_GRAVE, **kind)
    worker = work(queue)
    send(queue, "a1", "a2")
    worker.reject_text("a1")
    vhost.delete_queue(grave)
    send(queue, "a3", "a4")
    assert (waiting(queue), states(queue)) == (["a3", "a4"], {"a": "closed"})
    grave = declare_plain(vhost, "grave")
    clock_of(vhost).advance(1000)
    send(queue, "a5")
    assert [body for body, _ in reasons(grave)] == [b"a3", b"a4", b"a5"]


def test_messages_of_a_closed_group_that_its_dead_letter_queue_refuses_come_after_those_that_it_has(
    vhost: Vhost,
) -> None:
    grave = declare_plain(vhost, "grave", max_length=2, overflow="reject-publish")
    queue = declare(vhost, group_on_dead="follow", **TO_GRAVE)
    worker = work(queue)
    with vhost.dead_letters:
        send(queue, "a1", "a2", "a3", "a4")
        worker.reject_text("a1")
        send(queue, "a5")
    assert ([body for body, _ in reasons(grave)], waiting(queue)) == ([b"a1", b"a2"], ["a3", "a4", "a5"])
    assert queue.redrive_group(group(queue, "a"), [grave]) == 2
    assert (worker.texts(), waiting(queue)) == (["a1", "a1"], ["a2", "a3", "a4", "a5"])


@pytest.mark.explore
@KINDS
def test_refused_messages_of_many_closed_groups_try_again_in_slices(vhost: Vhost, kind: dict[str, Any]) -> None:
    grave = declare_plain(vhost, "grave", max_length_bytes=1000, overflow="reject-publish")
    queue = declare(vhost, group_on_dead="follow", **TO_GRAVE, **kind)
    keys = [longstr(str(number)) for number in range(2 * BOUNDS.follows + 50)]
    worker = work(queue, limit=1)
    for key in keys:
        send(queue, "-", key=key)
        worker.reject()
    send(queue, *["large" * 200] * 3, key=keys[0])
    for key in keys[1:-1]:
        send(queue, "large" * 200, key=key)
    send(queue, "small", key=keys[-1])
    clock = clock_of(vhost)
    clock.advance(FOLLOW_AGAIN_MS)
    send(queue, "-")
    # Only the message of the last group is not refused. It is behind those of two slices.
    for _ in range(2):
        assert b"small" not in ready(grave)
        clock.advance(FOLLOW_AGAIN_MS)
    assert ready(grave)[len(keys) :] == [b"small"]
    worker.ack()
    for _ in range(len(keys) + 1):
        grave.purge()
        clock.advance(FOLLOW_AGAIN_MS)
        send(queue, "-")
        worker.ack()
    assert (waiting(queue), len(queue.line.groups.following)) == ([], 0)


@KINDS
def test_no_more_messages_follow_at_once_than_their_dead_letter_queue_has_room_for(
    vhost: Vhost, kind: dict[str, Any]
) -> None:
    grave = declare_plain(vhost, "grave", max_length=3, overflow="reject-publish")
    queue = declare(vhost, group_on_dead="follow", **TO_GRAVE, **kind)
    worker = work(queue)
    send(queue, "a1")
    worker.reject_text("a1")
    vhost.delete_queue(grave)
    send(queue, "a2", "a3", "a4", "a5")
    grave = declare_plain(vhost, "grave", max_length=3, overflow="reject-publish")
    clock_of(vhost).advance(1000)
    send(queue, "a6")
    assert (ready(grave), waiting(queue)) == ([b"a2", b"a3", b"a4"], ["a5", "a6"])


@KINDS
@pytest.mark.parametrize("limit", [{"max_length": 3}, {"max_length_bytes": 7}], ids=["messages", "bytes"])
def test_no_message_is_lost_that_follows_to_a_quorum_queue_that_fills(
    vhost: Vhost, kind: dict[str, Any], limit: dict[str, int]
) -> None:
    grave = declare_plain(vhost, "grave", queue_type="quorum", overflow="reject-publish", **limit)
    queue = declare(vhost, group_on_dead="follow", **TO_GRAVE, **kind)
    worker = work(queue, limit=1)
    names = [f"a{number}" for number in range(1, 10)]
    send(queue, *names)
    worker.reject()
    for _ in range(5):
        clock_of(vhost).advance(1000)
    assert [*[body.decode() for body in ready(grave)], *waiting(queue)] == names
    # A quorum queue accepts one message that exceeds its limit.
    assert grave.ready_count in (3, 4)


FULL = {"overflow": "reject-publish"}


def fanout(vhost: Vhost, *names: str) -> Exchange:
    exchange = vhost.declare_exchange("all", "fanout", False, False, False, {})
    for name in names:
        vhost.bind(exchange, vhost.queues[name], b"", {})
    return exchange


def after_room(vhost: Vhost) -> list[str]:
    """Return the dead letters, and the waiting messages behind them, after the dead letter queue has had room."""
    grave = vhost.queues["grave"]
    assert isinstance(grave, LocalQueue)
    found = []
    for _ in range(5):
        found += [body.decode() for body in ready(grave)]
        grave.purge()
        clock_of(vhost).advance(FOLLOW_AGAIN_MS)
    return found


@KINDS
def test_group_is_parked_if_a_letter_without_a_key_takes_the_last_place(vhost: Vhost, kind: dict[str, Any]) -> None:
    grave = declare_plain(vhost, "grave", max_length=1, **FULL)
    queue = declare(vhost, group_on_dead="follow", **TO_GRAVE, **kind)
    events = vhost.events = Listening()
    send(queue, "-n", "a1", "a2")
    queue.reject([get(queue), get(queue)])
    assert (ready(grave), waiting(queue), states(queue)["a"]) == ([b"-n"], ["a1", "a2"], "parked")
    assert events.stopped == [(b"Sa", True)]
    assert (queue.line.groups.letters.count(b"Sa"), queue.ledger.left) == (0, 1)
    queue.discard_first(group(queue, "a"))
    assert (waiting(queue), states(queue)["a"]) == (["a2"], "free")


@KINDS
def test_letter_waits_if_a_copy_of_its_message_takes_the_last_place(vhost: Vhost, kind: dict[str, Any]) -> None:
    grave = declare_plain(vhost, "grave", max_length=2, **FULL)
    queue = declare(vhost, group_on_dead="follow", **TO_GRAVE, **kind)
    worker = work(queue, limit=1)
    send(queue, "a1")
    worker.reject()
    fanout(vhost, "q", "grave")
    both = route(vhost.exchanges["all"], message("a2"), vhost.exchanges.get).destinations
    vhost.publish(message("a2"), both)
    assert (ready(grave), waiting(queue), states(queue)) == ([b"a1", b"a2"], ["a2"], {"a": "closed"})
    assert after_room(vhost) == ["a1", "a2", "a2"]
    assert queue.line.groups.letters.count(b"Sa") == 2


@KINDS
def test_letter_waits_if_one_of_another_queue_takes_the_last_place(vhost: Vhost, kind: dict[str, Any]) -> None:
    grave = declare_plain(vhost, "grave", max_length=2, **FULL)
    queue = declare(vhost, group_on_dead="follow", **TO_GRAVE, **kind)
    other = declare_plain(vhost, "other", dead_letter_exchange="all")
    fanout(vhost, "q", "grave")
    worker = work(queue, limit=1)
    send(queue, "a1")
    worker.reject()
    assert other.publish(message("a2"))
    other.reject([get(other)])
    assert (ready(grave), waiting(queue)) == ([b"a1", b"a2"], ["a2"])
    assert after_room(vhost) == ["a1", "a2", "a2"]


@KINDS
def test_messages_of_a_closed_group_follow_by_themselves_when_there_is_room(vhost: Vhost, kind: dict[str, Any]) -> None:
    grave = declare_plain(vhost, "grave", max_length=1, **FULL)
    queue = declare(vhost, group_on_dead="follow", **TO_GRAVE, **kind)
    worker = work(queue, limit=1)
    send(queue, "a1", "a2", "a3")
    worker.reject()
    assert (ready(grave), waiting(queue)) == ([b"a1"], ["a2", "a3"])
    assert after_room(vhost) == ["a1", "a2", "a3"]
    assert reasons(grave) == []


@pytest.mark.parametrize("has_event", [False, True])
def test_messages_try_less_often_to_follow_while_all_are_refused(vhost: Vhost, has_event: bool) -> None:
    grave = declare_plain(vhost, "grave", max_length=1, **FULL)
    queue = declare(vhost, group_on_dead="follow", **TO_GRAVE)
    worker = work(queue, limit=1)
    send(queue, "a1", "a2", "a3")
    worker.reject()
    clock = clock_of(vhost)
    clock.advance(3_600_000)
    grave.purge()
    clock.advance(2 * FOLLOW_AGAIN_MS)
    assert ready(grave) == []
    if has_event:
        send(queue, "-")
    else:
        clock.advance(FOLLOW_AGAIN_MAX_MS)
    assert ready(grave) == [b"a2"]
    if has_event:
        # A message was taken, so the next one tries soon again.
        grave.purge()
        clock.advance(FOLLOW_AGAIN_MS)
        assert ready(grave) == [b"a3"]


@STORED_KINDS
def test_message_that_fails_while_its_letter_is_refused_is_dead_lettered_for_its_own_reason(
    vhost: Vhost, kind: dict[str, Any]
) -> None:
    grave = declare_plain(vhost, "grave", max_length=1, **FULL)
    queue = declare(vhost, group_on_dead="follow", group_prefetch=3, **TO_GRAVE, **kind)
    worker = work(queue)
    send(queue, "a1", "a2", "a3", "a4")
    worker.reject_text("a1")
    worker.reject_text("a3")
    worker.requeue()
    found = []
    for _ in range(4):
        found += reasons(grave)
        grave.purge()
        clock_of(vhost).advance(FOLLOW_AGAIN_MS)
    assert found == [(b"a1", "rejected"), (b"a2", "group"), (b"a3", "rejected"), (b"a4", "group")]


@pytest.mark.parametrize("ends", ["redrive", "purge"])
def test_reason_of_a_failed_message_is_forgotten_with_its_closed_group(vhost: Vhost, ends: str) -> None:
    grave = declare_plain(vhost, "grave", max_length=1, **FULL)
    queue = declare(vhost, group_on_dead="follow", group_prefetch=2, **TO_GRAVE)
    worker = work(queue)
    send(queue, "a1", "a2")
    worker.reject_text("a1")
    worker.reject_text("a2")
    groups = queue.line.groups
    assert [groups.reason(entry.sequence) for entry in queue.ready_entries()] == ["rejected"]
    sequence = next(iter(queue.ready_entries())).sequence
    if ends == "purge":
        queue.purge()
    else:
        queue.redrive_group(group(queue, "a"), [grave])
    assert groups.reason(sequence) == "group"


def test_letters_go_to_the_queue_that_was_asked_if_the_exchange_chooses_one_by_chance(vhost: Vhost) -> None:
    exchange = vhost.declare_exchange("any", "x-random", False, False, False, {})
    graves = [declare_plain(vhost, name, max_length=40, **FULL) for name in ("full", "one", "two")]
    for grave in graves:
        vhost.bind(exchange, grave, b"", {})
    for _ in range(40):
        graves[0].publish(message("-"))
    queue = declare(vhost, group_on_dead="follow", dead_letter_exchange="any")
    worker = work(queue, limit=1)
    texts = [f"a{number}" for number in range(20)]
    send(queue, *texts)
    while states(queue)["a"] != "closed":
        queue.redrive_group(group(queue, "a")) if states(queue)["a"] == "parked" else worker.reject()
    for _ in range(200):
        # The full queue may be chosen several times in a row, and then the pause is long.
        clock_of(vhost).advance(FOLLOW_AGAIN_MAX_MS)
    assert (waiting(queue), graves[1].ready_count + graves[2].ready_count) == ([], 20)
    assert set(queue.line.groups.letters.queues()) <= {"one", "two"}
    queue.redrive_group(group(queue, "a"), graves)
    assert worker.texts()[-1] == "a0"
    assert waiting(queue) == texts[1:]


def test_messages_of_a_closed_group_whose_letters_expire_into_their_queue_follow_again(vhost: Vhost) -> None:
    back = {"dead_letter_exchange": "", "dead_letter_routing_key": "q"}
    ladder = declare_plain(vhost, "grave", message_ttl=300, **back)
    queue = declare(vhost, group_on_dead="follow", **TO_GRAVE)
    worker = work(queue)
    send(queue, "a1", "a2")
    worker.reject_text("a1")
    for _ in range(3):
        clock_of(vhost).advance(300)
    assert ready(ladder) == [b"a1", b"a2"]
    assert queue.redrive_group(group(queue, "a"), [ladder]) == 2
    assert worker.texts() == ["a1", "a1"]


@KINDS
@pytest.mark.parametrize(
    "back", [{"last_value_key": KEY, "last_value_dead_letter": True}, {"max_length": 1}], ids=["replaced", "maxlen"]
)
def test_messages_that_their_dead_letter_queue_returns_at_once_wait_in_their_closed_group(
    vhost: Vhost, kind: dict[str, Any], back: dict[str, Any]
) -> None:
    grave = declare_plain(vhost, "grave", dead_letter_exchange="", dead_letter_routing_key="q", **back)
    queue = declare(vhost, group_on_dead="follow", **TO_GRAVE, **kind)
    worker = work(queue)
    send(queue, "a1")
    worker.reject_text("a1")
    send(queue, "a2")
    assert (waiting(queue), ready(grave), states(queue)) == (["a1"], [b"a2"], {"a": "closed"})
    send(queue, "b1", "a3")
    assert (waiting(queue), ready(grave), worker.texts()) == (["a1", "a3"], [b"a2"], ["a1", "b1"])
    assert queue.redrive_group(group(queue, "a"), [grave]) == 1
    assert (worker.texts(), waiting(queue), ready(grave)) == (["a2"], ["a1", "a3"], [])


def test_messages_that_a_queue_with_ttl_0_returns_follow_for_a_limited_number_of_times_a_second(vhost: Vhost) -> None:
    declare_plain(vhost, "grave", message_ttl=0, dead_letter_exchange="", dead_letter_routing_key="q")
    queue = declare(vhost, group_on_dead="follow", **TO_GRAVE)
    worker = work(queue)
    send(queue, "a1")
    worker.reject_text("a1")
    for count in (1, 2):
        assert (waiting(queue), states(queue)["a"]) == (["a1"], "closed")
        follows = vhost.totals.dead_letters["classic", "at_most_once", "group"]
        assert follows == count * BOUNDS.returned_follows
        clock_of(vhost).advance(FOLLOW_AGAIN_MS)
        send(queue, "-1")
    assert queue.redrive_group(group(queue, "a"), []) == 0
    assert worker.texts()[-1] == "a1"


@KINDS
def test_messages_do_not_go_around_between_two_queues_whose_groups_are_closed(
    vhost: Vhost, kind: dict[str, Any]
) -> None:
    queues = [
        declare(vhost, name, group_on_dead="follow", dead_letter_exchange="", dead_letter_routing_key=other, **kind)
        for name, other in (("q", "r"), ("r", "q"))
    ]
    for queue in queues:
        worker = work(queue, 1)
        send(queue, "a1")
        worker.reject_text("a1")
    send(queues[0], "a2")
    assert [states(queue) for queue in queues] == [{"a": "closed"}, {"a": "closed"}]
    assert sorted(text for queue in queues for text in waiting(queue)) == ["a1", "a1", "a2"]


@KINDS
def test_redrive_of_a_closed_group_leaves_letters_that_did_not_stop_it(vhost: Vhost, kind: dict[str, Any]) -> None:
    grave = declare_plain(vhost, "grave")
    queue = declare(vhost, group_on_dead="follow", message_ttl=1000, **TO_GRAVE, **kind)
    send(queue, "a1")
    clock_of(vhost).advance(1001)
    worker = work(queue)
    send(queue, "a2")
    worker.ack_text("a2")
    send(queue, "a3", "a4")
    worker.reject_text("a3")
    assert reasons(grave) == [(b"a1", "expired"), (b"a3", "rejected"), (b"a4", "group")]
    assert queue.redrive_group(group(queue, "a"), (grave,)) == 2
    # The first message is not delivered after the second, which was acknowledged.
    assert (worker.texts()[-1], reasons(grave)) == ("a3", [(b"a1", "expired")])


@KINDS
def test_redrive_of_a_closed_group_puts_its_messages_before_all_others(vhost: Vhost, kind: dict[str, Any]) -> None:
    grave = declare_plain(vhost, "grave")
    queue = declare(vhost, group_on_dead="follow", **TO_GRAVE, **kind)
    worker = work(queue, limit=1)
    send(queue, "a1", "b1", "a2", "c1")
    worker.reject_text("a1")
    send(queue, "a3", "c2")
    assert worker.texts() == ["a1", "b1"]
    assert queue.redrive_group(group(queue, "a"), [grave]) == 3
    assert (waiting(queue), ready(grave)) == (["a1", "a2", "a3", "c1", "c2"], [])
    send(queue, "a4")
    got = []
    for _ in range(6):
        worker.ack()
        got += worker.texts()
    assert got == ["a1", "a2", "a3", "c1", "c2", "a4"]
    worker.ack()
    assert len(queue.line.groups) == 0


def test_redriven_message_has_its_exchange_and_routing_key_again(vhost: Vhost) -> None:
    grave = declare_plain(vhost, "grave")
    queue = declare(vhost, header="", group_on_dead="follow", **TO_GRAVE)
    worker = work(queue)
    for text in (b"1", b"2"):
        queue.publish(Message(encode_address("orders", b"k.1"), encode_properties({}), text))
    worker.reject()
    assert [entry.message.routing_key for entry in grave.ready] == [b"grave", b"grave"]
    queue.redrive_group(group(queue, "k.1"), [grave])
    assert worker.texts() == ["1", "1"]
    sent = worker.held[0].message
    assert (sent.exchange, sent.routing_key) == ("orders", b"k.1")


def test_only_letters_of_the_group_are_redriven(vhost: Vhost) -> None:
    grave = declare_plain(vhost, "grave")
    queue, other = (declare(vhost, name, group_on_dead="follow", **TO_GRAVE) for name in ("q", "other"))
    for each in (queue, other):
        worker = work(each)
        send(each, "a1", "b1")
        worker.reject(2)
        each.remove_consumer(worker)
    grave.publish(message("a9"))
    assert queue.redrive_group(group(queue, "a"), [grave]) == 1
    assert waiting(queue) == ["a1"]
    assert ready(grave) == [b"b1", b"a1", b"b1", b"a9"]


def test_first_message_of_a_closed_group_can_be_discarded(vhost: Vhost) -> None:
    grave = declare_plain(vhost, "grave")
    queue = declare(vhost, group_on_dead="follow", **TO_GRAVE)
    worker = work(queue)
    send(queue, "a1", "a2", "a3")
    worker.reject()
    assert queue.discard_first(group(queue, "a"), [grave]) == 2
    assert (worker.texts(), waiting(queue), ready(grave)) == (["a1", "a2"], ["a3"], [])


@STORED_KINDS
def test_message_in_work_when_its_group_is_closed_keeps_its_place_in_the_dead_letter_queue(
    vhost: Vhost, kind: dict[str, Any]
) -> None:
    grave = declare_plain(vhost, "grave")
    queue = declare(vhost, group_on_dead="follow", group_prefetch=2, **TO_GRAVE, **kind)
    worker = work(queue)
    send(queue, "a1", "a2", "a3")
    worker.reject_text("a1")
    assert reasons(grave) == [(b"a1", "rejected")]
    worker.requeue_text("a2")
    assert reasons(grave) == [(b"a1", "rejected"), (b"a2", "group"), (b"a3", "group")]


def test_group_is_parked_if_there_is_no_dead_letter_exchange(vhost: Vhost) -> None:
    queue = declare(vhost, group_on_dead="follow")
    worker = work(queue)
    send(queue, "a1", "a2")
    worker.reject()
    assert (waiting(queue), states(queue)) == (["a1", "a2"], {"a": "parked"})


def test_closed_group_stays_closed_without_messages(vhost: Vhost) -> None:
    declare_plain(vhost, "grave")
    queue = declare(vhost, group_on_dead="follow", **TO_GRAVE)
    worker = work(queue)
    send(queue, "a1")
    worker.reject()
    queue.purge()
    assert states(queue) == {"a": "closed"}
    assert queue.redrive_group(group(queue, "a"), [], forced=True) == 0
    assert states(queue) == {}
