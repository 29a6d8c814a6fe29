import contextlib

import pika
import pytest

from amqpbroker.testing import Broker
from tests.testing.faults.raw import Client


@pytest.fixture(scope="package")
def running():
    with Broker(vhosts=["other"], users={"shop": "secret"}) as broker:
        yield broker


@pytest.fixture
def b(running):
    yield running
    running.faults.forget()


@pytest.fixture
def connect(b):
    """Return a function that opens a connection with pika, by default to the vhost /."""
    opened = []

    def connect(url=None, **parameters):
        target = pika.URLParameters(url or b.url)
        for name, value in parameters.items():
            setattr(target, name, value)
        connection = pika.BlockingConnection(target)
        opened.append(connection)
        return connection

    yield connect
    b.faults.clear()
    for connection in opened:
        with contextlib.suppress(pika.exceptions.AMQPError):  # some were reset
            connection.close()


@pytest.fixture
def channel(connect):
    return connect().channel()


@pytest.fixture
def dial(b):
    """Return a function that opens a client of single frames."""
    opened = []

    def dial(**options):
        opened.append(Client(b, **options))
        return opened[-1]

    yield dial
    for client in opened:
        client.close()


@pytest.fixture
def queue(b, dial):
    """An empty queue, deleted afterwards."""
    dial().call("queue.declare", queue="q")
    yield "q"
    b.faults.clear()
    dial().call("queue.delete", queue="q")


@pytest.fixture
def client(dial, queue):
    return dial()


@pytest.fixture
def count(dial):
    """Return a function that counts the messages in the queue."""
    return lambda: dial().call("queue.declare", queue="q", passive=True)["message_count"]
