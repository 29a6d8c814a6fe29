import pytest

from amqpbroker.clock import ManualClock
from amqpbroker.server.reading import EXPECTED_MS, PROMPT_MS, Pace, Reading
from amqpbroker.server.tick import Tick
from tests.harness import published
from tests.load.client import request

KIB = 1024


ACK = request("basic.ack", delivery_tag=1)
NACK = request("basic.nack", delivery_tag=1)
HEARTBEAT = b"\x08\0\0\0\0\0\0\xce"
PUBLISH = published("q", b"x")


class Reader:
    """A socket that is not read until it is told to read on."""

    def __init__(self):
        self.times = 0

    def read_on(self):
        self.times += 1


class Publisher:
    def __init__(self, published=0):
        self.published = published


NOBODY = Publisher()


@pytest.fixture
def pace():
    return Pace()


@pytest.fixture
def clock():
    return ManualClock()


@pytest.fixture
def turns():
    return []


@pytest.fixture
def reading(turns, clock):
    return Reading(Tick(turns.append, lambda: None, pytest.fail), clock)


def next_turn(turns):
    for turn in [turns.pop() for _ in range(len(turns))]:
        turn()


def send_after_delivery(reading, said, pace=None):
    """Read data from a client that was just written to."""
    pace = pace or Pace()
    reading.written(pace)
    reading.read(pace, said, NOBODY)


def filled(reading, turns, count):
    """A turn in which so many sockets have filled their room."""
    for _ in range(count):
        reading.filled(Reader())
    next_turn(turns)


@pytest.mark.parametrize(
    ("missing", "room"), [(0, 64), (10, 256), (192, 256), (200, 264), (448, 512), (450, 512), (100_000, 512)]
)
def test_read_size_covers_the_missing_bytes_of_a_large_body(reading, pace, missing, room):
    """All in KiB."""
    assert len(reading.room(pace, missing * KIB)) == room * KIB


@pytest.mark.parametrize(("sockets", "share"), [(1, 64), (4, 64), (8, 32), (16, 16), (32, 8), (1000, 8)])
def test_read_size_shrinks_with_the_number_of_busy_sockets(reading, turns, pace, sockets, share):
    """All in KiB."""
    filled(reading, turns, sockets)
    assert len(reading.room(pace, 0)) == share * KIB


def test_read_size_grows_again_when_fewer_sockets_are_busy(reading, turns, pace):
    filled(reading, turns, 100)
    filled(reading, turns, 1)
    assert len(reading.room(pace, 0)) == 64 * KIB


def test_all_sockets_are_read_into_the_same_buffer(reading, pace):
    reading.room(pace, 0)[:4] = b"data"
    assert bytes(reading.room(pace, 1)[:4]) == b"data"


def test_sockets_that_filled_their_buffer_are_read_on_at_the_end_of_a_turn(reading, turns):
    readers = [Reader(), Reader()]
    for reader in readers:
        reading.filled(reader)
    assert [reader.times for reader in readers] == [0, 0]
    next_turn(turns)
    assert [reader.times for reader in readers] == [1, 1]
    assert turns == []


@pytest.mark.parametrize("said", [ACK, ACK * 2, NACK, PUBLISH, published("q", b"x" * 4000)])
def test_one_busy_socket_is_read_per_turn_while_short_requests_are_expected(reading, turns, pace, said):
    readers = [Reader(), Reader(), Reader()]
    send_after_delivery(reading, said)
    for reader in readers:
        reading.filled(reader)
    for times in ([1, 0, 0], [1, 1, 0], [1, 1, 1]):
        next_turn(turns)
        assert [reader.times for reader in readers] == times
    assert turns == []
    assert len(reading.room(pace, 0)) == 16 * KIB


@pytest.mark.parametrize("said", [HEARTBEAT, ACK * 3, NACK * 16, published("q", b"x" * 5000), PUBLISH * 100])
def test_client_that_sends_much_or_only_heartbeats_does_not_shorten_turns(reading, turns, pace, said):
    send_after_delivery(reading, said)
    filled(reading, turns, 2)
    assert len(reading.room(pace, 0)) == 64 * KIB


def test_turns_are_long_again_once_no_short_request_is_expected(reading, turns, pace, clock):
    send_after_delivery(reading, PUBLISH)
    filled(reading, turns, 1)
    assert len(reading.room(pace, 0)) == 16 * KIB
    clock.advance(EXPECTED_MS)
    filled(reading, turns, 1)
    assert len(reading.room(pace, 0)) == 64 * KIB


@pytest.mark.parametrize(
    ("messages", "limit"),
    [(0, 64), (10_000, 64), (800, 64), (400, 128), (200, 256), (1, 256)],
    ids=["none", "tiny ones", "as many as are wanted", "half as many", "a quarter", "one"],
)
def test_read_size_grows_with_the_size_of_messages(reading, pace, messages, limit):
    """Limits in KiB."""
    reading.read(pace, bytes(64 * KIB), Publisher(messages))
    assert len(reading.room(pace, 0)) == limit * KIB


def test_read_size_depends_only_on_the_messages_of_the_last_read(reading, pace):
    publisher = Publisher()
    for publisher.published, limit in ((64, 256), (64 + 800, 64), (64 + 800 + 400, 128)):
        reading.read(pace, bytes(64 * KIB), publisher)
        assert len(reading.room(pace, 0)) == limit * KIB


def test_last_publish_of_a_fast_publisher_does_not_shorten_turns(reading, turns, pace, clock):
    reading.read(pace, bytes(64 * KIB), NOBODY)
    clock.advance(EXPECTED_MS - 1)
    send_after_delivery(reading, PUBLISH, pace)
    filled(reading, turns, 1)
    assert len(reading.room(Pace(), 0)) == 64 * KIB


def test_publish_of_a_publisher_that_slowed_down_shortens_turns(reading, turns, pace, clock):
    reading.read(pace, bytes(64 * KIB), NOBODY)
    clock.advance(EXPECTED_MS)
    send_after_delivery(reading, PUBLISH, pace)
    filled(reading, turns, 1)
    assert len(reading.room(Pace(), 0)) == 16 * KIB


@pytest.mark.parametrize(("later_ms", "share"), [(0, 16), (PROMPT_MS, 16), (PROMPT_MS + 1, 64), (10_000, 64)])
def test_only_a_client_that_waited_for_data_shortens_turns(reading, turns, pace, clock, later_ms, share):
    """A worker that takes longer over a message gains nothing by it. Shares in KiB."""
    reading.written(pace)
    clock.advance(later_ms)
    reading.read(pace, ACK, NOBODY)
    filled(reading, turns, 1)
    assert len(reading.room(Pace(), 0)) == share * KIB


def test_a_client_that_only_publishes_does_not_shorten_turns(reading, turns, pace, clock):
    for _ in range(10):
        reading.read(pace, PUBLISH, NOBODY)
        clock.advance(1)
    filled(reading, turns, 1)
    assert len(reading.room(Pace(), 0)) == 64 * KIB
