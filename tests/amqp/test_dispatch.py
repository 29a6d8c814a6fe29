import pytest

from amqpbroker.wire import methods
from amqpbroker.wire.frames import BODY, HEADER, HEARTBEAT, METHOD, frame
from tests.harness import Wire, method

HEAD = b"\0\x3c\0\0"


def header(size: int, channel: int = 1, properties: bytes = b"\0\0") -> bytes:
    return frame(HEADER, channel, HEAD + size.to_bytes(8, "big") + properties)


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (frame(HEARTBEAT, 1, b""), 505),
        (frame(HEARTBEAT, 0, b"x"), 501),
        (frame(9, 0, b""), 501),
        (frame(0, 1, b"x"), 501),
        (frame(4, 1, b"x"), 501),
        (frame(255, 65535, b"x" * 300), 501),
        (frame(METHOD, 1, b""), 501),
        (frame(METHOD, 1, b"\0\x32\0"), 501),
        (frame(METHOD, 0, b"\0"), 501),
        (frame(BODY, 1, b"x"), 505),
        (frame(BODY, 1, b""), 505),
        (header(3), 505),
        (header(0, channel=0), 505),
        (frame(BODY, 0, b"x"), 505),
        (frame(BODY, 7, b"x"), 505),
        (header(0, channel=7), 505),
        (method("basic.publish") + method("basic.get"), 505),
        (method("basic.publish") + frame(BODY, 1, b"x"), 505),
        (method("basic.publish") + header(3) + header(3), 505),
        (method("basic.publish") + header(3) + method("basic.get"), 505),
        (method("basic.publish") + header(3) + frame(BODY, 1, b"abcd"), 501),
        (method("basic.publish") + frame(HEADER, 1, HEAD), 505),
        (method("basic.publish") + frame(HEADER, 1, b"\0\x3c\0\1" + bytes(10)), 505),
        (method("basic.publish") + frame(HEADER, 1, b"\0\x32\0\0" + bytes(10)), 505),
        (method("queue.declare", channel=7), 504),
        (method("channel.close", channel=7), 504),
        (method("basic.publish", channel=7), 504),
        (method("channel.open"), 504),
        (method("channel.open", channel=0), 504),
        (method("queue.declare", channel=0), 504),
        (frame(METHOD, 1, b"\0\x63\0\x0a"), 540),
        (frame(METHOD, 1, b"\0\x3c\0\x63"), 540),
        (method("basic.deliver"), 503),
        (method("queue.declare-ok"), 503),
        (method("connection.open"), 503),
        (frame(METHOD, 1, methods.encode("queue.declare")[:-1]), 501),
        (frame(METHOD, 1, methods.encode("basic.qos") + b"x"), 501),
        (method("queue.declare", queue=b"\xff"), 501),
    ],
)
def test_what_closes_the_connection(client: Wire, data: bytes, code: int) -> None:
    client.feed(data)
    assert client.closed()[0] == code
    assert not client.connection.closing
