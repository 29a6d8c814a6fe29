"""The headings of docs/troubleshooting.md are the texts that people see."""

import contextlib
import re
import socket
import subprocess
import sys

import httpx
import pika
import pytest

from amqpbroker.config import Config
from amqpbroker.server.data import opened
from amqpbroker.store.log import StoreError
from amqpbroker.testing import Broker
from tests.docs.blocks import ROOT
from tests.process import ENVIRONMENT

PAGE = (ROOT / "docs" / "troubleshooting.md").read_text()
HEADINGS = re.findall(r"^### (.+)$", PAGE, re.MULTILINE)


@pytest.fixture
def broker():
    with Broker(management=True, users={"app": "secret"}) as broker:
        yield broker


def connected(url):
    return pika.BlockingConnection(pika.URLParameters(url))


def declare(broker, *, again=None, user="guest", **properties):
    """Declare a queue on a connection of its own; then, on another one, again with other properties."""
    with connected(broker.url_of(user=user)) as first:
        first.channel().queue_declare(**properties)
        if again is not None:
            with connected(broker.url) as second:
                second.channel().queue_declare(**(properties | again))


def wrong_password(broker):
    connected(broker.url_of(password="no"))


def unknown_vhost(broker):
    connected(broker.url_of("shop"))


def vhost_without_permissions(broker):
    broker.add_vhost("shop")
    manage(broker, "DELETE", "permissions/shop/app")
    connected(broker.url_of("shop", "app"))


def too_many_connections(broker):
    manage(broker, "PUT", "vhost-limits/%2F/max-connections", {"value": 10})
    with contextlib.ExitStack() as opened_ones:
        for _ in range(11):
            opened_ones.enter_context(connected(broker.url_of(user="app")))


def shutdown(broker):
    connection = connected(broker.url)
    broker.stop()
    connection.process_data_events(1)
    connection.channel()


def other_properties(broker):
    declare(broker, queue="orders", again={"durable": True})


def wrong_type_of_argument(broker):
    declare(broker, queue="orders", arguments={"x-message-ttl": "1000"})


def too_large(broker):
    with connected(broker.url) as connection:
        channel = connection.channel()
        channel.confirm_delivery()
        channel.basic_publish("", "orders", bytes(20_000_000))


def missing_queue(broker):
    declare(broker, queue="orders", passive=True)


def missing_exchange(broker):
    with connected(broker.url) as connection:
        channel = connection.channel()
        channel.confirm_delivery()
        channel.basic_publish("events", "", b"")


def missing_permission(broker):
    manage(broker, "PUT", "permissions/%2F/app", {"configure": "^$", "write": "", "read": ""})
    declare(broker, queue="orders", user="app")


def exclusive(broker):
    declare(broker, queue="replies", exclusive=True, again={})


def read_stream(broker, prefetch, **properties):
    with connected(broker.url) as connection:
        channel = connection.channel()
        channel.queue_declare("events", durable=True, arguments={"x-queue-type": "stream"})
        channel.basic_qos(prefetch_count=prefetch)
        channel.basic_consume("events", print, **properties)


def stream_without_prefetch(broker):
    read_stream(broker, 0)


def stream_without_acknowledgements(broker):
    read_stream(broker, 10, auto_ack=True)


def acknowledged_twice(broker):
    with connected(broker.url) as connection:
        channel = connection.channel()
        channel.basic_ack(1)
        channel.queue_declare("")


def manage(broker, method, path, body=None):
    url = f"{broker.http_url}/api/{path}"
    httpx.request(method, url, json=body, auth=("guest", "guest")).raise_for_status()


CLIENT_ERRORS = [
    wrong_password,
    unknown_vhost,
    vhost_without_permissions,
    too_many_connections,
    shutdown,
    other_properties,
    wrong_type_of_argument,
    too_large,
    missing_queue,
    missing_exchange,
    missing_permission,
    exclusive,
    stream_without_prefetch,
    stream_without_acknowledgements,
    acknowledged_twice,
]


@pytest.mark.parametrize("mistake", CLIENT_ERRORS)
def test_troubleshooting_page_has_errors_of_clients(broker, mistake):
    with pytest.raises(pika.exceptions.AMQPError) as raised:
        mistake(broker)
    (heading,) = [heading for heading in HEADINGS if heading in told(raised.value)]
    assert heading


def told(error):
    return str(getattr(error, "reply_text", error)) + str(error)


def test_troubleshooting_page_has_the_acknowledgement_timeout(broker):
    with connected(broker.url) as connection:
        channel = connection.channel()
        channel.queue_declare("orders")
        channel.basic_publish("", "orders", b"")
        channel.basic_consume("orders", lambda *message: None)
        broker.wait_until(queue="orders", ready=0, unacked=1)
        broker.clock.advance(hours=1)
        (refusal,) = broker.channel_errors
    assert [heading for heading in HEADINGS if heading in str(refusal)]


def test_troubleshooting_page_has_the_error_of_wait_until(broker):
    with pytest.raises(AssertionError) as raised:
        broker.wait_until(queue="orders", ready=1, timeout=0.01)
    assert str(raised.value).replace("0.01 s", "5 s").splitlines()[0] in HEADINGS


async def test_troubleshooting_page_has_the_error_of_a_blocking_call(broker):
    with pytest.raises(RuntimeError) as raised:
        broker.wait_until(queue="orders", ready=1)
    part = "this thread's event loop"
    assert part in str(raised.value)
    assert [heading for heading in HEADINGS if part in heading]


def printed(*arguments):
    command = [sys.executable, "-m", "amqpbroker", *arguments]
    ran = subprocess.run(command, env=ENVIRONMENT, capture_output=True, text=True, check=False, timeout=60)
    assert ran.returncode != 0
    return ran.stderr


def test_troubleshooting_page_has_errors_of_the_command_line():
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = str(other.getsockname()[1])
        in_use = printed("serve", "--in-memory", "--port", port).replace(port, "5672")
    assert [heading for heading in HEADINGS if heading in in_use]
    unknown = printed("serve", "--set", "heartbeet=3")
    assert [heading for heading in HEADINGS if heading in unknown]
    unreachable = printed("ctl", "--url", "http://127.0.0.1:1", "status")
    assert [heading for heading in HEADINGS if heading.replace("localhost:15672", "127.0.0.1:1") in unreachable]


def test_troubleshooting_page_has_the_data_directory_error(tmp_path):
    config = Config(data_dir=str(tmp_path))
    with opened(config), pytest.raises(StoreError) as raised, opened(config):
        pass
    assert [heading for heading in HEADINGS if heading in str(raised.value)]


def test_troubleshooting_page_has_error_texts_of_the_code():
    """Errors that take long to provoke are found in the code by a part of their text."""
    code = "".join(path.read_text() for path in sorted((ROOT / "amqpbroker").rglob("*.py")))
    for part in (
        "was written by a newer amqpbroker",
        "missed heartbeats from client, timeout:",
        "expected content header for class 60, got non content header frame instead",
    ):
        assert part in code
        assert [heading for heading in HEADINGS if part in heading]
    assert "no C compiler" in (ROOT / "setup.py").read_text()
