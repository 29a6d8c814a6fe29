"""Time travel: what is due happens in order, and is there when `advance` returns."""

import datetime

import pika
import pytest

from amqpbroker.testing import Broker


@pytest.fixture(scope="module")
def b():
    with Broker() as broker:
        yield broker


@pytest.fixture
def channel(b):
    with pika.BlockingConnection(pika.URLParameters(b.url)) as connection:
        yield connection.channel()


def test_two_hours_in_a_queue_pass_at_once(b, channel):
    channel.queue_declare("dlq")
    waits = {"x-message-ttl": 7_200_000, "x-dead-letter-exchange": "", "x-dead-letter-routing-key": "dlq"}
    channel.queue_declare("waits", arguments=waits)
    channel.basic_publish("", "waits", b"hello")
    b.clock.advance(hours=1, minutes=59, seconds=59)
    assert channel.basic_get("dlq") == (None, None, None)
    b.clock.advance(seconds=2)
    assert channel.basic_get("dlq", auto_ack=True)[2] == b"hello"
    channel.queue_delete("waits")


def test_a_chain_of_retries_delivers_in_the_order_of_time(b, channel):
    def pause(queue, hours, then):
        arguments = {
            "x-message-ttl": hours * 3_600_000,
            "x-dead-letter-exchange": "",
            "x-dead-letter-routing-key": then,
        }
        channel.queue_declare(queue, arguments=arguments)

    channel.queue_declare("work")
    pause("retry1", 1, "retry2")
    pause("retry2", 2, "work")
    pause("short", 2, "work")
    channel.basic_publish("", "retry1", b"third")
    channel.basic_publish("", "short", b"second")
    channel.basic_publish("", "short", b"first", pika.BasicProperties(expiration="60000"))
    got = []
    channel.basic_consume("work", lambda c, method, properties, body: got.append(body), auto_ack=True)
    b.clock.advance(hours=4)
    channel.connection.process_data_events(0.1)
    # The head of a classic queue keeps what is behind it, however soon that is due.
    assert got == [b"second", b"first", b"third"]


def test_a_delayed_message_comes_when_its_time_has(b, channel):
    channel.exchange_declare("later", "x-delayed-message", arguments={"x-delayed-type": "direct"})
    channel.queue_declare("due")
    channel.queue_bind("due", "later", "k")
    for delay_ms in (50_000, 10_000):
        properties = pika.BasicProperties(headers={"x-delay": delay_ms})
        channel.basic_publish("later", "k", str(delay_ms).encode(), properties)
    b.clock.advance(seconds=9)
    assert channel.basic_get("due")[0] is None
    b.clock.advance(datetime.timedelta(minutes=1))
    assert [channel.basic_get("due", auto_ack=True)[2] for _ in range(2)] == [b"10000", b"50000"]


def test_an_unused_queue_goes(b, channel):
    channel.queue_declare("unused", arguments={"x-expires": 3_600_000})
    b.clock.advance(hours=1, seconds=1)
    with pytest.raises(pika.exceptions.ChannelClosedByBroker, match="no queue 'unused'"):
        channel.queue_declare("unused", passive=True)


def test_a_consumer_that_holds_a_message_too_long_loses_its_channel(b, channel):
    channel.queue_declare("held")
    channel.basic_publish("", "held", b"x")
    channel.basic_get("held")
    b.clock.advance(minutes=32)
    with pytest.raises(pika.exceptions.ChannelClosedByBroker) as raised:
        channel.queue_declare("held", passive=True)
    assert raised.value.reply_code == 406


def test_a_client_that_asked_for_heartbeats_and_sends_none_is_gone(b):
    connection = pika.BlockingConnection(pika.URLParameters(f"{b.url}?heartbeat=10"))
    b.clock.advance(seconds=30)
    with pytest.raises(pika.exceptions.AMQPConnectionError):
        connection.channel()


def test_time_stands_still_when_it_is_frozen():
    with Broker() as b:
        b.clock.freeze()
        now = b.clock.now()
        assert b.clock.frozen
        assert b.clock.now() == now
        b.clock.advance(days=1)
        assert b.clock.now() - now == datetime.timedelta(days=1)
        b.clock.resume()
        assert not b.clock.frozen


def test_time_does_not_go_back(b):
    with pytest.raises(ValueError, match="forward only"):
        b.clock.advance(hours=-1)
