"""Connections that are not read, not written, or written one byte at a time."""

import pytest

from amqpbroker.wire.frames import HEARTBEAT
from tests.testing.faults.raw import method, publish


def test_unread_data_is_handled_after_the_fault(b, client, queue):
    with b.faults.stop_reading():
        client.send(publish(b"1") + publish(b"2"))
        client.socket.settimeout(0.02)
        with pytest.raises(TimeoutError):
            client.call("queue.declare", queue=queue)
        client.socket.settimeout(60)
    assert client.expect("queue.declare-ok")["message_count"] == 2


def test_sending_blocks_while_the_broker_stops_reading(b, client):
    client.socket.settimeout(0.05)
    with b.faults.stop_reading(), pytest.raises(TimeoutError):
        client.send(publish(bytes(100_000)) * 300)


def test_stop_reading_fault_keeps_the_connection_despite_missed_heartbeats(b, dial, queue):
    client = dial(heartbeat=10)
    with b.faults.stop_reading():
        for _ in range(10):
            b.clock.advance(seconds=9)
    client.send(method(1, "queue.declare", queue=queue, passive=True))
    heard = [client.read()[0]]
    while heard[-1] == HEARTBEAT:
        heard.append(client.read()[0])
    assert heard[-1] == "queue.declare-ok"
    assert len(heard) >= 9


def test_missed_heartbeats_close_the_connection_after_stop_reading_ends(b, dial):
    client = dial(heartbeat=10)
    b.faults.stop_reading()
    b.clock.advance(minutes=5)
    b.faults.clear()
    b.clock.advance(seconds=31)
    assert client.end() is ConnectionResetError


def test_stop_writing_holds_all_output(b, client, queue):
    with b.faults.stop_writing():
        client.socket.settimeout(0.02)
        with pytest.raises(TimeoutError):
            client.call("queue.declare", queue=queue)
        client.socket.settimeout(60)
    client.expect("queue.declare-ok")


def test_client_gets_all_data_with_one_byte_writes(b, dial, queue):
    b.faults.one_byte_writes()
    client = dial()
    client.send(publish(b"some message") + method(1, "basic.get", queue=queue, no_ack=True))
    client.expect("basic.get-ok")
    assert [client.read()[1] for _ in range(2)][1] == b"some message"


def test_connection_close_is_sent_with_one_byte_writes(b, client):
    b.faults.one_byte_writes()
    client.send(b"\1\0\0\0\0\0\x04\0\x0a\0\x0b\xce")  # connection.start-ok, where none is due
    assert client.expect("connection.close")["reply_code"] in (501, 503, 504)
