"""The seam: the behaviour of a store that stores nothing, for every method."""

import inspect
from array import array

import pytest

from amqpbroker.broker.exchanges.held import HeldCopy
from amqpbroker.message.message import Message
from amqpbroker.store.recovered import Recovered
from amqpbroker.store.store import UNSTORED, MemoryStore, Store


def copy():
    return HeldCopy(Message(b"\0\0", b"\0\0", b"body"), 1, 1, 0)


def test_a_memory_store_assigns_no_positions():
    store, one = MemoryStore(), copy()
    store.begin()
    store.enqueue(one)
    store.returned(one)
    store.settle(one)
    store.settle_positions(array("Q", [5]))
    store.end()
    store.sync()
    assert (store.keeps, one.position, store.is_safe(one)) == (False, 0, False)
    assert (store.appended, store.synced, store.stored, store.waiting_bytes) == (0, 0, 0, 0)


def test_nothing_can_be_read_back_from_a_store_in_memory():
    store = MemoryStore()
    store.expect([5])
    store.count_loaded(3)
    assert (store.delivery_count(5), store.loaded) == (-1, 0)
    with pytest.raises(LookupError, match="no message is stored at position 5"):
        store.load([5]).message(5)


def test_a_store_in_memory_never_calls_back():
    """Everything appended to it counts as safe immediately."""
    store, called = MemoryStore(), []
    store.watch(lambda: called.append("synced"))
    store.when_safe(lambda: called.append("safe") is None)
    store.enqueue(copy())
    store.drive(lambda: called.append("gathered"))
    store.watch_disk(called.append)
    store.count_answer(100)
    store.definitions_changed()
    store.sync()
    store.close()
    assert called == []


def test_a_store_in_memory_has_nothing_to_restore():
    assert MemoryStore().restore(Recovered(), {}) == 0


def test_memory_store_has_exactly_the_methods_of_the_store_interface():
    def verbs(kind):
        return {name for name, _ in inspect.getmembers(kind) if not name.startswith("_")}

    assert verbs(MemoryStore) == verbs(Store)
    assert not UNSTORED.keeps
