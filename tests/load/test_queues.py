"""Ten thousand queues in one vhost."""

import time

import pytest

from tests.load.client import LoadClient, request
from tests.load.memory import resident_bytes

QUEUES = 10_000
BATCH = 200


def pipelined(client, answer, frames):
    """Send the requests a batch at a time; return the microseconds per request."""
    start = time.monotonic()
    for first in range(0, len(frames), BATCH):
        batch = frames[first : first + BATCH]
        client.send(b"".join(batch))
        for _ in batch:
            client.expect(answer)
    return (time.monotonic() - start) / len(frames) * 1e6


@pytest.mark.parametrize("bound", [False, True], ids=["plain", "bound to a topic exchange"])
def test_queues_use_little_memory_and_are_freed(broker, bound):
    pid = broker.process.pid
    names = [f"orders.{i}" for i in range(QUEUES)]
    declares = [request("queue.declare", queue=name) for name in names]
    binds = [request("queue.bind", queue=name, exchange="amq.topic", routing_key=f"{name}.*.created") for name in names]
    deletes = [request("queue.delete", queue=name) for name in names]
    peaks = []
    with LoadClient(broker.port) as client:
        before = resident_bytes(pid)
        for _ in range(3):
            declare_us = pipelined(client, "queue.declare-ok", declares)
            bind_us = pipelined(client, "queue.bind-ok", binds) if bound else 0
            peaks.append(resident_bytes(pid))
            delete_us = pipelined(client, "queue.delete-ok", deletes)
            print(f"{QUEUES} queues, us each: declare {declare_us:.0f}, bind {bind_us:.0f}, delete {delete_us:.0f}")
    each = (peaks[0] - before) / QUEUES
    # Samples of rates, which the broker takes every few seconds, may add to one round. A leak adds to each.
    again = min(peaks[1] - peaks[0], peaks[2] - peaks[1])
    print(f"{each / 1000:.1f} kB each; {again / QUEUES / 1000:.1f} kB when declared again")
    assert each < 12_000
    assert again < QUEUES * 500, "deleted queues were not freed"
