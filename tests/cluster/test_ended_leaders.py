"""Leaders whose ports refuse connections, with real sockets on loopback."""

import contextlib
import socket
import threading

import pytest

from amqpbroker.cluster import ended_leaders
from amqpbroker.cluster.ended_leaders import AGAIN_S, EndedLeaders
from amqpbroker.cluster.leadership.leadership import Leader, Target


@pytest.fixture
def listening():
    with contextlib.closing(socket.create_server(("127.0.0.1", 0))) as sock:
        yield sock


def leader(port, host="127.0.0.1", process="process"):
    return Leader("a", "a:5672", process, Target(host, port, "secret"))


class Clock:
    def __init__(self):
        self.now_s = 0.0

    def __call__(self):
        return self.now_s


def test_a_leader_has_ended_once_its_port_refuses_connections(listening):
    port, clock = listening.getsockname()[1], Clock()
    ended = EndedLeaders(clock)
    assert not ended.has_ended(leader(port))
    listening.close()
    # A leader of many vhosts is asked once in a step.
    assert not ended.has_ended(leader(port))
    clock.now_s += AGAIN_S
    assert ended.has_ended(leader(port))
    # Another process may listen there now, which is not that of the leader.
    with socket.create_server(("127.0.0.1", port)):
        assert ended.has_ended(leader(port))
        assert not ended.has_ended(leader(port, process="next"))


def test_a_leader_without_a_port_may_run():
    assert not EndedLeaders().has_ended(leader(0))


@pytest.mark.parametrize("error", [TimeoutError(), OSError(113, "No route to host"), socket.gaierror(-2, "unknown")])
def test_any_other_answer_than_a_refusal_proves_nothing(monkeypatch, error):
    def connect(address, timeout_s, all_errors):
        raise error

    monkeypatch.setattr(ended_leaders.socket, "create_connection", connect)
    assert not EndedLeaders().has_ended(leader(1))


def test_all_addresses_of_a_host_have_to_refuse(monkeypatch):
    errors = [ConnectionRefusedError(), TimeoutError()]

    def connect(address, timeout_s, all_errors):
        assert all_errors
        raise ExceptionGroup("no connection", errors)

    monkeypatch.setattr(ended_leaders.socket, "create_connection", connect)
    assert not EndedLeaders().has_ended(leader(1))
    del errors[1]
    assert EndedLeaders().has_ended(leader(1))


def test_the_sharing_does_not_wait_for_the_address_of_a_host(monkeypatch):
    known = threading.Event()

    def connect(address, timeout_s, all_errors):
        assert known.wait(60)
        raise ExceptionGroup("no connection", [ConnectionRefusedError()])

    monkeypatch.setattr(ended_leaders.socket, "create_connection", connect)
    monkeypatch.setattr(ended_leaders, "CONNECT_S", 0.0)
    ended = EndedLeaders(Clock())
    assert not ended.has_ended(leader(1))
    known.set()
    assert ended._last.done.wait(60)
    assert ended.has_ended(leader(1))
