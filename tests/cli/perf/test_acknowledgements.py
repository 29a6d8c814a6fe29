import pytest

from amqpbroker.cli.perf.acknowledgements import SingleAcks, up_to
from amqpbroker.wire import frames, methods


def ack(tag, multiple=False):
    return frames.frame(frames.METHOD, 1, methods.encode("basic.ack", delivery_tag=tag, multiple=multiple))


def test_many():
    assert up_to(7) == ack(7, multiple=True)


@pytest.mark.parametrize(
    ("first", "last"), [(1, 1), (1, 3), (255, 257), (65_534, 65_537), ((1 << 24) - 2, (1 << 24) + 1)]
)
def test_single_ones(first, last):
    assert SingleAcks().between(first, last) == b"".join(ack(tag) for tag in range(first, last + 1))


def test_single_ones_one_run_after_the_other():
    acks, first = SingleAcks(), 65_400
    for last in (65_400, 65_500, 65_535, 65_536, 70_000):
        assert acks.between(first, last) == b"".join(ack(tag) for tag in range(first, last + 1))
        first = last + 1


def test_none():
    assert SingleAcks().between(5, 4) == b""
