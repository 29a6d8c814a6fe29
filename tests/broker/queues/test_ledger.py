from array import array
from collections.abc import Callable

import pytest

from amqpbroker.broker.queues.ledger import EXPIRED, MAXLEN, REJECTED
from amqpbroker.broker.queues.local_queue import LocalQueue
from tests.broker.queueing import Subscriber, get, message, table
from tests.broker.queues.parts import Parts
from tests.broker.storing import Node


def test_queued_and_directly_delivered_messages_are_numbered_in_sequence() -> None:
    parts = Parts()
    numbers = [parts.entry().sequence]
    parts.ledger.pass_on(parts.owner, message())
    numbers += [parts.entry().sequence, parts.entry().sequence]
    assert numbers == [1, 3, 4]
    assert (parts.ledger.came, parts.ledger.passed) == (3, 1)


@pytest.mark.parametrize(("quorum", "persistent", "stored"), [(False, False, 0), (False, True, 1), (True, False, 1)])
def test_only_persistent_or_quorum_messages_are_stored(quorum: bool, persistent: bool, stored: int) -> None:
    parts = Parts(quorum=quorum)
    entry = parts.entry(b"1", persistent=persistent)
    assert (parts.ledger.stored, parts.ledger.persistent) == (stored, stored)
    parts.ledger.leave(entry)
    assert parts.ledger.persistent == 0
    assert parts.store.told == [("enqueue", b"1"), ("settle", b"1")] * stored


def test_dropped_message_is_counted_and_removed_from_the_store() -> None:
    parts = Parts()
    parts.ledger.dead_letter([parts.entry(b"1", persistent=True), parts.entry(b"2")], REJECTED)
    assert (parts.ledger.left, parts.letter_counts) == (2, {("classic", "disabled", "rejected"): 2})
    assert parts.store.told == [("enqueue", b"1"), ("settle", b"1")]
    parts.ledger.dead_letter([], EXPIRED)
    assert len(parts.letter_counts) == 1


def test_dead_lettered_message_is_settled_in_one_store_operation() -> None:
    parts = Parts(dead_letter_exchange="")
    parts.owner.ledger = parts.ledger
    parts.owner.settings = parts.settings
    parts.ledger.dead_letter([parts.entry(b"1", persistent=True)], EXPIRED)
    assert parts.letter_counts == {("classic", "at_most_once", "expired"): 1}
    assert parts.store.told == [("enqueue", b"1"), ("begin", b""), ("settle", b"1"), ("end", b"")]


def test_a_deleted_queue_dead_letters_nothing() -> None:
    parts = Parts(dead_letter_exchange="")
    parts.ledger.close()
    parts.ledger.dead_letter([parts.entry()], EXPIRED)
    assert parts.letter_counts == {("classic", "disabled", "expired"): 1}


def test_new_settings_change_the_dead_letter_exchange() -> None:
    parts = Parts()
    parts.ledger.apply(Parts(dead_letter_exchange="").settings)
    parts.ledger.dead_letter([parts.entry()], MAXLEN)
    assert parts.letter_counts == {("classic", "at_most_once", "maxlen"): 1}


def test_message_refused_by_a_full_queue_counts_as_dead_letter_only() -> None:
    parts = Parts()
    parts.ledger.turn_away(parts.owner, message(b"1"))
    assert (parts.ledger.came, parts.ledger.left, parts.letter_counts) == (0, 0, {("classic", "disabled", "maxlen"): 1})


def test_replaced_message_becomes_the_newest_in_one_store_operation() -> None:
    parts = Parts(quorum=True)
    entry = parts.entry(b"1")
    entry.restore(3, 2)
    parts.entry(b"2")
    parts.store.told.clear()
    again = parts.ledger.replace(entry)
    assert (again.sequence, again.acquired_count, again.delivery_count) == (3, 3, 2)
    assert (parts.ledger.came, parts.ledger.persistent, parts.ledger.left) == (2, 2, 0)
    verbs = [verb for verb, _ in parts.store.told]
    assert verbs == ["begin", "settle", "enqueue", "returned", "end"]


def test_recovered_messages_do_not_count_as_received() -> None:
    parts = Parts()
    parts.ledger.start(5, newest=9)
    assert (parts.ledger.came, parts.ledger.recovered, parts.ledger.persistent) == (0, 5, 5)
    assert parts.entry().sequence == 10


def test_paged_out_messages_are_removed_from_the_store_by_position() -> None:
    parts = Parts()
    parts.ledger.start(3, newest=3)
    parts.ledger.leave_stored(array("Q", [7, 8]), [1, 2])
    assert (parts.ledger.persistent, parts.store.told) == (1, [("settle", b"7"), ("settle", b"8")])


# --- removal from the store -------------------------------------------------------------------------------------------


def _stored(queue: LocalQueue, *, expiration_ms: int = -1) -> None:
    made = message(b"1", expiration_ms=expiration_ms)
    made.persistent = True
    assert queue.publish(made)


def _expire(node: Node, queue: LocalQueue) -> None:
    _stored(queue, expiration_ms=5)
    node.clock.advance(5)


def _exceed(node: Node, queue: LocalQueue) -> None:
    _stored(queue)
    queue.apply_settings(Parts(max_length=0).settings)


def _take_without_ack(node: Node, queue: LocalQueue) -> None:
    _stored(queue)
    Subscriber(queue, no_ack=True).subscribe()


def _held(act: Callable[[Node, LocalQueue, list], None]) -> Callable[[Node, LocalQueue], None]:
    def run(node: Node, queue: LocalQueue) -> None:
        _stored(queue)
        act(node, queue, [get(queue)])

    return run


def _waiting(act: Callable[[Node, LocalQueue], object]) -> Callable[[Node, LocalQueue], None]:
    def run(node: Node, queue: LocalQueue) -> None:
        _stored(queue)
        act(node, queue)

    return run


def _delete_and_return(node: Node, queue: LocalQueue, held: list) -> None:
    node.broker.vhosts["/"].delete_queue(queue)
    queue.requeue(held)


EXITS = {
    "acknowledged": _held(lambda node, queue, held: queue.ack(held[0])),
    "acknowledged with others": _held(lambda node, queue, held: queue.ack_all(held)),
    "rejected": _held(lambda node, queue, held: queue.reject(held)),
    "returned after the queue was deleted": _held(_delete_and_return),
    "got without acknowledgement": _waiting(lambda node, queue: queue.get(no_ack=True)),
    "delivered without acknowledgement": _take_without_ack,
    "expired": _expire,
    "over the limit": _exceed,
    "purged": _waiting(lambda node, queue: queue.purge()),
    "deleted": _waiting(lambda node, queue: node.broker.vhosts["/"].delete_queue(queue)),
    "moved": _waiting(lambda node, queue: queue.move(node.broker.vhosts["/"].queues["other"], 1, 1 << 20)),
}


@pytest.mark.parametrize("dead_letters", [False, True], ids=["dropped", "dead-lettered"])
@pytest.mark.parametrize("leave", EXITS.values(), ids=EXITS)
def test_message_is_removed_from_the_store_once_for_each_kind_of_removal(
    leave: Callable[[Node, LocalQueue], None], dead_letters: bool
) -> None:
    arguments = table(dead_letter_exchange="", dead_letter_routing_key="other") if dead_letters else {}
    node = Node(q=arguments, other={})
    queue = node.broker.vhosts["/"].queues["q"]
    assert isinstance(queue, LocalQueue)
    leave(node, queue)
    ledger = queue.ledger
    assert (ledger.stored, ledger.unstored, ledger.persistent) == (1, 1, 0)
    assert queue.ready_count + queue.unacked_count + queue.delayed_count == 0
    node.broker.sync()
    assert node.failures == []
