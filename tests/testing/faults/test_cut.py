"""Connections that are reset, or closed without connection.close."""

import pika
import pytest

from amqpbroker.testing.faults.cut import Reset
from tests.testing.faults.raw import HEADER, publish

LOST = pika.exceptions.AMQPConnectionError


@pytest.mark.parametrize(("kind", "ends"), [("reset", ConnectionResetError), ("drop", EOFError)])
def test_all_open_connections_are_reset_at_once(b, client, count, kind, ends):
    getattr(b.faults, kind)()
    assert client.end() is ends
    assert count() == 0
    assert [struck.what for struck in b.faults.happened][-1] == "at once"


def test_reset_on_a_method_closes_the_connection_before_it_is_handled(b, client, count):
    client.call("confirm.select")
    b.faults.reset(on="basic.publish", nth=3)
    client.send(b"".join(publish(body) for body in (b"1", b"2", b"3", b"4")))
    # Earlier output is still written.
    assert client.expect("basic.ack") == {"delivery_tag": 1, "multiple": False}
    assert client.expect("basic.ack") == {"delivery_tag": 2, "multiple": False}
    assert client.end() is ConnectionResetError
    assert count() == 2


def test_connection_is_dropped_instead_of_sending_a_confirm(b, client, count):
    client.call("confirm.select")
    b.faults.drop(instead_of="basic.ack", nth=2)
    client.send(publish(b"1") + publish(b"2") + publish(b"3"))
    assert client.expect("basic.ack")["delivery_tag"] == 1
    assert client.end() is EOFError
    assert count() == 3


def test_a_message_is_delivered_again_when_its_ack_is_lost(b, connect, queue):
    channel = connect().channel()
    channel.basic_publish("", queue, b"x")
    b.faults.reset(on="basic.ack")
    method, _, _ = next(channel.consume(queue))
    channel.basic_ack(method.delivery_tag)
    with pytest.raises(LOST):
        channel.queue_declare(queue, passive=True)
    method, _, body = connect().channel().basic_get(queue, auto_ack=True)
    assert (method.redelivered, body) == (True, b"x")


@pytest.mark.parametrize("frames", range(1, 8))
def test_connection_is_dropped_after_a_number_of_received_frames(b, client, count, frames):
    """Each publish has five frames: the method, the header, and three of the body."""
    b.faults.drop(after_frames=frames)
    body = bytes(1000)
    client.send(publish(body, frame_max=408) * 2)
    assert client.end() in (EOFError, ConnectionResetError)  # closed before all was read, TCP resets
    assert count() == (1 if frames >= 5 else 0)
    assert f"at frame {frames} received" in b.faults.happened[-1].what


@pytest.mark.parametrize(("size", "left"), [(1, 0), (-1, 0), (0, 1), (1000, 1)])
def test_connection_is_reset_after_a_number_of_received_bytes(b, client, count, size, left):
    """size: number of bytes beyond the first publish; 1000 is within the second."""
    one = publish(bytes(2000))
    b.faults.reset(after_bytes=size if size == 1 else len(one) + size)
    client.send(one + one)
    assert client.end() is ConnectionResetError
    assert count() == left


def test_connection_is_dropped_after_a_number_of_sent_frames_or_bytes(b, client, dial):
    b.faults.drop(after_frames=2, sent=True)
    client.call("basic.qos")
    client.send(publish(b"x"))
    client.call("queue.declare", queue="q")
    with pytest.raises((EOFError, ConnectionResetError)):
        client.call("basic.qos")

    again = dial()
    b.faults.drop(after_bytes=5, sent=True)
    with pytest.raises(EOFError) as torn:
        again.call("basic.qos")
    assert torn.value.args == (b"\1\0\1\0\0",)


def test_after_frames_counts_handshake_frames_of_new_connections(b, dial):
    b.faults.drop(after_frames=1)
    client = dial(greeted=False)
    client.send(HEADER)
    client.expect("connection.start")
    client.send(b"\1\0\0\0\0\0\x04\0\x0a\0\x0b\xce")
    assert client.end() is EOFError


def test_times_limits_the_number_of_reset_connections(b, connect):
    b.faults.reset(on="queue.declare", times=2)
    for _ in range(2):
        with pytest.raises(LOST):
            connect().channel().queue_declare("other", exclusive=True)
    connect().channel().queue_declare("other", exclusive=True)


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ({"on": "basic.ack", "after_frames": 3}, "on and after_frames exclude each other"),
        ({"on": "basic.acknowledge"}, "on = 'basic.acknowledge': there is no such method; did you mean basic"),
        ({"on": "publish"}, "there is no such method; did you mean basic.publish"),
        ({"on": "basic_publish"}, "there is no such method; did you mean basic.publish"),
        ({"on": "nonsense"}, "there is no such method; methods are named such as basic.publish"),
        ({"on": "basic.deliver"}, "on = 'basic.deliver': no client sends this method; use instead_of='basic.deliver'"),
        ({"on": "queue.declare-ok"}, "no client sends this method"),
        (
            {"instead_of": "basic.publish"},
            "instead_of = 'basic.publish': no broker sends this method; use on='basic.publish'",
        ),
        ({"instead_of": "connection.tune-ok"}, "no broker sends this method"),
        ({"after_frames": 0}, "after_frames = 0: this must be a whole number from 1 on"),
        ({"after_bytes": "x"}, "after_bytes = 'x': this must be a whole number"),
        ({"nth": 2}, "this counts methods; name the method"),
        ({"sent": True}, "sent = True: this needs a number of frames or bytes"),
        ({"on": "basic.ack", "times": 0}, "times = 0: this must be a whole number from 1 on"),
        ({"on": "basic.ack", "nth": True}, "nth = True: this must be"),
    ],
)
def test_invalid_arguments_raise_errors(arguments, text):
    with pytest.raises(ValueError, match=text):
        Reset(**arguments)
