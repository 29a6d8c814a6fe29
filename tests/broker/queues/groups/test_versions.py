"""x-group-version-header: messages with old versions are not delivered."""

from typing import Any

import pytest

from amqpbroker.broker.policies.policies import Policy
from amqpbroker.broker.queues.arguments.declaration import queue_settings
from amqpbroker.broker.queues.groups.options import Grouping
from amqpbroker.broker.queues.groups.queue import GroupQueue
from amqpbroker.broker.queues.groups.stale_versions import MORE
from amqpbroker.broker.queues.local_queue import LocalQueue
from amqpbroker.broker.vhost import Vhost
from amqpbroker.config.bounds import BOUNDS
from amqpbroker.message.message import Message, encode_address
from amqpbroker.wire.properties import encode_properties
from amqpbroker.wire.values import Field, longstr
from tests.broker.queueing import clock_of, get, reasons
from tests.broker.queueing import declare as declare_plain
from tests.broker.queues.groups.grouped import (
    KEY,
    KINDS,
    STORED_KINDS,
    TO_GRAVE,
    declare,
    queue_of,
    stored,
    waiting,
    work,
)
from tests.broker.storing import crashed_copy
from tests.harness import make_broker


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
    vhost = make_broker(bounds=BOUNDS._replace(deduplication_ids=2)).vhosts["/"]
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
    queue, grave = outdated(vhost, 2 * BOUNDS.superseded + 20, group_prefetch=prefetch, **kind)
    worker = work(queue)
    assert (grave.ready_count, worker.texts()) == (BOUNDS.superseded, [])
    # Nothing else finds more of them in this iteration.
    queue.offer(worker)
    queue.offer_all([worker])
    assert (grave.ready_count, queue.get(no_ack=False)) == (BOUNDS.superseded, None)
    assert letters_of_each_iteration(queue, grave) == [BOUNDS.superseded, 20, 0]
    assert (worker.texts(), waiting(queue)) == (["b1"], [])
    assert reasons(grave) == [(b"a%d" % (1 + at), "superseded") for at in range(2 * BOUNDS.superseded + 20)]


def test_superseded_messages_of_the_group_that_a_consumer_has_leave_in_slices(vhost: Vhost) -> None:
    grave = declare_plain(vhost, "grave")
    queue = declare(vhost, group_version_header="version", group_prefetch=3, **TO_GRAVE)
    worker = work(queue, limit=2)
    for text in ("a1", "a900000", *[f"a{number}" for number in range(2, BOUNDS.superseded + 12)], "a900001"):
        queue.publish(versioned(text))
    worker.ack_text("a900000")
    assert (worker.texts(), grave.ready_count) == (["a1", "a900000"], BOUNDS.superseded)
    assert letters_of_each_iteration(queue, grave) == [10, 0]
    assert (worker.texts(), waiting(queue)) == (["a900001"], [])


@KINDS
def test_basic_get_returns_nothing_while_superseded_messages_leave(vhost: Vhost, kind: dict[str, Any]) -> None:
    queue, grave = outdated(vhost, 3 * BOUNDS.superseded, **kind)
    assert [queue.get(no_ack=False) for _ in range(3)] == [None] * 3
    assert grave.ready_count == BOUNDS.superseded
    letters_of_each_iteration(queue, grave)
    assert (grave.ready_count, get(queue).message.body, queue.ready_count) == (3 * BOUNDS.superseded, b"b1", 0)


def test_publishers_do_not_outrun_the_removal_of_superseded_messages(vhost: Vhost) -> None:
    queue, grave = outdated(vhost, 3 * BOUNDS.superseded)
    worker = work(queue)
    for number in range(5):
        queue.publish(versioned(f"a{number}"))
        assert grave.ready_count == BOUNDS.superseded + MORE * (number + 1)
    for _ in range(2 * BOUNDS.superseded):
        queue.publish(versioned("a1"))
    queue.publish(versioned("c1"))
    # Now a message that is not superseded is the first one.
    assert grave.ready_count == 3 * BOUNDS.superseded
    letters_of_each_iteration(queue, grave)
    assert (worker.texts(), waiting(queue), grave.ready_count) == (["b1", "c1"], [], 5 * BOUNDS.superseded + 5)


def test_large_superseded_messages_leave_in_smaller_slices(vhost: Vhost) -> None:
    queue, grave = outdated(vhost, 10, body=bytes(BOUNDS.leaving_bytes // 4))
    worker = work(queue)
    assert (grave.ready_count, worker.texts()) == (4, [])
    assert letters_of_each_iteration(queue, grave) == [4, 2, 0]
    assert worker.texts() == ["b1"]


@pytest.mark.parametrize("deleted", [False, True])
def test_superseded_messages_stay_when_their_queue_or_the_broker_ends(vhost: Vhost, deleted: bool) -> None:
    queue, grave = outdated(vhost, 3 * BOUNDS.superseded)
    worker = work(queue)
    if deleted:
        vhost.remove_queue(queue)
    else:
        queue.discard()
    assert letters_of_each_iteration(queue, grave) == []
    assert (grave.ready_count, worker.texts()) == (BOUNDS.superseded, [])


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
