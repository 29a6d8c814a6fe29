import pytest

from amqpbroker.broker.deduplication.foreseen_ids import ForeseenIds
from amqpbroker.broker.deduplication.options import Deduplication
from amqpbroker.broker.deduplication.window import Window
from amqpbroker.clock import ManualClock
from amqpbroker.store.store import UNSTORED
from tests.broker.queueing import message


def window(size: int) -> Window:
    return Window(Deduplication(size=size), ManualClock(), UNSTORED)


def dropped(ids: ForeseenIds, accepted: Window, keys: bytes) -> str:
    """Return the keys of duplicates among these one-letter keys."""
    return "".join([chr(key) for key in keys if not ids.add(accepted, bytes([key]))])


@pytest.mark.parametrize("size", [1, 2, 3, 10])
@pytest.mark.parametrize("before", [b"", b"x", b"xyz"])
@pytest.mark.parametrize("keys", [b"aaa", b"abab", b"axbyczx", b"xaxbxcx", b"zyxzyx"])
def test_duplicates_are_those_that_the_window_will_drop(size: int, before: bytes, keys: bytes) -> None:
    accepted = window(size)
    for key in before:
        accepted.remember(bytes([key]), message(), 1, False)
    foreseen = dropped(ForeseenIds(), accepted, keys)
    real = ""
    for key in keys:
        if accepted.has(bytes([key])):
            real += chr(key)
        else:
            accepted.remember(bytes([key]), message(), 1, False)
    assert foreseen == real


def test_ids_of_two_owners_are_distinct() -> None:
    ids, one, other = ForeseenIds(), window(10), window(10)
    assert dropped(ids, one, b"a") == dropped(ids, other, b"a") == ""
    assert dropped(ids, one, b"a") == "a"
