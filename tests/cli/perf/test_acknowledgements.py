import pytest

from amqpbroker.cli.perf.acknowledgements import SingleAcks, back_up_to, cancelling, up_to
from amqpbroker.wire import frames, methods


def ack(tag, multiple=False, channel=1):
    return frames.frame(frames.METHOD, channel, methods.encode("basic.ack", delivery_tag=tag, multiple=multiple))


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


def test_on_another_channel():
    assert up_to(7, 600) == ack(7, multiple=True, channel=600)
    assert SingleAcks(600).between(255, 256) == ack(255, channel=600) + ack(256, channel=600)


def test_giving_back():
    back = methods.encode("basic.nack", delivery_tag=7, multiple=True, requeue=True)
    assert back_up_to(7, 2) == frames.frame(frames.METHOD, 2, back)


def test_cancelling():
    cancel = methods.encode("basic.cancel", consumer_tag="c", nowait=True)
    assert cancelling("c", 2) == frames.frame(frames.METHOD, 2, cancel)
