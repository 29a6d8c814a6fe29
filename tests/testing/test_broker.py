"""A broker within the process starts fast, ends without a trace, and reports invalid settings."""

import asyncio
import contextlib
import datetime
import json
import os
import re
import subprocess
import sys
import threading
import time

import pika
import pytest

from amqpbroker.testing import Broker
from tests.slowness import slowness


def connected(url):
    return pika.BlockingConnection(pika.URLParameters(url))


def test_a_client_connects_to_its_url():
    with Broker() as b, connected(b.url) as connection:
        channel = connection.channel()
        channel.queue_declare("q")
        channel.basic_publish("", "q", b"hello")
        assert channel.basic_get("q", auto_ack=True)[2] == b"hello"
        assert b.url == f"amqp://guest:guest@127.0.0.1:{b.port}/"


async def test_broker_is_an_async_context_manager():
    async with Broker() as b:
        reader, writer = await asyncio.open_connection(b.host, b.port)
        writer.write(b"AMQP\0\0\x09\x01")
        assert await reader.read(1) == b"\x01"
        writer.close()


def descriptors():
    return len(os.listdir("/proc/self/fd"))


@pytest.mark.alone
def test_100_brokers_start_fast_and_leave_no_threads_or_files():
    Broker().start().stop()
    threads, files, took = threading.active_count(), descriptors(), []
    for _ in range(100):
        started = time.perf_counter()
        with Broker():
            took.append(time.perf_counter() - started)
    assert threading.active_count() == threads
    assert descriptors() <= files
    # The machine may have better things to do most of the time.
    assert sorted(took)[10] < 0.05 * slowness()


def test_a_broker_can_be_started_again_and_is_empty():
    b = Broker()
    for _ in range(2):
        with b, connected(b.url) as connection:
            assert connection.channel().queue_declare("q", auto_delete=True).method.message_count == 0
    with pytest.raises(RuntimeError, match="not running"):
        _ = b.url
    with pytest.raises(RuntimeError, match="not running"):
        b.clock.advance(hours=1)


def test_stopping_twice_is_allowed_and_starting_twice_is_an_error():
    b = Broker()
    b.stop()
    b.start()
    with pytest.raises(RuntimeError, match="running already"):
        b.start()
    b.stop()
    b.stop()
    assert not b.running


def test_failed_test_with_connected_clients_leaves_no_threads_or_files():
    left = []

    def fail():
        with Broker() as b:
            left.append(connected(b.url))
            left[-1].channel().basic_publish("", "q", b"x" * 1_000_000)
            raise ZeroDivisionError

    def failed():
        before = set(threading.enumerate())
        with pytest.raises(ZeroDivisionError):
            fail()
        with pytest.raises(pika.exceptions.AMQPError):
            left[-1].process_data_events(60)
        # A thread of an earlier test may end meanwhile, so only new ones count.
        assert set(threading.enumerate()) <= before
        return descriptors()

    # Python and the client open some files once, during the first run.
    assert failed() == failed()


def test_several_brokers_are_independent():
    with contextlib.ExitStack() as stack:
        brokers = [stack.enter_context(Broker()) for _ in range(5)]
        for number, b in enumerate(brokers):
            with connected(b.url) as connection:
                connection.channel().queue_declare(f"q{number}")
            b.clock.advance(hours=number)
        assert [[queue.name for queue in b.queues()] for b in brokers] == [["q0"], ["q1"], ["q2"], ["q3"], ["q4"]]
        assert brokers[4].clock.now() - brokers[0].clock.now() > datetime.timedelta(hours=3)


def test_calls_on_the_brokers_thread_are_refused():
    with Broker() as b:
        raised = b._call(lambda instance: _error(b.queues))
    assert "own thread" in str(raised)


def _error(call):
    try:
        call()
    except RuntimeError as error:
        return error
    return None


FORK = """
import os, pika, socket
from amqpbroker.testing import Broker

def connected():
    return pika.BlockingConnection(pika.URLParameters(b.url))

with Broker(management=True) as b:
    idle = socket.create_connection((b.host, b.port))
    before = connected()
    told, tell = os.pipe()
    declared, declares = os.pipe()
    if not os.fork():
        connected().channel().queue_declare("q", durable=True)
        os.write(declares, b"x")
        try:
            b.queues()
        except RuntimeError as error:
            assert "the process that started it" in str(error)
            b.stop()
            os.close(tell)
            os.read(told, 1)
            os._exit(3)
    # The broker has the queue before the client has read the answer: a restart in between fails its declaration.
    assert os.read(declared, 1) == b"x"
    b.wait_until(queue="q", timeout=60)
    # The other process neither keeps connections open nor the port.
    b.restart()
    try:
        assert idle.recv(1) == b""
    except ConnectionResetError:
        pass
    assert [queue.name for queue in b.queues()] == ["q"]
    os.close(tell)
    assert os.waitstatus_to_exitcode(os.wait()[1]) == 3
    assert connected().is_open
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there are no forks")
def test_forked_process_can_connect_to_the_broker_without_stopping_it():
    ran = subprocess.run([sys.executable, "-W", "ignore", "-c", FORK], capture_output=True, text=True, timeout=120)
    assert ran.returncode == 0, ran.stderr


def test_stop_does_not_wait_long_for_unresponsive_clients():
    b = Broker().start()
    connection = connected(b.url)
    started = time.perf_counter()
    b.stop()
    assert time.perf_counter() - started < 2
    with pytest.raises(pika.exceptions.AMQPError):
        connection.channel()


@pytest.mark.parametrize(
    ("settings", "text"),
    [
        ({"compatt": "4.1"}, "there is no setting compatt; did you mean compat?"),
        ({"compat": "5.0"}, "compat = 5.0: this must be 4.0 or 4.1 or 4.2 or 4.3"),
        ({"definitions": {"queues": []}}, "definitions = {'queues': []}: this must be the name of a file"),
        ({"vhosts": "blue"}, "vhosts = 'blue': this must be a list of names"),
        ({"vhosts": [None]}, "vhosts = (None,): this must be a list of names"),
        ({"users": {"bob": 1}}, "this must be a dict of names and passwords, all of them text"),
        ({"users": ["bob"]}, "users: this must be a dict of names and passwords"),
        ({"heartbeat": object}, "heartbeat = <class 'object'>: this must be text, a number"),
    ],
)
def test_wrong_setting_is_an_error_before_the_broker_starts(settings, text):
    with pytest.raises(ValueError, match=re.escape(text)):
        Broker(**settings)


def test_starting_a_broker_on_a_used_port_is_an_error():
    with Broker() as b, pytest.raises(Exception, match="the port is in use"):
        Broker(port=b.port).start()


def test_broker_arguments_are_rabbitmq_settings_with_underscores_for_dots():
    with Broker(default_user="alice", default_pass="s/", vhosts=["blue"], users={"bob": "b"}, frame_max=8192) as b:
        for url in (b.url, b.url_of("blue"), b.url_of("blue", "bob"), b.add_vhost("a/b")):
            with connected(url) as connection:
                assert connection.is_open
        b.delete_vhost("a/b")


def test_url_of_the_broker_names_the_default_vhost():
    with Broker(default_vhost="v") as b, connected(b.url) as connection:
        assert b.url.endswith("/v")
        assert connection.is_open


def test_definitions_are_imported(tmp_path):
    path = tmp_path / "definitions.json"
    path.write_text('{"vhosts": [{"name": "/"}], "queues": [{"name": "q", "vhost": "/", "durable": true}]}')
    with Broker(definitions=path) as b, connected(b.url) as connection:
        assert connection.channel().queue_declare("q", passive=True)


def test_default_user_is_not_created_if_the_definitions_have_users(tmp_path):
    path = tmp_path / "definitions.json"
    user = {"name": "shop", "password_hash": "", "tags": ["administrator"]}
    path.write_text(json.dumps({"vhosts": [{"name": "/"}], "users": [user]}))
    with Broker(definitions=path, users={"bob": "b"}) as b, connected(b.url_of(user="bob")) as connection:
        assert connection.is_open
        with pytest.raises(pika.exceptions.ProbableAuthenticationError):
            connected(b.url)


def test_management_api_exists_only_with_management_true():
    import httpx

    with Broker(management=True) as b:
        assert httpx.get(f"{b.http_url}/api/whoami", auth=("guest", "guest")).json()["name"] == "guest"
    with Broker() as b, pytest.raises(RuntimeError, match="management=True"):
        _ = b.http_url
