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
    """`connect()` opens a connection with pika, of the vhost / unless a URL is given."""
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
    """`dial()` is a client of frames."""
    opened = []

    def dial(**options):
        opened.append(Client(b, **options))
        return opened[-1]

    yield dial
    for client in opened:
        client.close()


@pytest.fixture
def queue(b, dial):
    """A queue that is empty, and gone afterwards."""
    dial().call("queue.declare", queue="q")
    yield "q"
    b.faults.clear()
    dial().call("queue.delete", queue="q")


@pytest.fixture
def client(dial, queue):
    return dial()


@pytest.fixture
def count(dial):
    """`count()` is how many messages wait in the queue."""
    return lambda: dial().call("queue.declare", queue="q", passive=True)["message_count"]
