"""A link over a transport that records its calls."""

import asyncio

import pytest

from amqpbroker.client.link import MAX_READ_BYTES, READ_BYTES, Link, LinkReceiver
from amqpbroker.client.login import PROTOCOL_HEADER, LinkError, Login
from amqpbroker.wire import methods
from amqpbroker.wire.frames import FRAME_HEAD, HEARTBEAT_FRAME, METHOD, frame


class Transport(asyncio.Transport):
    def __init__(self):
        super().__init__()
        self.written = b""
        self.calls = []
        self.protocol = None

    def set_write_buffer_limits(self, high=None, low=None):
        pass

    def write(self, data):
        self.written += data

    def is_closing(self):
        return False

    def pause_reading(self):
        self.calls.append("pause")

    def resume_reading(self):
        self.calls.append("resume")

    def close(self):
        self.calls.append("close")
        asyncio.get_running_loop().call_soon(self.protocol.connection_lost, None)

    def abort(self):
        self.calls.append("abort")
        asyncio.get_running_loop().call_soon(self.protocol.connection_lost, None)


class Recorder(LinkReceiver):
    def __init__(self):
        self.failures = []
        self.fulls = []
        self.over = asyncio.Event()

    def failed(self, error):
        self.failures.append(str(error))
        self.over.set()

    def full(self, full):
        self.fulls.append(full)


@pytest.fixture
async def link():
    link = Link(asyncio.get_running_loop(), memoryview(bytearray(MAX_READ_BYTES)))
    link.transport = link_transport = Transport()
    link_transport.protocol = link
    link.connection_made(link_transport)
    link.seen = Recorder()
    link.listen(link.seen)
    yield link
    link.abort()
    await asyncio.sleep(0)


def came(link, data):
    buffer = link.get_buffer(-1)
    buffer[: len(data)] = data
    link.buffer_updated(len(data))


def method(name, channel=0, **arguments):
    return frame(METHOD, channel, methods.encode(name, **arguments))


async def test_opening_logs_in_and_opens_a_channel(link):
    login = Login({}, ("PLAIN",), "guest", "guest", lambda suggested_s: 0, frame_max=8192)
    opening = asyncio.ensure_future(link.open(login, "/v"))
    tune = {"channel_max": 10, "frame_max": 65536, "heartbeat": 60}
    start = {"mechanisms": b"PLAIN"}
    for answer in (method("connection.start", **start), method("connection.tune", **tune)):
        await asyncio.sleep(0)
        came(link, answer)
        await asyncio.sleep(0)
    for answer in (method("connection.open-ok"), method("channel.open-ok", 1)):
        await asyncio.sleep(0)
        came(link, answer)
    await opening
    assert link.client.frame_max == 8192
    assert link.transport.written == (
        PROTOCOL_HEADER
        + login.start_ok(start)
        + method("connection.tune-ok", **(tune | {"frame_max": 8192, "heartbeat": 0}))
        + method("connection.open", virtual_host="/v")
        + method("channel.open", 1)
    )


async def test_writes_of_one_iteration_are_sent_together(link):
    link.write(b"a")
    link.write(b"b")
    assert link.transport.written == b""
    await asyncio.sleep(0)
    assert link.transport.written == b"ab"


async def test_heartbeats_are_sent_and_missed(link):
    link.start_heartbeats(0.01)
    await link.seen.over.wait()
    assert link.seen.failures == ["missed heartbeats"]
    assert set(link.transport.written.split(HEARTBEAT_FRAME)) == {b""}
    assert link.transport.calls == ["abort"]


async def test_client_misses_no_heartbeats_while_reading_is_paused(link):
    link.read(False)
    link.start_heartbeats(0.002)
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(link.seen.over.wait(), 0.03)
    assert link.transport.calls == ["pause"]


async def test_reading_pauses_after_a_full_buffer(link):
    assert len(link.get_buffer(-1)) == READ_BYTES
    came(link, HEARTBEAT_FRAME * (READ_BYTES // len(HEARTBEAT_FRAME)))
    assert link.transport.calls == ["pause"]
    await asyncio.sleep(0)
    assert link.transport.calls == ["pause", "resume"]
    came(link, HEARTBEAT_FRAME)
    assert link.transport.calls == ["pause", "resume"]


async def test_the_rest_of_a_large_frame_is_read_at_once(link):
    came(link, FRAME_HEAD.pack(3, 1, 100_000) + b"x" * 10)
    assert len(link.get_buffer(-1)) == 100_000 - 10 + 1 + 8
    came(link, b"x" * (100_000 - 10) + b"\xce")
    assert len(link.get_buffer(-1)) == READ_BYTES < MAX_READ_BYTES


async def test_stopped_reading_is_not_resumed_by_the_next_iteration(link):
    came(link, HEARTBEAT_FRAME * (READ_BYTES // len(HEARTBEAT_FRAME)))
    link.read(False)
    await asyncio.sleep(0)
    assert "resume" not in link.transport.calls


async def test_close_waits_for_close_ok(link):
    closing = asyncio.ensure_future(link.close())
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert link.transport.written.startswith(frame(METHOD, 0, methods.encode("connection.close"))[:3])
    came(link, frame(METHOD, 0, methods.encode("connection.close-ok")))
    await closing
    assert link.transport.calls == ["close"]
    assert link.seen.failures == []


async def test_close_without_an_answer_times_out(link, monkeypatch):
    monkeypatch.setattr("amqpbroker.client.link.CLOSE_S", 0.01)
    await link.close()
    assert link.transport.calls == ["abort"]


async def test_a_lost_connection_fails_the_link(link):
    link.connection_lost(ConnectionResetError("reset"))
    assert link.seen.failures == ["the connection was lost: reset"]
    with pytest.raises(LinkError, match="reset"):
        link.listen(link.seen)
    await link.close()


async def test_backpressure_is_reported(link):
    link.pause_writing()
    link.resume_writing()
    assert link.seen.fulls == [True, False]
