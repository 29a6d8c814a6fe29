"""A backlog is on the disk, not in memory: the memory of a queue does not grow with its stored messages."""

import struct
import time

import pytest

from amqpbroker.wire.values import Field, longstr
from tests.harness import published
from tests.load.client import LoadClient, request
from tests.load.memory import MB, forget_peak, peak_bytes, resident_bytes
from tests.process import PATIENCE_S, BrokerProcess

#: Batches of persistent messages that may be unconfirmed: data that a slow disk has not written yet is in memory.
WINDOW = 10


@pytest.fixture
def broker(tmp_path):
    with BrokerProcess(tmp_path, "--data-dir", str(tmp_path / "data")) as process:
        yield process


def numbered(number: int, size: int) -> bytes:
    return struct.pack(">Q", number) + b"x" * (size - 8)


def fill(client: LoadClient, queue: str, count: int, size: int, persistent: bool = True) -> None:
    """Publish as fast as the broker and the disk accept it, and wait until everything is confirmed."""
    batch = max(1, 200_000 // size)
    properties = {"delivery_mode": 2} if persistent else {}
    client.call("confirm.select", "confirm.select-ok")
    confirmed = 0
    for start in range(0, count, batch):
        numbers = range(start, min(start + batch, count))
        client.send(b"".join([published(queue, numbered(i, size), **properties) for i in numbers]))
        while confirmed < start - WINDOW * batch:
            confirmed = client.expect("basic.ack")["delivery_tag"]
    while confirmed < count:
        confirmed = client.expect("basic.ack")["delivery_tag"]
    assert client.depth(queue) == count


def settle(pid: int) -> int:
    """Return the resident memory once it stops growing: the last batches are synced, and then leave memory."""
    before = resident_bytes(pid)
    while True:
        time.sleep(0.3)
        now = resident_bytes(pid)
        if abs(now - before) < MB:
            return now
        before = now


def drain(port: int, queue: str, count: int, prefetch: int) -> None:
    """Consume everything in order, with acknowledgements of one and of many messages."""
    with LoadClient(port) as client:
        client.call("basic.qos", "basic.qos-ok", prefetch_count=prefetch)
        client.send(request("basic.consume", queue=queue))
        client.expect("basic.consume-ok")
        got = 0
        expected_body = False
        for kind, payload in client.frames():
            if kind == 2:
                expected_body = True
            elif kind == 3 and expected_body:
                expected_body = False
                assert struct.unpack(">Q", payload[:8]) == (got,)
                got += 1
                if got % (prefetch // 2) == 0 or got == count:
                    client.send(request("basic.ack", delivery_tag=got, multiple=True))
                if got == count:
                    break
        client.call("channel.close", "channel.close-ok", reply_code=200, class_id=0, method_id=0)


@pytest.mark.alone
@pytest.mark.parametrize(
    "arguments",
    [{}, {"x-max-priority": Field("I", 5)}, {"x-queue-type": longstr("quorum")}],
    ids=["classic", "priority", "quorum"],
)
def test_memory_for_200_000_small_messages_is_bounded(broker, arguments):
    pid = broker.process.pid
    with LoadClient(broker.port) as client:
        client.declare("q", durable=True, arguments=arguments)
        before = resident_bytes(pid)
        fill(client, "q", 200_000, 100)
        grown = settle(pid) - before
        print(f"200,000 of 100 bytes: grew by {grown / MB:.1f} MB")
        assert grown < 60 * MB
    drain(broker.port, "q", 200_000, 1_000)


def test_memory_for_100_large_messages_is_bounded(broker):
    pid = broker.process.pid
    with LoadClient(broker.port) as client:
        client.declare("q", durable=True)
        before = resident_bytes(pid)
        fill(client, "q", 100, MB)
        grown = settle(pid) - before
        print(f"100 of 1 MB: grew by {grown / MB:.1f} MB")
        assert grown < 60 * MB
    drain(broker.port, "q", 100, 4)


def test_a_restart_reads_no_bodies_into_memory(tmp_path):
    arguments = ("--data-dir", str(tmp_path / "data"))
    table = {"x-max-priority": Field("I", 5)}
    with BrokerProcess(tmp_path, *arguments) as process:
        before = resident_bytes(process.process.pid)
        with LoadClient(process.port) as client:
            client.declare("q", durable=True, arguments=table)
            fill(client, "q", 100_000, 500)
    (tmp_path / "ready.json").unlink(missing_ok=True)
    with BrokerProcess(tmp_path, *arguments) as process:
        grown = resident_bytes(process.process.pid) - before
        print(f"100,000 of 500 bytes, read back: {grown / MB:.1f} MB")
        assert grown < 90 * MB
        drain(process.port, "q", 100_000, 1_000)


def test_memory_of_a_consumed_backlog_is_returned_to_the_system(tmp_path):
    with BrokerProcess(tmp_path) as process, LoadClient(process.port) as client, LoadClient(process.port) as other:
        pid = process.process.pid
        before = resident_bytes(pid)
        client.declare("q")
        fill(client, "q", 100_000, 1_000, persistent=False)
        # Objects after it in memory prevent the allocator from returning any of it by itself.
        other.declare("behind")
        fill(other, "behind", 100, 1_000, persistent=False)
        grown = resident_bytes(pid) - before
        client.call("queue.purge", "queue.purge-ok", queue="q")
        until = time.monotonic() + PATIENCE_S
        while (left := resident_bytes(pid) - before) > grown / 4:
            assert time.monotonic() < until, f"{left / MB:.0f} of {grown / MB:.0f} MB are left"
            time.sleep(0.1)


def test_transient_messages_leave_memory_while_it_is_low(tmp_path):
    setting = "vm_memory_high_watermark.absolute=240MB"
    arguments = ("--data-dir", str(tmp_path / "data"), "--set", setting)
    with BrokerProcess(tmp_path, *arguments) as process:
        pid = process.process.pid
        with LoadClient(process.port) as client:
            client.declare("q")
            forget_peak(pid)
            fill(client, "q", 300_000, 1_000, persistent=False)
            # Passes over the queues, and the return of memory after them, are a second apart.
            until = time.monotonic() + PATIENCE_S
            while resident_bytes(pid) >= 200 * MB and time.monotonic() < until:
                time.sleep(0.1)
            print(f"300,000 of 1 kB: at most {peak_bytes(pid) / MB:.0f} MB, {settle(pid) / MB:.0f} MB in the end")
            assert peak_bytes(pid) < 240 * MB
            assert resident_bytes(pid) < 200 * MB
            assert list((tmp_path / "data" / "spill").iterdir())
        drain(process.port, "q", 300_000, 1_000)
        assert list((tmp_path / "data" / "spill").iterdir()) == []
