from amqpbroker.cli.perf.lane import Lane
from tests.cli.perf.link import FakeLink


def test_what_the_link_still_sends_is_the_last_ones_who_sent():
    link = FakeLink()
    one, other = Lane(link), Lane(link)
    link.takes = 3
    assert not one.send(memoryview(b"abcdef"))
    assert (one.unsent, other.unsent, other.is_idle, other.flush()) == (3, 0, False, False)
    link.takes = 5
    assert other.flush()
    assert not other.send(memoryview(b"ghi"))
    assert (one.unsent, other.unsent) == (0, 1)


def test_what_came_is_read_piece_by_piece():
    lane = Lane(FakeLink())
    lane.incoming += b"abc"
    space = memoryview(bytearray(2))
    assert lane.has_more
    assert [bytes(space[: lane.receive_into(space)]) for _ in range(3)] == [b"ab", b"c", b""]
    assert not lane.has_more
