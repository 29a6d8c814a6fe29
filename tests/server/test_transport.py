import logging
import socket
import struct

import pytest

from amqpbroker.clock import ManualClock
from amqpbroker.server import transport
from amqpbroker.server.ending import LINGER_MS
from amqpbroker.server.tick import Tick
from amqpbroker.server.tls import TlsError
from amqpbroker.server.transport import ClientTransport
from tests.server.stand_ins import Connection, Transport


class Reading:
    """Stands in for server.reading.Reading: room for 16 bytes."""

    def __init__(self):
        self.buffer = memoryview(bytearray(16))
        self.missing = []
        self.waiting = []
        self.said = []

    def room(self, pace, missing):
        self.missing.append(missing)
        return self.buffer

    def read(self, pace, data, publisher):
        self.said.append(data)

    def written(self, pace):
        self.said.append("written")

    def filled(self, reader):
        self.waiting.append(reader)

    def read_on(self):
        while self.waiting:
            self.waiting.pop().read_on()


class Client:
    """One client's transport, admitted and connected unless told otherwise; `turn` ends the loop's turn."""

    def __init__(self, admitted=True, **extra):
        self.scheduled = []
        self.reading = Reading()
        self.forgotten = []
        self.clock = ManualClock()
        self.connection = None
        self.transport = Transport(**extra)
        tick = Tick(self.scheduled.append, lambda: None, pytest.fail)
        self.protocol = ClientTransport(
            self.reading,
            self.connect,
            self.clock,
            tick,
            lambda _: admitted,
            lambda gone: self.forgotten.append(gone),
        )
        self.protocol.connection_made(self.transport)

    def connect(self, peer, transport):
        self.connection = Connection(peer, transport.on_dirty)
        return self.connection

    def receive(self, data):
        """As the loop does it: into the buffer as much as fits, while reading is on; returns what was not read."""
        while data and self.transport.reading:
            buffer = self.protocol.get_buffer(-1)
            size = min(len(buffer), len(data))
            buffer[:size] = data[:size]
            self.protocol.buffer_updated(size)
            data = data[size:]
        return data

    def turn(self):
        scheduled, self.scheduled[:] = list(self.scheduled), []
        for callback in scheduled:
            callback()
        self.reading.read_on()


def test_a_connection_knows_its_peer():
    peer = Client().connection.peer
    assert (peer.host, peer.port, peer.local_host, peer.local_port, peer.tls) == (
        "10.0.0.9",
        4711,
        "10.0.0.1",
        5672,
        None,
    )


def test_a_peer_of_ipv6_is_named_without_scope_and_flow():
    peer = Client(peername=("::1", 4711, 0, 0), sockname=("::1", 5672, 0, 0)).connection.peer
    assert (peer.host, peer.port, peer.local_host, peer.local_port) == ("::1", 4711, "::1", 5672)


@pytest.mark.parametrize("gone", [None, ""])
def test_peer_that_disconnected_at_once_has_an_empty_host(gone):
    assert Client(peername=gone).connection.peer.host == ""


def test_client_sockets_have_tcp_nodelay_and_keepalive():
    assert Client().transport.socket.options == {
        (socket.IPPROTO_TCP, socket.TCP_NODELAY, 1),
        (socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1),
        (socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0)),
    }


def test_client_sockets_are_reset_by_the_end_of_the_process_except_with_tls(monkeypatch):
    monkeypatch.setattr(transport, "describe", lambda _: None)
    assert Client().transport.socket.resets
    monkeypatch.setattr(transport, "describe", lambda _: "TLS")
    assert not Client(ssl_object=object()).transport.socket.resets


def test_reset_closes_the_socket_without_lingering():
    client = Client()
    client.protocol.reset()
    assert (socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0)) in client.transport.socket.options
    assert client.transport.aborted


def test_client_that_is_not_admitted_is_dropped():
    client = Client(admitted=False)
    assert client.transport.aborted
    assert client.connection is None
    client.receive(b"late")
    client.protocol.connection_lost(None)
    assert client.forgotten == []


def test_certificate_is_checked_even_if_its_client_is_not_admitted(monkeypatch):
    """The client may come back with the session that has begun."""
    seen = []
    monkeypatch.setattr(transport, "describe", seen.append)
    client = Client(admitted=False, ssl_object="tls")
    assert client.transport.aborted
    assert seen == ["tls"]


def test_client_with_an_unacceptable_certificate_is_dropped(monkeypatch):
    def refuse(_):
        raise TlsError("too far")

    monkeypatch.setattr(transport, "describe", refuse)
    client = Client(ssl_object="tls")
    assert client.transport.aborted
    assert client.connection is None
    client.protocol.connection_lost(None)
    assert client.forgotten == []


def test_input_is_passed_on_at_once_and_output_written_once_per_turn():
    client = Client()
    client.receive(b"one")
    client.connection.output += b"answer one"
    client.connection.on_dirty()
    client.receive(b"two")
    client.connection.output += b", answer two"
    client.connection.on_dirty()
    assert client.transport.written == []
    client.turn()
    assert client.transport.written == [b"answer one, answer two"]
    assert client.connection.calls == [("feed", b"one"), ("feed", b"two"), ("collect",)]


def test_connection_without_output_writes_nothing():
    client = Client()
    client.connection.on_dirty()
    client.turn()
    assert client.transport.written == []


def test_output_of_each_turn_is_written():
    client = Client()
    for answer in (b"one", b"two"):
        client.connection.output = answer
        client.connection.on_dirty()
        client.turn()
    assert client.transport.written == [b"one", b"two"]


def test_connection_is_notified_when_its_socket_is_full():
    client = Client()
    client.protocol.pause_writing()
    assert client.connection.calls == [("set_writable", False)]
    client.turn()
    assert client.connection.calls == [("set_writable", False)]


def test_waiting_output_is_written_when_the_socket_is_writable_again():
    client = Client()
    client.protocol.pause_writing()
    client.protocol.resume_writing()
    client.connection.output = b"waited"
    client.turn()
    assert client.connection.calls == [("set_writable", False), ("set_writable", True), ("collect",)]
    assert client.transport.written == [b"waited"]


def test_a_socket_with_more_to_read_waits_for_the_next_turn():
    client = Client()
    rest = client.receive(b"0123456789abcdef" + b"more")
    assert rest == b"more"
    assert client.connection.calls == [("feed", b"0123456789abcdef")]
    client.turn()
    assert client.receive(rest) == b""
    assert client.connection.calls[-1] == ("feed", b"more")


def test_read_buffer_is_requested_for_the_missing_part_of_a_large_body():
    client = Client()
    client.connection.wanted = 100_000
    client.receive(b"some of it")
    assert client.reading.missing[-1] == 100_000


def test_socket_that_fills_its_read_buffer_pauses_until_it_is_resumed():
    client = Client()
    client.receive(bytes(15))
    assert (client.reading.waiting, client.reading.said) == ([], [bytes(15)])
    client.receive(bytes(16))
    assert client.reading.waiting == [client.protocol]
    client.protocol.end_turn()
    assert not client.transport.reading
    client.reading.read_on()
    assert client.transport.reading


def test_connection_can_be_lost_while_its_socket_waits_to_be_read():
    client = Client()
    client.receive(bytes(16))
    client.protocol.connection_lost(None)
    client.reading.read_on()
    assert client.forgotten == [client.protocol]


def test_connection_that_stopped_reading_is_not_read_in_the_next_turn():
    client = Client()
    client.connection.reading = False
    rest = client.receive(b"0123456789abcdef" + b"more")
    client.turn()
    assert client.receive(rest) == b"more"


def test_reading_pauses_at_once_when_the_connection_stops_it():
    client = Client()
    client.connection.reading = False
    client.receive(b"too much")
    assert not client.transport.reading


def test_reading_is_paused_and_resumed_at_the_end_of_a_turn():
    client = Client()
    for reading in (False, True):
        client.connection.reading = reading
        client.connection.on_dirty()
        client.turn()
        assert client.transport.reading is reading


def test_closing_connection_writes_its_last_output_and_reads_no_more():
    client = Client()
    client.connection.closing = True
    client.connection.output = b"close"
    client.connection.on_dirty()
    client.turn()
    assert client.transport.written == [b"close"]
    assert client.transport.closed
    client.receive(b"more")
    assert ("feed", b"more") not in client.connection.calls


@pytest.mark.parametrize("unsent", [0, 1])
def test_socket_of_a_silent_client_is_reset_at_once_with_its_unsent_output(unsent):
    client = Client()
    client.transport.unwritten = unsent
    client.connection.closing = client.connection.abandoned = True
    client.connection.on_dirty()
    client.turn()
    assert client.transport.aborted
    assert client.transport.socket.resets
    assert client.clock.next_due_ms() is None


def test_silent_client_with_tls_gets_close_notify(monkeypatch):
    monkeypatch.setattr(transport, "describe", lambda _: "TLS")
    client = Client(ssl_object=object())
    client.connection.closing = client.connection.abandoned = True
    client.connection.on_dirty()
    client.turn()
    assert client.transport.closed
    assert not client.transport.aborted


@pytest.mark.parametrize(("unsent", "resets"), [(0, True), (1, False), (None, False)])
def test_output_that_is_unsent_at_the_fin_of_a_client_is_not_lost(monkeypatch, unsent, resets):
    monkeypatch.setattr(transport, "unsent_by", lambda _: unsent)
    client = Client()
    assert not client.protocol.eof_received()
    assert client.transport.socket.resets is resets


def test_fin_of_a_client_that_was_refused_is_ignored():
    client = Client()
    client.protocol.connection_lost(None)
    assert not client.protocol.eof_received()


def test_finish_closes_the_socket_with_fin():
    client = Client()
    client.protocol.finish()
    assert client.transport.aborted
    assert not client.transport.socket.resets
    client.protocol.connection_lost(None)
    client.protocol.finish()


def test_peer_that_does_not_read_the_last_output_is_dropped():
    client = Client()
    client.connection.closing = True
    client.connection.on_dirty()
    client.turn()
    client.clock.advance(LINGER_MS - 1)
    assert not client.transport.aborted
    client.clock.advance(1)
    assert client.transport.aborted


def test_loss_of_a_socket_is_reported_once_and_its_client_forgotten():
    client = Client()
    client.connection.closing = True
    client.connection.on_dirty()
    client.turn()
    client.protocol.connection_lost(None)
    assert client.connection.calls[-1] == ("lost",)
    assert client.forgotten == [client.protocol]
    assert client.clock.next_due_ms() is None


def test_a_socket_lost_during_a_turn_is_not_written_to():
    client = Client()
    client.connection.output = b"answer"
    client.connection.on_dirty()
    client.protocol.connection_lost(ConnectionResetError())
    client.turn()
    assert client.transport.written == []
    assert client.connection.calls == [("lost",)]


@pytest.mark.parametrize(
    ("call", "provoke"),
    [
        ("feed", lambda client: client.receive(b"data")),
        ("collect", lambda client: client.connection.on_dirty()),
        ("set_writable", lambda client: client.protocol.pause_writing()),
        ("shutdown", lambda client: client.protocol.shutdown()),
    ],
)
def test_internal_error_of_a_connection_is_logged_once_and_drops_it(call, provoke, caplog):
    client = Client()
    client.connection.fails_in = call
    with caplog.at_level(logging.ERROR):
        provoke(client)
        client.turn()
    assert client.transport.aborted
    assert [record.exc_info[0] for record in caplog.records] == [RuntimeError]


def test_client_is_forgotten_even_if_handling_its_loss_fails(caplog):
    client = Client()
    client.connection.fails_in = "lost"
    with caplog.at_level(logging.ERROR):
        client.protocol.connection_lost(None)
    assert client.forgotten == [client.protocol]
    assert len(caplog.records) == 1


@pytest.mark.parametrize("failing", ["set_options", "Peer"])
def test_client_whose_setup_fails_is_dropped_and_forgotten(failing, monkeypatch, caplog):
    def fail(*_, **__):
        raise RuntimeError("failing")

    monkeypatch.setattr(transport, failing, fail)
    client = Client()
    assert client.transport.aborted
    client.protocol.connection_lost(None)
    assert client.forgotten == [client.protocol]
    assert [record.exc_info[0] for record in caplog.records] == [RuntimeError]


def test_client_with_an_unreadable_certificate_is_dropped(monkeypatch, caplog):
    monkeypatch.setattr(transport, "describe", lambda _: {}["missing"])
    client = Client(ssl_object="tls")
    assert client.transport.aborted
    client.protocol.connection_lost(None)
    assert client.forgotten == []


@pytest.mark.parametrize(
    ("call", "provoke"),
    [
        ("feed", lambda client: client.receive(b"data")),
        ("collect", lambda client: client.protocol.end_turn()),
        ("shutdown", lambda client: client.protocol.shutdown()),
        ("lost", lambda client: client.protocol.connection_lost(None)),
    ],
)
def test_connection_is_dropped_even_if_logging_its_error_fails(call, provoke, monkeypatch):
    def fail(*_, **__):
        raise RuntimeError("no log")

    monkeypatch.setattr(transport.log, "exception", fail)
    client = Client()
    client.connection.fails_in = call
    with pytest.raises(RuntimeError, match="no log"):
        provoke(client)
    assert client.transport.aborted or client.forgotten == [client.protocol]


def test_a_socket_that_cannot_be_written_to_is_dropped(monkeypatch, caplog):
    client = Client()
    monkeypatch.setattr(client.transport, "write", lambda _: {}["missing"])
    client.connection.output = b"answer"
    client.connection.on_dirty()
    client.turn()
    assert client.transport.aborted


def test_shutdown_is_passed_to_the_connection_unless_it_is_lost():
    client = Client()
    client.protocol.shutdown()
    assert client.connection.calls == [("shutdown",)]
    client.protocol.connection_lost(None)
    client.protocol.shutdown()
    client.protocol.abort()
    assert client.connection.calls == [("shutdown",), ("lost",)]
    assert not client.transport.aborted


def test_another_protocol_handler_can_be_put_before_the_connection():
    client = Client()
    client.receive(b"one")
    other = Connection(None, client.protocol.on_dirty)
    client.protocol.interpose(lambda connection: other if connection is client.connection else None)
    client.receive(b"two")
    assert (client.connection.calls, other.calls) == ([("feed", b"one")], [("feed", b"two")])


def test_lost_connection_gets_no_other_protocol_handler():
    client = Client()
    client.protocol.connection_lost(None)
    client.protocol.interpose(pytest.fail)


def test_socket_is_passed_to_another_protocol_handler_with_everything_that_was_sent_before():
    client, other = Client(), object()
    client.connection.output = b"last"
    client.connection.on_dirty()
    assert client.protocol.hand_over(other) == (client.transport, b"rest")
    assert (client.transport.protocol, client.transport.reading) == (other, False)
    assert client.transport.written == [b"last"]
    assert client.forgotten == [client.protocol]
    calls = list(client.connection.calls)
    client.turn()
    client.protocol.shutdown()
    client.protocol.abort()
    client.protocol.on_dirty()
    client.turn()
    assert (client.connection.calls, client.transport.aborted) == (calls, False)
    assert ("lost",) not in calls


def test_socket_with_further_data_is_not_read_after_it_is_passed_on():
    client = Client()
    client.receive(bytes(40))
    client.protocol.hand_over(object())
    client.turn()
    assert not client.transport.reading


@pytest.mark.parametrize("end", ["lost", "closing", "closed", "failing"])
def test_socket_of_an_ended_connection_is_not_passed_on(end, caplog):
    client = Client()
    if end == "lost":
        client.protocol.connection_lost(None)
    elif end == "closing":
        client.connection.closing = True
    elif end == "closed":
        client.transport.closed = True
    else:
        client.connection.fails_in = "collect"
    assert client.protocol.hand_over(object()) is None
    assert client.transport.protocol is None


class Asker:
    """Two clients on one tick; the second one gets output whenever the first one sends."""

    def __init__(self):
        self.scheduled = []
        self.written = []
        self.tick = Tick(self.scheduled.append, lambda: None, pytest.fail)
        self.asking, self.hearing = self.client("answer"), self.client("news")

    def client(self, says):
        protocol = ClientTransport(Reading(), self.connect, ManualClock(), self.tick, lambda _: True, lambda _: None)
        transport = Transport()
        transport.write = lambda data: self.written.append(says)
        protocol.connection_made(transport)
        return protocol

    def connect(self, peer, transport):
        connection = Connection(peer, transport.on_dirty)
        connection.feed = lambda data: self.react(connection)
        return connection

    def react(self, connection):
        for each in (connection, self.hearing._connection):
            each.output = b"x"
            each.on_dirty()

    def turn(self):
        for callback in [self.scheduled.pop() for _ in range(len(self.scheduled))]:
            callback()


def test_other_clients_are_notified_before_a_request_is_answered():
    clients = Asker()
    clients.asking.get_buffer(-1)
    clients.asking.buffer_updated(1)
    clients.turn()
    assert clients.written == ["news", "answer"]


def test_other_clients_are_notified_before_a_buffered_request_is_answered():
    """Frames in the connection's buffer are handled at the end of an event loop iteration, after output is written."""
    clients = Asker()
    connection = clients.asking._connection
    connection.collect = lambda: clients.react(connection) or []
    clients.tick.mark(clients.asking)
    clients.turn()
    connection.collect = lambda: [b"x"]
    clients.turn()
    assert clients.written == ["news", "answer"]
