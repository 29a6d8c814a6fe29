"""Ten thousand queues, listed over HTTP while messages are published and consumed."""

import base64
import http.client
import json
import os
import time

import pytest

from tests.harness import published
from tests.load.client import LoadClient, request
from tests.load.load import beside, p99, round_trips_ms
from tests.load.waiting import Waiting
from tests.slowness import slowness

pytestmark = pytest.mark.alone

QUEUES = 10_000
BATCH = 200
TIMES = 3
#: Duration in seconds of repeated requests for one kind of list, and number of attempts on a shared machine.
LISTING_S = 1.0
ATTEMPTS = 5
#: Maximum time in seconds for a list on the reference machine, and in milliseconds for a message beside it (p99).
LIST_S = 0.5
MESSAGE_MS = 20
#: Maximum latency (p99) of messages beside almost no load, on a machine without other work.
QUIET_MS = 5

#: Requests of a user: everything, a page by name as the UI requests it, a page in another order, few columns.
ASKED = {
    "all": ("/api/queues", QUEUES),
    "a page": ("/api/queues?page=1&page_size=100", 100),
    "sorted": ("/api/queues?sort=messages", QUEUES),
    "a sorted page": ("/api/queues?page=1&page_size=100&sort=messages&sort_reverse=true", 100),
    "columns": ("/api/queues?columns=name,messages", QUEUES),
    "detailed": ("/api/queues/detailed", QUEUES),
    "bindings": ("/api/bindings", QUEUES),
}

LOGIN = {"authorization": "Basic " + base64.b64encode(b"guest:guest").decode()}


@pytest.fixture
def filled(broker):
    """A broker with queues that have all been used."""
    with LoadClient(broker.port) as client:
        for first in range(0, QUEUES, BATCH):
            names = [f"orders.{number}" for number in range(first, first + BATCH)]
            client.send(b"".join([request("queue.declare", queue=name, durable=True) for name in names]))
            for _ in names:
                client.expect("queue.declare-ok")
            client.send(b"".join([published(name, b"x" * 10) for name in names]))
    return broker


def listed(port, path):
    """Return the time in seconds, and the answer."""
    connection = http.client.HTTPConnection("127.0.0.1", port)
    start = time.monotonic()
    connection.request("GET", path, headers=LOGIN)
    answer = connection.getresponse().read()
    took = time.monotonic() - start
    connection.close()
    return took, answer


def test_management_api_lists_many_objects_quickly(filled):
    port, pid = filled.port_of("http"), filled.process.pid
    listed(port, "/api/nodes")
    for name, (path, count) in ASKED.items():
        took = []
        for _ in range(TIMES):
            # Time in which other processes used the processor is not part of the result.
            with Waiting(pid, os.getpid()) as waiting:
                before = waiting.seconds()
                whole, answer = listed(port, path)
                took.append(whole - (waiting.seconds() - before))
            print(f"{name}: {whole * 1000:.0f} ms, {took[-1] * 1000:.0f} ms without waiting for a processor")
        rows = json.loads(answer)
        rows = rows["items"] if isinstance(rows, dict) else rows
        assert len(rows) >= count
        assert sorted(took)[TIMES // 2] < LIST_S * slowness(), name


def test_messages_are_delivered_while_listing(filled):
    port = filled.port_of("http")
    listed(port, "/api/nodes")
    for name, (path, _) in ASKED.items():
        for _ in range(ATTEMPTS):
            took = beside_listing(filled, path)
            passed = p99(took) < MESSAGE_MS
            if passed:
                break
            # A machine that is idle gives a result at once; a busy machine delays everything.
            usual = p99(beside_listing(filled, "/api/whoami"))
            print(f"{name}: p50 {took[len(took) // 2]:.2f} ms, p99 {p99(took):.2f} ms, else {usual:.2f} ms")
            quiet = usual < QUIET_MS
            passed = not quiet and p99(took) < MESSAGE_MS + usual
            if passed or quiet:
                break
        assert passed, f"{name}: messages took {p99(took):.1f} ms, and {usual:.1f} ms beside almost nothing"


def beside_listing(filled, path):
    """Return the latencies of messages while lists are requested continuously."""

    def list_again():
        end = time.monotonic() + LISTING_S
        while time.monotonic() < end:
            listed(filled.port_of("http"), path)

    with beside(list_again) as going_on:
        return round_trips_ms(filled, going_on)
