"""TLS at a real broker, with real clients."""

import asyncio
import contextlib
import http.client
import json
import os
import signal
import socket
import ssl
import threading

import aio_pika
import pika
import pytest
from cryptography import x509
from cryptography.x509.oid import NameOID

from amqpbroker.clock import ManualClock
from amqpbroker.config import Tls
from amqpbroker.config.bounds import BOUNDS, Bounds
from amqpbroker.server.handshake_listener import HandshakeListener
from amqpbroker.server.tls import TlsContexts
from tests.certificates import Authority, name
from tests.process import PATIENCE_S, BrokerProcess

#: The user that a client's certificate logs in as, by its distinguished name.
USER = "CN=client,O=x"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("tls")


@pytest.fixture(scope="module")
def authority(folder):
    return Authority(folder)


@pytest.fixture(scope="module")
def client_certificate(authority):
    return authority.issue("client", name("client", (NameOID.ORGANIZATION_NAME, "x")))


def options(issued, authority, **further):
    settings = {
        "listeners.ssl.default": "127.0.0.1:0",
        "ssl_options.certfile": issued.certfile,
        "ssl_options.keyfile": issued.keyfile,
        "ssl_options.cacertfile": authority.cafile,
        "ssl_options.verify": "verify_peer",
        "ssl_handshake_timeout": str(2_000 * PATIENCE_S),
        "auth_mechanisms.1": "PLAIN",
        "auth_mechanisms.2": "EXTERNAL",
        "default_user": USER,
        "default_users.guest.password": "guest",
    }
    return [part for key, value in (settings | further).items() for part in ("--set", f"{key}={value}")]


@pytest.fixture(scope="module")
def broker(folder, authority):
    other = authority.issue("other", name("the other"), [x509.DNSName("other.example")])
    hosts = {
        r"ssl_options.sni.other\.example.certfile": other.certfile,
        r"ssl_options.sni.other\.example.keyfile": other.keyfile,
    }
    arguments = options(authority.issue("server"), authority, **hosts)
    with BrokerProcess(folder, "--log-level", "info", *arguments) as process:
        yield process


@pytest.fixture(scope="module")
def hasty(tmp_path_factory, authority):
    """One that does not wait long for a handshake, be it for AMQP or HTTP."""
    issued = authority.issue("hasty")
    web = {"management.ssl.port": "0", "management.ssl.certfile": issued.certfile}
    web |= {"management.ssl.keyfile": issued.keyfile}
    arguments = options(issued, authority, ssl_handshake_timeout="300", **web)
    with BrokerProcess(tmp_path_factory.mktemp("hasty"), "--log-level", "info", *arguments) as process:
        yield process


def trusting(authority, certificate=None):
    context = ssl.create_default_context(cafile=authority.cafile)
    if certificate is not None:
        context.load_cert_chain(*certificate)
    return context


def parameters(broker, context, **further):
    tls = pika.SSLOptions(context, "localhost")
    patient = {"socket_timeout": PATIENCE_S, "stack_timeout": PATIENCE_S}
    return pika.ConnectionParameters("127.0.0.1", broker.port_of("amqp/ssl"), ssl_options=tls, **patient, **further)


def external(broker, context):
    return parameters(broker, context, credentials=pika.credentials.ExternalCredentials())


def connected(broker, protocol="amqp/ssl"):
    return socket.create_connection(("127.0.0.1", broker.port_of(protocol)), timeout=PATIENCE_S)


def shaken(broker, context, host="localhost"):
    plain = connected(broker)
    try:
        return context.wrap_socket(plain, server_hostname=host)
    except BaseException:
        plain.close()
        raise


def common_name(client):
    return dict(pair for part in client.getpeercert()["subject"] for pair in part)["commonName"]


# --- clients ----------------------------------------------------------------------------------------------------------


def test_pika_publishes_and_gets_over_tls(broker, authority):
    with pika.BlockingConnection(parameters(broker, trusting(authority))) as connection:
        channel = connection.channel()
        channel.confirm_delivery()
        channel.queue_declare("tls", exclusive=True)
        channel.basic_publish("", "tls", b"x" * 300_000)
        assert channel.basic_get("tls", auto_ack=True)[2] == b"x" * 300_000


async def test_aio_pika_publishes_and_consumes_many_messages_over_tls(broker, authority):
    url = f"amqps://guest:guest@localhost:{broker.port_of('amqp/ssl')}/"
    async with await aio_pika.connect(url, ssl_context=trusting(authority)) as connection:
        channel = await connection.channel()
        queue = await channel.declare_queue(exclusive=True)
        for number in range(2000):
            message = aio_pika.Message(b"%d" % number + b"x" * 1000)
            await channel.default_exchange.publish(message, queue.name, mandatory=False)
        got = []
        async with queue.iterator() as messages:
            async for message in messages:
                await message.ack()
                got.append(int(message.body.rstrip(b"x")))
                if len(got) == 2000:
                    break
        assert got == list(range(2000))


def test_large_messages_pass_over_tls_in_both_directions(broker, authority):
    """More than the socket takes at once, to one that reads late."""
    with pika.BlockingConnection(parameters(broker, trusting(authority))) as connection:
        channel = connection.channel()
        queue = channel.queue_declare("", exclusive=True).method.queue
        bodies = [bytes([number]) * 3_000_000 for number in range(4)]
        for body in bodies:
            channel.basic_publish("", queue, body)
        assert [channel.basic_get(queue, auto_ack=True)[2] for _ in bodies] == bodies


# --- EXTERNAL ---------------------------------------------------------------------------------------------------------


def test_a_certificate_logs_its_user_in(broker, authority, client_certificate):
    with pika.BlockingConnection(external(broker, trusting(authority, client_certificate))) as connection:
        properties = pika.BasicProperties(user_id=USER)
        channel = connection.channel()
        queue = channel.queue_declare("", exclusive=True).method.queue
        channel.basic_publish("", queue, b"", properties)
        assert channel.basic_get(queue, auto_ack=True)[1].user_id == USER


def test_client_without_a_certificate_is_refused(broker, authority):
    with pytest.raises(pika.exceptions.ProbableAuthenticationError, match="mechanism EXTERNAL"):
        pika.BlockingConnection(external(broker, trusting(authority)))
    broker.wait_for_log("EXTERNAL login refused: connection peer presented no TLS (x.509) certificate")


def test_certificate_without_a_user_is_refused(broker, authority):
    stranger = authority.issue("stranger")
    with pytest.raises(pika.exceptions.ProbableAuthenticationError, match="mechanism EXTERNAL"):
        pika.BlockingConnection(external(broker, trusting(authority, stranger)))
    broker.wait_for_log("EXTERNAL login refused: user 'CN=stranger' - invalid credentials")


def test_certificate_of_another_authority_is_refused(broker, authority, folder):
    forged = Authority(folder, "other authority").issue("forged", name("client", (NameOID.ORGANIZATION_NAME, "x")))
    with pytest.raises((pika.exceptions.AMQPConnectionError, ssl.SSLError)):
        pika.BlockingConnection(external(broker, trusting(authority, forged)))
    broker.wait_for_log("CERTIFICATE_VERIFY_FAILED")


@pytest.mark.parametrize(("tls", "offered"), [(True, b"PLAIN EXTERNAL"), (False, b"PLAIN")])
def test_external_is_offered_only_over_tls(broker, authority, tls, offered):
    port = broker.port_of("amqp/ssl") if tls else broker.port
    with socket.create_connection(("127.0.0.1", port), timeout=PATIENCE_S) as plain:
        client = trusting(authority).wrap_socket(plain, server_hostname="localhost") if tls else plain
        with client:
            client.sendall(b"AMQP\0\0\x09\x01")
            start = b""
            while not start.endswith(b"\xce"):
                start += client.recv(4096)
    assert len(offered).to_bytes(4, "big") + offered + b"\0\0\0\x05en_US" in start


# --- what is refused --------------------------------------------------------------------------------------------------


def test_client_that_distrusts_the_broker_ends_the_handshake_with_a_log_line(broker):
    with pytest.raises((pika.exceptions.AMQPConnectionError, ssl.SSLError)):
        pika.BlockingConnection(parameters(broker, ssl.create_default_context()))
    broker.wait_for_log("TLSV1_ALERT_UNKNOWN_CA")


def test_tls_1_1_is_refused(broker, authority):
    context = trusting(authority)
    context.set_ciphers("ALL:@SECLEVEL=0")
    with pytest.warns(DeprecationWarning, match="TLSv1_1"):
        context.minimum_version = context.maximum_version = ssl.TLSVersion.TLSv1_1
    with pytest.raises((ssl.SSLError, ConnectionError)):
        shaken(broker, context)
    broker.wait_for_log("UNSUPPORTED_PROTOCOL")


@pytest.mark.parametrize("data", [b"AMQP\0\0\x09\x01", b"GET / HTTP/1.1\r\n\r\n", bytes(range(256)) * 100])
def test_connection_without_tls_is_dropped(broker, data):
    with connected(broker) as client, contextlib.suppress(ConnectionError):
        client.sendall(data)
        answer = b"".join(iter(lambda: client.recv(4096), b""))
        assert len(answer) < 10  # at most an alert


@pytest.mark.parametrize("protocol", ["amqp/ssl", "https"])
def test_slow_handshake_is_dropped(hasty, protocol):
    with connected(hasty, protocol) as client:
        assert client.recv(1) == b""
    hasty.wait_for_log("TLS handshake with 127.0.0.1")


def test_handshake_that_arrives_byte_by_byte_is_dropped(hasty):
    with connected(hasty) as client, contextlib.suppress(ConnectionError):
        client.sendall(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03")
        client.settimeout(0.05)
        for _ in range(400):  # bytes, all of which belong to what it has begun
            client.sendall(b"\0")
            with contextlib.suppress(TimeoutError):
                if client.recv(1) == b"":
                    return
        pytest.fail("it is waited for")


def test_handshakes_do_not_delay_other_clients(broker, authority):
    """They are not dropped before the next would have given up."""
    with contextlib.ExitStack() as stack:
        for _ in range(300):
            stack.enter_context(connected(broker))
        with pika.BlockingConnection(parameters(broker, trusting(authority))) as connection:
            assert connection.is_open


def test_tls_client_that_sends_no_amqp_header_is_dropped(folder, authority, tmp_path):
    arguments = options(authority.issue("server"), authority, handshake_timeout="500")
    with BrokerProcess(tmp_path, *arguments) as broker, shaken(broker, trusting(authority)) as client:
        assert client.recv(1) == b""


# --- the listener by itself -------------------------------------------------------------------------------------------


class Sink(asyncio.Protocol):
    """A client that is through; it is dropped when the test ends."""

    def __init__(self, there):
        self.there = there

    def connection_made(self, transport):
        self.there.append(transport)


@contextlib.asynccontextmanager
async def listening(issued, is_full=lambda count: False, timeout_ms=60_000, bounds=BOUNDS):
    """A listener, its address, and the clients that got through."""
    there = []
    sock = socket.create_server(("127.0.0.1", 0))
    sock.setblocking(False)
    context = TlsContexts(Tls(certfile=issued.certfile, keyfile=issued.keyfile), "ssl_options").context
    loop = asyncio.get_running_loop()
    listener = HandshakeListener(loop, ManualClock(), sock, context, timeout_ms, lambda: Sink(there), is_full, bounds)
    listener.start(100)
    try:
        yield listener, sock.getsockname(), there
    finally:
        for transport in there:
            transport.abort()
        await listener.close()
        await asyncio.sleep(0)


async def poll(condition):
    async with asyncio.timeout(PATIENCE_S):
        while not condition():
            await asyncio.sleep(0.005)


async def shake(address, authority):
    _, writer = await asyncio.open_connection(*address, ssl=trusting(authority), server_hostname="localhost")
    return writer


@pytest.fixture(scope="module")
def issued(authority):
    return authority.issue("by-itself")


async def test_concurrent_tls_handshakes_are_limited_and_further_clients_wait(authority, issued):
    async with listening(issued, bounds=Bounds(handshakes=3)) as (listener, address, there):
        idle = [socket.create_connection(address) for _ in range(3)]
        await poll(lambda: len(listener._shaking) == 3)
        waiting = asyncio.create_task(shake(address, authority))
        await asyncio.sleep(0.1)
        assert there == []
        idle.pop().close()
        writer = await waiting
        await poll(lambda: len(there) == 1)
        writer.transport.abort()
        for client in idle:
            client.close()


async def test_tls_clients_above_the_connection_limit_are_dropped(authority, issued):
    counts = []
    async with listening(issued, is_full=lambda count: counts.append(count) or True) as (_, address, there):
        with pytest.raises((ConnectionError, ssl.SSLError)):
            await shake(address, authority)
        assert (counts, there) == ([0], [])


async def test_handshakes_that_fail_leave_no_file_open(issued, authority):
    async with listening(issued) as (listener, address, _):
        before = len(os.listdir("/proc/self/fd"))
        for _ in range(20):
            with socket.create_connection(address) as client:
                client.sendall(b"nonsense, and enough of it")
        with socket.create_connection(address):
            await poll(lambda: listener._shaking)
        await poll(lambda: not listener._shaking and len(os.listdir("/proc/self/fd")) <= before)


async def test_closing_tls_listener_drops_clients_in_a_handshake(issued):
    async with listening(issued) as (listener, address, _):
        client = socket.create_connection(address)
        await poll(lambda: listener._shaking)
        await listener.close()
        client.settimeout(PATIENCE_S)
        with contextlib.suppress(ConnectionError):
            assert await asyncio.to_thread(client.recv, 1) == b""
        client.close()


# --- the management API -----------------------------------------------------------------------------------------------


def test_management_api_over_tls_only_and_with_new_certificates(tmp_path):
    own = Authority(tmp_path)
    first = own.issue("server", name("the first"))
    settings = {"management.ssl.port": "0", "management.ssl.certfile": first.certfile}
    settings |= {"management.ssl.keyfile": first.keyfile}
    arguments = [part for key, value in settings.items() for part in ("--set", f"{key}={value}")]
    with BrokerProcess(tmp_path, "--log-level", "info", *arguments) as broker:
        seen = []
        for _ in range(2):
            connection = http.client.HTTPSConnection("localhost", broker.port_of("https"), context=trusting(own))
            with contextlib.closing(connection):
                connection.request("GET", "/api/whoami", headers={"Authorization": "Basic Z3Vlc3Q6Z3Vlc3Q="})
                seen.append(common_name(connection.sock))
                answer = connection.getresponse()
                assert (answer.status, json.loads(answer.read())["name"]) == (200, "guest")
            own.issue("server", name("the second"))
            broker.signal(signal.SIGHUP)
            broker.wait_for_log("again")
        with connected(broker, "https") as client:
            client.sendall(b"GET / HTTP/1.1\r\n\r\n")
            with contextlib.suppress(ConnectionError):
                assert len(b"".join(iter(lambda: client.recv(4096), b""))) < 10
        assert seen == ["the first", "the second"]
        assert "http" not in json.loads(broker.ready_file.read_text())


# --- hosts, and new certificates --------------------------------------------------------------------------------------


def test_broker_selects_its_certificate_by_the_requested_host_name(broker, authority):
    for host, shown in (("localhost", "server"), ("other.example", "the other")):
        with shaken(broker, trusting(authority), host) as client:
            assert common_name(client) == shown


def test_sighup_reloads_certificates_and_keeps_connections(tmp_path, authority):
    own = Authority(tmp_path)
    issued = own.issue("server", name("the first"))
    with (
        BrokerProcess(tmp_path, "--log-level", "info", *options(issued, own)) as broker,
        pika.BlockingConnection(parameters(broker, trusting(own))) as before,
    ):
        own.issue("server", name("the second"))
        broker.signal(signal.SIGHUP)
        broker.wait_for_log("again")
        with shaken(broker, trusting(own)) as client:
            assert common_name(client) == "the second"

        with open(issued.certfile, "w") as file:
            file.write("nonsense")
        broker.signal(signal.SIGHUP)
        broker.wait_for_log("the certificates stay as they are")
        with shaken(broker, trusting(own)) as client:
            assert common_name(client) == "the second"
        before.channel().queue_declare("", exclusive=True)


def test_sighup_does_not_stop_a_broker_without_certificates(tmp_path):
    with BrokerProcess(tmp_path) as broker:
        broker.signal(signal.SIGHUP)
        with pika.BlockingConnection(pika.URLParameters(broker.url)) as connection:
            connection.channel().queue_declare("", exclusive=True)


# --- start and stop ---------------------------------------------------------------------------------------------------


def test_missing_certificate_file_prevents_the_start(tmp_path, authority):
    issued = authority.issue("wrong")
    with (
        pytest.raises(AssertionError, match=r"gone\.pem: No such file or directory"),
        BrokerProcess(tmp_path, *options(issued, authority, **{"ssl_options.certfile": str(tmp_path / "gone.pem")})),
    ):
        pass


def test_broker_stops_while_tls_clients_are_connected_or_in_a_handshake(tmp_path, authority):
    with BrokerProcess(tmp_path, *options(authority.issue("server"), authority)) as broker:
        shaking = connected(broker)
        with shaken(broker, trusting(authority)) as idle:
            broker.signal()
            assert broker.wait() == 0  # long before the one would have been given up
            with contextlib.suppress(OSError):
                assert idle.recv(1) == b""
        shaking.close()


def test_stopping_broker_closes_tls_connections_with_320(tmp_path, authority):
    closed = []
    with BrokerProcess(tmp_path, *options(authority.issue("server"), authority)) as broker:
        connection = pika.BlockingConnection(parameters(broker, trusting(authority)))

        def serve():
            try:
                while True:
                    connection.process_data_events(1)
            except pika.exceptions.ConnectionClosedByBroker as error:
                closed.append(error.reply_code)

        thread = threading.Thread(target=serve)
        thread.start()
        broker.signal()
        assert broker.wait() == 0
        thread.join(PATIENCE_S)
    assert closed == [320]
