"""x-group-header: the messages of a key are delivered in order, those of different keys in parallel."""

from array import array
from dataclasses import replace
from typing import Any

import pytest

from amqpbroker import compiled
from amqpbroker.broker.queues.groups.group import CLOSED
from amqpbroker.broker.queues.groups.queue import GroupQueue
from amqpbroker.broker.vhost import Vhost
from amqpbroker.config.bounds import BOUNDS
from amqpbroker.wire.values import Field
from tests.broker.queueing import clock_of, get, ready, reasons
from tests.broker.queueing import declare as declare_plain
from tests.broker.queues.groups.grouped import (
    KEY,
    KINDS,
    STORED_KINDS,
    TO_GRAVE,
    SmallPages,
    declare,
    group,
    message,
    queue_of,
    send,
    states,
    stored,
    waiting,
    work,
)
from tests.broker.storing import crashed_copy
from tests.harness import make_broker
from tests.test_calls import Trace

# --- order ------------------------------------------------------------------------------------------------------------


@KINDS
def test_consumer_gets_the_first_message_of_each_group(vhost: Vhost, kind: dict[str, Any]) -> None:
    queue = declare(vhost, **kind)
    send(queue, "a1", "a2", "b1", "a3", "c1", "b2")
    worker = work(queue)
    assert worker.texts() == ["a1", "b1", "c1"]
    assert (queue.ready_count, queue.unacked_count) == (3, 3)
    assert states(queue) == {"a": "busy", "b": "busy", "c": "busy"}
    worker.ack_text("b1")
    assert worker.texts() == ["b2"]
    worker.ack_text("c1")
    assert worker.texts() == []
    worker.ack_text("a1")
    assert worker.texts() == ["a2"]
    assert waiting(queue) == ["a3"]
    assert states(queue) == {"a": "busy", "b": "busy"}


@KINDS
def test_prefetch_limits_the_number_of_groups(vhost: Vhost, kind: dict[str, Any]) -> None:
    queue = declare(vhost, **kind)
    send(queue, "a1", "a2", "b1", "c1")
    worker = work(queue, limit=2)
    assert worker.texts() == ["a1", "b1"]
    worker.ack_text("b1")
    assert worker.texts() == ["c1"]
    worker.ack_text("a1")
    assert worker.texts() == ["a2"]


@KINDS
def test_group_whose_first_message_came_first_is_next(vhost: Vhost, kind: dict[str, Any]) -> None:
    queue = declare(vhost, **kind)
    worker = work(queue, limit=1)
    send(queue, "a1", "b1", "a2", "b2", "c1", "a3")
    for text in ["a1", "b1", "a2", "b2", "c1", "a3"]:
        assert worker.texts() == [text]
        worker.ack()
    assert len(queue.line.groups) == 0


@STORED_KINDS
def test_groups_move_freely_between_consumers(vhost: Vhost, kind: dict[str, Any]) -> None:
    queue = declare(vhost, **kind)
    first, second = work(queue, 1, "c1"), work(queue, 1, "c2")
    send(queue, "a1", "a2", "b1", "a3")
    assert (first.texts(), second.texts()) == (["a1"], ["b1"])
    second.ack()
    assert second.texts() == []
    first.limit = 0
    first.ack()
    assert second.texts() == ["a2"]
    second.ack()
    assert second.texts() == ["a3"]


@STORED_KINDS
def test_free_group_goes_to_an_idle_consumer_when_the_one_that_settled_is_gone(
    vhost: Vhost, kind: dict[str, Any]
) -> None:
    queue = declare(vhost, **kind)
    first, second = work(queue, 1, "c1"), work(queue, 1, "c2")
    send(queue, "a1", "a2")
    queue.remove_consumer(first)
    assert second.texts() == []
    first.ack()
    assert second.texts() == ["a2"]


@KINDS
def test_message_without_a_key_is_a_group_of_its_own(vhost: Vhost, kind: dict[str, Any]) -> None:
    queue = declare(vhost, **kind)
    send(queue, "-1", "a1", "-2", "a2", "-3")
    worker = work(queue)
    assert worker.texts() == ["-1", "a1", "-2", "-3"]
    worker.requeue_text("-2")
    assert worker.texts() == ["-2"]
    worker.ack(4)
    assert worker.texts() == ["a2"]
    worker.ack()
    assert (len(queue.line.groups), queue.ready_count, queue.unacked_count) == (0, 0, 0)


@KINDS
def test_returned_message_is_the_first_of_its_group_again(vhost: Vhost, kind: dict[str, Any]) -> None:
    queue = declare(vhost, delivery_limit=-1, **kind)
    send(queue, "a1", "b1", "a2", "a3")
    worker = work(queue)
    assert worker.texts() == ["a1", "b1"]
    for _ in range(3):
        worker.requeue_text("a1")
        assert worker.texts() == ["a1"]
    worker.limit = 0
    worker.requeue_text("a1", failed=False)
    assert waiting(queue) == ["a1", "a2", "a3"]
    assert states(queue) == {"a": "free", "b": "busy"}
    assert [get(queue).message.body, queue.get(no_ack=False)] == [b"a1", None]


@KINDS
def test_messages_of_a_lost_channel_return_to_their_groups(vhost: Vhost, kind: dict[str, Any]) -> None:
    queue = declare(vhost, **kind)
    worker = work(queue)
    send(queue, "a1", "b1", "a2", "c1", "b2")
    worker.limit = 0
    held, worker.held = worker.held, []
    queue.reclaim([held[2], held[0], held[1]])
    assert waiting(queue) == ["a1", "b1", "a2", "c1", "b2"]
    again = work(queue, tag="d") if "single_active_consumer" not in kind else None
    if again is not None:
        assert again.texts() == ["a1", "b1", "c1"]


@pytest.mark.skipif(compiled.is_compiled(), reason="calls of compiled functions are not traced")
def test_keys_of_returned_messages_are_not_read_again(vhost: Vhost) -> None:
    queue = declare(vhost)
    send(queue, *[f"{chr(number)}1" for number in range(ord("A"), ord("Z"))])
    worker = work(queue)
    queue.remove_consumer(worker)
    trace = Trace()
    with trace.on():
        queue.reclaim(worker.held)
    assert len(states(queue)) == len(worker.held) == 25
    assert not trace.calls[("broker/queues/groups/key.py", "group_key")]
    assert len(trace.order) < 25 * 18


@KINDS
def test_rejected_message_frees_its_group(vhost: Vhost, kind: dict[str, Any]) -> None:
    grave = declare_plain(vhost, "grave")
    queue = declare(vhost, **TO_GRAVE, **kind)
    send(queue, "a1", "a2", "b1")
    worker = work(queue)
    worker.texts()
    worker.reject_text("a1")
    assert worker.texts() == ["a2"]
    assert reasons(grave) == [(b"a1", "rejected")]


@KINDS
def test_automatic_acknowledgement_keeps_only_the_order_of_delivery(vhost: Vhost, kind: dict[str, Any]) -> None:
    queue = declare(vhost, **kind)
    send(queue, "a1", "a2", "b1")
    worker = work(queue, no_ack=True)
    assert worker.texts() == ["a1", "a2", "b1"]
    send(queue, "a3", "a4")
    assert worker.texts() == ["a3", "a4"]
    assert len(queue.line.groups) == 0


@STORED_KINDS
def test_basic_get_returns_the_first_message_of_the_first_free_group(vhost: Vhost, kind: dict[str, Any]) -> None:
    queue = declare(vhost, **kind)
    send(queue, "a1", "a2", "b1")
    first, second = get(queue), get(queue)
    assert (first.message.body, second.message.body) == (b"a1", b"b1")
    assert queue.get(no_ack=False) is None
    assert queue.ready_count == 1
    queue.ack(first)
    assert queue.get(no_ack=True).message.body == b"a2"  # type: ignore[union-attr]
    assert len(queue.line.groups) == 1
    queue.ack(second)
    assert len(queue.line.groups) == 0


@STORED_KINDS
def test_message_that_basic_get_acknowledged_frees_its_group_for_a_consumer(vhost: Vhost, kind: dict[str, Any]) -> None:
    queue = declare(vhost, **kind)
    send(queue, "a1", "a2")
    entry = get(queue)
    worker = work(queue)
    assert worker.texts() == []
    queue.ack(entry)
    assert worker.texts() == ["a2"]


@KINDS
def test_acknowledgement_of_several_messages_frees_all_their_groups(vhost: Vhost, kind: dict[str, Any]) -> None:
    queue = declare(vhost, **kind)
    send(queue, "a1", "b1", "b2", "a2", "c1")
    worker = work(queue)
    worker.texts()
    worker.ack_all(2)
    assert worker.texts() == ["b2", "a2"]


@KINDS
def test_purge_removes_waiting_messages_and_keeps_groups_busy(vhost: Vhost, kind: dict[str, Any]) -> None:
    queue = declare(vhost, **kind)
    worker = work(queue, limit=2)
    send(queue, "a1", "a2", "b1", "b2", "c1")
    assert queue.purge() == 3
    assert (waiting(queue), states(queue)) == ([], {"a": "busy", "b": "busy"})
    send(queue, "a3", "c2")
    worker.ack_text("b1")
    assert worker.texts() == ["a1", "b1", "c2"]
    worker.ack(2)
    assert worker.texts() == ["a3"]


@pytest.mark.parametrize("keyed", [True, False])
def test_groups_of_purged_messages_are_freed_in_slices(keyed: bool) -> None:
    vhost = make_broker(bounds=BOUNDS._replace(deferred_free=10, page_count=5)).vhosts["/"]
    queue, clock = declare(vhost), clock_of(vhost)
    for number in range(21):
        queue.publish(message("k", key=Field("l", number)) if keyed else message("-"))
    assert queue.purge() == 21
    iterations = 0
    while clock.next_due_ms() is not None:
        clock.fire_due()
        iterations += 1
    # Three for the groups, and three for their order; the messages are in pages.
    assert iterations >= 6
    send(queue, "a1", "b1", "a2")
    assert (work(queue).texts(), waiting(queue), len(queue.line.groups)) == (["a1", "b1"], ["a2"], 2)


@KINDS
@pytest.mark.parametrize("retry", [{}, {"delayed_retry_type": "all", "delayed_retry_min": 100}])
def test_groups_with_delivered_or_delayed_messages_remain_after_a_purge(
    vhost: Vhost, kind: dict[str, Any], retry: dict[str, Any]
) -> None:
    queue = declare(vhost, **kind, **retry)
    send(queue, "b1", "a1", "b2", "a2", "c1", "-1", "a3")
    worker = work(queue, limit=2)
    worker.requeue_text("b1")
    queue.purge()
    assert states(queue) == ({"a": "busy", "c": "busy"} if retry else {"b": "busy", "a": "busy"})
    send(queue, "d1", "b3", "a4")
    worker.limit = 10
    worker.take()
    worker.ack_text("a1")
    assert sorted(worker.texts()) == (["a4", "b3", "d1"] if retry else ["a4", "d1"])
    assert (queue.line.groups.offered, queue.delayed_count) == (0, 0)


def test_consumers_stay_idle_but_awake_when_only_blocked_messages_are_purged(vhost: Vhost) -> None:
    queue = declare(vhost)
    send(queue, "a1", "a2")
    entry = get(queue)
    worker = work(queue)
    queue.purge()
    send(queue, "b1")
    assert worker.texts() == ["b1"]
    queue.ack(entry)


# --- delays, limits, expiry -------------------------------------------------------------------------------------------


@KINDS
def test_group_waits_while_its_first_message_is_delayed(vhost: Vhost, kind: dict[str, Any]) -> None:
    queue = declare(vhost, delayed_retry_type="all", delayed_retry_min=1000, **kind)
    worker = work(queue)
    send(queue, "a1", "a2", "b1")
    worker.requeue_text("a1")
    assert (states(queue)["a"], queue.delayed_count) == ("waiting", 1)
    worker.ack_text("b1")
    assert worker.texts() == ["a1", "b1"]
    clock_of(vhost).advance(1000)
    assert worker.texts() == ["a1"]
    worker.ack()
    assert worker.texts() == ["a2"]


@STORED_KINDS
def test_length_limit_counts_blocked_messages_and_drops_the_oldest(vhost: Vhost, kind: dict[str, Any]) -> None:
    grave = declare_plain(vhost, "grave")
    queue = declare(vhost, max_length=2, **TO_GRAVE, **kind)
    worker = work(queue, limit=1)
    send(queue, "a1", "a2", "a3", "b1")
    assert waiting(queue) == ["a3", "b1"]
    assert reasons(grave) == [(b"a2", "maxlen")]
    worker.ack()
    assert worker.texts() == ["a1", "a3"]


@STORED_KINDS
def test_message_that_is_delivered_at_once_does_not_exceed_the_length_limit(vhost: Vhost, kind: dict[str, Any]) -> None:
    queue = declare(vhost, max_length=1, **kind)
    worker = work(queue)
    send(queue, "a1", "a2", "b1")
    assert (worker.texts(), waiting(queue)) == (["a1", "b1"], ["a2"])


def test_queue_that_rejects_publishes_counts_blocked_messages(vhost: Vhost) -> None:
    queue = declare(vhost, max_length=1, overflow="reject-publish")
    work(queue)
    send(queue, "a1", "a2")
    assert not queue.publish(message("b1"))


@STORED_KINDS
def test_message_expires_at_the_head(vhost: Vhost, kind: dict[str, Any]) -> None:
    grave = declare_plain(vhost, "grave")
    queue = declare(vhost, **TO_GRAVE, **kind)
    worker = work(queue)
    send(queue, "a1")
    send(queue, "a2", expiration_ms=10)
    send(queue, "a3")
    clock_of(vhost).advance(20)
    assert waiting(queue) == ["a2", "a3"]
    worker.ack()
    assert worker.texts() == ["a1", "a3"]
    assert reasons(grave) == [(b"a2", "expired")]


@STORED_KINDS
def test_next_messages_of_an_expired_one_expire_before_a_delivery(vhost: Vhost, kind: dict[str, Any]) -> None:
    grave = declare_plain(vhost, "grave")
    queue = declare(vhost, **TO_GRAVE, **kind)
    worker = work(queue, limit=1)
    send(queue, "a1", "a2", expiration_ms=10)
    send(queue, "b1")
    send(queue, "a3", expiration_ms=10)
    clock_of(vhost).advance(20)
    worker.requeue_text("a1")
    assert worker.texts() == ["a1", "b1"]
    assert reasons(grave) == [(b"a1", "expired"), (b"a2", "expired"), (b"a3", "expired")]


@STORED_KINDS
def test_message_expires_anywhere_with_that_mode(vhost: Vhost, kind: dict[str, Any]) -> None:
    queue = declare(vhost, message_ttl_mode="any", **kind)
    worker = work(queue)
    send(queue, "a1")
    send(queue, "a2", expiration_ms=10)
    send(queue, "a3")
    clock_of(vhost).advance(20)
    assert waiting(queue) == ["a3"]
    worker.ack()
    assert worker.texts() == ["a1", "a3"]


# --- disk -------------------------------------------------------------------------------------------------------------


@STORED_KINDS
def test_order_survives_a_crash(kind: dict[str, Any]) -> None:
    node = stored(kind)
    queue = queue_of(node)
    send(queue, "a1", "b1", "a2", "-1", "b2")
    first = work(queue, 1)
    assert first.texts() == ["a1"]
    node.broker.sync()
    queue = queue_of(crashed_copy(node))
    assert waiting(queue) == ["a1", "b1", "a2", "-1", "b2"]
    assert work(queue).texts() == ["a1", "b1", "-1"]


def test_keys_are_read_in_the_order_of_the_disk_and_returned_in_that_of_the_queue() -> None:
    node = stored()
    queue = queue_of(node)
    send(queue, "a1", "b1", "-1", "a2", "c1")
    node.broker.sync()
    positions = [entry.position for entry in queue.ready]
    keys = [b"Sa", b"Sb", None, b"Sa", b"Sc"]
    for order in (range(5), (3, 0, 4, 2, 1)):
        found = queue._stored_keys(array("Q", [positions[index] for index in order]))
        assert found == [keys[index] for index in order]


@STORED_KINDS
def test_group_waits_after_a_crash_while_its_first_message_is_delayed(kind: dict[str, Any]) -> None:
    node = stored(kind, delayed_retry_type="all", delayed_retry_min=1000)
    queue = queue_of(node)
    send(queue, "a1", "a2")
    worker = work(queue)
    worker.requeue()
    node.broker.sync()
    queue = queue_of(after := crashed_copy(node))
    worker = work(queue)
    assert (worker.texts(), states(queue)) == ([], {"a": "waiting"})
    after.clock.advance(1000)
    assert worker.texts() == ["a1"]


@STORED_KINDS
def test_parked_group_survives_a_crash(kind: dict[str, Any]) -> None:
    node = stored(kind, group_on_dead="park")
    queue = queue_of(node)
    worker = work(queue)
    send(queue, "a1", "a2", "b1")
    worker.reject_text("a1")
    node.broker.sync()
    queue = queue_of(after := crashed_copy(node))
    worker = work(queue)
    assert (worker.texts(), states(queue)) == (["b1"], {"a": "parked", "b": "busy"})
    queue.redrive_group(group(queue, "a"))
    assert worker.texts() == ["a1"]
    after.broker.sync()
    queue = queue_of(crashed_copy(after))
    assert (states(queue), queue.stored_count()) == ({"a": "free", "b": "free"}, 0)


@STORED_KINDS
def test_closed_group_and_its_redrive_survive_a_crash(kind: dict[str, Any]) -> None:
    node = stored(kind, group_on_dead="follow", **TO_GRAVE)
    queue = queue_of(node)
    worker = work(queue, 1)
    send(queue, "a1", "a2", "b1", "b2")
    worker.reject()
    node.broker.sync()
    node = crashed_copy(node)
    queue, grave = queue_of(node), queue_of(node, "grave")
    send(queue, "a3")
    assert (waiting(queue), states(queue)) == (["b1", "b2"], {"a": "closed", "b": "free"})
    assert ready(grave) == [b"a1", b"a2", b"a3"]
    queue.redrive_group(group(queue, "a"), [grave])
    node.broker.sync()
    node = crashed_copy(node)
    queue, grave = queue_of(node), queue_of(node, "grave")
    assert (waiting(queue), ready(grave)) == (["a1", "a2", "a3", "b1", "b2"], [])
    assert states(queue) == {"a": "free", "b": "free"}
    send(queue, "a4")
    assert waiting(queue)[-1] == "a4"


def test_message_that_closed_its_group_follows_when_the_broker_starts() -> None:
    node = stored(group_on_dead="follow", **TO_GRAVE)
    queue = queue_of(node)
    send(queue, "a1", "a2")
    node.broker.sync()
    groups = queue.line.groups
    groups.record(b"Sa", CLOSED, 0, 0, queue.id)
    node.broker.sync()
    node = crashed_copy(node)
    assert reasons(queue_of(node, "grave")) == [(b"a1", "group"), (b"a2", "group")]


def test_first_number_of_the_letters_is_known_after_a_crash_before_the_first_one_left() -> None:
    node = stored(group_on_dead="follow", **TO_GRAVE)
    queue = queue_of(node)
    groups = queue.line.groups
    groups.record(b"Sa", CLOSED, 0, 0, queue.id)
    groups.letters.use_number(b"Sa", queue.id)
    first = groups.letters.first(b"Sa")
    node.broker.sync()
    letters = queue_of(crashed_copy(node)).line.groups.letters
    assert (letters.first(b"Sa"), letters.count(b"Sa")) == (first, 0)
    assert first > 0


def test_state_of_a_parked_group_without_messages_is_gone_after_a_restart() -> None:
    node = stored(group_on_dead="park")
    queue = queue_of(node)
    worker = work(queue)
    send(queue, "a1", persistent=False)
    worker.reject()
    node.broker.sync()
    node = crashed_copy(node)
    queue = queue_of(node)
    assert states(queue) == {}
    send(queue, "a2")
    node.broker.sync()
    assert work(queue_of(crashed_copy(node))).texts() == ["a2"]


@pytest.mark.parametrize("is_persistent", [True, False])
def test_parked_group_is_open_after_a_crash_if_the_message_that_failed_is_gone(is_persistent: bool) -> None:
    node = stored(group_on_dead="park")
    queue = queue_of(node)
    worker = work(queue, limit=1)
    send(queue, "a1", persistent=is_persistent)
    send(queue, "a2", "a3")
    worker.reject()
    if is_persistent:
        # The group is opened only in the next iteration, which the crash prevents.
        queue.apply_settings(replace(queue.settings, max_length=2, overflow="drop-head"))
    node.broker.sync()
    assert states(queue) == {"a": "parked"}
    queue = queue_of(crashed_copy(node))
    assert (waiting(queue), states(queue), queue.stored_count()) == (["a2", "a3"], {"a": "free"}, 0)
    assert not next(iter(queue.ready_entries())).redelivered


def test_parked_group_stays_after_a_crash_if_a_message_before_the_one_that_failed_waits() -> None:
    node = stored(group_on_dead="park", group_prefetch=2)
    queue = queue_of(node)
    worker = work(queue)
    send(queue, "a1", "a2", "a3")
    worker.reject_text("a2")
    worker.requeue()
    node.broker.sync()
    queue = queue_of(crashed_copy(node))
    assert (waiting(queue), states(queue)) == (["a1", "a2", "a3"], {"a": "parked"})


def test_groups_keep_their_order_over_pages_on_disk() -> None:
    node = SmallPages(group_header=KEY)
    queue = node.queue
    assert isinstance(queue, GroupQueue)
    expected: dict[str, list[str]] = {"a": [], "b": [], "c": [], "-": []}
    for number in range(200):
        text = "aaabc-a"[number % 7] + str(number)
        expected[text[0]].append(text)
        send(queue, text)
        node.log.sync()
    assert queue.ready.paged_out > 100
    worker = work(queue, limit=3)
    got: dict[str, list[str]] = {"a": [], "b": [], "c": [], "-": []}
    while worker.held:
        # The latest one first, so that the front of the queue stays blocked.
        entry = worker.held[-1]
        text = entry.message.body.decode()
        got[text[0]].append(text)
        worker.ack_text(text)
    assert got == expected
    assert (queue.ready_count, queue.ready.size, queue.ledger.persistent) == (0, 0, 0)


def test_blocked_messages_leave_memory_when_it_is_low() -> None:
    node = SmallPages(group_header=KEY)
    queue = node.queue
    assert isinstance(queue, GroupQueue)
    entry_count = 12
    send(queue, *[f"a{number}" for number in range(entry_count)])
    entry = get(queue)
    node.log.sync()
    queue.page_out()
    assert queue.ready.count == 0
    assert queue.ready.paged_out > 0
    queue.ack(entry)
    worker = work(queue, limit=1)
    for number in range(1, entry_count):
        assert worker.texts() == [f"a{number}"]
        worker.ack()


@pytest.mark.parametrize("low_memory", [False, True])
def test_returned_messages_leave_memory_and_keep_their_order(low_memory: bool) -> None:
    node = SmallPages(group_header=KEY)
    queue = node.queue
    assert isinstance(queue, GroupQueue)
    names = [f"{'-ab'[number % 3]}{number}" for number in range(150)]
    send(queue, *names)
    worker = work(queue)
    # The others of the queue are between those that return.
    assert len(worker.held) == 52
    queue.remove_consumer(worker)
    if low_memory:
        node.page_out()
    for _ in range(26):
        queue.requeue([worker.held.pop(), worker.held.pop(0)])
    node.log.sync()
    if low_memory:
        node.page_out()
        assert queue.ready.paged_out >= 149
    assert queue.ready.paged_out >= 150 - 4 * 2 * node.bounds.page_count
    assert waiting(queue) == names
    assert [work(queue, limit=1, tag=str(each)).texts() for each in range(3)] == [["-0"], ["a1"], ["b2"]]


def test_large_returned_messages_leave_memory() -> None:
    node = SmallPages(group_header=KEY)
    queue = node.queue
    assert isinstance(queue, GroupQueue)
    body = "x" * (BOUNDS.page_bytes // 2)
    send(queue, *[f"-{number}{body}" for number in range(20)])
    worker = work(queue)
    queue.remove_consumer(worker)
    queue.requeue(worker.held)
    node.log.sync()
    assert queue.ready.paged_out >= 8


def test_notes_of_purged_parked_groups_are_removed_in_slices() -> None:
    node = stored(group_on_dead="park")
    node.broker.vhosts["/"].deferred_free.few = 3
    queue = queue_of(node)
    send(queue, *[f"{number}1" for number in range(10)])
    queue.reject([get(queue) for _ in range(10)])
    assert (queue.info().groups_parked, queue.stored_count()) == (10, 10)
    assert queue.purge() == 10
    assert (queue.info().groups, queue.info().groups_parked) == (0, 0)
    counts = [queue.stored_count()]
    while counts[-1]:
        node.clock.fire_due()
        counts.append(queue.stored_count())
    assert counts == [10, 7, 4, 1, 0]
