import pytest

from amqpbroker.server.reading import Reading
from amqpbroker.server.tick import Tick

KIB = 1024


@pytest.fixture
def turns():
    return []


@pytest.fixture
def reading(turns):
    return Reading(Tick(turns.append, lambda: None, pytest.fail))


def filled(reading, turns, count):
    """A turn in which so many sockets have filled their room."""
    for _ in range(count):
        reading.filled()
    for turn in [turns.pop() for _ in range(len(turns))]:
        turn()


@pytest.mark.parametrize(
    ("missing", "room"), [(0, 64), (10, 256), (192, 256), (200, 264), (448, 512), (450, 512), (100_000, 512)]
)
def test_a_large_body_is_read_to_its_end_and_somewhat_beyond(reading, missing, room):
    """All in KiB."""
    assert len(reading.room(missing * KIB)) == room * KIB


@pytest.mark.parametrize(("sockets", "share"), [(1, 64), (4, 64), (8, 32), (16, 16), (32, 8), (1000, 8)])
def test_the_more_have_more_to_say_the_less_of_each_is_read(reading, turns, sockets, share):
    """All in KiB."""
    filled(reading, turns, sockets)
    assert len(reading.room(0)) == share * KIB


def test_the_share_grows_again_when_fewer_fill_it(reading, turns):
    filled(reading, turns, 100)
    filled(reading, turns, 1)
    assert len(reading.room(0)) == 64 * KIB


def test_all_are_read_into_the_same_memory(reading):
    reading.room(0)[:4] = b"data"
    assert bytes(reading.room(1)[:4]) == b"data"
