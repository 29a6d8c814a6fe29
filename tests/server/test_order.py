"""Data that clients' sockets have received when the request that causes it is answered, over real sockets."""

import contextlib
import select
import socket

import httpx
import pika
import pytest

from tests.process import BrokerProcess

ROUNDS = 10


@pytest.fixture(scope="module")
def broker(tmp_path_factory):
    with BrokerProcess(tmp_path_factory.mktemp("broker")) as broker:
        yield broker


@pytest.fixture
def api(broker):
    with httpx.Client(base_url=f"http://guest:guest@127.0.0.1:{broker.port_of('http')}/api/", timeout=60) as api:
        yield api


def consumer(broker, queue, vhost="/"):
    """Return a connection with a consumer, and its socket."""
    credentials = pika.PlainCredentials("guest", "guest")
    connection = pika.BlockingConnection(pika.ConnectionParameters("127.0.0.1", broker.port, vhost, credentials))
    channel = connection.channel()
    channel.queue_declare(queue)
    channel.basic_consume(queue, lambda *_: None, auto_ack=True)
    return connection, connection._impl._transport._sock


def has_something(sock: socket.socket) -> bool:
    return bool(select.select([sock], [], [], 0)[0])


def test_consumer_is_notified_before_deletion_of_its_vhost_is_answered(broker, api):
    for number in range(ROUNDS):
        api.put(f"vhosts/v{number}", json={})
        connection, sock = consumer(broker, "q", f"v{number}")
        assert not has_something(sock)
        assert api.delete(f"vhosts/v{number}").status_code == 204
        assert has_something(sock)
        with pytest.raises(pika.exceptions.ConnectionClosedByBroker):
            connection.process_data_events(1)


@pytest.mark.parametrize("by", ["http", "amqp"])
def test_consumer_is_notified_before_deletion_of_its_queue_is_answered(broker, api, by):
    other = pika.BlockingConnection(pika.URLParameters(broker.url))
    channel = other.channel()
    for number in range(ROUNDS):
        connection, sock = consumer(broker, f"{by}{number}")
        assert not has_something(sock)
        if by == "http":
            assert api.delete(f"queues/%2F/{by}{number}").status_code == 204
        else:
            channel.queue_delete(f"{by}{number}")
        assert has_something(sock)
        connection.close()
    other.close()


def test_message_is_delivered_before_its_http_publish_is_answered(broker, api):
    connection, sock = consumer(broker, "published")
    body = {"routing_key": "published", "properties": {}, "payload": "x", "payload_encoding": "string"}
    for _ in range(ROUNDS):
        assert not has_something(sock)
        assert api.post("exchanges/%2F/amq.default/publish", json=body).json() == {"routed": True}
        assert has_something(sock)
        connection.process_data_events(0)
    with contextlib.suppress(pika.exceptions.AMQPError):
        connection.close()
