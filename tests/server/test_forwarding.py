"""Connections that a waiting broker passes on, with real sockets and echoing servers in place of brokers."""

import asyncio
import json
import socket
from dataclasses import replace

import pytest

from amqpbroker.amqp.peer import encryption
from amqpbroker.broker.users.users import User
from amqpbroker.server import forwarding
from amqpbroker.server.forwarding import ForwardedListener, Forwarding, TooLongError, greeting
from amqpbroker.store.database.leadership import Target
from amqpbroker.wire.certificate import Certificate


def bound():
    sock = socket.socket()
    sock.setblocking(False)
    sock.bind(("127.0.0.1", 0))
    return sock


@pytest.fixture
async def connect():
    """Return a function that connects to a port; connections are closed at the end."""
    writers = []

    async def connected(port):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writers.append(writer)
        return reader, writer

    yield connected
    for writer in writers:
        writer.transport.abort()
    await asyncio.sleep(0)


class Leader:
    """Answers each client with its address, and then with what it sends."""

    def __init__(self, loop, secret="secret"):
        sock = bound()
        self.target = Target("127.0.0.1", sock.getsockname()[1], secret)
        self.served = []
        self.processes = []
        self.tls = []
        self._tasks = []
        self._listener = ForwardedListener(loop, sock, secret, {"amqp": self._serve})
        self._listener.start()

    def _serve(self, client, passed_on):
        self.served.append((passed_on.host, passed_on.port))
        self.processes.append(passed_on.process)
        self.tls.append(passed_on.tls)
        self._tasks.append(asyncio.get_running_loop().create_task(self._echo(client)))

    async def _echo(self, client):
        reader, writer = await asyncio.open_connection(sock=client)
        try:
            await self._return(reader, writer)
        finally:
            writer.close()

    async def _return(self, reader, writer):
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
            if data == b"bye":
                break

    async def close(self):
        await self._listener.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)


async def ended(reader):
    """Return whether the connection ended without any bytes."""
    try:
        return await reader.read() == b""
    except ConnectionResetError:
        return True


class Setting:
    """A waiting broker, and a leader if `target` is set."""

    def __init__(self, most=10, answers=forwarding.NO_ANSWERS):
        self.loop = asyncio.get_running_loop()
        self.target = None
        sock = bound()
        self.port = sock.getsockname()[1]
        self.forwarding = Forwarding(self.loop, {"amqp": [sock]}, lambda: self.target, most, answers, "waiting")
        self.forwarding.start()
        self._socket = sock

    async def close(self):
        await self.forwarding.close()
        self._socket.close()


async def test_bytes_are_passed_on_in_both_directions_with_the_address_of_the_client(connect):
    setting = Setting()
    leader = Leader(setting.loop)
    setting.target = leader.target
    reader, writer = await connect(setting.port)
    data = bytes(range(256)) * 4000
    writer.write(data)
    assert await reader.readexactly(len(data)) == data
    assert leader.served == [writer.get_extra_info("sockname")]
    assert leader.processes == ["waiting"]
    writer.write_eof()
    assert await reader.read() == b""
    await setting.close()
    await leader.close()


async def test_a_client_waits_until_there_is_a_leader(connect):
    setting = Setting()
    leader = Leader(setting.loop)
    reader, writer = await connect(setting.port)
    writer.write(b"early")
    await asyncio.sleep(2 * forwarding.LOOK_S)
    setting.target = leader.target
    assert await reader.readexactly(5) == b"early"
    await setting.close()
    await leader.close()


async def test_a_client_is_disconnected_if_no_broker_leads(monkeypatch, connect):
    monkeypatch.setattr(forwarding, "LEADER_S", 0.1)
    setting = Setting()
    reader, _ = await connect(setting.port)
    assert await ended(reader)
    await setting.close()


async def test_a_client_is_disconnected_if_the_leader_is_gone(connect):
    setting = Setting()
    leader = Leader(setting.loop)
    await leader.close()
    setting.target = leader.target
    reader, _ = await connect(setting.port)
    assert await ended(reader)
    await setting.close()


async def test_connections_end_when_the_broker_stops_to_wait(connect):
    setting = Setting()
    leader = Leader(setting.loop)
    setting.target = leader.target
    reader, writer = await connect(setting.port)
    writer.write(b"x")
    assert await reader.readexactly(1) == b"x"
    await setting.close()
    assert await ended(reader)
    await leader.close()


async def test_connections_are_limited(connect):
    setting = Setting(most=2)
    leader = Leader(setting.loop)
    setting.target = leader.target
    for _ in range(2):
        reader, writer = await connect(setting.port)
        writer.write(b"x")
        assert await reader.readexactly(1) == b"x"
    reader, _ = await connect(setting.port)
    assert await reader.read() == b""
    assert len(leader.served) == 2
    await setting.close()
    await leader.close()


TLS = encryption("TLS_AES_256_GCM_SHA384", "TLSv1.3")


async def test_a_greeting_has_the_tls_parameters_of_the_client(connect):
    leader = Leader(asyncio.get_running_loop())
    reader, writer = await connect(leader.target.port)
    writer.write(greeting("secret", await reader.readexactly(16), "amqp", "h", 1, "p", TLS) + b"x")
    assert await reader.readexactly(1) == b"x"
    assert leader.tls == [TLS]
    await leader.close()


def certified(names):
    """Return TLS parameters with a certificate that has so many alternative names."""
    alternative = tuple(("dns", f"host-{number}.example") for number in range(names))
    return replace(TLS, certificate=Certificate("CN=a", "CN=b", "from - to", ("a",), alternative))


async def test_a_greeting_with_many_names_is_accepted(connect):
    leader = Leader(asyncio.get_running_loop())
    reader, writer = await connect(leader.target.port)
    writer.write(greeting("secret", await reader.readexactly(16), "amqp", "h", 1, tls=certified(800)) + b"x")
    assert await reader.readexactly(1) == b"x"
    assert leader.tls == [certified(800)]
    await leader.close()


def test_a_greeting_with_too_many_names_cannot_be_made():
    with pytest.raises(TooLongError):
        greeting("secret", bytes(16), "amqp", "h", 1, tls=certified(2000))


def framed(told):
    text = json.dumps(told).encode()
    return len(text).to_bytes(2, "big") + text


def signed(nonce, facts):
    return framed([forwarding._code("secret", nonce, facts), *facts])


#: Name -> what is sent to the leader, by its nonce.
WRONG = {
    "another secret": lambda nonce: greeting("wrong", nonce, "amqp", "h", 1),
    "no secret": lambda nonce: greeting("", nonce, "amqp", "h", 1),
    "an earlier greeting": lambda nonce: greeting("secret", bytes(16), "amqp", "h", 1),
    "another protocol": lambda nonce: greeting("secret", nonce, "http", "h", 1),
    "another address": lambda nonce: greeting("secret", nonce, "amqp", "h", 1).replace(b'"h"', b'"g"'),
    "AMQP": lambda nonce: b"AMQP\0\0\x09\x01",
    "too long": lambda nonce: b"\xff\xff" + bytes(2000),
    "a port that is none": lambda nonce: greeting("secret", nonce, "amqp", "h", "1"),
    "another process": lambda nonce: greeting("secret", nonce, "amqp", "h", 1, "p").replace(b'"p"', b'"q"'),
    "a user that is none": lambda nonce: signed(nonce, ["amqp", "h", 1, "p", None, ["ann", "bob"]]),
    "a user of another type": lambda nonce: signed(nonce, ["amqp", "h", 1, "p", None, [1]]),
    "another user": lambda nonce: greeting("secret", nonce, "amqp", "h", 1, user=User("u1")).replace(b'"u1"', b'"u2"'),
    "a process that is none": lambda nonce: greeting("secret", nonce, "amqp", "h", 1, 1),
    "a host that is none": lambda nonce: greeting("secret", nonce, "amqp", 1, 1),
    "other TLS parameters": lambda nonce: greeting("secret", nonce, "amqp", "h", 1, "p", TLS).replace(b"any", b"all"),
    "TLS parameters that are none": lambda nonce: signed(nonce, ["amqp", "h", 1, "p", ["x"]]),
    "two TLS parameters": lambda nonce: signed(nonce, ["amqp", "h", 1, "p", TLS.facts(), TLS.facts()]),
    "a short list with its code": lambda nonce: signed(nonce, ["amqp", "h", 1]),
    "a short list": lambda nonce: framed(["x"]),
    "no list": lambda nonce: framed(1),
    "nested too deeply": lambda nonce: (5_000).to_bytes(2, "big") + b"[" * 5_000,
    "no JSON": lambda nonce: b"\0\x01[",
    "no text": lambda nonce: b"\0\x04\xff\xff\xff\xff",
    "a code that is none": lambda nonce: framed([1, "amqp", "h", 1, ""]),
}


@pytest.mark.parametrize("sent", WRONG.values(), ids=WRONG)
async def test_a_wrong_greeting_ends_the_connection(sent, connect):
    leader = Leader(asyncio.get_running_loop())
    reader, writer = await connect(leader.target.port)
    writer.write(sent(await reader.readexactly(16)))
    assert await ended(reader)
    assert leader.served == []
    await leader.close()


async def test_a_greeting_that_does_not_arrive_ends_the_connection(monkeypatch, connect):
    monkeypatch.setattr(forwarding, "GREETING_S", 0.1)
    leader = Leader(asyncio.get_running_loop())
    for size in (0, 1, -1):
        reader, writer = await connect(leader.target.port)
        nonce = await reader.readexactly(16)
        writer.write(greeting("secret", nonce, "amqp", "h", 1)[:size])
        assert await ended(reader)
    assert leader.served == []
    await leader.close()


async def test_connections_to_an_earlier_leader_end(connect):
    setting = Setting()
    leaders = [Leader(setting.loop) for _ in range(2)]
    setting.target = leaders[0].target
    reader, writer = await connect(setting.port)
    writer.write(b"x")
    assert await reader.readexactly(1) == b"x"
    setting.target = None
    await asyncio.sleep(2 * forwarding.OTHERS_S)
    writer.write(b"y")
    assert await reader.readexactly(1) == b"y"
    setting.target = leaders[1].target
    assert await ended(reader)
    await setting.close()
    for leader in leaders:
        await leader.close()


async def test_a_client_is_not_waited_for_when_the_leader_has_ended_its_connection(connect):
    setting = Setting(most=1)
    leader = Leader(setting.loop)
    setting.target = leader.target
    for _ in range(3):
        reader, writer = await connect(setting.port)
        writer.write(b"bye")
        assert await reader.read() == b"bye"
        while setting.forwarding._tasks:
            await asyncio.sleep(0.01)
    await setting.close()
    await leader.close()


@pytest.mark.parametrize("rest", [b"", b"Host: h\r\nAccept: */*\r\n"])
async def test_a_question_is_answered_without_a_leader(rest, connect):
    setting = Setting(answers={"amqp": lambda line: b"no: " + line})
    reader, writer = await connect(setting.port)
    writer.write(b"GET /leader/x HTTP/1.0\r\n" + rest)
    await asyncio.sleep(0.02)
    writer.write(b"\r\n")
    assert await reader.read() == b"no: GET /leader/x HTTP/1.0\r\n"
    await setting.close()


async def test_connections_without_a_greeting_are_limited(connect):
    leader = Leader(asyncio.get_running_loop())
    waiting = [await connect(leader.target.port) for _ in range(forwarding.MOST_GREETINGS)]
    reader, _ = await connect(leader.target.port)
    assert await ended(reader)
    assert len(waiting) == forwarding.MOST_GREETINGS
    await leader.close()
