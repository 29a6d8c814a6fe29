"""One relayed connection, with stand-ins for its two sockets."""

import asyncio

import pytest

from amqpbroker.cluster.relaying import relay as module
from amqpbroker.cluster.relaying.relay import Relay
from tests.server.stand_ins import Transport


class Socket(Transport):
    """A transport, whose protocol handler a test calls as the event loop does."""

    def __init__(self):
        super().__init__()
        self.reading = False

    def receive(self, data):
        assert self.reading
        buffer = self.protocol.get_buffer(-1)
        buffer[: len(data)] = data
        self.protocol.buffer_updated(len(data))

    def write(self, data):
        super().write(data)
        if len(data) > 100:
            self.protocol.pause_writing()

    def lose(self):
        self.closed = True
        self.protocol.connection_lost(None)


class Case:
    """A relay that has begun, unless the leader is gone."""

    def __init__(self, leader_is_there=True, to_client=b"to client", to_leader=b"to leader"):
        self.ended = []
        self.relay = Relay(asyncio.get_running_loop(), memoryview(bytearray(16)), self.ended.append)
        self.client, self.leader = Socket(), Socket()
        self.client.set_protocol(self.relay.client)
        self.relay.begin(self.client, self.leader if leader_is_there else None, to_client, to_leader)


async def test_bytes_of_both_sides_are_passed_on():
    case = Case()
    case.client.receive(b"a")
    case.leader.receive(b"b")
    assert (case.client.written, case.leader.written) == ([b"to client", b"b"], [b"to leader", b"a"])


async def test_a_side_is_not_read_while_the_other_one_is_full():
    case = Case()
    case.relay.client.pause_writing()
    assert (case.client.reading, case.leader.reading) == (True, False)
    case.relay.leader.pause_writing()
    assert (case.client.reading, case.leader.reading) == (False, False)
    case.relay.client.resume_writing()
    case.relay.leader.resume_writing()
    assert (case.client.reading, case.leader.reading) == (True, True)


async def test_first_bytes_that_a_side_does_not_take_stop_the_other_one():
    case = Case(to_client=bytes(101))
    assert (case.client.reading, case.leader.reading) == (True, False)
    case = Case(to_leader=bytes(101))
    assert (case.client.reading, case.leader.reading) == (False, True)


@pytest.mark.parametrize(("first", "second"), [("client", "leader"), ("leader", "client")])
async def test_the_end_of_a_side_closes_the_other_one(first, second):
    case = Case()
    getattr(case, first).lose()
    other = getattr(case, second)
    assert (other.closed, other.aborted, case.ended) == (True, False, [])
    # Bytes that were read before are for nobody.
    case.relay.client.resume_writing()
    case.relay.leader.pause_writing()
    other.lose()
    assert case.ended == [case.relay]
    assert case.relay._linger.cancelled()


async def test_a_side_that_does_not_take_its_last_bytes_is_dropped(monkeypatch):
    monkeypatch.setattr(module, "LINGER_S", 0)
    case = Case()
    case.client.lose()
    assert not case.leader.aborted
    while not case.leader.aborted:
        await asyncio.sleep(0)
    case.leader.lose()
    assert case.ended == [case.relay]


async def test_both_sides_are_closed_by_its_end():
    case = Case()
    case.relay.end()
    assert (case.client.closed, case.leader.closed) == (True, True)
    assert (case.client.aborted, case.leader.aborted) == (False, False)
    case.client.lose()
    case.leader.lose()
    assert case.ended == [case.relay]


async def test_both_sides_are_dropped_by_abort():
    case = Case()
    case.relay.abort()
    assert (case.client.aborted, case.leader.aborted) == (True, True)
    case.client.lose()
    case.relay.abort()
    case.leader.lose()
    assert case.ended == [case.relay]


async def test_a_leader_that_is_gone_before_the_beginning_closes_the_client():
    case = Case(leader_is_there=False)
    assert (case.client.written, case.client.closed, case.client.reading) == ([b"to client"], True, False)
    case.client.lose()
    assert case.ended == [case.relay]


async def test_a_client_that_is_gone_at_the_beginning_is_not_read():
    relay = Relay(asyncio.get_running_loop(), memoryview(bytearray(16)), lambda _: None)
    client, leader = Socket(), Socket()
    client.set_protocol(relay.client)
    client.closed = True
    relay.begin(client, leader, b"", b"")
    assert (client.reading, leader.reading) == (False, True)
    client.lose()
    leader.lose()
