"""Pipes of the simulated network preserve the order of bytes."""

import random
from functools import partial
from types import SimpleNamespace

import pytest

from tests.seeds import seeds
from tests.simulation.network import Connection, Pipe, SimulatedTransport
from tests.simulation.scheduler import MS, SECOND, Scheduler


class Far:
    def __init__(self):
        self.data = b""
        self.over = False
        self.pipe = None

    def received(self, data):
        assert not self.over
        self.data += data
        self.pipe.consumed(len(data))

    def ended(self):
        self.over = True


def piped(seed, window=100):
    scheduler, far = Scheduler(), Far()
    far.pipe = Pipe(scheduler, random.Random(seed), far, window)
    return scheduler, far, far.pipe


def test_bytes_arrive_in_order_despite_network_stalls():
    for seed in range(200):
        scheduler, far, pipe = piped(seed)
        sent = b""
        for i in range(50):
            data = bytes([i]) * (i % 7 + 1)
            sent += data[: pipe.send(data)]
            if i % 10 == 3:
                pipe.stall(30 * MS)
            scheduler.run(scheduler.now + MS)
        pipe.finish()
        scheduler.run(scheduler.now + SECOND)
        assert (far.data, far.over) == (sent, True)


def test_unread_bytes_are_limited_by_the_window():
    scheduler, far, pipe = piped(1, window=10)
    assert pipe.send(b"x" * 25) == 10
    assert pipe.room == 0
    scheduler.run(SECOND)
    assert (far.data, pipe.room) == (b"x" * 10, 10)


def test_no_data_arrives_after_a_connection_is_cut():
    scheduler, far, pipe = piped(1)
    pipe.send(b"lost")
    pipe.finish()
    pipe.cut()
    scheduler.run(SECOND)
    assert (far.data, far.over) == (b"", False)


class Loop:
    def __init__(self):
        self._calls = []

    def call_soon(self, callback, *args):
        self._calls.append(partial(callback, *args))

    def set_readable(self, transport):
        pass

    unset_readable = set_readable

    def run(self):
        while self._calls:
            self._calls.pop(0)()


@pytest.mark.parametrize("is_written_before", [True, False])
def test_cut_is_detected_by_a_writer_that_does_not_read(is_written_before):
    loop, lost = Loop(), []
    server = SimulatedTransport(loop, 1, random.Random(1))
    protocol = SimpleNamespace(
        connection_made=lambda transport: transport.pause_reading(),
        connection_lost=lost.append,
        pause_writing=lambda: None,
    )
    connection = Connection(Scheduler(), random.Random(1), Far(), server, protocol)
    loop.run()
    if is_written_before:
        server.write(bytes(2 << 20))
    connection.cut()
    loop.run()
    if not is_written_before:
        assert lost == []
        server.write(b"x")
        loop.run()
    assert [type(error) for error in lost] == [ConnectionResetError]
    assert connection.is_over


class Reader:
    """Protocol of a broker's end that reads into a small buffer."""

    def __init__(self):
        self.data = b""
        self.lost = []
        self._buffer = bytearray(7)

    def connection_made(self, transport):
        self.transport = transport

    def get_buffer(self, _):
        return self._buffer

    def buffer_updated(self, size):
        self.data += self._buffer[:size]

    def eof_received(self):
        pass

    def pause_writing(self):
        pass

    resume_writing = pause_writing

    def connection_lost(self, error):
        self.lost.append(error)


class ReadingLoop(Loop):
    """Runs with a scheduler, and reads each socket that has data."""

    def __init__(self, scheduler):
        super().__init__()
        self._scheduler = scheduler
        self._readable = {}

    def set_readable(self, transport):
        self._readable[transport] = None

    def unset_readable(self, transport):
        self._readable.pop(transport, None)

    def run_for(self, duration):
        end = self._scheduler.now + duration
        while self._scheduler.now < end:
            self._scheduler.run(self._scheduler.now + MS)
            self.run()
            for transport in list(self._readable):
                del self._readable[transport]
                transport.read()


def connected(seed):
    scheduler, client, reader = Scheduler(), Far(), Reader()
    loop = ReadingLoop(scheduler)
    server = SimulatedTransport(loop, 1, random.Random(seed))
    connection = Connection(scheduler, random.Random(seed), client, server, reader)
    client.pipe = connection.to_client
    loop.run()
    return loop, connection, client, reader


@pytest.mark.parametrize("seed", range(8))
def test_all_bytes_arrive_before_an_orderly_end_by_the_client(seed):
    loop, connection, client, reader = connected(seed)
    sent = connection.to_server.send(bytes(2000))
    connection.stall(True, 30 * MS)
    connection.finish(b"x" * (5000 - sent))
    assert client.over
    assert not connection.is_open
    assert not connection.is_over
    loop.run_for(2 * SECOND)
    assert reader.data == bytes(sent) + b"x" * (5000 - sent)
    assert reader.lost == [None]
    assert connection.is_over


@pytest.mark.parametrize("seed", seeds(8))
def test_broker_writes_all_output_after_an_orderly_end_by_the_client(seed):
    loop, connection, client, reader = connected(seed)
    reader.transport.write(bytes(200_000))
    connection.finish(b"last")
    loop.run_for(3 * SECOND)
    assert (reader.data, reader.lost) == (b"last", [None])
    assert connection.is_over
    assert client.data == b""


class Unread(Far):
    """The end of a client that does not read. count: number of bytes that have arrived."""

    def __init__(self):
        super().__init__()
        self.count = 0

    def received(self, data):
        self.count += len(data)


def test_connection_is_full_until_the_client_reads_all_output():
    scheduler, client, reader = Scheduler(), Unread(), Reader()
    loop = ReadingLoop(scheduler)
    connection = Connection(scheduler, random.Random(1), client, SimulatedTransport(loop, 1, random.Random(1)), reader)
    loop.run()
    assert not connection.is_full
    reader.transport.write(bytes(connection.to_client.room + 1))
    loop.run_for(SECOND)
    assert connection.is_full
    connection.to_client.consumed(client.count)
    assert not connection.is_full
