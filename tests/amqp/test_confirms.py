import random
import tracemalloc

import pytest

from amqpbroker.amqp.confirms import Confirms
from amqpbroker.config.bounds import BOUNDS
from amqpbroker.store.store import MemoryStore
from amqpbroker.wire import methods
from tests.harness import LaggingStore


def flushed(confirms):
    return decoded(confirms.flush())


def decoded(data):
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


def test_refused_publishes_are_nacked_in_order():
    confirms = Confirms(1, MemoryStore())
    publish(confirms, 2)
    publish(confirms, refused=True)
    publish(confirms, refused=True)
    publish(confirms)
    assert flushed(confirms) == [("ack", 2, True), ("nack", 3, False), ("nack", 4, False), ("ack", 5, False)]


def test_consecutive_refused_publishes_are_nacked_together():
    confirms = Confirms(1, MemoryStore())
    publish(confirms, refused=True)
    assert flushed(confirms) == [("nack", 1, True)]
    publish(confirms, 3, refused=True)
    assert flushed(confirms) == [("nack", 4, True)]
    assert (confirms.refused, confirms.acked, confirms.unconfirmed) == (4, 0, 0)


def test_unsynced_publishes_are_not_confirmed():
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
    assert flushed(confirms) == [("nack", 5, True)]
    assert not confirms.outstanding


def test_refused_publishes_that_wait_for_the_disk_count_as_waiting():
    store = LaggingStore()
    confirms = Confirms(1, store)
    publish(confirms, 100, refused=True)
    assert store.counted == 0
    assert flushed(confirms) == [("nack", 100, True)]
    store.appended = 1
    publish(confirms, 100)
    assert store.counted == 0
    publish(confirms, 100, refused=True)
    assert store.counted >= 100 * 32


def test_confirms_that_wait_for_the_same_disk_sync_are_merged():
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


def test_an_unroutable_publish_is_confirmed_immediately_and_once():
    store = LaggingStore()
    confirms = Confirms(1, store)
    assert decoded(confirms.confirm_next()) == [("ack", 1, False)]
    assert not confirms.outstanding
    store.appended = 1
    publish(confirms)  # 2
    assert decoded(confirms.confirm_next()) == [("ack", 3, False)]
    publish(confirms, 2)  # 4, 5
    assert flushed(confirms) == []
    assert decoded(confirms.confirm_next()) == [("ack", 6, False)]
    assert decoded(confirms.confirm_next()) == [("ack", 7, False)]
    store.appended = 2
    publish(confirms)  # 8
    publish(confirms, refused=True)  # 9
    assert decoded(confirms.confirm_next()) == [("ack", 10, False)]
    assert flushed(confirms) == []
    assert (confirms.unconfirmed, confirms.acked) == (5, 5)
    store.synced = 1
    assert flushed(confirms) == [("ack", 5, True)]
    assert (confirms.unconfirmed, confirms.acked) == (2, 8)
    store.synced = 2
    assert flushed(confirms) == [("ack", 8, False), ("nack", 9, False)]
    assert not confirms.outstanding
    assert (confirms.unconfirmed, confirms.acked, confirms.refused) == (0, 9, 1)


def test_flush_confirms_publishes_around_those_confirmed_early():
    store = LaggingStore()
    confirms = Confirms(1, store)
    store.appended = 1
    publish(confirms)
    confirms.confirm_next()
    assert flushed(confirms) == []
    confirms.confirm_next()
    store.appended = 2
    publish(confirms)
    assert flushed(confirms) == []
    store.synced = 1
    assert flushed(confirms) == [("ack", 1, False)]
    assert confirms.confirmed == 3
    store.synced = 2
    assert flushed(confirms) == [("ack", 4, False)]
    assert flushed(confirms) == []


def test_number_of_early_confirms_is_limited_while_the_disk_is_stuck():
    store = LaggingStore()
    confirms = Confirms(1, store)
    store.appended = 1
    ahead = 0
    for _ in range(3 * BOUNDS.confirms_ahead):
        publish(confirms)
        ahead += len(decoded(confirms.confirm_next()))
        assert flushed(confirms) == []
    assert ahead == len(confirms.ahead) == BOUNDS.confirms_ahead
    assert confirms.unconfirmed == 5 * BOUNDS.confirms_ahead
    store.synced = 1
    assert flushed(confirms) == [("ack", 6 * BOUNDS.confirms_ahead, True)]
    assert (confirms.unconfirmed, confirms.acked, len(confirms.ahead)) == (0, 6 * BOUNDS.confirms_ahead, 0)


@pytest.mark.parametrize("seed", range(20))
def test_every_publish_is_answered_exactly_once(seed):
    chance = random.Random(seed)
    store = LaggingStore()
    confirms = Confirms(1, store)
    expected, answers = {}, {}

    def answer(frames):
        for name, tag, multiple in decoded(frames):
            tags = [each for each in expected if each <= tag and each not in answers] if multiple else [tag]
            assert tags
            for each in tags:
                assert each not in answers
                answers[each] = name

    for _ in range(500):
        kind = chance.choice(["routed", "refused", "unroutable", "appended", "synced", "flush"])
        if kind == "appended":
            store.appended += 1
        elif kind == "synced":
            store.synced = chance.randint(store.synced, store.appended)
        elif kind == "flush":
            answer(confirms.flush())
        else:
            expected[confirms.published + 1] = "nack" if kind == "refused" else "ack"
            if kind == "unroutable":
                answer(confirms.flush())
                answer(confirms.confirm_next())
                assert confirms.published in answers
            else:
                publish(confirms, refused=kind == "refused")
        assert confirms.unconfirmed == len(expected) - len(answers)
        assert confirms.acked == list(answers.values()).count("ack")
    store.synced = store.appended
    answer(confirms.flush())
    assert answers == expected
    assert not confirms.outstanding
