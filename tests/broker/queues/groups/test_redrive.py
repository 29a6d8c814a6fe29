"""Redrives of closed message groups in slices: order, ends of all sorts, and other clients meanwhile."""

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import pytest

from amqpbroker.broker.queues.entry import Entry
from amqpbroker.broker.queues.groups.group import Group
from amqpbroker.broker.queues.groups.letters import letter_headers, letter_queues
from amqpbroker.broker.queues.groups.options import SKIP
from amqpbroker.broker.queues.groups.queue import GroupQueue
from amqpbroker.broker.queues.groups.redrive import (
    GroupRedrive,
    GroupRedriveRunsError,
)
from amqpbroker.broker.queues.groups.task import FAILED, RUNNING
from amqpbroker.broker.queues.local_queue import LocalQueue
from amqpbroker.broker.queues.queue import Queue
from amqpbroker.broker.vhost import Vhost
from amqpbroker.clock import ManualClock
from amqpbroker.config.bounds import BOUNDS
from amqpbroker.message.checksum import content_checksum
from amqpbroker.message.message import Message
from amqpbroker.wire.property_edit import set_headers
from amqpbroker.wire.values import longstr
from tests.broker.queueing import clock_of, get, ready
from tests.broker.queueing import declare as declare_plain
from tests.broker.queues.groups.grouped import (
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
from tests.broker.storing import Node, crashed_copy
from tests.harness import make_broker

#: More messages than one slice moves.
COUNT = 2 * BOUNDS.slice_count + 20


def texts(first: int = 1, last: int = COUNT) -> list[str]:
    return [f"a{number}" for number in range(first, last + 1)]


def bodies(queue: Queue) -> list[str]:
    return [body.decode() for body in ready(queue)]


def finish(queue: LocalQueue) -> None:
    """Run all slices that follow each other without a delay."""
    clock = queue.clock
    assert isinstance(clock, ManualClock)
    for _ in range(100):
        clock.advance(0)


def closed(queue: GroupQueue, count: int = COUNT) -> Group:
    """Close the group "a" of a queue, with that many messages in the dead letter queue."""
    worker = work(queue, limit=1)
    send(queue, *texts(1, count))
    worker.reject()
    queue.remove_consumer(worker)
    finish(queue)
    return group(queue, "a")


def pair(vhost: Vhost, count: int = COUNT, **arguments: Any) -> tuple[GroupQueue, LocalQueue, Group]:
    grave = declare_plain(vhost, "grave")
    queue = declare(vhost, group_on_dead="follow", **TO_GRAVE, **arguments)
    found = closed(queue, count)
    assert bodies(grave) == texts(1, count)
    return queue, grave, found


def started(queue: GroupQueue, grave: LocalQueue, discards: bool = False, **options: Any) -> GroupRedrive:
    operation = queue.discard_first if discards else queue.redrive_group
    assert operation(group(queue, "a"), [grave], **options) <= BOUNDS.slice_count
    return queue.redrives[group(queue, "a")]


@KINDS
def test_group_is_closed_until_its_last_letter_is_back(vhost: Vhost, kind: dict[str, Any]) -> None:
    queue, grave, _ = pair(vhost, **kind)
    send(queue, "b1")
    worker = work(queue)
    assert worker.texts() == ["b1"]
    redrive = started(queue, grave)
    assert (redrive.state, redrive.moved, redrive.left) == (RUNNING, BOUNDS.slice_count, COUNT - BOUNDS.slice_count)
    send(queue, "a900", "b2")
    # Nothing of the group is delivered, and nothing of it follows to the dead letter queue.
    assert (worker.texts(), states(queue)["a"]) == ([], "closed")
    assert waiting(queue) == [*texts(COUNT - BOUNDS.slice_count + 1), "a900", "b2"]
    assert bodies(grave) == texts(1, COUNT - BOUNDS.slice_count)
    finish(queue)
    assert (bodies(grave), states(queue)["a"], queue.redrives) == ([], "busy", {})
    got = worker.texts()
    for _ in range(COUNT):
        worker.ack_text(got[-1])
        got += worker.texts()
    assert got == [*texts(), "a900"]


@KINDS
def test_redrive_of_one_slice_is_one_step(vhost: Vhost, kind: dict[str, Any]) -> None:
    queue, grave, found = pair(vhost, BOUNDS.slice_count, **kind)
    assert queue.redrive_group(found, [grave]) == BOUNDS.slice_count
    assert (waiting(queue), bodies(grave), queue.redrives) == (texts(1, BOUNDS.slice_count), [], {})


def test_letters_are_searched_in_slices(vhost: Vhost) -> None:
    grave = declare_plain(vhost, "grave")
    queue = declare(vhost, group_on_dead="follow", **TO_GRAVE)
    for _ in range(2 * BOUNDS.slice_visits):
        grave.publish(message("z"))
    found = closed(queue, 3)
    assert queue.redrive_group(found, [grave]) == 0
    assert queue.redrives[found].left is None
    finish(queue)
    assert (waiting(queue), grave.ready_count, queue.redrives) == (texts(1, 3), 2 * BOUNDS.slice_visits, {})


def test_letters_are_in_the_second_of_several_dead_letter_queues(vhost: Vhost) -> None:
    queue, grave, found = pair(vhost)
    other = declare_plain(vhost, "other")
    other.publish(message("z"))
    queue.redrive_group(found, [other, grave])
    finish(queue)
    assert (waiting(queue), bodies(grave), bodies(other)) == (texts(), [], ["z"])


@KINDS
def test_first_message_is_discarded_when_the_others_are_back(vhost: Vhost, kind: dict[str, Any]) -> None:
    queue, grave, _ = pair(vhost, **kind)
    started(queue, grave, discards=True)
    assert bodies(grave)[0] == "a1"
    finish(queue)
    assert (waiting(queue), bodies(grave), states(queue)) == (texts(2), [], {"a": "free"})


@pytest.mark.parametrize("discards", [False, True])
def test_second_redrive_of_a_group_is_refused_while_one_runs(vhost: Vhost, discards: bool) -> None:
    queue, grave, found = pair(vhost)
    started(queue, grave)
    with pytest.raises(
        GroupRedriveRunsError, match=f"a redrive of this group is running: {BOUNDS.slice_count} messages are back"
    ):
        (queue.discard_first if discards else queue.redrive_group)(found, [grave])
    finish(queue)
    assert waiting(queue) == texts()


def test_groups_are_redriven_at_the_same_time(vhost: Vhost) -> None:
    queue, grave, _ = pair(vhost)
    worker = work(queue, limit=1)
    send(queue, *[f"b{number}" for number in range(COUNT)])
    worker.reject()
    queue.remove_consumer(worker)
    finish(queue)
    for key in "ab":
        queue.redrive_group(group(queue, key), [grave])
    finish(queue)
    assert [each for each in waiting(queue) if each[0] == "a"] == texts()
    assert [each for each in waiting(queue) if each[0] == "b"] == [f"b{number}" for number in range(COUNT)]


@STORED_KINDS
def test_group_is_redriven_in_order_after_a_crash_half_way(kind: dict[str, Any]) -> None:
    node = stored(kind, group_on_dead="follow", **TO_GRAVE)
    queue = queue_of(node)
    closed(queue)
    grave = queue_of(node, "grave")
    queue.redrive_group(group(queue, "a"), [grave])
    send(queue, "a900")
    node.broker.sync()
    node = crashed_copy(node)
    queue, grave = queue_of(node), queue_of(node, "grave")
    finish(queue)
    # The messages that were back, and the new one, have followed again.
    assert (waiting(queue), states(queue)) == ([], {"a": "closed"})
    assert bodies(grave) == [*texts(), "a900"]
    queue.redrive_group(group(queue, "a"), [grave])
    finish(queue)
    node.broker.sync()
    node = crashed_copy(node)
    queue, grave = queue_of(node), queue_of(node, "grave")
    assert (waiting(queue), bodies(grave), states(queue)) == ([*texts(), "a900"], [], {"a": "free"})


@STORED_KINDS
def test_message_that_fails_while_its_group_comes_back_keeps_its_place(vhost: Vhost, kind: dict[str, Any]) -> None:
    grave = declare_plain(vhost, "grave")
    count = BOUNDS.slice_count + 20
    queue = declare(vhost, group_on_dead="follow", group_prefetch=count, **TO_GRAVE, **kind)
    worker = work(queue)
    send(queue, *texts(1, count + 1))
    assert worker.texts() == texts(1, count)
    for text in texts(2, count):
        worker.reject_text(text)
    assert (bodies(grave), waiting(queue)) == (texts(2, count), [f"a{count + 1}"])
    redrive = started(queue, grave)
    worker.reject_text("a1")
    assert (redrive.state, waiting(queue)[-2:]) == (RUNNING, ["a1", f"a{count + 1}"])
    finish(queue)
    assert (worker.texts(), waiting(queue), bodies(grave)) == ([*texts(2, count), "a1"], [f"a{count + 1}"], [])


# --- early ends -------------------------------------------------------------------------------------------------------


@KINDS
def test_messages_follow_again_in_order_if_a_client_takes_a_letter(vhost: Vhost, kind: dict[str, Any]) -> None:
    queue, grave, found = pair(vhost, **kind)
    held: list[Entry] = []
    redrive = started(queue, grave, held=lambda of: held if of is grave else ())
    send(queue, "a900")
    held.append(get(grave))
    finish(queue)
    assert (redrive.state, states(queue)) == (FAILED, {"a": "closed"})
    assert redrive.reason == (
        "a client took a message of the group from queue 'grave': let it return or acknowledge the message, and "
        "redrive the group again"
    )
    assert (waiting(queue), bodies(grave)) == ([], [*texts(2), "a900"])
    grave.requeue(held)
    queue.redrive_group(found, [grave])
    finish(queue)
    assert (waiting(queue), bodies(grave)) == ([*texts(), "a900"], [])


def test_letter_that_a_client_acknowledged_is_left_out(vhost: Vhost) -> None:
    queue, grave, _ = pair(vhost)
    started(queue, grave)
    grave.ack(get(grave))
    finish(queue)
    assert (waiting(queue), bodies(grave), states(queue)) == (texts(2), [], {"a": "free"})


def test_redrive_fails_if_a_client_returned_a_message(vhost: Vhost) -> None:
    queue, grave, _ = pair(vhost)
    redrive = started(queue, grave)
    grave.requeue([get(grave)])
    finish(queue)
    assert redrive.state == FAILED
    assert redrive.reason.startswith("a client has returned messages to queue 'grave'")
    assert (waiting(queue), bodies(grave), states(queue)) == ([], texts(), {"a": "closed"})


def test_redrive_fails_if_a_client_took_a_letter_before_it_was_found(vhost: Vhost) -> None:
    grave = declare_plain(vhost, "grave")
    queue = declare(vhost, group_on_dead="follow", **TO_GRAVE)
    for _ in range(2 * BOUNDS.slice_visits):
        grave.publish(message("z"))
    closed(queue, 3)
    held: list[Entry] = []

    def held_by_clients(_: Queue) -> Iterable[Entry]:
        return held

    redrive = started(queue, grave, held=held_by_clients)
    held += [get(grave) for _ in range(2 * BOUNDS.slice_visits + 1)]
    finish(queue)
    assert (redrive.state, waiting(queue), bodies(grave)) == (FAILED, [], ["a2", "a3"])


def test_purge_of_the_dead_letter_queue_leaves_the_messages_that_are_back(vhost: Vhost) -> None:
    queue, grave, _ = pair(vhost)
    started(queue, grave)
    grave.purge()
    finish(queue)
    assert (waiting(queue), states(queue)) == (texts(COUNT - BOUNDS.slice_count + 1), {"a": "free"})


def test_purge_of_the_queue_leaves_the_messages_that_are_not_back(vhost: Vhost) -> None:
    queue, grave, _ = pair(vhost)
    started(queue, grave)
    assert queue.purge() == BOUNDS.slice_count
    finish(queue)
    assert (waiting(queue), states(queue)) == (texts(1, COUNT - BOUNDS.slice_count), {"a": "free"})


def test_redrive_fails_if_the_dead_letter_queue_is_deleted(vhost: Vhost) -> None:
    queue, grave, found = pair(vhost)
    redrive = started(queue, grave)
    vhost.remove_queue(grave)
    finish(queue)
    assert (redrive.state, redrive.reason) == (FAILED, "queue 'grave' was deleted")
    assert (waiting(queue), states(queue)) == (texts(COUNT - BOUNDS.slice_count + 1), {"a": "closed"})
    assert queue.redrive_group(found, [], forced=True) == 0
    assert (waiting(queue), states(queue)) == (texts(COUNT - BOUNDS.slice_count + 1), {"a": "free"})


def test_letters_that_are_not_back_stay_if_the_queue_is_deleted(vhost: Vhost) -> None:
    queue, grave, _ = pair(vhost)
    redrive = started(queue, grave)
    vhost.remove_queue(queue)
    clock = clock_of(vhost)
    assert (redrive.state, redrive.reason) == (FAILED, "queue 'q' was deleted")
    clock.advance(0)
    assert (bodies(grave), clock.next_due_ms()) == (texts(1, COUNT - BOUNDS.slice_count), None)


@pytest.mark.parametrize("both", [False, True])
def test_end_of_the_broker_stops_a_redrive(vhost: Vhost, both: bool) -> None:
    queue, grave, _ = pair(vhost)
    started(queue, grave)
    if both:
        grave.discard()
    queue.discard()
    assert clock_of(vhost).next_due_ms() is None


def test_change_of_the_policy_does_not_end_a_redrive(vhost: Vhost) -> None:
    queue, grave, _ = pair(vhost)
    started(queue, grave)
    options = queue.settings.groups
    assert options is not None
    queue.apply_settings(replace(queue.settings, groups=options._replace(on_dead=SKIP), dead_letter_routing_key=b"x"))
    finish(queue)
    assert (waiting(queue), bodies(grave), states(queue)) == (texts(), [], {"a": "free"})


def test_letters_are_gone_if_the_vhost_is_deleted() -> None:
    broker = make_broker()
    vhost = broker.vhosts["/"]
    queue, grave, _ = pair(vhost)
    redrive = started(queue, grave)
    broker.delete_vhost("/")
    clock = clock_of(vhost)
    clock.advance(0)
    assert (redrive.state, queue.ready_count, grave.ready_count) == (FAILED, 0, 0)
    assert clock.next_due_ms() is None


@pytest.mark.parametrize("mode", ["head", "any"])
def test_letters_that_expire_into_the_queue_during_a_redrive_keep_their_order(vhost: Vhost, mode: str) -> None:
    back = {"dead_letter_exchange": "", "dead_letter_routing_key": "q"}
    grave = declare_plain(vhost, "grave", message_ttl=60_000, message_ttl_mode=mode, **back)
    queue = declare(vhost, group_on_dead="follow", **TO_GRAVE)
    closed(queue)
    clock_of(vhost).advance(59_999)
    redrive = started(queue, grave)
    # The store is busy, so that the letters expire before the next slice.
    store, clock = vhost.store, clock_of(vhost)
    waiting_bytes, store.waiting_bytes = store.waiting_bytes, vhost.config.bounds.unwritten_bytes
    clock.advance(0)
    clock.advance(2)
    store.waiting_bytes = waiting_bytes
    clock.advance(5)
    finish(queue)
    assert (redrive.state, states(queue)) == (FAILED, {"a": "closed"})
    assert redrive.reason == ("a dead letter of the group has returned to queue 'q' by itself: redrive the group again")
    assert sorted(bodies(grave)) == sorted(texts())
    send(queue, "a900")
    started(queue, grave)
    finish(queue)
    assert (waiting(queue), bodies(grave)) == ([*texts(), "a900"], [])


# --- letters in several places ----------------------------------------------------------------------------------------


def exchange_to(vhost: Vhost, kind: str, **queues: str) -> None:
    """Declare the exchange "dlx", bound to queues with these routing keys."""
    exchange = vhost.declare_exchange("dlx", kind, False, False, False, {})
    for name, key in queues.items():
        vhost.bind(exchange, vhost.queues[name], key.encode(), {})


def redriven(vhost: Vhost, queue: GroupQueue, discards: bool = False, **options: Any) -> list[str]:
    """Redrive the group "a" from all queues that have its letters. Return the waiting messages."""
    sources = letter_queues(queue, queue.line.groups.letters.queues(), vhost.queues)
    (queue.discard_first if discards else queue.redrive_group)(group(queue, "a"), sources, **options)
    finish(queue)
    return waiting(queue)


def fail(queue: GroupQueue, *names: str) -> None:
    """Publish messages, and reject the first one."""
    send(queue, *names)
    queue.reject([get(queue)])
    finish(queue)


@KINDS
def test_letters_of_a_policy_that_has_changed_come_back(vhost: Vhost, kind: dict[str, Any]) -> None:
    for name in ("grave", "other"):
        declare_plain(vhost, name)
    queue = declare(vhost, group_on_dead="follow", **TO_GRAVE, **kind)
    fail(queue, "a1", "a2")
    queue.apply_settings(replace(queue.settings, dead_letter_routing_key=b"other"))
    send(queue, "a3")
    queue.apply_settings(replace(queue.settings, dead_letter_exchange=None, dead_letter_routing_key=None))
    send(queue, "a4")
    assert redriven(vhost, queue) == ["a1", "a2", "a3", "a4"]


@KINDS
def test_letter_is_found_that_died_before_with_another_routing_key(vhost: Vhost, kind: dict[str, Any]) -> None:
    ladder = declare_plain(vhost, "grave", message_ttl=100, dead_letter_exchange="", dead_letter_routing_key="q")
    queue = declare(vhost, header="", group_on_dead="follow", **TO_GRAVE, **kind)
    vhost.bind(vhost.exchanges["amq.direct"], queue, b"k1", {})
    assert queue.publish(Message(b"\x0aamq.direct\x02k1", message("-m").properties, b"m", True))
    queue.reject([get(queue)])
    clock_of(vhost).advance(100)
    # It is back with the routing key "q", which is another group.
    queue.reject([get(queue)])
    assert (states(queue), bodies(ladder)) == ({"k1": "closed", "q": "closed"}, ["m"])
    assert queue.redrive_group(group(queue, "k1"), [ladder]) == 0
    assert queue.redrive_group(group(queue, "q"), [ladder]) == 1
    (entry,) = queue.ready_entries()
    assert (states(queue), entry.message.routing_key) == ({"q": "free"}, b"q")


def test_letters_come_back_from_an_alternate_exchange(vhost: Vhost) -> None:
    grave = declare_plain(vhost, "grave")
    spare = vhost.declare_exchange("spare", "fanout", False, False, False, {})
    vhost.bind(spare, grave, b"", {})
    vhost.declare_exchange("dlx", "direct", False, False, False, {"alternate-exchange": longstr("spare")})
    queue = declare(vhost, group_on_dead="follow", dead_letter_exchange="dlx")
    fail(queue, "a1", "a2")
    assert redriven(vhost, queue) == ["a1", "a2"]


@KINDS
@pytest.mark.parametrize("limit", [{"max_length": 1, "overflow": "reject-publish"}, {"max_length": 1}])
def test_letters_that_one_of_several_queues_has_come_back(
    vhost: Vhost, kind: dict[str, Any], limit: dict[str, Any]
) -> None:
    first, second = declare_plain(vhost, "first", **limit), declare_plain(vhost, "second")
    exchange_to(vhost, "fanout", first="", second="")
    queue = declare(vhost, group_on_dead="follow", dead_letter_exchange="dlx", **kind)
    fail(queue, "a1", "a2", "a3")
    assert redriven(vhost, queue) == ["a1", "a2", "a3"]
    # The copies that remain are not letters of the group when it is closed again.
    assert (first.ready_count, second.ready_count) == (0, 1)
    queue.reject([get(queue)])
    finish(queue)
    assert redriven(vhost, queue) == ["a1", "a2", "a3"]


def test_copies_of_messages_that_were_back_do_not_come_back_after_a_failed_redrive(vhost: Vhost) -> None:
    first, second = declare_plain(vhost, "first"), declare_plain(vhost, "second")
    exchange_to(vhost, "fanout", first="", second="")
    queue = declare(vhost, group_on_dead="follow", dead_letter_exchange="dlx")
    closed(queue)
    queue.redrive_group(group(queue, "a"), [first, second])
    first.requeue([get(first)])
    finish(queue)
    assert states(queue) == {"a": "closed"}
    assert redriven(vhost, queue) == texts()
    assert second.ready_count > 0


@pytest.mark.parametrize("discards", [False, True])
def test_letters_in_several_queues_come_back_in_order(vhost: Vhost, discards: bool) -> None:
    for name in ("first", "second"):
        declare_plain(vhost, name)
    exchange_to(vhost, "headers", first="", second="")
    queue = declare(vhost, group_on_dead="follow", dead_letter_exchange="", dead_letter_routing_key="second")
    fail(queue, "a1")
    for name, text in ("first", "a2"), ("second", "a3"), ("first", "a4"):
        queue.apply_settings(replace(queue.settings, dead_letter_routing_key=name.encode()))
        send(queue, text)
    assert redriven(vhost, queue, discards) == ["a1", "a2", "a3", "a4"][discards:]


@KINDS
@pytest.mark.parametrize("order", [{"queue_type": "quorum"}, {"max_priority": 9}], ids=["quorum", "priority"])
def test_priorities_do_not_change_the_order_of_the_letters(
    vhost: Vhost, kind: dict[str, Any], order: dict[str, Any]
) -> None:
    declare_plain(vhost, "grave", **order)
    queue = declare(vhost, group_on_dead="follow", **TO_GRAVE, **kind)
    for text, priority in ("a1", 0), ("a2", 9), ("a3", 0):
        send(queue, text, priority=priority)
    fail(queue)
    assert redriven(vhost, queue) == ["a1", "a2", "a3"]


def test_returns_to_a_quorum_queue_do_not_change_the_order_of_the_letters(vhost: Vhost) -> None:
    grave = declare_plain(vhost, "grave", queue_type="quorum", delivery_limit=-1)
    queue = declare(vhost, group_on_dead="follow", **TO_GRAVE)
    fail(queue, "a1", "a2", "a3")
    first, second = get(grave), get(grave)
    grave.requeue([second])
    grave.requeue([first])
    assert redriven(vhost, queue) == ["a1", "a2", "a3"]


def test_group_whose_letters_would_go_to_its_own_queue_is_parked(vhost: Vhost) -> None:
    queue = declare(vhost, group_on_dead="follow", dead_letter_exchange="", dead_letter_routing_key="q")
    fail(queue, "a1", "a2", "a3")
    assert (states(queue), waiting(queue)) == ({"a": "parked"}, ["a1", "a2", "a3"])


def test_group_whose_letters_an_exchange_delays_is_parked(vhost: Vhost) -> None:
    grave = declare_plain(vhost, "grave")
    delayed = vhost.declare_exchange(
        "dlx", "x-delayed-message", False, False, False, {"x-delayed-type": longstr("fanout")}
    )
    vhost.bind(delayed, grave, b"", {})
    queue = declare(vhost, group_on_dead="follow", dead_letter_exchange="dlx")
    late = message("a1")
    delay = b"\x07x-delayI" + (1000).to_bytes(4, "big")
    assert queue.publish(late.rewritten(late.address, set_headers(late.properties, delay)))
    fail(queue, "a2")
    assert (states(queue), waiting(queue), bodies(grave)) == ({"a": "parked"}, ["a1", "a2"], [])


# --- missing letters --------------------------------------------------------------------------------------------------


@KINDS
@pytest.mark.parametrize("discards", [False, True])
def test_group_is_not_opened_while_letters_are_missing_unless_forced(
    vhost: Vhost, kind: dict[str, Any], discards: bool
) -> None:
    queue, grave, found = pair(vhost, 4, **kind)
    taken = get(grave)
    grave.ack(get(grave))
    grave.requeue([taken])
    assert redriven(vhost, queue, discards) == []
    redrive = queue.redrives[found]
    assert (redrive.state, redrive.is_conflict, states(queue)) == (FAILED, True, {"a": "closed"})
    assert redrive.reason.startswith("1 of 4 dead letters of the group are missing; queues that were searched: 'grave'")
    assert bodies(grave) == ["a1", "a3", "a4"]
    assert redriven(vhost, queue, discards, forced=True) == ["a1", "a3", "a4"][discards:]
    assert queue.redrives == {}


@STORED_KINDS
def test_missing_letters_and_the_queues_of_the_others_are_known_after_a_crash(kind: dict[str, Any]) -> None:
    node = stored(kind, group_on_dead="follow", **TO_GRAVE)
    queue, grave = queue_of(node), queue_of(node, "grave")
    fail(queue, "a1", "a2", "a3")
    node.broker.sync()
    node = crashed_copy(node)
    queue, grave = queue_of(node), queue_of(node, "grave")
    send(queue, "a4")
    grave.ack(get(grave))
    vhost = node.broker.vhosts["/"]
    assert redriven(vhost, queue) == []
    assert queue.redrives[group(queue, "a")].reason.startswith("1 of 4 dead letters")
    assert redriven(vhost, queue, forced=True) == ["a2", "a3", "a4"]
    queue.line.groups.letters.use_number(b"Sb", queue.id)
    newest = queue.line.groups.letters.next_number - 1
    node.broker.sync()
    node = crashed_copy(node)
    letters = queue_of(node).line.groups.letters
    # Numbers are not used twice.
    assert (letters.queues(), letters.count(b"Sa"), letters.next_number > newest) == ([], 0, True)


def test_number_of_a_letter_cannot_be_chosen_by_a_client(vhost: Vhost) -> None:
    declare_plain(vhost, "grave")
    queue = declare(vhost, group_on_dead="follow", **TO_GRAVE)
    fail(queue, "a1", "a2")
    chosen = message("a3")
    assert queue.publish(
        chosen.rewritten(chosen.address, set_headers(chosen.properties, letter_headers(1, b"customer", b"")))
    )
    assert redriven(vhost, queue) == ["a1", "a2", "a3"]


# --- earlier queues with the same name --------------------------------------------------------------------------------


@STORED_KINDS
@pytest.mark.parametrize("earlier", [1, 2, 3])
def test_letters_of_an_earlier_queue_with_the_same_name_stay(vhost: Vhost, kind: dict[str, Any], earlier: int) -> None:
    grave = declare_plain(vhost, "grave")
    old = declare(vhost, group_on_dead="follow", **TO_GRAVE, **kind)
    fail(old, *texts(1, earlier))
    vhost.delete_queue(old)
    # The wall clock may go back meanwhile.
    vhost.clock.stepped(-3_600_000)
    queue = declare(vhost, group_on_dead="follow", **TO_GRAVE, **kind)
    fail(queue, "a7", "a8")
    assert redriven(vhost, queue) == ["a7", "a8"]
    assert bodies(grave) == texts(1, earlier)


def test_letters_of_a_transient_queue_that_a_restart_has_removed_stay() -> None:
    node = Node(grave={})
    fail(declare(node.broker.vhosts["/"], group_on_dead="follow", **TO_GRAVE), "a1", "a2")
    node.broker.sync()
    node.clock.advance(1000)
    node = crashed_copy(node)
    vhost = node.broker.vhosts["/"]
    queue = declare(vhost, group_on_dead="follow", **TO_GRAVE)
    fail(queue, "a7", "a8")
    assert redriven(vhost, queue) == ["a7", "a8"]
    assert bodies(queue_of(node, "grave")) == ["a1", "a2"]


# --- following --------------------------------------------------------------------------------------------------------


@KINDS
def test_messages_follow_in_slices(vhost: Vhost, kind: dict[str, Any]) -> None:
    grave = declare_plain(vhost, "grave")
    queue = declare(vhost, group_on_dead="follow", **TO_GRAVE, **kind)
    worker = work(queue, limit=1)
    send(queue, *texts())
    worker.reject()
    assert bodies(grave) == texts(1, 1 + BOUNDS.follows)
    send(queue, f"a{COUNT + 1}")
    assert (bodies(grave), worker.texts()) == (texts(1, 1 + BOUNDS.follows), ["a1"])
    finish(queue)
    assert (bodies(grave), waiting(queue)) == (texts(1, COUNT + 1), [])


def test_redrive_that_starts_while_messages_follow_keeps_the_order(vhost: Vhost) -> None:
    grave = declare_plain(vhost, "grave")
    queue = declare(vhost, group_on_dead="follow", **TO_GRAVE)
    worker = work(queue, limit=1)
    send(queue, *texts())
    worker.reject()
    queue.remove_consumer(worker)
    queue.redrive_group(group(queue, "a"), [grave])
    finish(queue)
    assert (waiting(queue), bodies(grave), states(queue)) == (texts(), [], {"a": "free"})


@STORED_KINDS
def test_messages_that_are_back_leave_memory(kind: dict[str, Any]) -> None:
    node = SmallPages(group_header="customer", group_on_dead="follow", **TO_GRAVE, **kind)
    queue = node.queue
    assert isinstance(queue, GroupQueue)
    grave = declare_plain(queue.vhost, "grave")
    closed(queue)
    queue.redrive_group(group(queue, "a"), [grave])
    finish(queue)
    node.log.sync()
    assert queue.ready.paged_out >= COUNT - 6 * node.bounds.page_count
    worker = work(queue, limit=1)
    for text in texts():
        assert worker.texts() == [text]
        worker.ack()


# --- parked groups ----------------------------------------------------------------------------------------------------

TTL_MS = 10_000


def parked(vhost: Vhost, count: int = COUNT, **arguments: Any) -> GroupQueue:
    """Return a queue whose group "a" is parked for half of the TTL of its messages."""
    queue = declare(vhost, group_on_dead="park", message_ttl=TTL_MS, **arguments)
    send(queue, *texts(1, count))
    queue.reject([get(queue)])
    clock_of(vhost).advance(TTL_MS // 2)
    return queue


@pytest.mark.parametrize("mode", ["head", "any"])
@KINDS
def test_messages_of_a_parked_group_are_renewed_in_slices(vhost: Vhost, kind: dict[str, Any], mode: str) -> None:
    queue = parked(vhost, message_ttl_mode=mode, **kind)
    worker = work(queue, limit=1)
    assert queue.redrive_group(group(queue, "a")) == BOUNDS.slice_count
    group_resume, clock = queue.redrives[group(queue, "a")], clock_of(vhost)
    progress = []
    while group_resume.state == RUNNING:
        progress.append((group_resume.moved, group_resume.left))
        assert (worker.texts(), states(queue), waiting(queue)) == ([], {"a": "parked"}, texts())
        with pytest.raises(GroupRedriveRunsError):
            queue.discard_first(group(queue, "a"))
        clock.fire_due()
    assert progress == [
        (BOUNDS.slice_count, COUNT - BOUNDS.slice_count),
        (2 * BOUNDS.slice_count, COUNT - 2 * BOUNDS.slice_count),
    ]
    assert (group_resume.moved, group_resume.left, queue.redrives) == (COUNT, 0, {})
    assert (worker.texts(), waiting(queue), len(queue.line.groups.parked)) == (["a1"], texts(2), 0)
    # The others live as much longer as the group was parked.
    clock.advance(TTL_MS - 1)
    worker.ack()
    assert worker.texts() == ["a2"]
    clock.advance(1)
    worker.ack()
    assert (worker.texts(), waiting(queue), queue.expiry.count) == ([], [], 0)


def test_parked_group_without_expiry_is_redriven_in_one_slice(vhost: Vhost) -> None:
    queue = declare(vhost, group_on_dead="park")
    send(queue, *texts())
    queue.reject([get(queue)])
    assert queue.redrive_group(group(queue, "a")) == COUNT
    assert (queue.redrives, states(queue)) == ({}, {"a": "free"})


def test_large_messages_of_a_parked_group_are_renewed_in_smaller_slices(vhost: Vhost) -> None:
    queue = declare(vhost, group_on_dead="park", message_ttl=TTL_MS)
    for _ in range(7):
        made = message("a1")
        queue.publish(Message(made.address, made.properties, bytes(BOUNDS.slice_bytes // 2)))
    queue.reject([get(queue)])
    assert queue.redrive_group(group(queue, "a")) == 2
    finish(queue)
    assert (states(queue), queue.ready_count) == ({"a": "free"}, 7)


@KINDS
def test_first_message_of_a_large_parked_group_is_discarded(vhost: Vhost, kind: dict[str, Any]) -> None:
    queue = parked(vhost, **kind)
    queue.discard_first(group(queue, "a"))
    send(queue, "a900")
    # Any message can be discarded meanwhile, also the first one, and the group is opened as before.
    for sequence in (group(queue, "a").first, group(queue, "a").waiting()[-2]):
        entry = queue.ready_entry(sequence)
        assert entry is not None
        assert queue.remove_ready(sequence, content_checksum(entry.message))
    finish(queue)
    assert (waiting(queue), states(queue)) == ([*texts(3, COUNT - 1), "a900"], {"a": "free"})


def test_purge_ends_the_redrive_of_a_parked_group(vhost: Vhost) -> None:
    queue = declare(vhost, group_on_dead="park", group_prefetch=2, message_ttl=TTL_MS)
    worker = work(queue, limit=2)
    send(queue, *texts())
    worker.reject_text("a2")
    queue.redrive_group(group(queue, "a"))
    queue.purge()
    send(queue, "a900")
    worker.reject_text("a900")
    # The group is parked again, by another message.
    finish(queue)
    assert (waiting(queue), states(queue), queue.redrives) == (["a900"], {"a": "parked"}, {})


@pytest.mark.parametrize("deleted", [True, False])
def test_redrive_of_a_parked_group_ends_with_its_queue_or_the_broker(vhost: Vhost, deleted: bool) -> None:
    queue = parked(vhost)
    queue.redrive_group(group(queue, "a"))
    group_resume = queue.redrives[group(queue, "a")]
    if deleted:
        vhost.remove_queue(queue)
    else:
        queue.discard()
    finish(queue)
    assert (group_resume.state, queue.redrives) == (FAILED, {})


@STORED_KINDS
def test_group_stays_parked_after_a_crash_during_its_redrive(kind: dict[str, Any]) -> None:
    node = stored(kind, group_on_dead="park", message_ttl=TTL_MS)
    queue = queue_of(node)
    send(queue, *texts())
    queue.reject([get(queue)])
    queue.redrive_group(group(queue, "a"))
    node.broker.sync()
    queue = queue_of(crashed_copy(node))
    assert (waiting(queue), states(queue)) == (texts(), {"a": "parked"})
    queue.redrive_group(group(queue, "a"))
    finish(queue)
    assert (waiting(queue), states(queue)) == (texts(), {"a": "free"})
