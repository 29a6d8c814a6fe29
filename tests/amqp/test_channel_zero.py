import pytest

from amqpbroker.broker.broker import Broker
from tests.harness import Received, Wire

HEADER = b"AMQP\0\0\x09\x01"
#: Positions at which the protocol header is cut in two.
SPLITS = (1, 3, 6, 7)


@pytest.mark.parametrize("split", SPLITS)
@pytest.mark.parametrize("header", [HEADER, b"AMQP\x01\x01\0\x09"])
def test_both_protocol_headers_of_0_9_1_are_accepted(broker: Broker, header: bytes, split: int) -> None:
    client = Wire(broker)
    client.feed(header[:split])
    assert client.receive() == []
    client.feed(header[split:])
    (start,) = client.receive()
    assert start.name == "connection.start"


@pytest.mark.parametrize("split", SPLITS)
@pytest.mark.parametrize(
    "header",
    [
        b"AMQP\0\0\x09\0",
        b"AMQP\0\0\x0a\0",
        b"AMQP\x03\x01\0\0",
        b"AMQP\0\x01\0\0",
        b"AMQP\x01\x01\0\x0a",
        b"GET / HTTP/1.1\r\nHost: here\r\n\r\n",
        b"\x16\x03\x01\x02\0\x01\0\x01\xfc\x03\x03",
        bytes(8),
        b"\xff" * 5000,
    ],
)
def test_unsupported_protocol_header_is_answered_with_the_supported_one(
    broker: Broker, header: bytes, split: int
) -> None:
    client = Wire(broker)
    client.feed(header[:split])
    assert client.receive() == []
    client.feed(header[split:])
    assert client.receive() == [Received(0, "protocol-header", {"header": HEADER})]
    assert client.connection.closing
    client.feed(HEADER)
    assert client.receive() == []


def test_secrets_can_be_updated(client: Wire) -> None:
    got = client.call(0, "connection.update-secret", new_secret="new", reason="old")
    assert got == Received(0, "connection.update-secret-ok", {})
