"""Clients of a broker whose vhost another broker leads, with real sockets and both event loops."""

import asyncio
import contextlib
import gc
import logging
import os
import re
import socket
import ssl
import sys
import threading
import time

import pika
import pytest

from amqpbroker.amqp.connection import Connection
from amqpbroker.amqp.handover import Handover, Recording
from amqpbroker.broker.storage import Storage
from amqpbroker.cluster.leadership.leadership import Target
from amqpbroker.cluster.peers import peer_port
from amqpbroker.cluster.relaying import relaying
from amqpbroker.cluster.relaying.leader_link import LeaderLink
from amqpbroker.cluster.relaying.relay import Relay
from amqpbroker.config import Tls
from amqpbroker.server.transport import WRITE_HIGH_BYTES, ClientTransport
from amqpbroker.store.definitions.definitions import MemoryDefinitions
from amqpbroker.store.recovered import Recovered
from amqpbroker.store.store import MemoryStore
from amqpbroker.wire import methods
from amqpbroker.wire.frames import METHOD, frame
from tests.certificates import Authority
from tests.harness import lead_elsewhere, method
from tests.server.two_brokers import PATIENCE_S, FakeLeader, TwoBrokers, until

LOOPS = [pytest.param(asyncio.SelectorEventLoop, id="asyncio")]
try:
    import uvloop
except ImportError:
    pass
else:
    LOOPS.append(pytest.param(uvloop.new_event_loop, id="uvloop"))

PASSWORD = b"\0guest\0guest"
HANDSHAKE = (
    b"AMQP\0\0\x09\x01"
    + method("connection.start-ok", 0, client_properties={}, mechanism="PLAIN", response=PASSWORD, locale="en_US")
    + method("connection.tune-ok", 0, channel_max=10, frame_max=4096, heartbeat=0)
    + method("connection.open", 0, virtual_host="x")
)
#: The ids and the vhost of connection.open.
CONNECTION_OPEN = b"\0\x0a\0\x28\1x"
CLOSE = method("connection.close", 0, reply_code=541, reply_text="no", class_id=0, method_id=0)
START = method("connection.start", 0, server_properties={}, mechanisms="PLAIN", locales="en_US")
TUNE = method("connection.tune", 0, channel_max=1, frame_max=4096, heartbeat=0)


@pytest.fixture(params=LOOPS)
def make_loop(request):
    return request.param


def open_files():
    return len(os.listdir("/proc/self/fd")) if sys.platform == "linux" else 0


@pytest.fixture
def brokers(make_loop):
    """Two brokers, which leave no file open."""
    make_loop().close()  # the first loop opens files of the process
    before = open_files()
    with TwoBrokers(make_loop) as found:
        yield found
    assert open_files() == before


@pytest.fixture
def authority(tmp_path):
    return Authority(tmp_path)


def trusting(authority, certificate=None):
    context = ssl.create_default_context(cafile=authority.cafile)
    if certificate is not None:
        context.load_cert_chain(*certificate)
    return context


def tls(authority, **options):
    server = authority.issue("server")
    return Tls(certfile=server.certfile, keyfile=server.keyfile, cacertfile=authority.cafile, **options)


def round_trip(connection, body=b"hello"):
    """Publish a message with a confirm, and get it."""
    channel = connection.channel()
    channel.confirm_delivery()
    channel.queue_declare("q")
    channel.basic_publish("", "q", body)
    assert channel.basic_get("q", auto_ack=True)[2] == body


# --- relayed clients --------------------------------------------------------------------------------------------------


def test_a_client_publishes_and_consumes_through_another_broker(brokers):
    with brokers.connect() as connection:
        round_trip(connection)
        (info,) = brokers.served_by_b()
        local = connection._impl._transport._sock.getsockname()
        assert (info.vhost, info.user, info.peer_host, info.peer_port, info.ssl) == ("x", "guest", *local, False)
        assert brokers.call(lambda: (len(brokers.a.clients.there()), brokers.relaying.files)) == (0, 2)
    brokers.await_idle()


def shovel(brokers, uri):
    """Move a message from A to the vhost that B leads."""
    value = {"src-uri": "amqp://", "src-queue": "from", "dest-uri": uri, "dest-queue": "to"}
    with brokers.connect("/") as connection:
        channel = connection.channel()
        channel.queue_declare("from")
        channel.basic_publish("", "from", b"moved")
    brokers.call(brokers.a.broker.parameters.put, "shovel", "/", "s", value)


def moved(brokers):
    """Return the users and the user ids of the shovel's connections to B, once the message is there."""
    queues = brokers.b.broker.vhost("x").queues
    until(lambda: brokers.call(lambda: "to" in queues and queues["to"].info().messages == 1))
    return [info.user for info in brokers.served_by_b()]


@pytest.mark.parametrize(("uri", "user"), [("amqp:///x", "none"), ("amqp://guest@/x", "guest")])
def test_a_shovel_moves_messages_to_a_vhost_that_another_broker_leads(brokers, uri, user):
    shovel(brokers, uri)
    assert moved(brokers) == [user]
    brokers.call(brokers.a.broker.parameters.delete, "shovel", "/", "s")
    brokers.await_idle()


def test_a_shovel_of_a_user_whom_the_leader_does_not_know_yet_goes_on_when_it_does(brokers):
    brokers.call(lambda: brokers.b.broker.users.delete_user("ann"))
    shovel(brokers, "amqp://ann@/x")
    until(lambda: brokers.call(lambda: brokers.relaying.files) > 0)
    brokers.call(lambda: brokers.b.broker.users.add_user("ann", "secret", ()))
    brokers.call(lambda: brokers.b.broker.users.set_permissions("ann", "x", ".*", ".*", ".*"))
    assert moved(brokers) == ["ann"]
    brokers.call(brokers.a.broker.parameters.delete, "shovel", "/", "s")
    brokers.await_idle()


@pytest.mark.parametrize("encrypted", [False, True])
def test_a_relayed_connection_is_freed_without_the_garbage_collector(make_loop, authority, encrypted):
    kinds = (Relay, LeaderLink, Connection, ClientTransport, Handover, Recording)

    def living():
        return [each for each in gc.get_objects() if type(each) in kinds]

    with TwoBrokers(make_loop, tls(authority)) as brokers, without_collector():
        # Brokers of other tests in this process may still have such objects.
        before = living()
        for _ in range(3):
            with brokers.connect(tls=trusting(authority) if encrypted else None) as connection:
                round_trip(connection)
            brokers.await_idle()
        until(lambda: len(living()) == len(before))


@contextlib.contextmanager
def without_collector():
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


def test_a_vhost_of_the_broker_itself_is_served_there(brokers):
    with brokers.connect("/") as connection:
        round_trip(connection)
        assert brokers.served_by_b() == []


def test_a_tls_client_is_relayed(make_loop, authority):
    with TwoBrokers(make_loop, tls(authority)) as brokers:
        with brokers.connect(tls=trusting(authority)) as connection:
            round_trip(connection)
            (info,) = brokers.served_by_b()
            assert (info.ssl, info.ssl_protocol, info.ssl_cipher) == (True, "tlsv1.3", "aes_256_gcm")
            assert info.peer_cert_subject is None
        brokers.await_idle()


def test_a_client_logs_in_with_its_certificate(make_loop, authority):
    mechanisms = ("PLAIN", "EXTERNAL")
    settings = {"auth_mechanisms": mechanisms, "ssl_cert_login_from": "common_name"}
    with TwoBrokers(make_loop, tls(authority, verify_peer=True), **settings) as brokers:
        brokers.call(brokers.b.broker.users.set_permissions, "ann", "x", ".*", ".*", ".*")
        context = trusting(authority, authority.issue("client", name_of("ann")))
        with brokers.connect(tls=context, credentials=pika.credentials.ExternalCredentials()) as connection:
            round_trip(connection)
            (info,) = brokers.served_by_b()
            assert (info.user, info.peer_cert_subject, info.auth_mechanism) == ("ann", "CN=ann", "EXTERNAL")
            assert info.peer_cert_issuer == "CN=test authority"
        brokers.await_idle()


def name_of(common_name):
    from tests.certificates import name

    return name(common_name)


@pytest.mark.parametrize("encrypted", [False, True])
def test_large_messages_are_relayed_with_backpressure(make_loop, authority, encrypted):
    body, count = os.urandom(1 << 20), 30
    with TwoBrokers(make_loop, tls(authority)) as brokers:
        context = trusting(authority) if encrypted else None
        with brokers.connect(tls=context) as publisher, brokers.connect(tls=context) as consumer:
            channel = publisher.channel()
            channel.confirm_delivery()
            channel.queue_declare("q")
            for _ in range(count):
                channel.basic_publish("", "q", body)
            reading = consumer.channel()
            deliveries = reading.consume("q", auto_ack=True)
            assert next(deliveries)[2] == body
            # The client reads no more, until it is the turn of the next messages.
            largest = until(lambda: brokers.call(stalled, brokers))
            assert largest < 2 * WRITE_HIGH_BYTES + 2 * relaying.PART_BYTES
            for _ in range(count - 1):
                assert next(deliveries)[2] == body
        brokers.await_idle()


def stalled(brokers):
    """Return the largest number of bytes that wait for a client, once a leader is not read because of it."""
    sides = [relay.client.transport for relay in brokers.relaying._relays]
    full = [side.get_write_buffer_size() for side in sides]
    return max(full) if max(full) > WRITE_HIGH_BYTES // 2 else 0


def test_bytes_that_follow_the_handshake_at_once_are_relayed_too(brokers):
    with brokers.raw() as client:
        client.sendall(HANDSHAKE + method("channel.open") + method("queue.declare", queue="q"))
        received = b""
        while b"\0\x32\0\x0b" not in received:  # queue.declare-ok
            received += client.recv(65536)
        assert received.count(frame(METHOD, 0, methods.encode("connection.open-ok"))) == 1
    brokers.await_idle()


def test_a_broker_that_stops_tells_its_relayed_clients(brokers):
    with brokers.connect() as connection:
        brokers.call(brokers.b.stop)
        with pytest.raises(pika.exceptions.ConnectionClosedByBroker) as raised:
            connection.process_data_events(PATIENCE_S)
        assert raised.value.reply_code == 320


@pytest.mark.parametrize("encrypted", [False, True])
def test_relayed_clients_are_cut_off_when_the_relaying_broker_stops(make_loop, authority, encrypted):
    with (
        TwoBrokers(make_loop, tls(authority)) as brokers,
        brokers.connect(tls=trusting(authority) if encrypted else None) as connection,
    ):
        brokers.call(brokers.a.stop)
        with pytest.raises(pika.exceptions.StreamLostError):
            connection.process_data_events(PATIENCE_S)
        until(lambda: brokers.served_by_b() == [])
        assert brokers.call(lambda: brokers.relaying.files) == 0


def test_connections_to_an_earlier_leader_end(brokers, monkeypatch):
    monkeypatch.setattr(relaying, "OTHERS_S", 0.05)
    with brokers.connect() as connection:
        brokers.targets["x"] = None
        connection.process_data_events(2 * relaying.OTHERS_S)
        round_trip(connection)
        brokers.targets["x"] = Target("127.0.0.1", 1, "another")
        with pytest.raises(pika.exceptions.StreamLostError):
            connection.process_data_events(PATIENCE_S)
        brokers.await_idle()


def lead_here(brokers):
    """Make the broker that relays lead the vhost."""
    brokers.targets["x"] = None
    broker = brokers.a.broker
    broker.shares_vhosts = False
    broker.restore_vhost(broker.defined_vhosts["x"])
    broker.shares_vhosts = True
    broker.users.set_permissions("guest", "x", ".*", ".*", ".*")


def test_connections_to_an_earlier_leader_end_when_this_broker_leads_the_vhost(brokers, monkeypatch):
    monkeypatch.setattr(relaying, "OTHERS_S", 0.05)
    with brokers.connect() as connection:
        round_trip(connection)
        brokers.call(lead_here, brokers)
        with pytest.raises(pika.exceptions.StreamLostError):
            connection.process_data_events(PATIENCE_S)
    with brokers.connect() as connection:
        round_trip(connection)
        assert brokers.call(lambda: [session.vhost.name for session in brokers.a.broker.sessions]) == ["x"]
    brokers.await_idle()


def test_a_client_that_waits_is_served_here_when_this_broker_comes_to_lead_the_vhost(brokers):
    brokers.targets["x"] = None
    timer = threading.Timer(0.3, brokers.call, [lead_here, brokers])
    timer.start()
    with brokers.connect() as connection:
        round_trip(connection)
        assert brokers.call(lambda: [session.vhost.name for session in brokers.a.broker.sessions]) == ["x"]
    timer.join()
    brokers.await_idle()


def test_a_client_that_leaves_ends_its_connection_to_the_leader(brokers):
    with brokers.raw() as client:
        client.sendall(HANDSHAKE)
        until(brokers.served_by_b)
    brokers.await_idle()


def refusal(brokers, *arguments, **options):
    """Return the code and the text of the connection.close in the handshake."""
    with pytest.raises(pika.exceptions.AMQPConnectionError) as raised, brokers.connect(*arguments, **options):
        pass
    found = re.search(r"ConnectionClosedByBroker: \((\d+)\) (.*)", str(raised.value))
    assert found is not None, raised.value
    return int(found[1]), found[2][1:-1]


# --- refused clients --------------------------------------------------------------------------------------------------


def test_a_wrong_password_is_refused_here_and_never_passed_on(brokers):
    with pytest.raises(pika.exceptions.ProbableAuthenticationError), brokers.connect(password="wrong"):
        pass
    brokers.await_idle()
    assert brokers.call(lambda: brokers.b.broker.totals.auth_attempts.failed) == {}


def test_a_password_that_the_leader_does_not_accept_is_refused_by_it(brokers):
    brokers.call(brokers.a.broker.users.add_user, "eve", "old", ())
    brokers.call(brokers.b.broker.users.add_user, "eve", "new", ())
    assert refusal(brokers, user="eve", password="old")[0] == 403
    brokers.await_idle()


def test_a_user_without_permissions_is_refused_by_the_leader(brokers):
    assert refusal(brokers, user="ann", password="secret") == (
        530,
        "NOT_ALLOWED - access to vhost 'x' refused for user 'ann'",
    )
    brokers.await_idle()


def test_an_unknown_vhost_is_refused_here(brokers):
    assert refusal(brokers, "y") == (530, "NOT_ALLOWED - vhost y not found")
    brokers.await_idle()


def test_a_vhost_that_the_leader_does_not_know_is_refused_by_it(brokers):
    lead_elsewhere(brokers.a.broker, "y")
    brokers.targets["y"] = brokers.targets["x"]
    assert refusal(brokers, "y") == (530, "NOT_ALLOWED - vhost y not found")
    brokers.await_idle()


def test_a_relayed_connection_is_not_relayed_again(brokers):
    lead_elsewhere(brokers.a.broker, "y")
    lead_elsewhere(brokers.b.broker, "y")
    brokers.b.clients.relaying = brokers.relaying
    brokers.targets["y"] = brokers.targets["x"]
    assert refusal(brokers, "y") == (320, "CONNECTION_FORCED - another broker leads vhost 'y' now; connect again")
    brokers.await_idle()


def test_a_client_does_not_wait_for_a_hung_broker_that_leads_no_more(brokers):
    with FakeLeader(lambda client: client.recv(1)) as hung:
        brokers.targets["x"], leads = Target("127.0.0.1", hung.port, "secret"), brokers.targets["x"]
        changing = threading.Timer(0.2, brokers.targets.update, [{"x": leads}])
        changing.start()
        start = time.monotonic()
        with brokers.connect() as connection:
            round_trip(connection)
        assert time.monotonic() - start < peer_port.CONNECT_S
        changing.join()
    brokers.await_idle()


def open_at_b(brokers, name):
    """Open a vhost at broker B, which leads it."""
    broker = brokers.b.broker
    brokers.call(broker.users.set_permissions, "guest", name, ".*", ".*", ".*")
    storage = Storage(MemoryStore(), MemoryDefinitions(), True)
    brokers.call(broker.open_vhost, broker.defined_vhosts[name], storage, Recovered())


def check_client_beside(brokers, serve):
    """Send and get a message in the vhost `y`, while `serve` runs in a thread."""
    serving = threading.Thread(target=serve)
    serving.start()
    with brokers.connect("y") as connection:
        round_trip(connection)
    serving.join()
    brokers.await_idle()


def test_a_client_waits_while_the_leader_reads_its_vhost(brokers):
    lead_elsewhere(brokers.a.broker, "y")
    lead_elsewhere(brokers.b.broker, "y")
    brokers.targets["y"] = brokers.targets["x"]

    def serve():
        until(lambda: brokers.call(lambda: len(brokers.b.clients.there())) == 1)
        until(lambda: brokers.call(lambda: brokers.b.clients.relaying.files) == 1)
        open_at_b(brokers, "y")

    check_client_beside(brokers, serve)


def test_a_client_does_not_wait_for_ever_for_a_leader_that_reads_its_vhost(brokers, monkeypatch):
    monkeypatch.setattr(relaying, "LEADER_S", 0.2)
    lead_elsewhere(brokers.a.broker, "y")
    lead_elsewhere(brokers.b.broker, "y")
    brokers.targets["y"] = brokers.targets["x"]
    assert refusal(brokers, "y") == (320, "CONNECTION_FORCED - another broker leads vhost 'y' now; connect again")
    brokers.await_idle()


def test_a_client_is_refused_if_no_more_files_may_be_open(brokers):
    brokers.a.clients._most = 3
    with brokers.connect():
        code, text = refusal(brokers)
        assert (code, "no more files" in text) == (320, True)
        brokers.a.clients._most = 2
        with pytest.raises(pika.exceptions.AMQPConnectionError), brokers.connect("/"):
            pass
    brokers.await_idle()


def test_a_certificate_with_too_many_names_is_refused(monkeypatch, make_loop, authority):
    monkeypatch.setattr(peer_port, "MOST_GREETING_BYTES", 100)
    with TwoBrokers(make_loop, tls(authority)) as brokers:
        assert "too many names" in refusal(brokers, tls=trusting(authority))[1]
        brokers.await_idle()


# --- leaders that are not there ---------------------------------------------------------------------------------------


def refused(brokers, monkeypatch):
    """Connect to a vhost whose leader does not answer; return the error."""
    monkeypatch.setattr(relaying, "LEADER_S", 0.3)
    monkeypatch.setattr(relaying, "CONNECT_S", 0.1)
    found = refusal(brokers)
    brokers.await_idle()
    return found


NO_LEADER = (320, "CONNECTION_FORCED - no broker leads vhost 'x' at the moment; connect again in a few seconds")
OUT_OF_REACH = (
    320,
    "CONNECTION_FORCED - the broker that leads vhost 'x' cannot be reached from this one; connect again in a few"
    " seconds",
)


def test_a_client_is_refused_if_no_broker_leads_its_vhost(brokers, monkeypatch):
    del brokers.targets["x"]
    assert refused(brokers, monkeypatch) == NO_LEADER


def test_a_client_waits_until_a_broker_leads_its_vhost(brokers):
    target = brokers.targets.pop("x")
    with brokers.raw() as client:
        client.sendall(HANDSHAKE)
        until(lambda: brokers.call(lambda: brokers.relaying.files) == 1)
        assert brokers.served_by_b() == []
        brokers.targets["x"] = target
        until(brokers.served_by_b)
    brokers.await_idle()


def test_a_client_that_waits_goes_on_when_its_vhost_gets_a_leader(brokers, monkeypatch):
    for name in ("LOOK_S", "_PAUSE_S", "LEADER_S"):
        monkeypatch.setattr(relaying, name, {"LEADER_S": 120.0}.get(name, 60.0))
    target = brokers.targets.pop("x")
    with brokers.raw() as client:
        client.sendall(HANDSHAKE)
        until(lambda: brokers.call(lambda: "x" in brokers.relaying._changes))
        brokers.targets["x"] = target
        brokers.call(brokers.relaying.leaders_changed, ["other", "x"])
        until(brokers.served_by_b)
        assert brokers.relaying._changes == {}
    brokers.await_idle()


def test_a_relayed_client_goes_on_when_the_leader_serves_its_vhost(brokers, monkeypatch):
    monkeypatch.setattr(relaying, "_PAUSE_S", 60.0)
    monkeypatch.setattr(relaying, "LEADER_S", 120.0)
    lead_elsewhere(brokers.a.broker, "y")
    lead_elsewhere(brokers.b.broker, "y")
    brokers.targets["y"] = brokers.targets["x"]
    waiting = brokers.b.clients.relaying

    def serve():
        until(lambda: brokers.call(lambda: "y" in waiting._changes))
        open_at_b(brokers, "y")
        brokers.call(waiting.leaders_changed, ["y"])

    check_client_beside(brokers, serve)


def test_a_client_that_leaves_while_it_waits_leaves_nothing(brokers):
    target = brokers.targets.pop("x")
    with brokers.raw() as client:
        client.sendall(HANDSHAKE)
        until(lambda: brokers.call(lambda: brokers.relaying.files) == 1)
    brokers.targets["x"] = target
    brokers.await_idle()


def test_a_broker_stops_while_clients_wait(brokers):
    brokers.targets.clear()
    with brokers.raw() as client:
        client.sendall(HANDSHAKE)
        until(lambda: brokers.call(lambda: brokers.relaying.files) == 1)
        brokers.call(brokers.a.stop)
        with contextlib.suppress(ConnectionResetError):
            while client.recv(65536):
                pass


def test_a_client_is_refused_if_the_leader_does_not_listen(brokers, monkeypatch, caplog):
    with socket.create_server(("127.0.0.1", 0)) as sock:
        port = sock.getsockname()[1]
    brokers.targets["x"] = Target("127.0.0.1", port, "secret")
    assert refused(brokers, monkeypatch) == OUT_OF_REACH
    assert reported(caplog, port)


def reported(caplog, port):
    """Return the reason that is logged once for a client that is refused."""
    [text] = [record.getMessage() for record in caplog.records if " is refused: " in record.getMessage()]
    connection, _, reason = text.partition(f" is refused: the leader of vhost 'x' at 127.0.0.1:{port}: ")
    assert connection.startswith("connection 127.0.0.1:")
    return reason


def test_a_leader_that_accepts_no_connection_is_logged(brokers, monkeypatch, caplog):
    with socket.create_server(("127.0.0.1", 0), backlog=0) as full:
        port = full.getsockname()[1]
        with socket.create_connection(("127.0.0.1", port)):
            brokers.targets["x"] = Target("127.0.0.1", port, "secret")
            refused(brokers, monkeypatch)
            assert reported(caplog, port) == "no connection in time"


def silent(client):
    """Send nothing until the other end closes."""
    while client.recv(65536):
        pass


def after_greeting(sent, closes=True):
    """Return a function that sends this to a client once it has its greeting and handshake."""

    def serve(client):
        client.sendall(bytes(peer_port.NONCE_BYTES))
        stream = client.makefile("rb")
        head = stream.read(2)
        greeting = head + stream.read(int.from_bytes(head, "big"))
        client.sendall(peer_port.proof("secret", greeting))
        received = b""
        while CONNECTION_OPEN not in received:
            data = stream.read(1)
            if not data:
                return
            received += data
        client.sendall(sent)
        if not closes:
            silent(client)

    return serve


def impostor(client):
    """Pretend to be a leader, without its secret."""
    client.sendall(bytes(peer_port.NONCE_BYTES))
    client.sendall(client.recv(65536)[:32] + START + TUNE)
    while data := client.recv(65536):
        assert b"guest" not in data


#: Logged reason -> function that serves as a leader.
SLOW = {
    "no answer to the greeting in time": silent,
    "no answer to the handshake in time": after_greeting(b"", closes=False),
}


@pytest.mark.parametrize(("reason", "serve"), SLOW.items(), ids=SLOW)
def test_what_a_leader_has_not_answered_is_logged(brokers, monkeypatch, caplog, reason, serve):
    with FakeLeader(serve) as leader:
        brokers.targets["x"] = Target("127.0.0.1", leader.port, "secret")
        refused(brokers, monkeypatch)
        assert reported(caplog, leader.port) == reason


#: Name -> what a leader does that is as good as none.
ABSENT = {
    "closes at once": lambda client: None,
    "never answers": silent,
    "closes after the random bytes": lambda client: client.sendall(bytes(16)),
    "closes after the greeting": after_greeting(b""),
    "does not know the secret": impostor,
    "never answers after the greeting": after_greeting(b"", closes=False),
    "sends half a frame": after_greeting(START[:20], closes=False),
    "sends another header": after_greeting(b"HTTP/1.1 200 OK\r\n", closes=False),
    "sends a method twice": after_greeting(START + START, closes=False),
    "sends methods in another order": after_greeting(TUNE + START, closes=False),
    "sends another method": after_greeting(method("connection.open-ok", 0), closes=False),
    "sends a heartbeat": after_greeting(frame(8, 0, b"") + START + TUNE, closes=False),
    "sends a method on a channel": after_greeting(method("channel.open-ok", 1), closes=False),
    "sends an endless frame": after_greeting(b"\1\0\0\x7f\xff\xff\xff\0\x0a\0\x0a", closes=False),
    "sends a torn frame": after_greeting(START[:-1] + b"\0", closes=False),
}


@pytest.mark.parametrize("serve", ABSENT.values(), ids=ABSENT)
def test_a_client_is_refused_if_the_leader_does_not_answer_as_one(brokers, monkeypatch, caplog, serve):
    with FakeLeader(serve) as leader:
        brokers.targets["x"] = Target("127.0.0.1", leader.port, "secret")
        assert refused(brokers, monkeypatch) == OUT_OF_REACH
        assert leader.served >= 1
        assert reported(caplog, leader.port)
    assert "guest\0guest" not in caplog.text


def test_a_client_that_leaves_does_not_wait_for_a_leader_that_never_answers(make_loop, monkeypatch):
    monkeypatch.setattr(relaying, "LEADER_S", 3600.0)
    with TwoBrokers(make_loop, handshake_timeout_ms=500) as brokers, FakeLeader(silent) as leader:
        brokers.targets["x"] = Target("127.0.0.1", leader.port, "secret")
        with brokers.raw() as client:
            client.sendall(HANDSHAKE)
            until(lambda: leader.served)
        brokers.await_idle()


def test_another_attempt_reaches_a_leader_that_has_moved(brokers, monkeypatch):
    monkeypatch.setattr(relaying, "CONNECT_S", 0.1)
    target = brokers.targets["x"]

    def move(client):
        brokers.targets["x"] = target

    with FakeLeader(move) as leader:
        brokers.targets["x"] = Target("127.0.0.1", leader.port, "secret")
        with brokers.connect() as connection:
            round_trip(connection)
    brokers.await_idle()


def await_close(brokers, leader):
    """Connect to a leader, until the client has its connection.close."""
    brokers.targets["x"] = Target("127.0.0.1", leader.port, "secret")
    with brokers.raw() as client:
        client.sendall(HANDSHAKE)
        received = b""
        while not received.endswith(CLOSE):
            received += client.recv(65536)
    brokers.await_idle()


def test_one_attempt_reaches_a_leader_that_answers_slowly(brokers, monkeypatch):
    monkeypatch.setattr(relaying, "CONNECT_S", 0.1)

    def serve(client):
        time.sleep(0.4)
        after_greeting(START + CLOSE, closes=False)(client)

    with FakeLeader(serve) as leader:
        await_close(brokers, leader)
        assert leader.served == 1


@pytest.mark.parametrize("before", [b"", START], ids=["start", "tune"])
def test_a_close_of_the_leader_in_place_of_a_method_reaches_the_client(brokers, before):
    with FakeLeader(after_greeting(before + CLOSE, closes=False)) as leader:
        await_close(brokers, leader)


@pytest.mark.parametrize("sent", [START, START + TUNE], ids=["start", "tune"])
def test_a_leader_that_closes_its_socket_closes_that_of_the_client(brokers, sent):
    with FakeLeader(after_greeting(sent)) as leader:
        brokers.targets["x"] = Target("127.0.0.1", leader.port, "secret")
        with brokers.raw() as client:
            client.sendall(HANDSHAKE)
            with contextlib.suppress(ConnectionResetError):
                while client.recv(65536):
                    pass
        brokers.await_idle()
        assert leader.served == 1


def test_passwords_are_not_logged(brokers, caplog):
    caplog.set_level(logging.DEBUG)
    brokers.loop.set_debug(True)
    brokers.call(brokers.a.broker.users.add_user, "bob", "p4ssw0rd", ())
    brokers.call(brokers.b.broker.users.add_user, "bob", "p4ssw0rd", ())
    brokers.call(brokers.b.broker.users.set_permissions, "bob", "x", ".*", ".*", ".*")
    with brokers.connect(user="bob", password="p4ssw0rd") as connection:
        round_trip(connection)
    brokers.await_idle()
    ours = [record.getMessage() for record in caplog.records if not record.name.startswith("pika")]
    assert any("is relayed to" in text for text in ours)
    assert not any("p4ssw0rd" in text for text in ours)
