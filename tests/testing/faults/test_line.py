"""A line between a socket and a connection, from the first byte on or from any later one."""

import pytest

from amqpbroker.testing.faults import target
from amqpbroker.testing.faults.injector import Injector
from amqpbroker.testing.faults.publishing import Nack
from amqpbroker.testing.faults.slow import OneByteWrites, StopReading
from tests.harness import Wire, lead_elsewhere, make_broker
from tests.testing.faults.raw import HEADER, method, publish


class Client:
    """A fake of the transport."""

    def __init__(self):
        self.dirty = False
        self.ended = []

    def on_dirty(self):
        self.dirty = True

    def abort(self):
        self.ended.append("aborted")

    def reset(self):
        self.ended.append("reset")


class Target(target.Target):
    """Target without a broker: it records triggers, and makes scheduled calls at once."""

    def record(self, fault, line, what):
        self.happened.append(what)

    def soon(self, call):
        call()


def injector_of(*faults):
    injector = Injector(Target())
    for fault in faults:
        injector.add(fault)
    return injector


def before(wire, *faults):
    """Return a line for a connection in a given state."""
    return injector_of(*faults).line(Client(), wire.connection)


def open_wire():
    wire = Wire(make_broker())
    wire.feed(HEADER)
    wire.send(0, "connection.start-ok", mechanism="PLAIN", response=b"\0guest\0guest", locale="en_US")
    wire.send(0, "connection.tune-ok", channel_max=100, frame_max=131072)
    wire.send(0, "connection.open", virtual_host="/")
    wire.send(1, "channel.open")
    wire.send(1, "confirm.select")
    wire.send(1, "queue.declare", queue="q")
    assert wire.receive()[-1].name == "queue.declare-ok"
    return wire


def ready(wire):
    return wire.broker.vhost("/").queues["q"].ready_count


def test_one_byte_writes_fault_writes_one_byte_per_iteration():
    wire = Wire(make_broker())
    line = before(wire, OneByteWrites())
    line.feed(HEADER)
    pieces = []
    while not pieces or pieces[-1]:
        pieces.append(b"".join(line.collect()))
    assert {len(piece) for piece in pieces[:-1]} == {1}
    assert b"".join(pieces)[7:11] == b"\0\x0a\0\x0a"  # connection.start


@pytest.mark.parametrize("size", range(0, 60, 7))
def test_a_fault_may_be_injected_within_a_frame(size):
    wire = open_wire()
    data = publish(b"a body") * 2
    wire.connection.feed(data[:size])
    nack = Nack()
    line = before(wire, nack)
    line.feed(data[size:])
    line.collect()
    # It is the first publish whose method was not whole before.
    assert nack.struck == 1
    assert ready(wire) == 1


def test_a_fault_may_be_injected_within_a_large_body():
    wire = open_wire()
    data = publish(bytes(100_000))
    wire.connection.feed(data[:50_000])
    line = before(wire, Nack())
    line.feed(data[50_000:] + publish(b"nacked"))
    assert ready(wire) == 1
    assert line.received == 3


def test_a_fault_may_be_injected_before_the_protocol_header():
    wire = Wire(make_broker())
    wire.connection.feed(HEADER[:3])
    line = before(wire)
    line.feed(HEADER[3:])
    assert b"".join(line.collect())[7:11] == b"\0\x0a\0\x0a"


def test_fault_line_answers_a_non_amqp_client_with_the_protocol_header():
    line = before(Wire(make_broker()))
    line.feed(b"GET / HTTP/1.1")
    assert b"".join(line.collect()) == HEADER
    assert line.closing


def test_oversized_frame_is_refused_before_its_payload_arrives():
    wire = open_wire()
    line = before(wire)
    line.feed(b"\1\0\1\xff\xff\xff\xff")
    assert b"FRAME_ERROR" in b"".join(line.collect())


def test_data_held_by_an_alarm_triggers_faults_once_it_is_read():
    wire = open_wire()
    wire.broker.alarms.set("memory")
    wire.connection.feed(publish(b"1") + publish(b"2") + publish(b"3"))
    nack = Nack(2)
    line = before(wire, nack)
    assert (ready(wire), line.reading) == (0, False)
    wire.broker.alarms.clear("memory")
    for _ in range(3):
        line.collect()
    assert nack.struck == 1
    assert ready(wire) == 2


def test_closing_connection_is_not_read_under_a_stop_reading_fault():
    wire = open_wire()
    line = before(wire, StopReading())
    line.feed(method(0, "connection.close"))
    assert b"".join(line.collect()) == b""
    assert not line.reading


def test_a_connection_that_is_handed_over_takes_along_all_unhandled_frames():
    broker = make_broker()
    lead_elsewhere(broker, "x")
    handed = []
    wire = Wire(broker, on_elsewhere=handed.append)
    line = before(wire, Nack())
    login = {"client_properties": {}, "mechanism": "PLAIN", "response": b"\0guest\0guest", "locale": "en_US"}
    line.feed(HEADER + method(0, "connection.start-ok", **login))
    line.feed(method(0, "connection.tune-ok", channel_max=100, frame_max=131072, heartbeat=0))
    rest = method(1, "channel.open") + method(1, "confirm.select")[:-1]
    line.feed(method(0, "connection.open", virtual_host="x") + rest)
    assert [handover.vhost for handover in handed] == ["x"]
    assert line.hand_over() == rest
    assert line.collect() == []
    assert wire.connection.closing
