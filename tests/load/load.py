"""Load beside a test, and its effect on other clients."""

import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from tests.harness import published
from tests.load.client import LoadClient
from tests.load.waiting import Waiting
from tests.process import BrokerProcess


@contextmanager
def beside(work: Callable[[], None]) -> Iterator[Callable[[], bool]]:
    """Run `work` in a thread; yield a function that returns whether it is still running.

    Its exception is raised here.
    """
    raised: list[BaseException] = []

    def run() -> None:
        try:
            work()
        except BaseException as error:
            raised.append(error)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    yield thread.is_alive
    thread.join(60)
    assert not thread.is_alive(), "the load has not ended"
    if raised:
        raise raised[0]


def round_trips_ms(broker: BrokerProcess, go_on: Callable[[], bool], at_least: int = 200) -> list[float]:
    """Return the latencies of messages through a queue of their own, with acknowledgements, one by one, sorted.

    Time in which the broker or this process waited for a processor used by others is not included.
    """
    message = published("round-trips", b"x" * 100)
    took = []
    with LoadClient(broker.port) as client, Waiting(broker.process.pid, os.getpid()) as waiting:
        client.declare("round-trips")
        client.call("basic.consume", "basic.consume-ok", queue="round-trips", no_ack=True)
        frames = client.frames()
        while go_on() or len(took) < at_least:
            waited, start = waiting.seconds(), time.monotonic()
            client.send(message)
            for _ in range(3):  # method, header, body
                next(frames)
            whole = time.monotonic() - start
            took.append(max(0.0, whole - (waiting.seconds() - waited)) * 1000)
    return sorted(took)


def p99(values: list[float]) -> float:
    """Return the 99th percentile of sorted values."""
    return values[len(values) * 99 // 100]
