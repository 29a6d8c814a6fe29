"""x-group-header: the messages of a key are delivered in order, those of different keys in parallel."""

from dataclasses import replace
from typing import Any

import pytest

from amqpbroker import compiled
from amqpbroker.broker.events.events import Events
from amqpbroker.broker.exchanges.exchange import Exchange
from amqpbroker.broker.exchanges.routing import route
from amqpbroker.broker.policies.policies import Policy
from amqpbroker.broker.queues.declaration import queue_settings
from amqpbroker.broker.queues.entry import Entry
from amqpbroker.broker.queues.group import CLOSED, Group
from amqpbroker.broker.queues.group_options import Grouping
from amqpbroker.broker.queues.group_queue import FOLLOW_AGAIN_MS, FOLLOW_SLICE, RETURNED_FOLLOW, GroupQueue
from amqpbroker.broker.queues.group_superseding import MORE, SUPERSEDED_SLICE
from amqpbroker.broker.queues.kinds import policy_keys
from amqpbroker.broker.queues.ledger import LEAVING_BYTES
from amqpbroker.broker.queues.local_queue import LocalQueue
from amqpbroker.broker.vhost import Vhost
from amqpbroker.compat import COMPATS
from amqpbroker.config.bounds import BOUNDS, Bounds
from amqpbroker.errors import AmqpError
from amqpbroker.message.checksum import content_checksum
from amqpbroker.message.message import Message, encode_address
from amqpbroker.wire.properties import encode_properties
from amqpbroker.wire.values import Field, Table, longstr
from tests.broker.queueing import UNLIMITED, Subscriber, clock_of, get, ready, reasons, table
from tests.broker.queueing import declare as declare_plain
from tests.broker.queues.test_paging import Node as PagingNode
from tests.broker.storing import Node, crashed_copy
from tests.harness import make_broker
from tests.test_calls import Trace

KEY = "customer"
TO_GRAVE: dict[str, Any] = {"dead_letter_exchange": "", "dead_letter_routing_key": "grave"}

#: Every kind of queue that has groups, and single active consumer.
KINDS = pytest.mark.parametrize(
    "kind",
    [{}, {"queue_type": "quorum"}, {"single_active_consumer": True}],
    ids=["classic", "quorum", "single-active"],
)
STORED_KINDS = pytest.mark.parametrize("kind", [{}, {"queue_type": "quorum"}], ids=["classic", "quorum"])


def declare(vhost: Vhost, name: str = "q", header: str = KEY, **more: Any) -> GroupQueue:
    durable = more.get("queue_type") == "quorum"
    queue = vhost.declare_queue(name, durable, False, False, table(group_header=header, **more))
    assert isinstance(queue, GroupQueue)
    return queue


def message(
    text: str,
    priority: int = 0,
    expiration_ms: int = -1,
    persistent: bool = True,
    key: Field | None = None,
    **headers: Any,
) -> Message:
    """Return a message "a1": the first letter is its key. It has none if that is "-"."""
    headers = {}
    if key is not None or text[0] != "-":
        headers[KEY] = key or longstr(text[0])
    properties: dict[str, Any] = {"headers": headers, "delivery_mode": 2 if persistent else 1}
    if priority:
        properties["priority"] = priority
    made = Message(encode_address("", b"q"), encode_properties(properties), text.encode())
    made.persistent = persistent
    made.priority = priority
    made.expiration_ms = expiration_ms
    made.undecoded = True
    return made


def send(queue: GroupQueue, *texts: str, **options: Any) -> None:
    for text in texts:
        assert queue.publish(message(text, **options))


def waiting(queue: GroupQueue) -> list[str]:
    """Return the waiting messages, after checking that they are counted correctly."""
    found = [body.decode() for body in ready(queue)]
    assert queue.ready.waiting == len(found) == queue.ready_count == queue.info().messages_ready
    assert queue.ready.size == sum([len(text) for text in found])
    return found


def states(queue: GroupQueue) -> dict[str, str]:
    groups = queue.line.groups
    return {each.key[1:].decode(): groups.state_name(each) for each in groups.all() if each.key is not None}


class Worker(Subscriber):
    """A consumer whose messages are named by their bodies."""

    def texts(self) -> list[str]:
        return [body.decode() for body in self.take()]

    def pick(self, text: str) -> Entry:
        """Remove and return the unsettled message with that text."""
        entry = next(each for each in self.held if each.message.body == text.encode())
        self.held.remove(entry)
        return entry

    def ack_text(self, text: str) -> None:
        self.queue.ack(self.pick(text))

    def reject_text(self, text: str) -> None:
        self.queue.reject([self.pick(text)])

    def requeue_text(self, text: str, failed: bool = True) -> None:
        self.queue.requeue([self.pick(text)], failed)


def work(queue: LocalQueue, limit: int = UNLIMITED, tag: str = "c", **options: Any) -> Worker:
    worker = Worker(queue, tag, limit, **options)
    worker.subscribe()
    return worker


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
    assert not trace.calls[("broker/queues/group_key.py", "group_key")]
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
    vhost = make_broker(bounds=replace(BOUNDS, disposal=10, page_count=5)).vhosts["/"]
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


# --- keys -------------------------------------------------------------------------------------------------------------


def test_empty_name_of_the_header_groups_by_routing_key(vhost: Vhost) -> None:
    queue = declare(vhost, header="")
    worker = work(queue)
    for text in ("x1", "x2", "y1"):
        assert queue.publish(Message(encode_address("e", text[:1].encode()), encode_properties({}), text.encode()))
    assert worker.texts() == ["x1", "y1"]


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        (longstr("1"), Field("l", 1), False),
        (Field("l", 1), Field("b", 1), True),
        (Field("t", True), Field("t", False), False),
        (longstr("x" * 500), longstr("x" * 500), True),
        (longstr("x" * 500), longstr("x" * 501), False),
        (Field("d", 1.5), Field("d", 1.5), True),
    ],
)
def test_keys_are_equal_by_type_and_value(vhost: Vhost, one: Field, other: Field, same: bool) -> None:
    queue = declare(vhost)
    worker = work(queue)
    send(queue, "x", key=one)
    send(queue, "y", key=other)
    assert worker.texts() == (["x"] if same else ["x", "y"])


@pytest.mark.parametrize("none", [Field("V", None), Field("A", []), Field("F", {})])
def test_lists_and_tables_are_no_keys(vhost: Vhost, none: Field) -> None:
    queue = declare(vhost)
    worker = work(queue)
    send(queue, "x", "y", key=none)
    assert worker.texts() == ["x", "y"]


# --- several messages of a group --------------------------------------------------------------------------------------


@STORED_KINDS
def test_group_prefetch_gives_several_messages_of_a_group_to_one_consumer(vhost: Vhost, kind: dict[str, Any]) -> None:
    queue = declare(vhost, group_prefetch=2, **kind)
    first, second = work(queue, 3, "c1"), work(queue, 3, "c2")
    send(queue, "a1", "a2", "a3", "b1", "b2")
    assert (first.texts(), second.texts()) == (["a1", "a2"], ["b1", "b2"])
    first.ack_text("a2")
    assert first.texts() == ["a3"]
    first.requeue_text("a1")
    assert (first.texts(), second.texts()) == (["a1"], [])


@STORED_KINDS
def test_group_with_room_waits_until_its_consumer_can_take_more(vhost: Vhost, kind: dict[str, Any]) -> None:
    queue = declare(vhost, group_prefetch=5, **kind)
    first = work(queue, 2, "c1")
    send(queue, "a1", "b1", "a2", "b2", "a3")
    assert first.texts() == ["a1", "b1"]
    second = work(queue, 2, "c2")
    assert second.texts() == []
    first.ack_text("b1")
    assert (first.texts(), second.texts()) == (["a2"], ["b2"])
    first.ack_text("a1")
    assert first.texts() == ["a3"]


@STORED_KINDS
def test_group_goes_to_another_consumer_when_its_messages_are_settled(vhost: Vhost, kind: dict[str, Any]) -> None:
    queue = declare(vhost, group_prefetch=2, **kind)
    first, second = work(queue, 2, "c1"), work(queue, 2, "c2")
    send(queue, "a1", "a2", "a3")
    first.limit = 0
    first.ack(2)
    assert second.texts() == ["a3"]


def test_active_consumer_that_a_higher_priority_replaces_gets_no_more_of_its_group(vhost: Vhost) -> None:
    queue = declare(vhost, group_prefetch=2, single_active_consumer=True, queue_type="quorum")
    first = work(queue, 2, "c1")
    send(queue, "a1", "a2", "a3", "a4")
    second = work(queue, 2, "c2", priority=1)
    first.ack_text("a1")
    assert (first.texts(), second.texts()) == (["a1", "a2"], [])
    first.ack_text("a2")
    assert second.texts() == ["a3", "a4"]


@KINDS
def test_consumer_of_a_group_gets_its_delayed_message_when_that_is_due(vhost: Vhost, kind: dict[str, Any]) -> None:
    queue = declare(vhost, group_prefetch=2, delayed_retry_type="all", delayed_retry_min=1000, **kind)
    worker = work(queue)
    send(queue, "a1", "a2")
    worker.requeue_text("a2")
    clock_of(vhost).advance(1000)
    assert worker.texts() == ["a1", "a2", "a2"]


@STORED_KINDS
@pytest.mark.parametrize("lost", [False, True], ids=["returned", "channel-lost"])
def test_messages_over_the_delivery_limit_leave_in_the_order_of_their_group(
    vhost: Vhost, kind: dict[str, Any], lost: bool
) -> None:
    grave = declare_plain(vhost, "grave")
    queue = declare(vhost, group_prefetch=3, delivery_limit=1, **TO_GRAVE, **kind)
    worker = work(queue)
    send(queue, "a1", "a2", "a3")
    for text in ("a2", "a3", "a1"):
        worker.requeue_text(text)
    assert [entry.message.body for entry in worker.held] == [b"a2", b"a3", b"a1"]
    if lost:
        queue.reclaim(worker.held)
    else:
        queue.requeue(worker.held)
    assert ready(grave) == [b"a1", b"a2", b"a3"]


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


# --- parked groups ----------------------------------------------------------------------------------------------------


def group(queue: GroupQueue, key: str) -> Group:
    found = queue.line.groups.get(b"S" + key.encode())
    assert found is not None
    return found


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
    queue.offering.offer_all([worker])
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


@KINDS
def test_refused_messages_of_many_closed_groups_try_again_in_slices(vhost: Vhost, kind: dict[str, Any]) -> None:
    grave = declare_plain(vhost, "grave", max_length_bytes=1000, overflow="reject-publish")
    queue = declare(vhost, group_on_dead="follow", **TO_GRAVE, **kind)
    keys = [longstr(str(number)) for number in range(2 * FOLLOW_SLICE + 50)]
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


def after_room(vhost: Vhost, queue: GroupQueue) -> list[str]:
    """Return the dead letters, and the waiting messages behind them, after the dead letter queue has had room."""
    grave = vhost.queues["grave"]
    assert isinstance(grave, LocalQueue)
    found = []
    for _ in range(5):
        found += [body.decode() for body in ready(grave)]
        grave.purge()
        clock_of(vhost).advance(FOLLOW_AGAIN_MS)
        send(queue, "-")
    return found


@KINDS
def test_letter_waits_if_one_without_a_key_takes_the_last_place(vhost: Vhost, kind: dict[str, Any]) -> None:
    grave = declare_plain(vhost, "grave", max_length=1, **FULL)
    queue = declare(vhost, group_on_dead="follow", **TO_GRAVE, **kind)
    send(queue, "-n", "a1", "a2")
    queue.reject([get(queue), get(queue)])
    assert (ready(grave), waiting(queue), states(queue)["a"]) == ([b"-n"], ["a1", "a2"], "closed")
    letters = queue.line.groups.letters
    assert (letters.count(b"Sa"), queue.ledger.left) == (0, 1)
    assert after_room(vhost, queue) == ["-n", "a1", "a2"]
    assert letters.count(b"Sa") == 2


@KINDS
def test_letter_waits_if_a_publish_takes_the_last_place(vhost: Vhost, kind: dict[str, Any]) -> None:
    grave = declare_plain(vhost, "grave", max_length=2, **FULL)
    queue = declare(vhost, group_on_dead="follow", **TO_GRAVE, **kind)
    worker = work(queue, limit=1)
    send(queue, "a1", "a2", "a3")
    assert grave.publish(message("-fill"))
    worker.reject()
    assert (ready(grave), waiting(queue)) == ([b"-fill", b"a1"], ["a2", "a3"])
    assert grave.remove_ready(1, content_checksum(message("-fill")))
    clock_of(vhost).advance(FOLLOW_AGAIN_MS)
    fanout(vhost, "q", "grave")
    vhost.publish(message("-new"), route(vhost.exchanges["all"], message("-new"), vhost.exchanges.get).destinations)
    assert (ready(grave), waiting(queue)) == ([b"a1", b"-new"], ["a2", "a3"])
    assert [text for text in after_room(vhost, queue) if text[0] == "a"] == ["a1", "a2", "a3"]


@KINDS
def test_letter_waits_if_one_of_another_queue_takes_the_last_place(vhost: Vhost, kind: dict[str, Any]) -> None:
    grave = declare_plain(vhost, "grave", max_length=2, **FULL)
    queue = declare(vhost, group_on_dead="follow", **TO_GRAVE, **kind)
    other = declare_plain(vhost, "other", dead_letter_exchange="all")
    fanout(vhost, "q", "grave")
    worker = work(queue, limit=1)
    send(queue, "a1", "a2", "a3")
    assert grave.publish(message("-fill"))
    worker.reject()
    assert other.publish(message("-other"))
    assert grave.remove_ready(1, content_checksum(message("-fill")))
    clock_of(vhost).advance(FOLLOW_AGAIN_MS)
    other.reject([get(other)])
    assert (ready(grave), waiting(queue)) == ([b"a1", b"-other"], ["a2", "a3"])
    assert [text for text in after_room(vhost, queue) if text[0] == "a"] == ["a1", "a2", "a3"]


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
        assert follows == count * RETURNED_FOLLOW
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


# --- versions ---------------------------------------------------------------------------------------------------------


def versioned(text: str, persistent: bool = True, body: bytes = b"") -> Message:
    """Return a message "a3": the letter is its key, the number its version; "a" has none. body: "a3" by default."""
    headers = {KEY: longstr(text[0])} | ({"version": Field("l", int(text[1:]))} if text[1:] else {})
    properties = {"headers": headers, "delivery_mode": 2 if persistent else 1}
    made = Message(encode_address("", b"q"), encode_properties(properties), body or text.encode())
    made.persistent, made.undecoded = persistent, True
    return made


@KINDS
def test_message_with_an_older_version_than_the_acknowledged_one_is_superseded(
    vhost: Vhost, kind: dict[str, Any]
) -> None:
    grave = declare_plain(vhost, "grave")
    queue = declare(vhost, group_version_header="version", **TO_GRAVE, **kind)
    worker = work(queue, limit=1)
    for text in ("a5", "a3", "b3", "a5", "a", "a7", "a6"):
        queue.publish(versioned(text))
    got = []
    while worker.held:
        got += worker.texts()
        worker.ack()
    assert got == ["a5", "b3", "a5", "a", "a7"]
    assert reasons(grave) == [(b"a3", "superseded"), (b"a6", "superseded")]
    queue.publish(versioned("a6"))
    assert queue.get(no_ack=False) is None
    queue.publish(versioned("b4"))
    assert worker.texts() == ["b4"]


def test_version_counts_only_when_its_message_is_acknowledged(vhost: Vhost) -> None:
    queue = declare(vhost, group_version_header="version", group_prefetch=2)
    worker = work(queue)
    for text in ("a1", "a2"):
        queue.publish(versioned(text))
    worker.requeue_text("a2")
    worker.requeue_text("a1")
    assert worker.texts() == ["a1", "a2", "a2", "a1"]
    worker.ack_text("a2")
    worker.requeue_text("a1")
    assert (worker.texts(), queue.ready_count, queue.unacked_count) == ([], 0, 0)


def test_automatically_acknowledged_versions_count(vhost: Vhost) -> None:
    queue = declare(vhost, group_version_header="version")
    queue.publish(versioned("a2"))
    assert queue.get(no_ack=True) is not None
    queue.publish(versioned("a1"))
    assert queue.get(no_ack=True) is None
    worker = work(queue, no_ack=True)
    for text in ("b2", "b1", "b3"):
        queue.publish(versioned(text))
    assert worker.texts() == ["b2", "b3"]


def test_version_is_remembered_for_a_time(vhost: Vhost) -> None:
    queue = declare(vhost, group_version_header="version", group_version_ttl=1000)
    worker = work(queue)
    queue.publish(versioned("a2"))
    worker.ack()
    clock_of(vhost).advance(999)
    queue.publish(versioned("a1"))
    assert worker.texts() == ["a2"]
    clock_of(vhost).advance(1)
    queue.publish(versioned("a1"))
    assert worker.texts() == ["a1"]


def test_versions_of_the_keys_that_were_acknowledged_last_are_remembered() -> None:
    vhost = make_broker(bounds=replace(BOUNDS, deduplication_ids=2)).vhosts["/"]
    queue = declare(vhost, group_version_header="version")
    worker = work(queue)
    for text in ("a5", "b5", "a6", "c5"):
        queue.publish(versioned(text))
        worker.ack()
    worker.take()
    for text in ("a1", "b1", "c1"):
        queue.publish(versioned(text))
    assert worker.texts() == ["b1"]


def outdated(vhost: Vhost, count: int, body: bytes = b"", **options: Any) -> tuple[GroupQueue, LocalQueue]:
    """Return a queue with that many superseded messages before a good one of another key, and its dead letter queue."""
    grave = declare_plain(vhost, "grave")
    queue = declare(vhost, group_version_header="version", **TO_GRAVE, **options)
    queue.publish(versioned("a900000"))
    queue.get(no_ack=True)
    for number in range(1, count + 1):
        queue.publish(versioned(f"a{number}", body=body))
    queue.publish(versioned("b1"))
    return queue, grave


def letters_of_each_iteration(queue: GroupQueue, grave: LocalQueue) -> list[int]:
    """Run event loop iterations until there is nothing more to do; return how many messages died in each of them."""
    clock, found = clock_of(queue.vhost), []
    while (due_ms := clock.next_due_ms()) is not None and due_ms <= clock.now_ms():
        before = grave.ready_count
        clock.fire_due()
        found.append(grave.ready_count - before)
    return found


@pytest.mark.parametrize("prefetch", [1, 5])
@KINDS
def test_superseded_messages_leave_in_slices(vhost: Vhost, kind: dict[str, Any], prefetch: int) -> None:
    queue, grave = outdated(vhost, 2 * SUPERSEDED_SLICE + 20, group_prefetch=prefetch, **kind)
    worker = work(queue)
    assert (grave.ready_count, worker.texts()) == (SUPERSEDED_SLICE, [])
    # Nothing else finds more of them in this iteration.
    queue.offer(worker)
    queue.offer_all([worker])
    assert (grave.ready_count, queue.get(no_ack=False)) == (SUPERSEDED_SLICE, None)
    assert letters_of_each_iteration(queue, grave) == [SUPERSEDED_SLICE, 20, 0]
    assert (worker.texts(), waiting(queue)) == (["b1"], [])
    assert reasons(grave) == [(b"a%d" % (1 + at), "superseded") for at in range(2 * SUPERSEDED_SLICE + 20)]


def test_superseded_messages_of_the_group_that_a_consumer_has_leave_in_slices(vhost: Vhost) -> None:
    grave = declare_plain(vhost, "grave")
    queue = declare(vhost, group_version_header="version", group_prefetch=3, **TO_GRAVE)
    worker = work(queue, limit=2)
    for text in ("a1", "a900000", *[f"a{number}" for number in range(2, SUPERSEDED_SLICE + 12)], "a900001"):
        queue.publish(versioned(text))
    worker.ack_text("a900000")
    assert (worker.texts(), grave.ready_count) == (["a1", "a900000"], SUPERSEDED_SLICE)
    assert letters_of_each_iteration(queue, grave) == [10, 0]
    assert (worker.texts(), waiting(queue)) == (["a900001"], [])


@KINDS
def test_basic_get_returns_nothing_while_superseded_messages_leave(vhost: Vhost, kind: dict[str, Any]) -> None:
    queue, grave = outdated(vhost, 3 * SUPERSEDED_SLICE, **kind)
    assert [queue.get(no_ack=False) for _ in range(3)] == [None] * 3
    assert grave.ready_count == SUPERSEDED_SLICE
    letters_of_each_iteration(queue, grave)
    assert (grave.ready_count, get(queue).message.body, queue.ready_count) == (3 * SUPERSEDED_SLICE, b"b1", 0)


def test_publishers_do_not_outrun_the_removal_of_superseded_messages(vhost: Vhost) -> None:
    queue, grave = outdated(vhost, 3 * SUPERSEDED_SLICE)
    worker = work(queue)
    for number in range(5):
        queue.publish(versioned(f"a{number}"))
        assert grave.ready_count == SUPERSEDED_SLICE + MORE * (number + 1)
    for _ in range(2 * SUPERSEDED_SLICE):
        queue.publish(versioned("a1"))
    queue.publish(versioned("c1"))
    # Now a message that is not superseded is the first one.
    assert grave.ready_count == 3 * SUPERSEDED_SLICE
    letters_of_each_iteration(queue, grave)
    assert (worker.texts(), waiting(queue), grave.ready_count) == (["b1", "c1"], [], 5 * SUPERSEDED_SLICE + 5)


def test_large_superseded_messages_leave_in_smaller_slices(vhost: Vhost) -> None:
    queue, grave = outdated(vhost, 10, body=bytes(LEAVING_BYTES // 4))
    worker = work(queue)
    assert (grave.ready_count, worker.texts()) == (4, [])
    assert letters_of_each_iteration(queue, grave) == [4, 2, 0]
    assert worker.texts() == ["b1"]


@pytest.mark.parametrize("deleted", [False, True])
def test_superseded_messages_stay_when_their_queue_or_the_broker_ends(vhost: Vhost, deleted: bool) -> None:
    queue, grave = outdated(vhost, 3 * SUPERSEDED_SLICE)
    worker = work(queue)
    if deleted:
        vhost.remove_queue(queue)
    else:
        queue.discard()
    assert letters_of_each_iteration(queue, grave) == []
    assert (grave.ready_count, worker.texts()) == (SUPERSEDED_SLICE, [])


@STORED_KINDS
def test_versions_survive_a_crash(kind: dict[str, Any]) -> None:
    node = stored(kind, group_version_header="version")
    queue = queue_of(node)
    worker = work(queue)
    for text in ("a1", "a2", "a3"):
        queue.publish(versioned(text))
    worker.ack()
    worker.ack()
    node.broker.sync()
    queue = queue_of(after := crashed_copy(node))
    assert (queue.stored_count(), len(queue.line.versions)) == (1, 1)
    queue.publish(versioned("a1"))
    worker = work(queue)
    worker.ack()
    assert (worker.texts(), queue.ready_count) == (["a3"], 0)
    after.broker.sync()
    queue.close()
    assert queue.stored_count() == 0


@KINDS
def test_versions_count_during_and_after_a_policy_for_fair_dispatch(vhost: Vhost, kind: dict[str, Any]) -> None:
    vhost.policies.put(Policy("/", "p", "^q$", {"group-type": "fair"}, "queues"))
    queue = declare(vhost, group_version_header="version", group_version_ttl=1000, **kind)
    assert queue.settings.groups == Grouping(KEY.encode(), fair=True, version_header=b"version", version_ttl_ms=1000)
    worker = work(queue, limit=1)
    for text in ("a5", "a4"):
        queue.publish(versioned(text))
    worker.ack()
    assert (worker.texts(), queue.ready_count) == (["a5"], 0)
    queue.apply_settings(queue_settings(queue.kind, queue.arguments, {}))
    for text in ("a3", "a6"):
        queue.publish(versioned(text))
    assert worker.texts() == ["a6"]


# --- fair dispatch ----------------------------------------------------------------------------------------------------


@STORED_KINDS
def test_fair_queue_delivers_the_group_with_the_fewest_unacknowledged_messages(
    vhost: Vhost, kind: dict[str, Any]
) -> None:
    queue = declare(vhost, group_type="fair", **kind)
    send(queue, "a1", "a2", "a3", "a4", "b1", "c1", "b2")
    worker = work(queue, limit=4)
    assert worker.texts() == ["a1", "b1", "c1", "a2"]
    worker.ack_text("b1")
    assert worker.texts() == ["b2"]
    worker.ack_text("a1")
    assert worker.texts() == ["a3"]


@STORED_KINDS
def test_fair_queue_does_not_lock_a_group(vhost: Vhost, kind: dict[str, Any]) -> None:
    queue = declare(vhost, group_type="fair", **kind)
    worker = work(queue)
    send(queue, "a1", "a2", "a3")
    assert worker.texts() == ["a1", "a2", "a3"]
    worker.requeue_text("a2")
    assert worker.texts() == ["a2"]


@KINDS
@pytest.mark.parametrize("on_dead", ["park", "follow"])
def test_idle_consumer_of_a_fair_queue_gets_messages_beside_stopped_groups(
    vhost: Vhost, kind: dict[str, Any], on_dead: str
) -> None:
    grave = declare_plain(vhost, "grave", max_length=1, overflow="reject-publish")
    queue = declare(vhost, **TO_GRAVE, **kind)
    options = queue.settings.groups
    assert options is not None
    queue.apply_settings(replace(queue.settings, groups=replace(options, on_dead=on_dead)))
    send(queue, "a1", "a2", "a3")
    queue.reject([get(queue)])
    worker = work(queue, limit=1)
    queue.apply_settings(replace(queue.settings, groups=replace(options, fair=True)))
    send(queue, "b1")
    assert worker.texts() == ["b1"]
    worker.ack_text("b1")
    send(queue, "b2")
    assert worker.texts() == ["b2"]
    worker.ack_text("b2")
    queue.redrive_group(group(queue, "a"), [grave])
    # Nothing is counted as stopped any more.
    assert (queue.ready.waiting, queue.ready.count) == (2, 2)
    queue.purge()
    assert (queue.ready.waiting, queue.ready.count) == (0, 0)


def longest_wait_ms(vhost: Vhost, queue: LocalQueue, count: int) -> int:
    """Return the longest time that messages of a quiet tenant wait behind `count` messages of a noisy one.

    Ten workers need 10 ms for each message.
    """
    workers = [work(queue, 1, f"c{number}") for number in range(10)]
    noisy = message("n")
    for _ in range(count):
        queue.publish(noisy)
    clock = clock_of(vhost)
    sent_ms: dict[bytes, int] = {}
    longest_ms = 0
    for turn in range(500):
        if turn % 7 == 0 and turn < 400:
            text = f"q{turn}"
            queue.publish(message(text))
            sent_ms[text.encode()] = clock.now_ms()
        clock.advance(1)
        worker = workers[turn % 10]
        worker.ack()
        body = worker.held[0].message.body
        if body in sent_ms:
            longest_ms = max(longest_ms, clock.now_ms() - sent_ms.pop(body))
    return 10**9 if sent_ms else longest_ms


def test_quiet_tenant_waits_less_than_10_ms_behind_100000_messages_of_a_noisy_one(vhost: Vhost) -> None:
    assert longest_wait_ms(vhost, declare(vhost, group_type="fair"), 100_000) < 10
    # They wait for all of the noisy ones in an ordinary queue.
    assert longest_wait_ms(vhost, declare_plain(vhost, "plain"), 1_000) == 10**9


# --- disk -------------------------------------------------------------------------------------------------------------


def stored(kind: dict[str, Any] | None = None, **more: Any) -> Node:
    """Return a broker with a queue "q" with groups and a queue "grave", whose files survive `crashed_copy`."""
    return Node(q=table(group_header=KEY, **(kind or {}), **more), grave={})


def queue_of(node: Node, name: str = "q") -> Any:
    return node.broker.vhosts["/"].queues[name]


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


class SmallPages(PagingNode):
    """A broker whose queue keeps few messages in memory."""

    bounds: Bounds = replace(BOUNDS, page_count=8, least_page_count=2, read_count=3)


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


# --- declaration ------------------------------------------------------------------------------------------------------

REFUSED: list[tuple[dict[str, Any], str, str]] = [
    ({"group_header": 3}, "x-group-header", "expected the name of a header as a string"),
    ({"group_header": "x" * 256}, "x-group-header", "1 to 255 bytes"),
    ({"group_header": "k", "max_priority": 3}, "x-group-header", "leave out x-max-priority"),
    ({"group_header": "k", "last_value_key": "v"}, "x-group-header", "leave out x-last-value-key"),
    ({"group_header": "k", "message_deduplication": True}, "x-group-header", "leave out x-message-deduplication"),
    ({"group_type": "fair"}, "x-group-type", "has no effect without x-group-header"),
    ({"group_header": "k", "group_type": "unfair"}, "x-group-type", "expected 'ordered' or 'fair'"),
    ({"group_header": "k", "group_prefetch": 0}, "x-group-prefetch", "expected 1 to 65535, got 0"),
    ({"group_header": "k", "group_prefetch": "2"}, "x-group-prefetch", "expected integer"),
    ({"group_header": "k", "group_prefetch": 2, "group_type": "fair"}, "x-group-prefetch", "does not limit"),
    ({"group_header": "k", "group_on_dead": "stop"}, "x-group-on-dead", "expected 'skip', 'park' or 'follow'"),
    ({"group_header": "k", "group_on_dead": "park", "group_type": "fair"}, "x-group-on-dead", "has no order"),
    ({"group_header": "k", "group_version_header": ""}, "x-group-version-header", "1 to 255 bytes"),
    ({"group_version_header": "v"}, "x-group-version-header", "has no effect without x-group-header"),
    ({"group_header": "k", "group_version_header": "v", "group_type": "fair"}, "x-group-version-header", "no order"),
    ({"group_header": "k", "group_version_ttl": 5}, "x-group-version-ttl", "without x-group-version-header"),
    ({"group_header": "k", "group_version_header": "v", "group_version_ttl": 0}, "x-group-version-ttl", "from 1"),
    ({"group_on_dead": "park"}, "x-group-on-dead", "has no effect without x-group-header"),
    ({"group_header": "k", "group_on_dead": "park", "max_length": 3}, "x-group-on-dead", "'reject-publish'"),
    (
        {"group_header": "k", "group_on_dead": "follow", "max_length_bytes": 3, "overflow": "reject-publish-dlx"},
        "x-group-on-dead",
        "'reject-publish'",
    ),
]


@pytest.mark.parametrize(("arguments", "name", "reason"), REFUSED)
def test_declaration_that_makes_no_sense_is_refused(
    vhost: Vhost, arguments: dict[str, Any], name: str, reason: str
) -> None:
    with pytest.raises(AmqpError) as refused:
        vhost.declare_queue("q", True, False, False, table(**arguments))
    assert refused.value.code == 406
    assert f"invalid arg '{name}' for queue 'q' in vhost '/'" in str(refused.value)
    assert reason in str(refused.value)


def qpid(**more: Field) -> Table:
    return {"qpid.group_header_key": longstr(KEY), **more}


def test_names_of_qpid_are_known(vhost: Vhost) -> None:
    queue = vhost.declare_queue("q", False, False, False, qpid(**{"qpid.shared_msg_group": longstr("1")}))
    assert isinstance(queue, GroupQueue)
    worker = work(queue)
    send(queue, "a1", "a2", "b1")
    assert worker.texts() == ["a1", "b1"]


@pytest.mark.parametrize(
    "arguments",
    [
        qpid(),
        qpid(**{"qpid.shared_msg_group": longstr("0")}),
        {"qpid.shared_msg_group": longstr("1")},
        qpid(**{"qpid.shared_msg_group": longstr("1"), "x-group-header": longstr(KEY)}),
    ],
)
def test_other_groups_of_qpid_are_refused(vhost: Vhost, arguments: Table) -> None:
    with pytest.raises(AmqpError):
        vhost.declare_queue("q", False, False, False, arguments)


def test_arguments_have_no_effect_without_extensions() -> None:
    vhost = make_broker(compat=COMPATS["4.0"].configured({}, extensions=False)).vhosts["/"]
    queue = vhost.declare_queue("q", False, False, False, table(group_header=3, group_on_dead="x"))
    assert not isinstance(queue, GroupQueue)


# --- policies ---------------------------------------------------------------------------------------------------------


@STORED_KINDS
def test_policy_changes_the_groups_of_a_queue(vhost: Vhost, kind: dict[str, Any]) -> None:
    queue = declare(vhost, **kind)
    worker = work(queue)
    send(queue, "a1", "a2", "a3", "a4")
    assert worker.texts() == ["a1"]
    queue.apply_settings(queue_settings(queue.kind, queue.arguments, {"group-type": "fair"}))
    assert worker.texts() == ["a2", "a3", "a4"]
    queue.apply_settings(queue_settings(queue.kind, queue.arguments, {"group-on-dead": "park"}))
    worker.reject_text("a2")
    assert states(queue) == {"a": "parked"}
    queue.apply_settings(queue_settings(queue.kind, queue.arguments, {"group-prefetch": 5}))
    assert states(queue) == {"a": "parked"}


def test_smaller_prefetch_of_policy_and_argument_applies(vhost: Vhost) -> None:
    queue = declare(vhost, group_prefetch=3)
    settings = queue_settings(queue.kind, queue.arguments, {"group-prefetch": 2})
    assert settings.groups == Grouping(KEY.encode(), prefetch=2)


def test_length_limit_of_a_policy_refuses_publishes_if_groups_stop(vhost: Vhost) -> None:
    queue = declare(vhost, group_on_dead="park")
    assert queue_settings(queue.kind, queue.arguments, {"max-length": 1}).overflow == "reject-publish"
    assert queue_settings(queue.kind, queue.arguments, {}).overflow == "drop-head"


def test_policy_without_groups_has_no_effect(vhost: Vhost) -> None:
    plain = declare_plain(vhost, "plain", max_length=1)
    settings = queue_settings(plain.kind, plain.arguments, {"group-on-dead": "park", "group-prefetch": 3})
    assert (settings.groups, settings.overflow) == (None, "drop-head")


@pytest.mark.parametrize(
    ("definition", "problem"),
    [
        ({"group-type": "odd"}, '<<"odd">> is not a valid group type. Must be one of: ordered, fair'),
        ({"group-prefetch": 0}, "0 is not a valid group prefetch. Must be an integer from 1 to 65535"),
        ({"group-type": "fair", "group-prefetch": 2}, "group-prefetch has no effect with group-type fair"),
        ({"group-type": "fair", "group-on-dead": "park"}, "group-on-dead park needs an order to keep"),
        ({"group-on-dead": "park", "max-length": 3}, "overflow must be reject-publish when group-on-dead is park"),
        ({"group-on-dead": "park", "max-length": 3, "overflow": "reject-publish"}, None),
        ({"group-header": "k"}, "are not recognised policy settings"),
    ],
)
def test_policy_that_makes_no_sense_is_refused(definition: dict[str, Any], problem: str | None) -> None:
    found = policy_keys(COMPATS["4.0"]).problem(definition, operator=False)
    assert (found is None) if problem is None else problem in (found or "")


def test_policy_keys_are_unknown_without_extensions() -> None:
    keys = policy_keys(COMPATS["4.0"].configured({}, extensions=False))
    assert "are not recognised policy settings" in (keys.problem({"group-type": "fair"}, operator=False) or "")
