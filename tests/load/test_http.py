"""HTTP clients that do not read their answers: the memory for pending answers is bounded in total."""

import base64
import contextlib
import http.client
import socket
import time

import pytest

from tests.load.client import LoadClient
from tests.load.memory import MB, forget_peak, peak_bytes, resident_bytes

pytestmark = pytest.mark.alone

CLIENTS = 60
QUEUES = 6_000
LOGIN = {"Authorization": "Basic " + base64.b64encode(b"guest:guest").decode()}


def connected(port):
    client = socket.socket()
    client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    client.settimeout(30)
    client.connect(("127.0.0.1", port))
    return client


def status(port, path, method="GET", headers=LOGIN):
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    with contextlib.closing(connection):
        connection.request(method, path, headers=headers)
        answer = connection.getresponse()
        answer.read()
        return answer.status


@pytest.fixture
def full(broker):
    """Return a broker whose lists and metrics have several megabytes."""
    with LoadClient(broker.port) as client:
        for number in range(QUEUES):
            client.declare(f"{number:06}" + "q" * 200)
    return broker


@pytest.mark.parametrize(
    ("protocol", "path", "one_by_one"),
    [("http/prometheus", "/metrics/per-object", False), ("http", "/api/queues", True)],
)
def test_unread_answers_take_little_memory(full, protocol, path, one_by_one):
    """Other clients are answered meanwhile."""
    pid, port = full.process.pid, full.port_of(protocol)
    assert status(port, path) == 200
    before = resident_bytes(pid)
    forget_peak(pid)
    with contextlib.ExitStack() as stack:
        asked = f"GET {path} HTTP/1.1\r\nHost: x\r\nAuthorization: {LOGIN['Authorization']}\r\n\r\n".encode()
        for _ in range(CLIENTS):
            client = stack.enter_context(connected(port))
            client.sendall(asked)
            if one_by_one:
                client.recv(1)
        started = time.monotonic()
        assert status(port, path) == 200
        took_s = time.monotonic() - started
        grown = peak_bytes(pid) - before
    print(f"{path}: grew by {grown / MB:.1f} MB, another's answer took {took_s:.2f} s")
    assert grown < 150 * MB
