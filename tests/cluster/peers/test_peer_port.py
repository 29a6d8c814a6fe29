"""The port for other brokers, with real sockets and an echo in place of the broker."""

import asyncio
import errno
import json
import socket
import sys

import pytest

from amqpbroker.amqp.peer import encryption
from amqpbroker.broker.users.users import BROKER, User
from amqpbroker.cluster.leadership.leadership import Target
from amqpbroker.cluster.peers import peer_port
from amqpbroker.cluster.peers.peer_port import NONCE_BYTES, PROOF_BYTES, PeerPort, TooLongError, greeting, proof
from amqpbroker.wire.certificate import Certificate


class FaultySocket(socket.socket):
    """faults: errors of the next calls of `accept`. accepts: number of calls."""

    faults = ()
    accepts = 0

    def accept(self):
        self.accepts += 1
        if self.faults:
            raise self.faults.pop(0)
        return super().accept()


def bound():
    sock = FaultySocket()
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
        self.socket = sock = bound()
        self.target = Target("127.0.0.1", sock.getsockname()[1], secret)
        self.served = []
        self._tasks = []
        self._listener = PeerPort(loop, sock, secret, {"amqp": self._serve})
        self._listener.start()

    def _serve(self, client, passed_on):
        self.served.append(passed_on)
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


async def greeted(connect, leader, *facts, **more):
    """Connect, send a greeting, and check the proof that answers it."""
    reader, writer = await connect(leader.target.port)
    sent = greeting("secret", await reader.readexactly(NONCE_BYTES), "amqp", *facts, **more)
    writer.write(sent + b"x")
    assert await reader.readexactly(PROOF_BYTES) == proof("secret", sent)
    assert await reader.readexactly(1) == b"x"


async def test_a_greeting_has_the_address_of_the_client_and_the_process_of_the_other_broker(connect):
    leader = Leader(asyncio.get_running_loop())
    await greeted(connect, leader, "h", 1, "p")
    assert [each[1:] for each in leader.served] == [("h", 1, "p", None, None)]
    await leader.close()


TLS = encryption("TLS_AES_256_GCM_SHA384", "TLSv1.3")


async def test_a_greeting_has_the_tls_parameters_of_the_client(connect):
    leader = Leader(asyncio.get_running_loop())
    await greeted(connect, leader, "h", 1, "p", TLS)
    assert [each.tls for each in leader.served] == [TLS]
    await leader.close()


@pytest.mark.parametrize(("user", "inside"), [(BROKER, []), (User("ann"), ["ann"])])
async def test_a_greeting_has_the_user_of_a_connection_from_within_the_other_broker(connect, user, inside):
    leader = Leader(asyncio.get_running_loop())
    await greeted(connect, leader, "h", 1, user=user)
    assert [(each.tls, each.inside) for each in leader.served] == [(None, inside)]
    await leader.close()


def certified(names):
    """Return TLS parameters with a certificate that has so many alternative names."""
    alternative = tuple(("dns", f"host-{number}.example") for number in range(names))
    return TLS._replace(certificate=Certificate("CN=a", "CN=b", "from - to", ("a",), alternative))


async def test_a_greeting_with_many_names_is_accepted(connect):
    leader = Leader(asyncio.get_running_loop())
    await greeted(connect, leader, "h", 1, tls=certified(800))
    assert [each.tls for each in leader.served] == [certified(800)]
    await leader.close()


def test_a_greeting_with_too_many_names_cannot_be_made():
    with pytest.raises(TooLongError):
        greeting("secret", bytes(16), "amqp", "h", 1, tls=certified(2000))


def framed(told):
    text = json.dumps(told).encode()
    return len(text).to_bytes(2, "big") + text


def signed(nonce, facts):
    return framed([peer_port._code("secret", nonce, facts), *facts])


#: Name -> what is sent to the leader, by its nonce.
WRONG = {
    "another secret": lambda nonce: greeting("wrong", nonce, "amqp", "h", 1),
    "no secret": lambda nonce: greeting("", nonce, "amqp", "h", 1),
    "an earlier greeting": lambda nonce: greeting("secret", bytes(16), "amqp", "h", 1),
    "another protocol": lambda nonce: greeting("secret", nonce, "http", "h", 1),
    "another address": lambda nonce: greeting("secret", nonce, "amqp", "h", 1).replace(b'"h"', b'"g"'),
    "AMQP": lambda nonce: b"AMQP\0\0\x09\x01" + bytes(0x4151),
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
    monkeypatch.setattr(peer_port, "GREETING_S", 0.1)
    leader = Leader(asyncio.get_running_loop())
    for size in (0, 1, -1):
        reader, writer = await connect(leader.target.port)
        nonce = await reader.readexactly(16)
        writer.write(greeting("secret", nonce, "amqp", "h", 1)[:size])
        assert await ended(reader)
    assert leader.served == []
    await leader.close()


async def test_connections_without_a_greeting_are_limited(connect):
    leader = Leader(asyncio.get_running_loop())
    waiting = [await connect(leader.target.port) for _ in range(peer_port.MOST_GREETINGS)]
    reader, _ = await connect(leader.target.port)
    assert await ended(reader)
    assert len(waiting) == peer_port.MOST_GREETINGS
    await leader.close()


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux has further addresses of its own without being told")
async def test_an_address_that_sends_no_greetings_does_not_keep_another_one_out(connect):
    leader = Leader(asyncio.get_running_loop())
    waiting = [await connect(leader.target.port) for _ in range(peer_port.MOST_GREETINGS)]
    for reader, _ in waiting:
        await reader.readexactly(NONCE_BYTES)
    # Another broker.
    reader, writer = await asyncio.open_connection("127.0.0.1", leader.target.port, local_addr=("127.0.0.2", 0))
    writer.write(greeting("secret", await reader.readexactly(NONCE_BYTES), "amqp", "h", 1))
    assert len(await reader.readexactly(PROOF_BYTES)) == PROOF_BYTES
    writer.close()
    assert await ended(waiting[0][0])
    assert len(leader.served) == 1
    await leader.close()


async def test_a_process_without_free_files_accepts_connections_later(connect, monkeypatch, caplog):
    monkeypatch.setattr(peer_port, "PAUSE_S", 0.2)
    leader = Leader(asyncio.get_running_loop())
    leader.socket.faults = [OSError(errno.EMFILE, "Too many open files"), BlockingIOError()]
    reader, _ = await connect(leader.target.port)
    await asyncio.sleep(0.1)
    # The event loop has had time for many calls.
    assert leader.socket.accepts == 1
    assert caplog.messages == ["cannot accept connections of other brokers: Too many open files"]
    assert len(await asyncio.wait_for(reader.readexactly(NONCE_BYTES), 5)) == NONCE_BYTES
    assert leader.socket.accepts == 3
    leader.socket.faults = [OSError(errno.EMFILE, "Too many open files")]
    await connect(leader.target.port)
    await asyncio.sleep(0.05)
    await leader.close()
    await asyncio.sleep(0.2)
    assert leader.socket.accepts == 4
    # The event loop would report that the socket is closed.
    assert [record.name for record in caplog.records if record.name == "asyncio"] == []
