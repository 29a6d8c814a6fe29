"""Data that clients sent before a test asks is handled, even if it was still in transit."""

import asyncio
import socket
import ssl
import subprocess
import sys
import threading
from types import SimpleNamespace

import pika
import pytest

from amqpbroker.server.protocols import AMQPS
from amqpbroker.testing import Broker, in_flight, sockets
from amqpbroker.testing.in_flight import Sent
from amqpbroker.testing.sockets import Peers
from tests.certificates import Authority
from tests.process import ENVIRONMENT
from tests.testing.faults.raw import HEADER, Client, method, publish

#: Reason to skip tests with more bytes than the socket of the broker takes at once, or with clients that connect later.
needs_counts = pytest.mark.skipif(not sockets._LINUX, reason="the kernel does not tell what the client's socket has")

COUNT = 20_000
PATIENCE_S = 60

#: Client in a process of its own: it sends all messages at once, and reports when it has.
SENDER = """
import sys
from types import SimpleNamespace
from tests.testing.faults.raw import Client, publish
port, count = map(int, sys.argv[1:3])
client = Client(SimpleNamespace(host="127.0.0.1", port=port))
client.call("queue.declare", queue="q")
client.send(publish(b"x" * 100) * count)
print("sent", flush=True)
sys.stdin.read()
"""


@pytest.fixture(scope="module")
def authority(tmp_path_factory):
    return Authority(tmp_path_factory.mktemp("tls"))


@pytest.fixture(scope="module")
def b(authority):
    issued = authority.issue("server")
    options = {"certfile": issued.certfile, "keyfile": issued.keyfile}
    with Broker(listeners={"ssl": {"default": "127.0.0.1:0"}}, ssl_options=options) as broker:
        yield broker


@pytest.fixture(params=["plain", "tls"])
def connect(request, b, authority):
    """Yield a function that connects clients, over plain TCP or TLS."""
    made = []

    def make():
        if request.param == "plain":
            client = Client(b)
        else:
            context = ssl.create_default_context(cafile=authority.cafile)
            context.check_hostname = False
            port = next(listening.port for listening in b._host.listening if listening.protocol == AMQPS)
            client = Client(b, tls=context, port=port)
        made.append(client)
        client.call("queue.declare", queue="q")
        client.call("queue.purge", queue="q")
        return client

    yield make
    for client in made:
        client.close()


def ready(b):
    (state,) = [state for state in b.queues() if state.name == "q"]
    return state.ready


@needs_counts
@pytest.mark.explore
def test_inspector_sees_20000_messages_sent_in_one_write(b, connect):
    client = connect()
    data = publish(b"x" * 100) * COUNT
    for run in range(1, 4):
        client.send(data)
        assert ready(b) == COUNT * run


@needs_counts
@pytest.mark.explore
def test_inspector_sees_all_sent_messages_in_100_runs(b, connect):
    client = connect()
    for run in range(1, 101):
        client.send(publish(b"x" * 400) * 300 * (1 + run % 4))
        assert ready(b) == 300 * sum(1 + each % 4 for each in range(1, run + 1))


def test_messages_call_sees_messages_sent_just_before_in_100_runs(b, connect):
    client = connect()
    for run in range(100):
        client.send(publish(b"%d" % run) * 50 + method(1, "queue.purge", queue="q") + publish(b"last %d" % run) * 2)
        assert [message.body for message in b.messages("q")] == [b"last %d" % run] * 2
        client.expect("queue.purge-ok")


@needs_counts
def test_inspector_sees_large_messages_sent_just_before(b, connect):
    client = connect()
    body = bytes(300_000)
    for run in range(1, 6):
        client.send(publish(body) * 10)
        assert ready(b) == 10 * run


@pytest.mark.explore
def test_inspector_sees_messages_of_several_clients_in_threads(b, connect):
    clients = [connect() for _ in range(8)]
    threads = [threading.Thread(target=client.send, args=(publish(b"x" * 100) * 3_000,)) for client in clients]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert ready(b) == 24_000


@pytest.mark.explore
def test_constantly_sending_client_does_not_block_the_inspector(b, connect):
    client, busy = connect(), connect()
    stopping = threading.Event()

    def send():
        while not stopping.is_set():
            busy.send(publish(b"busy", routing_key="nowhere") * 500)

    thread = threading.Thread(target=send)
    thread.start()
    try:
        for run in range(1, 4):
            client.send(publish(b"x" * 100) * 2_000)
            assert ready(b) == 2_000 * run
    finally:
        stopping.set()
        thread.join()


@needs_counts
def test_inspector_sees_messages_sent_by_another_process(b):
    with pika.BlockingConnection(pika.URLParameters(b.url)) as connection:
        connection.channel().queue_delete("q")
    command = [sys.executable, "-c", SENDER, str(b.port), str(COUNT)]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, env=ENVIRONMENT) as process:
        assert process.stdout.readline() == b"sent\n"
        assert ready(b) == COUNT
        process.stdin.close()


@pytest.mark.explore
def test_inspector_sees_messages_of_a_client_that_has_closed(b, connect):
    connect()
    for run in range(1, 11):
        client = Client(b)
        client.send(publish(b"x" * 100) * 5_000)
        client.close()
        assert ready(b) == 5_000 * run


@pytest.mark.explore
def test_inspector_sees_messages_of_a_connection_not_yet_accepted(b):
    """The client sends everything without waiting for an answer."""
    start = method(0, "connection.start-ok", mechanism="PLAIN", response=b"\0guest\0guest", locale="en_US")
    tune = method(0, "connection.tune-ok", channel_max=100, frame_max=131072, heartbeat=0)
    opened = method(0, "connection.open", virtual_host="/") + method(1, "channel.open")
    declared = method(1, "queue.declare", queue="pipelined") + method(1, "queue.purge", queue="pipelined")
    for _ in range(50):
        with socket.create_connection((b.host, b.port)) as sock:
            sock.sendall(HEADER + start + tune + opened + declared + publish(b"x", "pipelined") * 3_000)
            (state,) = [state for state in b.queues() if state.name == "pipelined"]
            assert state.ready == 3_000


@pytest.mark.explore
def test_sent_data_is_handled_before_the_clock_moves(b, connect):
    client = connect()
    arguments = {"x-message-ttl": 60_000, "x-dead-letter-exchange": "", "x-dead-letter-routing-key": "q"}
    with pika.BlockingConnection(pika.URLParameters(b.url)) as connection:
        connection.channel().queue_declare("passes", arguments=arguments)
    for run in range(1, 4):
        client.send(publish(b"x" * 100, routing_key="passes") * COUNT)
        b.clock.advance(minutes=2)
        assert ready(b) == COUNT * run


@pytest.mark.explore
def test_publish_and_error_records_include_data_sent_just_before(b, connect):
    client = connect()
    client.send(publish(b"x" * 100) * COUNT + publish(b"the last", routing_key="the last"))
    assert [message.body for message in b.published(routing_key="the last")][-1:] == [b"the last"]
    client.send(publish(b"x" * 100) * COUNT + method(1, "queue.declare", queue="nobody", passive=True))
    assert b.channel_errors[-1].text == "NOT_FOUND - no queue 'nobody' in vhost '/'"


def test_inspector_does_not_wait_for_the_rest_of_an_incomplete_frame(b, connect):
    client = connect()
    data = publish(b"x" * 100)
    client.send(data * 100 + data[:-10])
    assert ready(b) == 100
    client.send(data[-10:])
    assert ready(b) == 101


@pytest.mark.explore
def test_inspector_does_not_wait_for_data_held_back_by_an_alarm(b, connect):
    client = connect()
    with b.faults.block():
        client.send(publish(b"x" * 100) * COUNT)
        assert ready(b) < COUNT
    assert ready(b) == COUNT


def test_inspector_does_not_wait_for_data_held_back_by_a_fault(b, connect):
    client = connect()
    with b.faults.stop_reading():
        client.send(publish(b"x" * 100) * 100)
        assert ready(b) == 0
    assert ready(b) == 100


@pytest.mark.explore
def test_inspector_does_not_wait_for_a_client_that_reads_no_answers(b, connect):
    client = connect()
    other = connect()
    client.send(publish(bytes(1_000_000)) * 50)
    client.send(method(1, "basic.get", queue="q", no_ack=True) * 50 + publish(b"behind", routing_key="behind"))
    other.send(publish(b"x" * 100, routing_key="other") * 5_000)
    assert len(b.published(routing_key="other")) == 5_000
    assert b.published(routing_key="behind") == []
    for _ in range(50):
        client.expect("basic.get-ok")
        size = int.from_bytes(client.read()[1][4:12], "big")
        while size:
            size -= len(client.read()[1])
    assert len(b.published(routing_key="behind")) == 1
    b.delete_vhost("/")
    b.add_vhost("/")


@pytest.mark.explore
@pytest.mark.parametrize(("listening", "connected"), [("::", "127.0.0.1"), ("::", "::1"), ("::1", "::1")])
def test_inspector_sees_messages_sent_over_ipv6(listening, connected):
    with Broker(host=listening) as b:
        client = Client(SimpleNamespace(host=connected, port=b.port))
        client.call("queue.declare", queue="q")
        client.send(publish(b"x" * 100) * COUNT)
        assert ready(b) == COUNT
        client.close()


@pytest.mark.explore
@pytest.mark.parametrize("system", ["no numbers", "no netlink"])
def test_wait_until_works_on_systems_that_do_not_report_unread_bytes(b, connect, monkeypatch, system):
    if system == "no numbers":
        monkeypatch.setattr(in_flight, "received", lambda sock: None)
    monkeypatch.setattr(Peers, "written", lambda self, sock: 0)
    client = connect()
    for run in range(1, 101):
        client.send(publish(b"x" * 100) * 100)
        assert 100 * (run - 1) <= ready(b) <= 100 * run
        b.wait_until(queue="q", ready=100 * run)


@needs_counts
async def test_inspector_sees_messages_of_an_asyncio_client(b):
    _, writer = await asyncio.open_connection(b.host, b.port)
    with pika.BlockingConnection(pika.URLParameters(b.url)) as connection:
        connection.channel().queue_declare("q")
        connection.channel().queue_purge("q")
    start = method(0, "connection.start-ok", mechanism="PLAIN", response=b"\0guest\0guest", locale="en_US")
    tune = method(0, "connection.tune-ok", channel_max=100, frame_max=131072, heartbeat=0)
    writer.write(HEADER + start + tune + method(0, "connection.open", virtual_host="/") + method(1, "channel.open"))
    writer.transport.set_write_buffer_limits(0)  # `drain` waits until no data is left in this process
    writer.write(publish(b"x" * 100) * COUNT)
    await writer.drain()
    assert ready(b) == COUNT
    writer.close()


def test_bytes_that_are_acknowledged_while_the_kernel_answers_are_counted_once(monkeypatch):
    answers = iter([110, 0])
    monkeypatch.setattr(sockets, "_written", lambda answer: next(answers))
    with socket.create_server(("127.0.0.1", 0)) as listener, socket.create_connection(listener.getsockname()):
        served, _ = listener.accept()
        with served, sockets.Peers() as peers:
            assert peers.written(served) == 0


def test_bytes_that_no_system_call_counts_are_waited_for_while_they_arrive(monkeypatch):
    monkeypatch.setattr(in_flight, "received", lambda sock: None)
    ends = socket.socketpair()
    state = {"bytes_read": 100, "encrypted": False, "closing": False, "reading": True, "paused": False}
    client = SimpleNamespace(socket=ends[0], **state)
    with ends[0], ends[1], Peers() as peers:
        ends[0].setblocking(False)
        sent = Sent(client, peers)
        for _ in range(20):
            client.bytes_read += 10
            assert not sent.is_handled
        assert [sent.is_handled for _ in range(3)] == [False, False, True]
        client.bytes_read += in_flight._UNCOUNTED_BYTES
        assert sent.is_handled, "a busy client does not hold the others up"
