"""Faults of connections by TLS."""

import ssl

import pytest

from amqpbroker.server.protocols import AMQPS
from amqpbroker.testing import Broker
from tests.certificates import Authority
from tests.testing.faults.raw import Client, publish


@pytest.fixture(scope="module")
def authority(tmp_path_factory):
    return Authority(tmp_path_factory.mktemp("tls"))


@pytest.fixture(scope="module")
def secure(authority):
    issued = authority.issue("server")
    options = {"certfile": issued.certfile, "keyfile": issued.keyfile}
    with Broker(listeners={"ssl": {"default": "127.0.0.1:0"}}, ssl_options=options) as broker:
        yield broker


@pytest.fixture
def client(secure, authority):
    context = ssl.create_default_context(cafile=authority.cafile)
    context.check_hostname = False
    port = next(listening.port for listening in secure._host.listening if listening.protocol == AMQPS)
    client = Client(secure, tls=context, port=port)
    client.call("queue.declare", queue="q")
    client.call("confirm.select")
    yield client
    client.close()
    secure.faults.forget()


@pytest.mark.parametrize("kind", ["reset", "drop"])
def test_earlier_output_is_sent_before_a_tls_connection_is_cut(secure, client, kind):
    getattr(secure.faults, kind)(on="basic.publish", nth=2)
    client.send(publish(b"1") + publish(b"2"))
    assert client.expect("basic.ack")["delivery_tag"] == 1
    assert client.end() in (EOFError, ConnectionResetError)  # which of them, ssl does not always say


def test_frames_over_tls_trigger_faults(secure, client):
    with secure.faults.one_byte_writes(), secure.faults.stop_reading():
        secure.faults.nack(2)
        client.send(publish(bytes(100_000)) + publish(bytes(200_000)) + publish(b"3"))
    assert client.told() == [("basic.ack", 1), ("basic.nack", 2), ("basic.ack", 3)]
