"""The beginning of a connection to a leader, without a socket: each answer also in single bytes."""

import asyncio

import pytest

from amqpbroker.cluster.peers.peer_port import proof
from amqpbroker.cluster.relaying.leader_link import LeaderLink
from amqpbroker.wire.frames import frame
from tests.harness import method, single_bytes, whole
from tests.server.stand_ins import Transport

NONCE = bytes(range(16))
GREETING = b"greeting of %b, " % NONCE
PROVEN = NONCE + proof("secret", GREETING)
START = method("connection.start", 0, server_properties={}, mechanisms="PLAIN", locales="en_US")
TUNE = method("connection.tune", 0, channel_max=1, frame_max=4096, heartbeat=0)
OPEN_OK = method("connection.open-ok", 0)
CLOSE = method("connection.close", 0, reply_code=541, reply_text="no", class_id=0, method_id=0)


def fails(nonce):
    raise ValueError("too long")


class Case:
    """A link that has its transport."""

    def __init__(self, greet=lambda nonce: b"greeting of %b, " % nonce):
        self.link = LeaderLink(asyncio.get_running_loop(), "secret", greet, b"handshake")
        self.transport = Transport()
        self.link.connection_made(self.transport)

    def feed(self, data, cut=whole):
        for piece in cut(data):
            if self.transport.reading:
                self.link.data_received(piece)

    @property
    def state(self):
        """Return "waits", "ready", or the text of the error."""
        if not self.link.ready.done():
            return "waits"
        error = self.link.ready.result()
        return "ready" if error is None else str(error)


@pytest.mark.parametrize("cut", [whole, single_bytes])
async def test_handshake_is_replayed_and_the_first_methods_are_discarded(cut):
    case = Case()
    case.feed(NONCE, cut)
    assert case.transport.written == [GREETING]
    assert not case.link.greeted.done()
    case.feed(PROVEN[16:], cut)
    assert case.transport.written == [GREETING, b"handshake"]
    assert case.link.greeted.result() is None
    case.feed(START, cut)
    assert case.state == "waits"
    case.feed(TUNE, cut)
    assert (case.state, case.link.rest, case.transport.reading) == ("ready", b"", False)


async def test_bytes_behind_the_discarded_methods_are_left_for_the_client():
    case = Case()
    case.feed(PROVEN + START + TUNE + OPEN_OK + b"x")
    assert (case.state, case.link.rest) == ("ready", OPEN_OK + b"x")


@pytest.mark.parametrize("before", [b"", START])
async def test_a_close_of_the_leader_is_left_for_the_client(before):
    case = Case()
    case.feed(PROVEN + before + CLOSE)
    assert (case.state, case.link.rest, case.transport.reading) == ("ready", CLOSE, False)


@pytest.mark.parametrize(
    ("received", "error"),
    [
        (b"HTTP/1.1 200 OK", "the leader answers with something else than AMQP"),
        (START + b"\1\0\1\0\0\0\4\0\x0a\0\x1e\xce", "the leader answers with something else than AMQP"),
        (b"\1\0\0\x7f\xff\xff\xff\0\x0a\0\x0a", "the leader answers with something else than AMQP"),
        (frame(8, 0, b"") + START, "the leader answers with something else than AMQP"),
        (TUNE, "the leader answers with another method than connection.start"),
        (START[:-1] + b"\0", "the leader answers with another method than connection.start"),
        (START + START, "the leader answers with another method than connection.tune"),
        (START + OPEN_OK, "the leader answers with another method than connection.tune"),
    ],
)
async def test_another_answer_is_an_error(received, error):
    case = Case()
    case.feed(PROVEN + received)
    assert (case.state, case.transport.reading) == (error, False)


@pytest.mark.parametrize("given", [bytes(32), proof("another", GREETING), proof("secret", GREETING + b"x")])
async def test_handshake_is_not_sent_to_a_process_that_does_not_know_the_secret(given):
    case = Case()
    case.feed(NONCE + given + START + TUNE)
    assert case.transport.written == [GREETING]
    assert case.state == "another process listens there, which does not know the leader's secret"


async def test_a_greeting_that_cannot_be_made_is_an_error():
    case = Case(fails)
    case.feed(NONCE)
    assert str(case.link.greeted.result()) == case.state == "too long"
    assert case.transport.written == []


@pytest.mark.parametrize("received", [b"", NONCE, PROVEN, PROVEN + START[:-1]])
async def test_a_leader_that_closes_before_its_first_method_is_an_error(received):
    case = Case()
    case.feed(received)
    case.link.connection_lost(None)
    assert (case.state, case.link.lost) == ("the leader has closed the connection", True)


@pytest.mark.parametrize("received", [START, START + TUNE])
async def test_a_leader_that_closes_after_its_first_method_has_refused_the_client(received):
    case = Case()
    case.feed(PROVEN + received)
    case.link.connection_lost(None)
    assert (case.state, case.link.lost) == ("ready", True)


async def test_a_connection_that_was_given_up_is_lost_without_an_error():
    case = Case()
    case.link.ready.cancel()
    case.link.connection_lost(None)
    assert case.link.greeted.done()
