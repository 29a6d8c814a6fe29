"""Nacked publishes, and late or withheld confirms."""

import pika
import pytest

from amqpbroker.testing.faults.publishing import DelayConfirms, Nack
from tests.testing.faults.raw import method, publish


@pytest.fixture
def client(client):
    client.call("confirm.select")
    return client


def send(client, *bodies, **options):
    client.send(b"".join(publish(body, **options) for body in bodies))


def acks(*numbers):
    return [("basic.ack", number) for number in numbers]


def test_nacked_publish_is_discarded_and_other_confirms_keep_their_tags(b, client, count):
    send(client, b"before")
    assert client.told() == acks(1)
    b.faults.nack(2, times=2)
    send(client, b"1", b"2", b"3", b"4")
    assert client.told() == [*acks(2), ("basic.nack", 3), ("basic.nack", 4), *acks(5)]
    b.faults.clear()
    send(client, b"5", b"6")
    assert client.told() == acks(6, 7)
    assert count() == 5


def test_nack_fault_raises_nack_error_in_pika(b, connect, queue):
    channel = connect().channel()
    channel.confirm_delivery()
    b.faults.nack()
    with pytest.raises(pika.exceptions.NackError):
        channel.basic_publish("", queue, b"1", mandatory=True)
    channel.basic_publish("", queue, b"2", mandatory=True)


@pytest.mark.parametrize("size", [0, 1, 400, 401, 2000])
def test_all_frames_of_a_refused_publish_are_discarded(b, client, count, size):
    b.faults.nack()
    send(client, bytes(size), b"next", frame_max=408)
    assert client.told() == [("basic.nack", 1), *acks(2)]
    assert count() == 1


def test_nack_counts_only_matching_publishes(b, client):
    b.faults.nack(2, exchange="", routing_key="q")
    b.faults.nack(exchange="amq.fanout")
    for routing_key in ("p", "q", "p", "q"):
        send(client, b"x", routing_key=routing_key)
    assert client.told() == [*acks(1, 2, 3), ("basic.nack", 4)]


def test_nack_fault_counts_publishes_per_channel(b, client):
    client.send(method(2, "channel.open") + method(2, "confirm.select"))
    client.expect("channel.open-ok")
    client.expect("confirm.select-ok")
    b.faults.nack(2)
    client.send(publish(b"1", channel=1) + publish(b"2", channel=2))
    assert sorted(client.told()) == [("basic.ack", 1), ("basic.nack", 1)]


def test_reopened_channel_restarts_confirm_tags_at_one(b, client):
    b.faults.nack()
    send(client, b"1", b"2")
    client.send(method(1, "channel.close") + method(1, "channel.open") + method(1, "confirm.select"))
    send(client, b"3")
    names = [client.read() for _ in range(6)]
    assert [(name, arguments.get("delivery_tag")) for name, arguments in names] == [
        ("basic.nack", 1),
        ("basic.ack", 2),
        ("channel.close-ok", None),
        ("channel.open-ok", None),
        ("confirm.select-ok", None),
        ("basic.ack", 1),
    ]


def test_nack_fault_ignores_publishes_on_channels_without_confirms(b, channel, queue, count):
    b.faults.nack()
    channel.basic_publish("", queue, b"x")
    assert channel.queue_declare(queue, passive=True).method.message_count == 1


def test_withheld_confirms_are_sent_in_order_after_the_fault_ends(b, client, count):
    send(client, b"1")
    assert client.told() == acks(1)
    with b.faults.withhold_confirms() as withheld:
        send(client, b"2", b"3")
        send(client, b"4")
        assert client.told() == []
        assert count() == 4
        assert withheld.struck == 3
    send(client, b"5")
    assert client.told() == acks(2, 3, 4, 5)


def test_one_confirm_is_withheld_while_later_confirms_are_sent(b, client):
    b.faults.withhold_confirms(2, times=1)
    send(client, b"1", b"2", b"3", b"4")
    assert client.told() == acks(1, 3, 4)
    b.faults.clear()
    assert client.told() == acks(2)


def test_delayed_confirms_are_sent_after_their_delay(b, client):
    b.clock.freeze()
    try:
        b.faults.delay_confirms(1000)
        send(client, b"1")
        assert client.told() == []
        b.clock.advance(milliseconds=400)
        send(client, b"2")
        assert client.told() == []
        b.clock.advance(milliseconds=599)
        assert client.told() == []
        b.clock.advance(milliseconds=1)
        assert client.told() == acks(1)
        b.faults.clear()
        assert client.told() == acks(2)
        b.clock.advance(seconds=2)
        assert client.told() == []
    finally:
        b.clock.resume()


def test_confirm_is_sent_once_no_fault_withholds_it(b, client, count):
    """A confirm that one fault releases may be held by another; nacks are delayed like acks."""
    b.faults.nack(2)
    first = b.faults.withhold_confirms()
    second = b.faults.withhold_confirms()
    send(client, b"1", b"2", b"3")
    assert client.told() == []
    first.clear()
    assert client.told() == []
    second.clear()
    assert client.told() == [("basic.ack", 1), ("basic.nack", 2), ("basic.ack", 3)]


def test_withheld_confirms_of_closed_channels_are_never_sent(b, client, dial):
    gone = dial()
    gone.call("confirm.select")
    withheld = b.faults.withhold_confirms()
    send(client, b"1")
    send(gone, b"1")
    assert gone.told() == []
    gone.close()
    client.call("channel.close")
    client.call("channel.open")
    withheld.clear()
    assert client.told() == []


def test_method_before_the_body_of_a_nacked_publish_is_an_error(b, client):
    b.faults.nack()
    client.send(method(1, "basic.publish", routing_key="q") + method(1, "basic.qos"))
    assert client.expect("connection.close")["reply_code"] == 505


def test_invalid_arguments_raise_errors():
    with pytest.raises(ValueError, match="publish = 0: this must be a whole number from 1 on"):
        Nack(0)
    with pytest.raises(ValueError, match=r"ms = 0\.5: this must be a whole number from 1 on"):
        DelayConfirms(ms=0.5)
