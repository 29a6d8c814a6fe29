"""Tests read a stream from any offset, and change nothing in it."""

import asyncio
import datetime
import re
import threading

import httpx
import pika
import pytest

from amqpbroker.testing import Broker, Stream, Vhost

STREAM = {"x-queue-type": "stream"}


@pytest.fixture(scope="module")
def b():
    with Broker(management=True) as broker:
        yield broker


@pytest.fixture
def vhost(b):
    b.add_vhost("v")
    yield Vhost(b, "v")
    b.delete_vhost("v")


@pytest.fixture
def channel(vhost):
    with pika.BlockingConnection(pika.URLParameters(vhost.url)) as connection:
        channel = connection.channel()
        channel.confirm_delivery()
        channel.queue_declare("events", durable=True, arguments=STREAM)
        yield channel


def publish(channel, *bodies):
    for body in bodies:
        channel.basic_publish("", "events", body.encode())


def bodies(messages):
    return [message.body.decode() for message in messages]


def test_messages_are_read_from_any_offset_and_stay(vhost, channel):
    publish(channel, "a", "b", "c")
    events = vhost.stream("events")
    assert [(each.offset, each.body, each.queues) for each in events.messages()] == [
        (0, b"a", ("events",)),
        (1, b"b", ("events",)),
        (2, b"c", ("events",)),
    ]
    assert bodies(events.messages(offset=1)) == ["b", "c"]
    assert bodies(events.messages(2)) == ["c"]
    # Each was confirmed alone, so the last chunk is one message.
    assert bodies(events.messages("last")) == ["c"]
    assert bodies(events.messages(offset=-2)) == ["b", "c"]
    assert events.messages(offset="next") == events.messages(offset=7) == []
    assert (events.first_offset, events.next_offset) == (0, 3)
    assert bodies(events.messages("first")) == ["a", "b", "c"]


def test_messages_are_read_from_a_time_of_the_broker_clock(b, vhost, channel):
    publish(channel, "yesterday")
    b.clock.advance(hours=12)
    since = b.clock.now()
    b.clock.advance(hours=12)
    publish(channel, "today")
    events = vhost.stream("events")
    assert bodies(events.messages(offset=since)) == ["today"]
    assert bodies(events.messages(offset=since - datetime.timedelta(days=1))) == ["yesterday", "today"]
    assert events.messages(offset=b.clock.now() + datetime.timedelta(hours=1)) == []
    assert bodies(events.messages(offset="12h")) == ["today"]
    assert bodies(events.messages(offset="2D")) == ["yesterday", "today"]


def test_deliveries_that_are_not_settled_show_their_messages(vhost, channel):
    publish(channel, "a", "b")
    channel.basic_qos(prefetch_count=1)
    channel.basic_consume("events", print, consumer_tag="c", arguments={"x-stream-offset": "first"})
    channel.connection.process_data_events(time_limit=0)
    (locked,) = vhost.locked("events")
    assert (locked.message.body, locked.consumer, locked.message.redelivered) == (b"a", "c", False)


def test_more_messages_than_are_read_at_once(vhost, channel):
    with pika.BlockingConnection(pika.URLParameters(vhost.url)) as connection:
        publish(connection.channel(), *map(str, range(2500)))
        found = vhost.stream("events").messages(offset=10)
    assert [each.offset for each in found] == list(range(10, 2500))
    assert bodies(found) == list(map(str, range(10, 2500)))


def test_messages_wait_for_their_number(vhost, channel):
    publish(channel, "a")
    events = vhost.stream("events")
    timer = threading.Timer(0.05, channel.connection.add_callback_threadsafe, [lambda: publish(channel, "b", "c")])
    timer.start()
    reading = threading.Thread(target=channel.connection.process_data_events, args=(0.5,))
    reading.start()
    assert bodies(events.messages(offset="next", count=2, timeout=60)) == ["b", "c"]
    reading.join()
    assert bodies(events.messages(count=3, timeout=60)) == ["a", "b", "c"]


def test_messages_wait_for_the_stream(vhost):
    def declare():
        with pika.BlockingConnection(pika.URLParameters(vhost.url)) as connection:
            channel = connection.channel()
            channel.queue_declare("events", durable=True, arguments=STREAM)
            publish(channel, "a")

    timer = threading.Timer(0.05, declare)
    timer.start()
    assert bodies(vhost.stream("events").messages(count=1, timeout=60)) == ["a"]
    timer.join()


def test_a_wrong_number_of_messages_shows_them(vhost, channel):
    publish(channel, "a", "b")
    events = vhost.stream("events")
    with pytest.raises(AssertionError) as raised:
        events.messages(offset=1, count=3, timeout=0.05)
    assert str(raised.value).splitlines() == [
        "after 0.05 s stream 'events' has 1 message from offset 1 on, not 3",
        "  1: <queue 'events' b'b' delivery_mode=1 headers={'x-stream-offset': 1}>",
        "no other queue is there",
    ]
    with pytest.raises(AssertionError, match=r"^stream 'events' has 2 messages from offset 0 on, not 1\n"):
        events.messages(count=1)


def test_empty_result_shows_the_offsets_of_the_stream(vhost, channel):
    events = vhost.stream("events")
    assert repr(events.messages()) == "[] (stream 'events' is empty, its next offset is 0)"
    publish(channel, "a", "b")
    assert repr(events.messages("next")) == "[] (stream 'events' has the offsets 0 to 1)"
    assert repr(events) == "<stream events>"


def test_a_missing_stream_is_reported_with_a_similar_name(vhost, channel):
    with pytest.raises(AssertionError, match=r"^there is no queue 'event' in vhost 'v'; did you mean 'events'?"):
        vhost.stream("event").messages()
    with pytest.raises(AssertionError, match=r"^there is no queue 'event' in vhost 'v'; did you mean 'events'?"):
        vhost.stream("event").messages(count=1, timeout=0)


def test_another_queue_is_not_a_stream(vhost, channel):
    channel.queue_declare("orders")
    wanted = (
        r"^queue 'orders' in vhost 'v' is a classic queue, not a stream; messages\('orders'\) returns its messages$"
    )
    for call in (lambda: vhost.stream("orders").messages(), lambda: vhost.stream("orders").first_offset):
        with pytest.raises(AssertionError, match=wanted):
            call()


@pytest.mark.parametrize("offset", ["frist", None, True, 1.5, datetime.datetime(2026, 1, 1)])
def test_an_invalid_offset_is_refused(vhost, channel, offset):
    wanted = (
        f"offset = {offset!r}: this must be 'first', 'last', 'next', a whole number, an age such as '1h', or a datetime"
    )
    with pytest.raises(ValueError, match=r"^" + re.escape(wanted)):
        vhost.stream("events").messages(offset)


def test_other_invalid_arguments_are_refused(b, vhost, channel):
    with pytest.raises(ValueError, match=r"^name = 1: this must be text, such as name='orders'$"):
        b.stream(1)
    with pytest.raises(ValueError, match=r"^count = -1: this must be a whole number from 0 on$"):
        vhost.stream("events").messages(count=-1)
    with pytest.raises(TypeError, match=r"^messages\(\) has no argument 'ofset'; did you mean offset=?"):
        vhost.stream("events").messages(ofset=1)
    with pytest.raises(AttributeError, match=r"^Stream has no attribute 'nextoffset'; did you mean next_offset?"):
        _ = vhost.stream("events").nextoffset
    assert isinstance(b.stream("events"), Stream)


def test_waiting_on_the_thread_of_an_event_loop_is_refused(vhost, channel):
    async def wait():
        vhost.stream("events").messages(count=1)

    with pytest.raises(RuntimeError, match=r"^stream\(...\).messages\(\) would block this thread's event loop"):
        asyncio.run(wait())


# --- over HTTP --------------------------------------------------------------------------------------------------------


def get(b, **parameters):
    url = f"{b.http_url}/api/testing/streams/v/events"
    return httpx.get(url, params=parameters, auth=("guest", "guest"), timeout=60)


def test_a_stream_is_read_over_http(b, vhost, channel):
    publish(channel, "a")
    b.clock.advance(hours=1)
    since = round(b.clock.now().timestamp() * 1000)
    publish(channel, "b")
    shown = get(b).json()
    assert (shown["first_offset"], shown["next_offset"]) == (0, 2)
    assert [(each["offset"], each["payload"]) for each in shown["messages"]] == [(0, "a"), (1, "b")]
    for offset in ("1", "-1", "last", f"timestamp:{since}"):
        assert [each["payload"] for each in get(b, offset=offset).json()["messages"]] == ["b"]
    assert get(b, offset="next").json()["messages"] == []
    assert len(get(b, count=2).json()["messages"]) == 2


INVALID_OFFSET = (
    "offset = '{}': this must be 'first', 'last', 'next', a whole number of at most 18 digits, an age such as '1h',"
    " or a time in milliseconds since 1970, such as 'timestamp:1800000000000'"
)


def test_wrong_requests_for_a_stream_are_refused_with_a_reason(b, vhost, channel):
    for parameters, status, reason in [
        ({"offset": "frist"}, 400, INVALID_OFFSET.format("frist")),
        ({"offset": "9" * 19}, 400, INVALID_OFFSET.format("9" * 19)),
        ({"offset": "timestamp:now"}, 400, INVALID_OFFSET.format("timestamp:now")),
        ({"offset": "timestamp:1" + "0" * 17}, 400, "offset = 'timestamp:1"),
        ({"ofset": 1}, 400, "there is no parameter 'ofset'; did you mean offset?"),
        ({"count": 1, "timeout": 0}, 409, "after 0 s stream 'events' has 0 messages from offset 0 on, not 1"),
    ]:
        answer = get(b, **parameters)
        assert answer.status_code == status
        assert answer.json()["reason"].startswith(reason)
    channel.queue_delete("events")
    assert get(b).status_code == 404
    channel.queue_declare("events")
    assert (get(b).status_code, get(b).json()["error"]) == (409, "not_so")
