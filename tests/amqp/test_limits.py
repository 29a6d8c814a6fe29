"""Memory that a client can make the broker use is limited before it is used."""

import tracemalloc

import pytest

from amqpbroker.config.bounds import BOUNDS
from amqpbroker.wire import methods
from amqpbroker.wire.frames import BODY, CONTENT_HEAD, FRAME_HEAD, HEADER, METHOD, frame
from tests.harness import Wire, make_broker


def test_frame_above_the_negotiated_size_is_refused_at_its_header():
    wire = Wire(make_broker()).log_in()
    wire.feed(FRAME_HEAD.pack(METHOD, 1, 1 << 30))
    got = wire.receive()
    assert [one.name for one in got] == ["connection.close"]
    assert got[0].arguments["reply_code"] == 501


def test_empty_body_frames_are_not_kept_in_memory():
    wire = Wire(make_broker()).log_in()
    wire.declare("q")
    wire.feed(frame(METHOD, 1, methods.encode("basic.publish", routing_key="q")))
    wire.feed(CONTENT_HEAD.pack(HEADER, 1, 14, 60, 0, 4) + b"\0\0\xce")
    empty = frame(BODY, 1, b"") * 1000
    tracemalloc.start()
    try:
        for _ in range(20):
            wire.feed(empty)
        kept, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert kept < 20_000
    wire.feed(frame(BODY, 1, b"body"))
    assert wire.get("q").body == b"body"


def test_requests_wait_while_their_answers_are_not_read():
    wire = Wire(make_broker()).log_in()
    wire.declare("q")
    wire.publish("q", b"x" * 4_000_000)
    wire.turn()
    get = frame(METHOD, 1, methods.encode("basic.get", queue="q"))
    back = frame(METHOD, 1, methods.encode("basic.nack", multiple=True, requeue=True))
    wire.feed((get + back) * 20)
    turns = []
    while wire.dirty:
        wire.dirty = False
        turns.append(b"".join(wire.connection.collect()))
    assert max(len(data) for data in turns) < BOUNDS.unread_bytes + 5_000_000
    assert b"".join(turns).count(b"\0\x3c\0\x47") == 20


def test_requests_wait_while_the_socket_is_full():
    wire = Wire(make_broker()).log_in()
    wire.declare("q")
    wire.publish("q", b"x" * 10_000_000)
    wire.turn()
    wire.connection.set_writable(False)
    wire.send(1, "basic.get", queue="q")
    wire.feed(frame(METHOD, 1, methods.encode("queue.delete", queue="q")))
    assert wire.turn() == b""
    assert not wire.connection.reading
    wire.connection.set_writable(True)
    assert [got.name for got in wire.receive()] == ["basic.get-ok", "queue.delete-ok"]
    assert wire.connection.reading


@pytest.mark.explore
def test_a_body_in_tiny_frames_costs_about_its_size():
    client = Wire(make_broker()).log_in()
    client.declare("q")
    client.send(1, "basic.publish", routing_key="q")
    size = 200_000
    client.feed(frame(2, 1, (60).to_bytes(2, "big") + bytes(2) + size.to_bytes(8, "big") + bytes(2)))
    tiny = frame(3, 1, b"xy") * 1000
    tracemalloc.start()
    try:
        for _ in range(size // 2 // 1000 - 1):
            client.connection.feed(tiny)
        used, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert used < 3 * size
    client.connection.feed(tiny)
    assert client.get("q").body == b"xy" * (size // 2)
