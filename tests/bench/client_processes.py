"""Processes that put load on a broker, and their measurements."""

import multiprocessing
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from tests.bench.clients import CELLS, COUNT, END, FIRST_NS, LAST_NS, READY, Cells
from tests.bench.processes import cpu_s, memory_bytes

CONTEXT = multiprocessing.get_context("forkserver")
CONTEXT.set_forkserver_preload(["tests.bench.clients"])

WARM_UP_S = 0.4
BEGIN_WITHIN_S = 30.0
END_WITHIN_S = 1.0
LOOK_EVERY_S = 0.01


@dataclass(frozen=True)
class Measured:
    """Result of a time in which clients counted messages."""

    rate: float
    cpu_us: float
    memory_bytes: int


class Client:
    """One client process; clients.py has their functions."""

    def __init__(self, work: Callable[..., None], port: int, *arguments: Any) -> None:
        self.cells: Cells = CONTEXT.RawArray("Q", CELLS)
        self.process = CONTEXT.Process(target=work, args=(port, self.cells, *arguments), daemon=True)
        self.process.start()

    @property
    def count(self) -> int:
        return self.cells[COUNT]

    @property
    def took_s(self) -> float:
        """Return the time from its first message to its last one."""
        return (self.cells[LAST_NS] - self.cells[FIRST_NS]) / 1e9

    def wait(self, until: Callable[["Client"], bool], within_s: float) -> None:
        """Wait for a condition. Raises TimeoutError, and RuntimeError if the process has ended meanwhile."""
        deadline = time.monotonic() + within_s
        while not until(self):
            if not self.process.is_alive():
                raise RuntimeError(f"a client ended with status {self.process.exitcode}")
            if time.monotonic() > deadline:
                raise TimeoutError(f"a client had counted {self.count} messages after {within_s:.0f} s")
            time.sleep(LOOK_EVERY_S)


class ClientProcesses:
    """Clients of one broker, which are ended with the block."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.clients: list[Client] = []

    def __enter__(self) -> "ClientProcesses":
        return self

    def __exit__(self, *raised: object) -> None:
        for client in self.clients:
            client.cells[END] = 1
        deadline = time.monotonic() + END_WITHIN_S
        for client in self.clients:
            client.process.join(max(0.0, deadline - time.monotonic()))
            # A client that is sending to a broker which does not read.
            client.process.terminate()
            client.process.join()

    def add(self, work: Callable[..., None], *arguments: Any) -> Client:
        self.clients.append(Client(work, self.port, *arguments))
        return self.clients[-1]

    def ready(self) -> None:
        """Wait until all of them are connected and set up."""
        for client in self.clients:
            client.wait(lambda each: bool(each.cells[READY]), BEGIN_WITHIN_S)


def measure(counting: list[Client], pids: list[int], seconds: float) -> Measured:
    """Return the counts of these clients in `seconds`, after all have begun, and the cost for the processes."""
    for client in counting:
        client.wait(lambda each: each.count > 0, BEGIN_WITHIN_S)
    time.sleep(min(WARM_UP_S, seconds))
    start, count, cpu = time.monotonic(), _sum(counting), cpu_s(pids)
    time.sleep(seconds)
    # Seldom, to leave the machine to the measured processes.
    while _sum(counting) == count and time.monotonic() < start + BEGIN_WITHIN_S:
        time.sleep(LOOK_EVERY_S)
    took, counted, spent = time.monotonic() - start, _sum(counting) - count, cpu_s(pids) - cpu
    return Measured(counted / took, spent / max(counted, 1) * 1e6, memory_bytes(pids))


def measure_all(client: Client, pids: list[int], within_s: float) -> Measured:
    """Return the cost until a client has counted all messages."""
    cpu = cpu_s(pids)
    client.wait(lambda each: bool(each.cells[LAST_NS]), within_s)
    spent = cpu_s(pids) - cpu
    return Measured(client.count / client.took_s, spent / client.count * 1e6, memory_bytes(pids))


def medians(rounds: list[Measured]) -> Measured:
    """Return the median of each figure."""
    return Measured(
        statistics.median(each.rate for each in rounds),
        statistics.median(each.cpu_us for each in rounds),
        int(statistics.median(each.memory_bytes for each in rounds)),
    )


def _sum(clients: list[Client]) -> int:
    return sum(client.count for client in clients)
