import socket

import pytest

from amqpbroker.clock import ManualClock
from amqpbroker.server import ending
from amqpbroker.server.ending import CHECK_MS, LINGER_MS, Ending
from amqpbroker.server.socket_options import reset_when_closed
from tests.server.stand_ins import Transport


class Case:
    """An ending of a stand-in's socket, of whose bytes `unsent` are not at the client's host."""

    def __init__(self, monkeypatch, unsent, **extra):
        self.unsent = unsent
        self.clock = ManualClock()
        self.transport = Transport(**extra)
        reset_when_closed(self.transport.socket)
        monkeypatch.setattr(ending, "unsent_by", lambda _: self.unsent)
        self.ending = Ending(self.clock, self.transport)
        self.ending.begin()

    @property
    def resets(self):
        return self.transport.socket.resets

    @property
    def ends(self):
        return self.transport.aborted


def test_socket_whose_output_is_sent_is_reset_at_once(monkeypatch):
    case = Case(monkeypatch, unsent=0)
    assert (case.ends, case.resets) == (True, True)
    assert case.clock.next_due_ms() is None


def test_socket_is_reset_once_its_output_is_sent(monkeypatch):
    case = Case(monkeypatch, unsent=1)
    case.clock.advance(LINGER_MS - CHECK_MS)
    assert not case.transport.is_closing()
    case.unsent = 0
    case.clock.advance(CHECK_MS)
    assert (case.ends, case.resets) == (True, True)


def test_socket_ends_with_fin_if_its_output_is_not_sent_in_time(monkeypatch):
    case = Case(monkeypatch, unsent=1)
    case.clock.advance(LINGER_MS - 1)
    assert not case.ends
    case.clock.advance(1)
    assert (case.ends, case.resets) == (True, False)
    assert case.clock.next_due_ms() is None


def test_system_that_does_not_report_unsent_bytes_ends_the_socket_with_fin(monkeypatch):
    case = Case(monkeypatch, unsent=None)
    assert (case.transport.closed, case.resets) == (True, False)
    case.clock.advance(LINGER_MS - 1)
    assert not case.ends
    case.clock.advance(1)
    assert case.ends


@pytest.mark.parametrize(("unsent", "after_ms"), [(0, CHECK_MS), (1, LINGER_MS), (None, LINGER_MS)])
def test_tls_sends_close_notify_and_does_not_wait_for_that_of_the_client(monkeypatch, unsent, after_ms):
    case = Case(monkeypatch, unsent, ssl_object=object())
    assert case.transport.closed
    case.clock.advance(after_ms - 1)
    assert not case.ends
    case.clock.advance(1)
    assert case.ends


def test_tls_waits_for_two_checks_in_a_row_without_unsent_bytes(monkeypatch):
    case = Case(monkeypatch, 0, ssl_object=object())
    case.unsent = 1
    case.clock.advance(CHECK_MS)
    case.unsent = 0
    case.clock.advance(CHECK_MS)
    assert not case.ends
    case.clock.advance(CHECK_MS)
    assert case.ends


@pytest.mark.parametrize("unsent", [1, None])
def test_ending_of_a_closed_socket_is_cancelled(monkeypatch, unsent):
    case = Case(monkeypatch, unsent)
    case.ending.cancel()
    assert case.clock.next_due_ms() is None


def test_unsent_bytes_are_those_of_the_event_loop_or_of_the_kernel():
    ours, theirs = socket.socketpair()
    with ours, theirs:
        transport = Transport(socket=ours)
        assert not ending.unsent_by(transport)
        transport.unwritten = 7
        assert ending.unsent_by(transport) == 7
