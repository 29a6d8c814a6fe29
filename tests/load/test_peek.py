"""Peeking into a queue of a million messages on disk costs the same at any depth, and does not fill the memory."""

import statistics
import time

import httpx
import pytest

from tests.load.client import LoadClient
from tests.load.load import beside, p99, round_trips_ms
from tests.load.memory import MB
from tests.load.test_backlog import fill, settle
from tests.process import PATIENCE_S, BrokerProcess
from tests.slowness import slowness

pytestmark = pytest.mark.alone

COUNT = 1_000_000
#: Maximum time of one request for 50 messages, and maximum latency of other clients' messages during a search, on the
#: reference machine.
REQUEST_MS = 50
P99_MS = 50


@pytest.fixture
def broker(tmp_path):
    with BrokerProcess(tmp_path, "--data-dir", str(tmp_path / "data"), "--management-port", "0") as process:
        yield process


def timed_ms(action, times=9):
    """Return the median time of an action, after a first one."""
    action()
    spent = []
    for _ in range(times):
        began = time.perf_counter()
        action()
        spent.append((time.perf_counter() - began) * 1000)
    return statistics.median(spent)


def test_peek_into_a_million_messages_on_disk_is_flat_and_a_search_lets_others_work(broker):
    pid = broker.process.pid
    with LoadClient(broker.port) as client:
        client.declare("q", durable=True)
        fill(client, "q", COUNT, 100)
    filled = settle(pid)
    url = f"http://127.0.0.1:{broker.port_of('http')}/api/queues/%2F/q/peek"
    with httpx.Client(auth=("guest", "guest"), timeout=PATIENCE_S) as api:

        def peek(**body):
            answer = api.post(url, json=body)
            answer.raise_for_status()
            return answer.json()

        mark = peek(count=1)["cursor"].rpartition(":")[2]

        def at(depth):
            found = peek(count=50, cursor=f"ready:0:{depth}:{mark}")["messages"]
            assert [message["position"] for message in found] == [depth + 1 + i for i in range(50)]

        depths = [0, 10_000, COUNT // 2, COUNT - 100_000, COUNT - 50]
        times_ms = [timed_ms(lambda depth=depth: at(depth)) for depth in depths]
        print("ms for 50 messages by depth:", dict(zip(depths, times_ms, strict=True)))
        assert max(times_ms) < REQUEST_MS * slowness()
        assert max(times_ms) < 4 * min(times_ms) + 5

        def search():
            cursor, requests, examined = None, 0, 0
            began = time.perf_counter()
            while requests == 0 or cursor is not None:
                answer = peek(filter={"body": "no such text"}, cursor=cursor, count=1)
                assert answer["messages"] == []
                cursor, requests, examined = answer["cursor"], requests + 1, examined + answer["examined"]
            assert examined == COUNT
            print(f"search of {COUNT} messages: {requests} requests, {time.perf_counter() - began:.1f} s")

        with beside(search) as going_on:
            took = round_trips_ms(broker, going_on)
        grown = settle(pid) - filled
        print(f"{len(took)} messages of others, p99 {p99(took):.1f} ms; memory grew by {grown / MB:.1f} MB")
        assert p99(took) < P99_MS * slowness()
        assert grown < 30 * MB
        assert api.get(url.removesuffix("/peek")).json()["messages_paged_out"] > COUNT - 10_000
