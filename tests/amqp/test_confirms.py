import tracemalloc

from amqpbroker.amqp.confirms import Confirms
from amqpbroker.store.store import MemoryStore
from amqpbroker.wire import methods


class LaggingStore(MemoryStore):
    """Syncs nothing before the test says so. counted: bytes of the answers that wait."""

    def __init__(self) -> None:
        self.counted = 0

    def count_answer(self, size: int) -> None:
        self.counted += size

    def sync(self) -> None:
        pass


def flushed(confirms):
    data = confirms.flush()
    got = []
    for start in range(0, len(data), 21):
        payload = data[start + 7 : start + 20]
        method = methods.METHODS[int.from_bytes(payload[:4], "big")]
        values = methods.decode(method, payload)
        got.append((method.name[6:], values["delivery_tag"], values["multiple"]))
    return got


def publish(confirms, count=1, refused=False):
    for _ in range(count):
        confirms.published += 1
        if refused:
            confirms.refuse()


def test_one_publish_is_acked_alone_and_many_at_once():
    confirms = Confirms(1, MemoryStore())
    publish(confirms)
    assert flushed(confirms) == [("ack", 1, False)]
    publish(confirms, 5)
    assert flushed(confirms) == [("ack", 6, True)]
    assert flushed(confirms) == []


def test_refused_ones_are_nacked_in_their_place():
    confirms = Confirms(1, MemoryStore())
    publish(confirms, 2)
    publish(confirms, refused=True)
    publish(confirms, refused=True)
    publish(confirms)
    assert flushed(confirms) == [("ack", 2, True), ("nack", 3, True), ("nack", 4, True), ("ack", 5, False)]


def test_what_is_not_synced_is_not_confirmed():
    store = LaggingStore()
    confirms = Confirms(1, store)
    publish(confirms, 2)
    store.appended = 10
    assert flushed(confirms) == []
    publish(confirms, 3, refused=True)
    store.appended = 20
    assert flushed(confirms) == []
    assert confirms.outstanding
    store.synced = 10
    assert flushed(confirms) == [("ack", 2, True)]
    store.synced = 20
    assert flushed(confirms) == [("nack", 3, True), ("nack", 4, True), ("nack", 5, True)]
    assert not confirms.outstanding


def test_refused_ones_that_wait_for_the_disk_count_as_waiting():
    store = LaggingStore()
    confirms = Confirms(1, store)
    publish(confirms, 100, refused=True)
    assert store.counted == 0
    assert len(flushed(confirms)) == 100
    store.appended = 1
    publish(confirms, 100)
    assert store.counted == 0
    publish(confirms, 100, refused=True)
    assert store.counted >= 100 * 32


def test_any_number_of_turns_waits_for_one_sync_in_the_same_memory():
    store = LaggingStore()
    confirms = Confirms(1, store)
    store.appended = 1
    tracemalloc.start()
    try:
        for _ in range(10_000):
            publish(confirms)
            assert confirms.flush() == b""
        assert tracemalloc.get_traced_memory()[0] < 100_000
    finally:
        tracemalloc.stop()
    store.appended = 2
    publish(confirms)
    assert confirms.flush() == b""
    store.synced = 1
    assert flushed(confirms) == [("ack", 10_000, True)]
