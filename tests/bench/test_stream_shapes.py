"""Shapes of load on a stream: short runs with few messages."""

import pytest

from tests.bench.brokers import Running
from tests.bench.stream_shapes import LATENCIES, SHAPES, different, repeated, run_publish, run_read


@pytest.fixture
def running(broker):
    return Running("amqpbroker", "", broker.port, [broker.process.pid], 0.0, 0)


def test_shapes_have_the_targets_and_sizes_that_streams_are_judged_by():
    assert {name: shape.targets[""] for name, shape in SHAPES.items()} == {
        "stream": 8,
        "stream-read": 10,
        "app-stream": None,
        "app-stream-read": None,
    }
    assert SHAPES["stream-read"].what == "ten readers from the first of 5,000,000 messages, 100 B"


def test_publisher_and_readers_of_a_stream_are_measured(running):
    assert run_publish(repeated, running, 0.2)[""].rate > 0
    assert run_read(different, running, 0.2, count=100_000)[""].rate > 0


def test_age_of_messages_at_the_end_of_a_stream_is_measured(running):
    found = LATENCIES["stream-tail"][1](running, 0.2)
    assert 0 < found[50] <= found[99] <= found[99.9]
