"""A publisher that is faster than the broker."""

import select
import time

import pytest

from amqpbroker.wire.values import Field
from tests.harness import published
from tests.load.client import LoadClient
from tests.load.load import beside, p99, round_trips_ms
from tests.load.memory import MB, forget_peak, peak_bytes, resident_bytes

pytestmark = pytest.mark.alone

DURATION_S = 2.0


@pytest.mark.parametrize("size", [16, 100_000])
def test_a_publisher_faster_than_the_broker_is_slowed_by_tcp(broker, size):
    """Unsent bytes wait in its own socket: the broker reads no more than it has handled."""
    pid = broker.process.pid
    with LoadClient(broker.port) as publisher, LoadClient(broker.port) as consumer:
        # A slow consumer is not the subject of this measurement.
        consumer.declare("q", arguments={"x-max-length-bytes": Field("I", MB)})
        consumer.call("basic.consume", "basic.consume-ok", queue="q", no_ack=True)
        before = resident_bytes(pid)
        forget_peak(pid)
        sent = read = slowed = 0
        until = time.monotonic() + DURATION_S

        def publish():
            nonlocal sent, slowed
            publisher.socket.setblocking(False)
            batch = pending = published("q", b"x" * size) * max(1, 250_000 // size)
            while time.monotonic() < until:
                if not select.select([], [publisher.socket], [], 0)[1]:
                    slowed += 1
                    select.select([], [publisher.socket], [], 0.1)
                    continue
                count = publisher.socket.send(pending)
                sent += count
                pending = pending[count:] or batch

        def consume():
            nonlocal read
            buffer = bytearray(1 << 20)
            while publishing() or select.select([consumer.socket], [], [], 0.2)[0]:
                if select.select([consumer.socket], [], [], 0.2)[0]:
                    read += consumer.socket.recv_into(buffer)

        with beside(publish) as publishing, beside(consume):
            took = round_trips_ms(broker, publishing)
        grown = peak_bytes(pid) - before
        print(
            f"{size} bytes each: {sent / MB:.0f} MB sent, slowed {slowed} times; {read / MB:.0f} MB read; grew by"
            f" {grown / MB:.1f} MB; others' p99 {p99(took):.1f} ms of {len(took)}"
        )
        assert slowed
        assert read > sent / 10
        assert grown < 25 * MB
        assert p99(took) < 100
