import pytest

from amqpbroker.broker.broker import Broker
from amqpbroker.wire import methods
from amqpbroker.wire.frames import BODY, HEADER, HEARTBEAT, METHOD, frame
from tests.harness import Received, Wire, method

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
        (method("basic.publish") + frame(HEADER, 1, HEAD), 501),
        (method("basic.publish") + frame(HEADER, 1, HEAD + bytes(7)), 501),
        (frame(HEADER, 1, b""), 501),
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
def test_invalid_frames_close_the_connection(client: Wire, data: bytes, code: int) -> None:
    client.feed(data)
    assert client.closed()[0] == code
    assert not client.connection.closing


@pytest.mark.parametrize("class_id", [0, 99, 0x7FFF, 0x8000, 0x803C, 0xFFFF])
@pytest.mark.parametrize("method_id", [10, 0x8000, 0xFFFF])
def test_unknown_method_of_any_class_is_not_implemented(client: Wire, class_id: int, method_id: int) -> None:
    client.feed(frame(METHOD, 1, class_id.to_bytes(2, "big") + method_id.to_bytes(2, "big")))
    (got,) = client.receive()
    assert got == Received(
        0,
        "connection.close",
        {
            "reply_code": 540,
            "reply_text": f"NOT_IMPLEMENTED - unknown method {class_id}.{method_id}",
            "class_id": class_id,
            "method_id": method_id,
        },
    )


@pytest.mark.parametrize("number", [0, 7])
@pytest.mark.parametrize("class_id", [0x8000, 0xFFFF])
def test_unknown_method_on_a_channel_that_is_not_open_is_a_channel_error(
    client: Wire, number: int, class_id: int
) -> None:
    client.feed(frame(METHOD, number, class_id.to_bytes(2, "big") + b"\xff\xff"))
    (got,) = client.receive()
    assert (got.arguments["reply_code"], got.arguments["class_id"], got.arguments["method_id"]) == (
        504,
        class_id,
        0xFFFF,
    )


def misfits(name: str) -> list[bytes]:
    """Return payloads that end within the fields of a method, and one that is too long."""
    payload = methods.encode(name)
    return [*[payload[:size] for size in range(4, len(payload))], payload + b"z"]


@pytest.mark.parametrize("number", [1, 7])
@pytest.mark.parametrize("name", sorted(methods.BY_NAME.keys() - {"connection.update-secret"}))
def test_method_of_the_wrong_length_is_a_syntax_error(broker: Broker, name: str, number: int) -> None:
    for payload in misfits(name):
        client = Wire(broker).log_in()
        client.feed(frame(METHOD, number, payload) + header(1, number) + frame(BODY, number, b"x"))
        (got,) = client.receive()
        numbers = ",".join(map(str, payload[4:]))
        assert got.arguments["reply_text"] == f"FRAME_ERROR - cannot decode <<{numbers}>>"
        assert got.arguments["class_id"] << 16 | got.arguments["method_id"] == methods.BY_NAME[name].ids


def test_connection_method_with_the_wrong_number_of_bytes_is_refused(broker: Broker) -> None:
    for payload in [*misfits("connection.close"), *misfits("connection.update-secret")]:
        client = Wire(broker).log_in()
        client.feed(frame(METHOD, 0, payload))
        assert client.closed()[0] == 501


def test_publish_that_cannot_be_decoded_is_refused_before_its_content(client: Wire) -> None:
    client.feed(frame(METHOD, 1, methods.encode("basic.publish")[:-4]))
    assert client.closed() == (501, "FRAME_ERROR - cannot decode <<0>>")


@pytest.mark.parametrize(("size", "shown"), [(16, "all"), (17, "first 16")])
def test_error_of_an_invalid_frame_shows_its_first_16_bytes(client: Wire, size: int, shown: str) -> None:
    client.feed(frame(4, 1, bytes(range(1, size + 1))))
    numbers = ",".join(map(str, range(1, 17)))
    assert client.closed()[1] == f"FRAME_ERROR - type 4, {shown} octets = <<{numbers}>>: unknown_frame"
