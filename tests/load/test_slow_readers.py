"""Clients that do not read: they cost a bounded amount of memory, and no other client is affected."""

import select

import pytest

from amqpbroker.wire.frames import METHOD
from amqpbroker.wire.values import Field
from tests.harness import published
from tests.load.client import TIMEOUT_S, LoadClient, request
from tests.load.load import beside, p99, round_trips_ms
from tests.load.memory import MB, forget_peak, peak_bytes, resident_bytes

pytestmark = pytest.mark.alone

SENT = 200 * MB
#: Output buffers of the broker, and their overhead in the allocator.
BUFFERS = 16 * MB
#: The longest name produces the longest answer.
LONG = "q" * 255


@pytest.mark.parametrize("no_ack", [True, False], ids=["no-ack", "unlimited prefetch"])
@pytest.mark.parametrize(("size", "kept"), [(1_000, 1_000), (1_000_000, 4)], ids=["1 kB", "1 MB"])
def test_output_to_a_consumer_that_stops_reading_is_bounded(broker, no_ack, size, kept):
    """Messages that it does not read stay in the queue, which applies its own limits."""
    pid = broker.process.pid
    with LoadClient(broker.port) as publisher, LoadClient(broker.port) as consumer:
        consumer.declare("slow", arguments={"x-max-length": Field("I", kept)})
        consumer.call("basic.consume", "basic.consume-ok", queue="slow", no_ack=no_ack)
        before = resident_bytes(pid)
        forget_peak(pid)
        batch = published("slow", b"x" * size) * max(1, 100_000 // size)

        def publish():
            for _ in range(SENT // size // max(1, 100_000 // size)):
                publisher.send(batch)
            assert publisher.depth("slow") == kept

        with beside(publish) as at_it:
            took = round_trips_ms(broker, at_it)
        grown = peak_bytes(pid) - before
        print(f"grew by {grown / MB:.1f} MB for {SENT / MB:.0f} MB; others' p99 {p99(took):.1f} ms of {len(took)}")
        assert grown < BUFFERS + 4 * kept * size
        assert p99(took) < 100


@pytest.mark.parametrize(
    "asked",
    [
        request("basic.get", queue="empty", no_ack=True),
        request("queue.declare", queue=LONG, passive=True),
        published("nowhere", b"x" * 200, mandatory=True),
    ],
    ids=["basic.get", "queue.declare", "basic.return"],
)
def test_a_client_that_never_reads_its_answers_is_no_longer_read(broker, asked):
    """The client is served again once it reads its answers."""
    pid = broker.process.pid
    with LoadClient(broker.port, receive_buffer_bytes=32768) as client:
        client.declare("empty")
        client.declare(LONG)
        before = resident_bytes(pid)
        forget_peak(pid)
        pending = batch = asked * 1000
        asked_count = 0

        def ask():
            nonlocal pending, asked_count
            client.socket.setblocking(False)
            while select.select([], [client.socket], [], 0.5)[1]:
                pending = pending[client.socket.send(pending) :]
                if not pending:
                    asked_count += 1000
                    assert asked_count < 10_000_000, "it is still read"
                    pending = batch

        with beside(ask) as at_it:
            took = round_trips_ms(broker, at_it)
        grown = peak_bytes(pid) - before
        print(f"{asked_count} requests; grew by {grown / MB:.1f} MB; others' p99 {p99(took):.1f} ms of {len(took)}")
        assert grown < 2 * BUFFERS
        assert p99(took) < 100

        client.socket.settimeout(TIMEOUT_S)
        with beside(lambda: client.send(pending)):
            answers = 0
            for kind, _ in client.frames():
                answers += kind == METHOD
                if answers == asked_count + 1000:
                    break


def test_copies_of_a_large_message_for_repeated_gets_are_bounded(broker):
    """The maximum of one read is sixteen kilobytes of requests, for some 400 copies."""
    pid = broker.process.pid
    again = request("basic.get", queue="large") + request("basic.nack", multiple=True, requeue=True)
    asked = 16_000 // len(again)
    with LoadClient(broker.port, receive_buffer_bytes=1 << 20) as client:
        client.declare("large")
        client.send(published("large", b"x" * 500_000))
        assert client.depth("large") == 1
        before = resident_bytes(pid)
        forget_peak(pid)
        client.send(again * asked)
        answers = 0
        for kind, _ in client.frames():
            answers += kind == METHOD
            if answers == asked:
                break
        grown = peak_bytes(pid) - before
        print(f"grew by {grown / MB:.1f} MB for {asked} copies of 0.5 MB")
        assert grown < 4 * BUFFERS
        client.close()
