"""Thousands of connections at a time."""

import contextlib
import socket
import time

import pytest

from tests.load.client import LoadClient, request
from tests.load.memory import MB, resident_bytes
from tests.process import PATIENCE_S, BrokerProcess

IDLE = 2000
SILENT = 500


def test_idle_connections_use_little_memory_and_are_all_served(broker):
    pid = broker.process.pid
    LoadClient(broker.port).close()
    before = resident_bytes(pid)
    peaks = []
    for _ in range(2):
        with contextlib.ExitStack() as opened:
            start = time.monotonic()
            clients = [opened.enter_context(LoadClient(broker.port)) for _ in range(IDLE)]
            connect_s = time.monotonic() - start
            peaks.append(resident_bytes(pid))

            start = time.monotonic()
            for client in clients:
                client.send(request("basic.qos", prefetch_count=1))
            for client in clients:
                client.expect("basic.qos-ok")
            answered_s = time.monotonic() - start
            for client in clients:
                client.close()
        print(f"{IDLE} connections: {connect_s:.2f} s to open, {answered_s:.2f} s until each has answered")

    print(
        f"{(peaks[0] - before) / IDLE / 1000:.1f} kB each; {(peaks[1] - peaks[0]) / IDLE / 1000:.1f} kB when reopened"
    )
    assert peaks[0] - before < IDLE * 30_000
    assert peaks[1] - peaks[0] < IDLE * 1_000, "closed connections were not freed"


@pytest.mark.parametrize(
    "said",
    [b"", b"AMQP", b"AMQP\0\0\x09\x01", b"AMQP\0\0\x09\x01\1\0\0\0\0\x0f\xff" + b"x" * 4000],
    ids=["nothing", "half a header", "the header", "most of a frame"],
)
def test_clients_that_do_not_log_in_are_disconnected_in_time(tmp_path, said):
    arguments = ("--set", "handshake_timeout=1000", "--log-level", "error")
    with BrokerProcess(tmp_path, *arguments) as broker, contextlib.ExitStack() as opened:
        before = resident_bytes(broker.process.pid)
        start = time.monotonic()
        silent = [opened.enter_context(_connected(broker)) for _ in range(SILENT)]
        for sock in silent:
            with contextlib.suppress(ConnectionError):  # a busy machine may take longer than their time limit
                sock.sendall(said)
        LoadClient(broker.port).close()
        grown = resident_bytes(broker.process.pid) - before
        for sock in silent:
            with contextlib.suppress(ConnectionError):
                while sock.recv(4096):
                    pass
        took_s = time.monotonic() - start
        LoadClient(broker.port).close()
    print(f"{SILENT} silent ones: {grown / SILENT / 1000:.1f} kB each, closed after {took_s:.2f} s")
    assert 0.9 < took_s < 9  # without this setting, a broker waits for 10
    assert grown < SILENT * 30_000


def _connected(broker):
    sock = socket.create_connection(("127.0.0.1", broker.port))
    sock.settimeout(PATIENCE_S)
    return sock


def test_frames_larger_than_negotiated_are_refused_and_not_stored(broker):
    """The rest of the frame is discarded; the close is sent after the same delay as in RabbitMQ."""
    with _connected(broker) as sock:
        sock.sendall(b"AMQP\0\0\x09\x01")
        assert sock.recv(4096).startswith(b"\1\0\0")
        before = resident_bytes(broker.process.pid)
        sock.sendall(b"\1\0\0" + (100 * MB).to_bytes(4, "big"))
        broker.wait_for_log("frame_too_large")  # before the payload has arrived
        with contextlib.suppress(ConnectionError):
            for _ in range(20):
                sock.sendall(b"x" * MB)
        assert resident_bytes(broker.process.pid) - before < 5 * MB
