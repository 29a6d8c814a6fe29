"""The ends of connections: as RabbitMQ ends them, on a broker in this process and on one with sockets."""

import time

import pytest

from amqpbroker.clock import ManualClock
from conformance import endings, methods
from conformance.endings import PROBES, Ending, SocketWire
from tests.certificates import Authority
from tests.harness import Wire, make_broker
from tests.process import BrokerProcess

#: The client ends the connection itself with FIN. This broker then closes its socket at once; RabbitMQ sometimes waits.
BY_CLIENT = {name for name in PROBES if name.endswith(", FIN")}

#: Probes for the acts of the server: the end after an answer, at a deadline, and of a silent client.
WITH_SOCKETS = [
    "bad header",
    "wrong password",
    "open, silent",
    "open, bad end of frame",
    "504, silent",
    "504, close-ok",
    "close-ok, silent",
]


class InProcess(endings.Wire):
    """A connection to a broker in this process, whose clock moves while the probe waits."""

    def __init__(self):
        self.clock = ManualClock()
        self._client = Wire(make_broker(self.clock))
        self._output = b""
        super().__init__()

    def now_s(self):
        return self.clock.now_ms() / 1000

    def send(self, data):
        if self._client.connection.closing:
            raise ConnectionResetError
        self._client.feed(data)
        self._output += self._client.turn()

    def shut(self):
        raise NotImplementedError

    def receive(self, wait_s):
        until = self.clock.now_ms() + int(wait_s * 1000)
        while not self._output and not self._client.connection.closing and self.clock.now_ms() < until:
            due = self.clock.next_due_ms()
            self.clock.advance(min(until if due is None else due, until) - self.clock.now_ms())
            self._output += self._client.turn()
        data, self._output = self._output, b""
        return data, "RST" if not data and self._client.connection.closing else ""

    def close(self):
        return False, False


def ending_in_process(name: str) -> Ending:
    return PROBES[name](InProcess())


@pytest.mark.parametrize("name", [name for name in PROBES if name not in BY_CLIENT])
def test_connection_ends_as_in_rabbitmq(name: str) -> None:
    found = {name: ending_in_process(name)}
    assert not endings.differences(found, endings.recorded(tls=False), late_s=0.05)


def test_all_probes_are_recorded_without_and_with_tls() -> None:
    assert set(endings.recorded(tls=False)) == set(endings.recorded(tls=True)) == set(PROBES)


def test_a_difference_is_reported() -> None:
    recorded = endings.recorded(tls=False)
    for name, other in (("bad header", "open, silent"), ("504, silent", "504, silent, heartbeat 2")):
        assert len(endings.differences({name: recorded[other]}, recorded)) == 1


@pytest.mark.alone
@pytest.mark.parametrize("tls", [False, True], ids=["plain", "tls"])
def test_sockets_end_as_in_rabbitmq(tmp_path, tls) -> None:
    server = Authority(tmp_path).issue("localhost")
    settings = [
        *("--set", "listeners.ssl.1=127.0.0.1:0"),
        *("--set", f"ssl_options.certfile={server.certfile}"),
        *("--set", f"ssl_options.keyfile={server.keyfile}"),
    ]
    with BrokerProcess(tmp_path, *settings) as broker:
        port = broker.port_of("amqp/ssl") if tls else broker.port
        found = endings.run(port, tls, WITH_SOCKETS)
    assert not endings.differences(found, endings.recorded(tls))


def test_client_that_reads_late_gets_all_output_before_the_reset(tmp_path) -> None:
    body = bytes(100_000)
    message = methods.frame(methods.HEADER, 1, methods.encode_header(len(body), {}))
    message += methods.frame(methods.BODY, 1, body)
    with BrokerProcess(tmp_path) as broker:
        wire = endings.channel_opened(SocketWire(broker.port, tls=False))
        wire.method("queue.declare", 1, queue="q")
        for _ in range(200):
            wire.send(endings.method("basic.publish", 1, routing_key="q") + message)
        wire.method("basic.consume", 1, queue="q", no_ack=True)
        wire.wait("queue.declare-ok")
        wire.method("connection.open")  # refused with 504
        time.sleep(3)  # the deadline of the close, one heartbeat interval, is over
        ending = wire.end()
    assert (ending.by, ending.frames[-1]) == ("RST", "connection.close 504")


def test_socket_of_a_killed_broker_is_reset(tmp_path) -> None:
    with BrokerProcess(tmp_path, in_order=False) as broker:
        wire = endings.opened(SocketWire(broker.port, tls=False))
        broker.process.kill()
        assert wire.end().by == "RST"
