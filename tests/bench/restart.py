"""A broker that is killed with a backlog, and restarted while its clients try to reconnect."""

import time
from collections.abc import Sequence
from dataclasses import dataclass

from tests.bench.client_processes import CONTEXT, ClientProcesses
from tests.bench.clients import LAST_NS, publish
from tests.bench.processes import cpu_s, memory_bytes
from tests.bench.reconnecting import consume_again, publish_again
from tests.bench.restartable import Restartable
from tests.bench.sending import Different
from tests.bench.topology import Topology
from tests.load.client import LoadClient

FILL_WITHIN_S = RECONNECT_WITHIN_S = 120.0
IN_FLIGHT = 5_000
#: Capacity for the round trips of a run: 100 publishers make at most 5,000 per second.
SAMPLES = 400_000
LOOK_EVERY_S = 0.05
#: Time for the first confirms of the last clients.
AFTER_S = 2.0


@dataclass(frozen=True)
class Backlog:
    """Persistent messages of an application in durable queues, and the clients that reconnect."""

    messages: int = 300_000
    queues: int = 200
    publishers: int = 100
    consumers: int = 100


@dataclass(frozen=True)
class Restarted:
    """Times since the broker's process was started, and the load on the broker meanwhile.

    first_s: one client has logged in. all_s: all clients have. received_s: every consumer has received a message.
    cpu_s, memory_bytes: of the broker until then, and at that time. p99_ms, longest_ms: confirms of the publishers that
    were connected, until two seconds later.
    """

    first_s: float
    all_s: float
    received_s: float
    p99_ms: float
    longest_ms: float
    cpu_s: float
    memory_bytes: int


def restarted(broker: Restartable, backlog: Backlog) -> Restarted:
    """Fill the queues, kill the broker, and start it again beside clients that reconnect."""
    topology = Topology(backlog.queues, durable=True)
    queues = tuple(topology.names)
    broker.start()
    _fill(broker, topology, backlog.messages)
    broker.kill()
    publishers_ns = CONTEXT.RawArray("Q", backlog.publishers)
    consumers_ns, received_ns = (CONTEXT.RawArray("Q", backlog.consumers) for _ in range(2))
    samples_ns = CONTEXT.RawArray("Q", 2 * SAMPLES)
    with ClientProcesses(broker.port) as processes:
        publishing = processes.add(publish_again, publishers_ns, queues, samples_ns)
        processes.add(consume_again, consumers_ns, queues, received_ns)
        processes.ready()
        start_ns = time.monotonic_ns()
        broker.start()
        _wait_until_all_are_set(publishers_ns, consumers_ns, received_ns)
        spent_s, memory = cpu_s(broker.pids), memory_bytes(broker.pids)
        time.sleep(AFTER_S)
        confirms = sorted(samples_ns[1 : 2 * publishing.count : 2])
    logged_in_ns = [*publishers_ns, *consumers_ns]
    first_s, all_s, received_s = (
        (at_ns - start_ns) / 1e9 for at_ns in (min(logged_in_ns), max(logged_in_ns), max(received_ns))
    )
    p99_ns = confirms[len(confirms) * 99 // 100]
    return Restarted(first_s, all_s, received_s, p99_ns / 1e6, confirms[-1] / 1e6, spent_s, memory)


def _fill(broker: Restartable, topology: Topology, count: int) -> None:
    with LoadClient(broker.port) as client:
        topology.declare(client)
        client.close()
    with ClientProcesses(broker.port) as processes:
        what = Different(tuple(topology.names), persistent=True, in_flight=IN_FLIGHT, count=count)
        processes.add(publish, what).wait(lambda each: bool(each.cells[LAST_NS]), FILL_WITHIN_S)


def _wait_until_all_are_set(*several: Sequence[int]) -> None:
    """Wait until all cells are set. Raises TimeoutError."""
    deadline = time.monotonic() + RECONNECT_WITHIN_S
    while not all(all(each) for each in several):
        if time.monotonic() > deadline:
            missing = [sum(not at_ns for at_ns in each) for each in several]
            raise TimeoutError(
                f"after {RECONNECT_WITHIN_S:.0f} s, {missing[0]} publishers and {missing[1]} consumers had not logged"
                f" in again, and {missing[2]} consumers had no message"
            )
        time.sleep(LOOK_EVERY_S)
