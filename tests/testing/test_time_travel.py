"""Due events happen in order, and are complete when `advance` returns."""

import datetime
import random
import threading
import time

import pika
import pytest

from amqpbroker.testing import Broker


@pytest.fixture(scope="module")
def b():
    with Broker() as broker:
        yield broker


def connected(url):
    return pika.BlockingConnection(pika.URLParameters(url))


@pytest.fixture
def channel(b):
    with connected(b.url) as connection:
        yield connection.channel()


def test_advancing_the_clock_two_hours_dead_letters_an_expired_message(b, channel):
    channel.queue_declare("dlq")
    waits = {"x-message-ttl": 7_200_000, "x-dead-letter-exchange": "", "x-dead-letter-routing-key": "dlq"}
    channel.queue_declare("waits", arguments=waits)
    channel.basic_publish("", "waits", b"hello")
    b.clock.advance(hours=1, minutes=59, seconds=59)
    assert channel.basic_get("dlq") == (None, None, None)
    b.clock.advance(seconds=2)
    assert channel.basic_get("dlq", auto_ack=True)[2] == b"hello"
    channel.queue_delete("waits")


def test_retry_queues_deliver_in_order_of_time_when_the_clock_advances(b, channel):
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
    while len(got) < 3:
        channel.connection.process_data_events(1)
    # The head of a classic queue keeps what is behind it, however soon that is due.
    assert got == [b"second", b"first", b"third"]


def test_a_delayed_message_is_delivered_at_its_time(b, channel):
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


def test_an_unused_queue_expires(b, channel):
    channel.queue_declare("unused", arguments={"x-expires": 3_600_000})
    b.clock.advance(hours=1, seconds=1)
    with pytest.raises(pika.exceptions.ChannelClosedByBroker, match="no queue 'unused'"):
        channel.queue_declare("unused", passive=True)


def test_channel_is_closed_when_an_ack_exceeds_the_consumer_timeout(b, channel):
    channel.queue_declare("held")
    channel.basic_publish("", "held", b"x")
    channel.basic_get("held")
    b.clock.advance(minutes=32)
    with pytest.raises(pika.exceptions.ChannelClosedByBroker) as raised:
        channel.queue_declare("held", passive=True)
    assert raised.value.reply_code == 406


def test_a_client_that_sends_no_heartbeats_is_disconnected(b):
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


def test_advancing_the_clock_by_a_year_is_fast_without_due_events():
    with Broker(management=True) as b, connected(b.url) as connection:
        connection.channel().queue_declare("q")
        started = time.perf_counter()
        b.clock.advance(days=365)
        assert time.perf_counter() - started < 20


def test_time_does_not_go_back(b):
    with pytest.raises(ValueError, match="forward only"):
        b.clock.advance(hours=-1)


def test_due_events_happen_in_the_same_order_in_every_run():
    chance = random.Random(7)
    due = [chance.randrange(1, 3_600) for _ in range(60)]

    def run():
        with Broker(consumer_timeout=1_800_000) as b, connected(b.url) as connection:
            b.clock.freeze()
            channel = connection.channel()
            channel.queue_declare("log")
            channel.exchange_declare("later", "x-delayed-message", arguments={"x-delayed-type": "fanout"})
            channel.queue_bind("log", "later")
            dead = {"x-dead-letter-exchange": "", "x-dead-letter-routing-key": "log"}
            for number, seconds in enumerate(due):
                body = str(seconds).encode()
                if number % 2:
                    headers = {"x-delay": seconds * 1000}
                    channel.basic_publish("later", "", body, pika.BasicProperties(headers=headers))
                else:
                    channel.queue_declare(f"ttl{number}", arguments=dead | {"x-message-ttl": seconds * 1000})
                    channel.basic_publish("", f"ttl{number}", body)
            channel.queue_declare("unused", arguments={"x-expires": 1_200_000})
            # Someone holds a message for too long, and gives it back by that.
            channel.queue_declare("held", arguments=dead | {"x-message-ttl": 600_000})
            channel.basic_publish("", "held", b"held")
            holder = connection.channel()
            holder.basic_get("held")
            sleeper = pika.BlockingConnection(pika.URLParameters(f"{b.url}?heartbeat=600"))
            seen = []
            for minute in range(1, 71):
                b.clock.advance(minutes=1)
                queues = [queue.name for queue in b.queues()]
                seen.append((minute, "unused" in queues, len(b.channel_errors), len(b.messages("log"))))
            with pytest.raises(pika.exceptions.ChannelClosedByBroker):
                holder.queue_declare("held", passive=True)
            with pytest.raises(pika.exceptions.AMQPConnectionError):
                sleeper.process_data_events(60)
            return seen, [message.body.decode() for message in b.messages("log")]

    seen, log = run()
    bodies = [body for body in log if body != "held"]
    assert bodies == [str(seconds) for seconds in sorted(due)]
    assert [(minute, unused) for minute, unused, _, _ in seen if minute in (19, 21)] == [(19, True), (21, False)]
    held_at = next(minute for minute, _, errors, _ in seen if errors)
    assert 30 <= held_at <= 31
    assert run() == (seen, log)


def test_all_sent_data_is_handled_before_the_clock_moves(b, channel):
    channel.queue_declare("much")
    for _ in range(20):
        for _ in range(300):
            channel.basic_publish("", "much", b"x" * 500)
        assert len(b.messages("much")) == 300
        channel.queue_purge("much")


def test_busy_clients_do_not_delay_the_clock(b, channel):
    channel.queue_declare("dead")
    arguments = {"x-message-ttl": 1000, "x-dead-letter-exchange": "", "x-dead-letter-routing-key": "dead"}
    channel.queue_declare("busy", arguments=arguments)
    begun, over = threading.Event(), threading.Event()

    def publish():
        with pika.BlockingConnection(pika.URLParameters(b.url)) as connection:
            busy = connection.channel()
            while not over.is_set():
                busy.basic_publish("", "busy", b"x")
                begun.set()

    publishing = threading.Thread(target=publish)
    publishing.start()
    begun.wait()
    try:
        before = b.clock.now()
        started = time.perf_counter()
        for _ in range(3):
            b.clock.advance(minutes=10)
        took = time.perf_counter() - started
    finally:
        over.set()
        publishing.join()
    assert b.clock.now() - before >= datetime.timedelta(minutes=30)
    assert took < 60
