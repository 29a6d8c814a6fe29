"""Clients whose proxy names them by a PROXY header: through HAProxy, and as sockets that send what they like."""

import asyncio
import contextlib
import logging
import shutil
import socket
import ssl
import subprocess
import time
from pathlib import Path

import pika
import pytest

from amqpbroker.config import Tls
from amqpbroker.server import proxy_protocol
from amqpbroker.server.app import loop_factory
from amqpbroker.server.proxy_protocol import NothingSentError, read_header
from amqpbroker.wire.proxy_header import ProxyHeader, ProxyHeaderError
from tests.certificates import Authority
from tests.postgresql import free_port
from tests.process import PATIENCE_S
from tests.server.two_brokers import TwoBrokers, until

HEADER = b"PROXY TCP4 192.0.2.7 198.51.100.1 4567 5672\r\n"
NAMED = ProxyHeader("192.0.2.7", 4567, "198.51.100.1", 5672)
LOCAL = b"\r\n\r\n\0\r\nQUIT\n\x20\0\0\0"
AMQP = b"AMQP\0\0\x09\x01"


# --- the socket -------------------------------------------------------------------------------------------------------


@pytest.fixture
def pair():
    here, there = socket.socketpair()
    here.setblocking(False)
    with here, there:
        yield here, there


def reading(here):
    return asyncio.create_task(read_header(asyncio.get_running_loop(), here))


async def test_header_may_come_in_parts_and_what_follows_is_left(pair):
    here, there = pair
    task = reading(here)
    for byte in HEADER:
        there.send(bytes([byte]))
        await asyncio.sleep(0)
    there.send(AMQP)
    assert await task == NAMED
    assert here.recv(100) == AMQP


async def test_client_that_sends_nothing_is_no_error_in_a_header(pair, monkeypatch):
    here, there = pair
    monkeypatch.setattr(proxy_protocol, "HEADER_S", 0.01)
    with pytest.raises(NothingSentError):
        await reading(here)
    there.close()
    with pytest.raises(NothingSentError):
        await reading(here)


async def test_header_that_does_not_come_to_its_end_is_refused(pair, monkeypatch):
    here, there = pair
    monkeypatch.setattr(proxy_protocol, "HEADER_S", 0.01)
    there.send(HEADER[:20])
    with pytest.raises(ProxyHeaderError, match=r"only 20 bytes of it came within 0\.01 s"):
        await reading(here)
    there.send(HEADER[:18])
    there.close()
    with pytest.raises(ProxyHeaderError, match="only 18 bytes"):
        await reading(here)


# --- a broker ---------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def authority(tmp_path_factory):
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture(params=[loop_factory(), asyncio.SelectorEventLoop])
def brokers(request, authority):
    issued = authority.issue("server")
    tls = Tls(certfile=issued.certfile, keyfile=issued.keyfile)
    with TwoBrokers(request.param, tls, proxy_protocol=True) as made:
        yield made


def sent(brokers, data, protocol="amqp"):
    """Return a socket that has sent this to broker A."""
    client = socket.create_connection(("127.0.0.1", brokers.ports["a"][protocol]), PATIENCE_S)
    client.sendall(data)
    return client


def is_closed(client):
    with client, contextlib.suppress(ConnectionError):
        return client.recv(1) == b""
    return True


def named(brokers):
    """Return the addresses of the clients of broker A, as its sessions and its connections have them."""
    there = brokers.call(lambda: [client._connection.peer for client in brokers.a.clients.there()])
    return [(peer.name, peer.proxy_host) for peer in there]


def test_client_without_a_header_is_refused_at_once(brokers, caplog):
    assert is_closed(sent(brokers, AMQP))
    # It is logged after the close.
    until(lambda: caplog.records)
    assert [record.getMessage().partition(" because")[2] for record in caplog.records] == [
        " of its PROXY header: it begins with something else: clients must connect through the proxy"
    ]


def test_health_check_that_sends_nothing_is_not_logged(brokers, caplog, monkeypatch):
    monkeypatch.setattr(proxy_protocol, "HEADER_S", 0.01)
    (listener, *_) = [each for each in brokers.a._handshakes if each._context is None]
    with caplog.at_level(logging.INFO):
        assert is_closed(sent(brokers, b""))
        until(lambda: not brokers.call(lambda: list(listener._shaking)))
    assert caplog.records == []


def test_end_of_a_broker_closes_clients_whose_headers_are_awaited(brokers):
    waiting = [sent(brokers, data) for data in (b"", HEADER[:20])]
    (listener, *_) = [each for each in brokers.a._handshakes if each._context is None]
    until(lambda: brokers.call(lambda: len(listener._shaking)) == 2)
    brokers.call(brokers.a.stop)
    assert [is_closed(client) for client in waiting] == [True, True]


@pytest.mark.parametrize(
    ("header", "name"),
    [
        (HEADER, "192.0.2.7:4567 -> 198.51.100.1:5672"),
        (b"PROXY TCP6 2001:db8::7 2001:db8::1 4567 5672\r\n", "[2001:db8::7]:4567 -> [2001:db8::1]:5672"),
    ],
)
def test_connection_has_the_addresses_of_the_header(brokers, header, name):
    with sent(brokers, header + AMQP) as client:
        assert client.recv(1)
        assert named(brokers) == [(name, "127.0.0.1")]


@pytest.mark.parametrize(
    ("header", "proxy_host"),
    [(LOCAL, ""), (b"PROXY UNKNOWN\r\n", "127.0.0.1"), (LOCAL.replace(b"\x20", b"\x21"), "127.0.0.1")],
    ids=["of the proxy itself", "v1 unknown", "v2 unspecified"],
)
def test_connection_without_addresses_in_its_header_has_those_of_the_socket(brokers, header, proxy_host):
    with sent(brokers, header + AMQP) as client:
        assert client.recv(1)
        here = f"127.0.0.1:{client.getsockname()[1]}"
        assert named(brokers) == [(f"{here} -> 127.0.0.1:{client.getpeername()[1]}", proxy_host)]


def test_header_comes_before_tls(brokers, authority):
    context = ssl.create_default_context(cafile=authority.cafile)
    with context.wrap_socket(sent(brokers, HEADER, "amqp/ssl"), server_hostname="localhost") as client:
        client.sendall(AMQP)
        assert client.recv(1)
        assert named(brokers) == [("192.0.2.7:4567 -> 198.51.100.1:5672", "127.0.0.1")]


# --- HAProxy ----------------------------------------------------------------------------------------------------------

OPTIONS = ["send-proxy", "send-proxy-v2", "send-proxy-v2 proxy-v2-options crc32c,unique-id,ssl,cert-cn"]


@contextlib.contextmanager
def haproxy(folder, port, options, frontend=""):
    """Run HAProxy in front of a port, and yield its own port."""
    own = free_port()
    path = folder / "haproxy.cfg"
    path.write_text(
        "global\n log stderr format raw local0\n"
        "defaults\n mode tcp\n timeout connect 20s\n timeout client 60s\n timeout server 60s\n"
        f"listen amqp\n bind 127.0.0.1:{own} {frontend}\n server broker 127.0.0.1:{port} {options}\n"
    )
    process = subprocess.Popen(["haproxy", "-db", "-f", path], stderr=subprocess.PIPE)
    try:
        yield own
    finally:
        process.terminate()
        process.communicate(timeout=PATIENCE_S)


@contextlib.contextmanager
def connected(port, user, tls=None):
    """Connect with pika through HAProxy, which may not listen yet."""
    secured = {} if tls is None else {"ssl_options": pika.SSLOptions(tls, "localhost")}
    credentials = pika.PlainCredentials(user, "secret" if user == "ann" else user)
    end = time.monotonic() + PATIENCE_S
    while True:
        try:
            connection = pika.BlockingConnection(
                pika.ConnectionParameters("127.0.0.1", port, "x", credentials=credentials, **secured)
            )
            break
        except pika.exceptions.AMQPConnectionError:
            assert time.monotonic() < end
            time.sleep(0.05)
    with contextlib.closing(connection):
        yield connection


def address(connection):
    sock = connection._impl._transport._sock
    return sock.getsockname()[:2]


@pytest.mark.skipif(shutil.which("haproxy") is None, reason="HAProxy is not installed")
@pytest.mark.parametrize("options", OPTIONS)
def test_client_behind_haproxy_has_its_own_address_also_at_the_broker_that_leads_its_vhost(brokers, tmp_path, options):
    with haproxy(tmp_path, brokers.ports["a"]["amqp"], options) as port, connected(port, "guest") as connection:
        (info,) = until(brokers.served_by_b)
        assert (info.peer_host, info.peer_port) == address(connection)
        assert not info.ssl


@pytest.mark.skipif(shutil.which("haproxy") is None, reason="HAProxy is not installed")
def test_tls_that_ends_at_haproxy_is_shown(brokers, tmp_path, authority):
    issued = authority.issue("haproxy")
    pem = tmp_path / "haproxy.pem"
    pem.write_bytes(b"".join(Path(path).read_bytes() for path in (issued.certfile, issued.keyfile)))
    context = ssl.create_default_context(cafile=authority.cafile)
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    options = "send-proxy-v2 proxy-v2-options ssl,ssl-cipher"
    with (
        haproxy(tmp_path, brokers.ports["a"]["amqp"], options, f"ssl crt {pem}") as port,
        connected(port, "guest", context) as connection,
    ):
        (info,) = until(brokers.served_by_b)
        assert (info.peer_host, info.peer_port) == address(connection)
        assert (info.ssl, info.ssl_protocol) == (True, "tlsv1.2")
        assert (info.ssl_key_exchange, info.ssl_cipher, info.ssl_hash) == ("ecdhe_ecdsa", "aes_256_gcm", "aead")
