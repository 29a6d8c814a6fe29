"""Queries return the actual state and change nothing, and failed ones show it."""

import asyncio
import datetime
import decimal
import re
import threading

import pika
import pytest

from amqpbroker.testing import Broker, Vhost
from amqpbroker.testing.recorder import MESSAGES, Newest


@pytest.fixture(scope="module")
def b():
    with Broker(users={"bob": "b"}) as broker:
        yield broker


@pytest.fixture
def vhost(b):
    b.add_vhost("v")
    yield "v"
    b.delete_vhost("v")


@pytest.fixture
def channel(b, vhost):
    connection = pika.BlockingConnection(pika.URLParameters(b.url_of(vhost)))
    yield connection.channel()
    if connection.is_open:
        connection.close()


def fails(call, *lines, error=AssertionError):
    with pytest.raises(error) as raised:
        call()
    assert str(raised.value).splitlines() == list(lines)


# --- queues -----------------------------------------------------------------------------------------------------------


def test_wait_until_a_queue_is_empty(b, channel):
    channel.queue_declare("q")
    for _ in range(3):
        channel.basic_publish("", "q", b"x")
    state = b.wait_until(queue="q", ready=3, unacked=0, consumers=0)
    assert (state.vhost, state.name, state.ready, state.unacked, state.consumers) == ("v", "q", 3, 0, 0)

    with pika.BlockingConnection(pika.URLParameters(b.url_of("v"))) as other:
        other.channel().basic_consume("q", print)
        threading.Timer(0.05, channel.basic_publish, ("", "q", b"x")).start()
        b.wait_until(queue="q", ready=0, unacked=4, consumers=1, timeout=60)
    # Unacknowledged messages were requeued.
    b.wait_until(queue="q", ready=4, unacked=0, consumers=0, timeout=60)


def test_failed_wait_until_shows_the_state_of_the_broker(b, channel):
    channel.queue_declare("q")
    channel.queue_declare("dlq")
    channel.basic_publish("", "q", b"x")
    channel.basic_get("q")
    channel.basic_publish("", "nowhere", b"lost")
    with pytest.raises(pika.exceptions.ChannelClosedByBroker):
        channel.connection.channel().queue_declare("absent", passive=True)
    fails(
        lambda: b.wait_until(queue="q", ready=1, unacked=0, timeout=0.05),
        "after 0.05 s queue 'q' has ready=0 unacked=1 consumers=0, not ready=1 unacked=0",
        "other queues:",
        "  dlq ready=0 unacked=0 consumers=0 in vhost 'v'",
        "errors of clients:",
        "  404 NOT_FOUND - no queue 'absent' in vhost 'v'",
        "unroutable messages:",
        "  <queue 'nowhere' b'lost'>",
    )
    fails(
        lambda: b.wait_until(queue="absent", vhost="/", timeout=0),
        "after 0 s there is no queue 'absent' in vhost '/'",
        "no queue is there",
    )


def test_error_for_an_unknown_queue_suggests_an_existing_name(b, channel):
    channel.queue_declare("orders")
    channel.exchange_declare("shop")

    def first_line(**arguments):
        with pytest.raises(AssertionError) as raised:
            b.wait_until(timeout=0, **arguments)
        return str(raised.value).splitlines()[0]

    assert first_line(queue="ordres") == "after 0 s there is no queue 'ordres'; did you mean 'orders'?"
    assert first_line(queue="Orders", vhost="v") == (
        "after 0 s there is no queue 'Orders' in vhost 'v'; did you mean 'orders'?"
    )
    assert first_line(queue="orders", vhost="/") == (
        "after 0 s there is no queue 'orders' in vhost '/'; there is one in vhost 'v'"
    )
    assert first_line(queue="orders", vhost="V") == "after 0 s there is no vhost 'V'; did you mean 'v'?"
    assert first_line(queue="shop").endswith("; there is an exchange of this name, so name a queue that is bound to it")
    assert first_line(queue="invoices") == "after 0 s there is no queue 'invoices'"
    with pytest.raises(AssertionError, match=r"^there is no queue 'oders'; did you mean 'orders'\?"):
        b.messages("oders")


def test_error_suggests_a_queue_for_an_unroutable_message(b, channel):
    channel.queue_declare("orders")
    channel.basic_publish("", "order", b"1")
    channel.basic_publish("", "nothing alike", b"2")
    channel.basic_publish("amq.direct", "order", b"3")
    fails(
        lambda: b.wait_until(queue="orders", ready=1, timeout=0),
        "after 0 s queue 'orders' has ready=0 unacked=0 consumers=0, not ready=1",
        "no other queue is there",
        "unroutable messages:",
        "  <queue 'order' b'1'>; did you mean 'orders'?",
        "  <queue 'nothing alike' b'2'>",
        "  <exchange 'amq.direct' key 'order' b'3'>",
    )


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ({"queue": None}, "queue = None: this must be text"),
        ({"queue": "q", "ready": "1"}, "ready = '1': this must be a whole number from 0 on"),
        ({"queue": "q", "unacked": -1}, "unacked = -1: this must be a whole number from 0 on"),
        ({"queue": "q", "timeout": "5"}, "timeout = '5': this must be a number of seconds from 0 to 2,000,000"),
        ({"queue": "q", "timeout": -1}, "timeout = -1: this must be a number of seconds from 0 to 2,000,000"),
        (
            {"queue": "q", "timeout": float("inf")},
            "timeout = inf: this must be a number of seconds",
        ),
        ({"queue": "q", "vhost": 1}, "vhost = 1: this must be text"),
    ],
)
def test_wait_until_refuses_values_that_no_queue_can_have(b, arguments, text):
    with pytest.raises(ValueError, match=re.escape(text)):
        b.wait_until(**arguments)


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ({"body": "42"}, "body = '42': this must be bytes, such as body=b'42'"),
        ({"exchange": b"e"}, "exchange = b'e': this must be text"),
        ({"routing_key": 1}, "routing_key = 1: this must be text"),
        ({"count": "1"}, "count = '1': this must be a whole number from 0 on"),
        ({"count": 1, "timeout": None}, "timeout = None: this must be a number of seconds from 0 to 2,000,000"),
    ],
)
def test_published_refuses_values_that_no_message_can_have(b, arguments, text):
    with pytest.raises(ValueError, match=re.escape(text)):
        b.published(**arguments)


def test_queue_name_that_exists_in_two_vhosts_requires_a_vhost(b, channel):
    channel.queue_declare("q")
    with pika.BlockingConnection(pika.URLParameters(b.url)) as other:
        other.channel().queue_declare("q", exclusive=True)
        fails(
            lambda: b.messages("q"),
            "the vhosts '/' and 'v' have a queue 'q': choose one, such as vhost='/'",
            error=ValueError,
        )
        assert [(queue.vhost, queue.name) for queue in b.queues()] == [("/", "q"), ("v", "q")]
        assert b.messages("q", vhost="v") == []


async def test_waiting_on_an_event_loop_is_refused(b, vhost):
    for call in (lambda: b.wait_until(queue="q"), lambda: b.published(count=1)):
        with pytest.raises(RuntimeError, match=re.escape("await asyncio.to_thread(b.")):
            call()
    with pytest.raises(AssertionError, match="there is no queue 'q'"):
        await asyncio.to_thread(b.wait_until, queue="q", timeout=0)


def test_wait_until_ends_with_an_error_when_the_broker_stops():
    b = Broker().start()
    looks = threading.Event()
    find = b._instance.inspector._find
    b._instance.inspector._find = lambda *arguments: looks.set() or find(*arguments)

    def stop():
        looks.wait()
        b.stop()

    stopping = threading.Thread(target=stop)
    stopping.start()
    with pytest.raises(RuntimeError, match="stopped during this call"):
        b.wait_until(queue="q", timeout=60)
    stopping.join()


# --- messages ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["classic", "quorum"])
def test_inspecting_messages_does_not_change_them(b, channel, kind):
    channel.queue_declare("q", durable=True, arguments={"x-queue-type": kind})
    for body in (b"1", b"2", b"3"):
        channel.basic_publish("", "q", body)
    channel.basic_nack(channel.basic_get("q")[0].delivery_tag)
    looked = [[(m.body, m.redelivered, m.headers) for m in b.messages("q")] for _ in range(2)]
    got = [channel.basic_get("q") for _ in range(3)]
    assert looked == [[(body, method.redelivered, properties.headers or {}) for method, properties, body in got]] * 2
    assert {m for m, _, _ in looked[0]} == {b"1", b"2", b"3"}
    assert sum(redelivered for _, redelivered, _ in looked[0]) == 1


def test_a_message_has_pythons_values(b, channel):
    noon = datetime.datetime(2026, 1, 31, 12, tzinfo=datetime.UTC)
    headers = {"n": 1, "text": "ä", "list": [1, {"a": None}], "at": noon, "d": decimal.Decimal("1.5"), "b": True}
    sent = pika.BasicProperties("text/plain", headers=headers, timestamp=int(noon.timestamp()), priority=3)
    channel.queue_declare("q")
    channel.basic_publish("", "q", b"hello", sent)
    (message,) = b.messages("q")
    assert message.headers == headers
    assert message.properties == {"content_type": "text/plain", "timestamp": noon, "priority": 3}
    assert (message.vhost, message.exchange, message.routing_key, message.body) == ("v", "", "q", b"hello")
    assert message.queues == ("q",)


def test_a_dead_letter_has_its_history(b, channel):
    channel.queue_declare("dlq")
    arguments = {"x-message-ttl": 60_000, "x-dead-letter-exchange": "", "x-dead-letter-routing-key": "dlq"}
    channel.queue_declare("q", arguments=arguments)
    channel.basic_publish("", "q", b"hello")
    b.clock.advance(minutes=2)
    (dead,) = b.messages("dlq")
    assert dead.headers["x-first-death-reason"] == "expired"
    assert dead.headers["x-death"][0]["queue"] == "q"


def test_messages_of_a_missing_queue_is_an_error(b, vhost):
    fails(lambda: b.messages("q"), "there is no queue 'q'", "no queue is there")


@pytest.mark.parametrize("kind", ["classic", "quorum"])
def test_delayed_messages_are_shown_by_due_time_until_the_clock_reaches_it(b, channel, kind):
    retry = {"x-delayed-retry-type": "all", "x-delayed-retry-min": 60_000, "x-delivery-limit": 5}
    channel.queue_declare("q", durable=True, arguments={"x-queue-type": kind, **retry})
    for body in (b"1", b"2", b"3"):
        channel.basic_publish("", "q", body)
    assert repr(b.delayed("q")) == "[] (queue 'q' has ready=3 unacked=0 consumers=0)"
    first, second = [channel.basic_get("q")[0].delivery_tag for _ in range(2)]
    channel.basic_nack(second)
    b.clock.advance(seconds=30)
    channel.basic_nack(first)
    assert [m.body for m in b.messages("q")] == [b"3"]
    early, late = b.delayed("q")
    assert [(m.body, m.redelivered, m.headers) for m in (early, late)] == [
        (b"2", True, {"x-delivery-count": 1}),
        (b"1", True, {"x-delivery-count": 1}),
    ]
    assert datetime.timedelta(seconds=29) < late.due - early.due < datetime.timedelta(seconds=31)
    assert repr(early).endswith(f" due={early.due.isoformat(timespec='milliseconds')}>")
    b.clock.advance(seconds=30.1)
    assert [m.body for m in b.delayed("q")] == [b"1"]
    b.clock.advance(seconds=30)
    assert (b.delayed("q"), {m.due for m in b.messages("q")}) == ([], {None})
    assert len(b.messages("q")) == 3


def test_delayed_messages_of_a_missing_queue_is_an_error(b, vhost):
    fails(lambda: b.delayed("q"), "there is no queue 'q'", "no queue is there")


# --- what came by -----------------------------------------------------------------------------------------------------


def test_published_messages_are_recorded(b, channel):
    channel.exchange_declare("orders", "topic")
    channel.queue_declare("q")
    channel.queue_bind("q", "orders", "#")
    channel.basic_publish("orders", "created", b"1")
    channel.basic_publish("orders", "paid", b"2")
    channel.basic_publish("", "q", b"3")
    assert [m.body for m in b.published()] == [b"1", b"2", b"3"]
    assert [m.body for m in b.published(exchange="orders")] == [b"1", b"2"]
    assert [m.body for m in b.published(exchange="orders", routing_key="paid")] == [b"2"]
    assert [m.body for m in b.published(exchange="", vhost="v")] == [b"3"]
    assert b.published(vhost="/") == []
    assert b.published()[0].queues == ("q",)
    assert repr(b.published(exchange="other")) == (
        "[] (published so far: 1 to exchange 'orders' key 'created', 1 to exchange 'orders' key 'paid', 1 to queue 'q')"
    )


def test_published_waits_for_messages_not_yet_published(b, channel):
    channel.queue_declare("q")
    connection = channel.connection
    publishing = threading.Timer(
        0.05,
        lambda: connection.add_callback_threadsafe(lambda: [channel.basic_publish("", "q", b"x") for _ in range(2)]),
    )
    publishing.start()
    there = threading.Event()

    def pump():
        while not there.is_set():
            connection.process_data_events(0.05)

    pumping = threading.Thread(target=pump)
    pumping.start()
    try:
        assert len(b.published(routing_key="q", count=2, timeout=60)) == 2
    finally:
        there.set()
        pumping.join()
    fails(
        lambda: b.published(exchange="", routing_key="q", count=1),
        "2 messages were published to exchange '' with routing key 'q', not 1",
        "  <queue 'q' b'x'>",
        "  <queue 'q' b'x'>",
        "published so far: 2 to queue 'q'",
        "queues:",
        "  q ready=2 unacked=0 consumers=0 in vhost 'v'",
    )
    with pytest.raises(
        AssertionError, match="0 messages were published to exchange 'x', not 1\npublished so far: 2 to"
    ):
        b.published(exchange="x", count=1, timeout=0)


def test_error_of_published_shows_messages_that_nearly_match(b, channel):
    channel.exchange_declare("orders")
    channel.basic_publish("orders", "created", b"41")
    channel.basic_publish("", "created", b"42")
    channel.basic_publish("orders", "paid", b"42")
    channel.basic_publish("", "other", b"x")

    def lines(**arguments):
        with pytest.raises(AssertionError) as raised:
            b.published(count=1, timeout=0, **arguments)
        text = str(raised.value)
        return text.split("\npublished so far")[0].splitlines()

    assert lines(exchange="orders", routing_key="created", body=b"42") == [
        "after 0 s 0 messages were published to exchange 'orders' with routing key 'created' with body b'42', not 1",
        "near misses:",
        "  another body: <exchange 'orders' key 'created' b'41'>",
        "  another exchange: <queue 'created' b'42'>",
        "  another routing key: <exchange 'orders' key 'paid' b'42'>",
    ]
    assert lines(routing_key="create")[1:] == [
        "near misses:",
        "  another routing key: <exchange 'orders' key 'created' b'41'>",
        "  another routing key: <queue 'created' b'42'>",
    ]
    assert lines(routing_key="nothing alike")[1:] == []
    assert repr(b.published(routing_key="piad")).endswith("1 to queue 'other'; did you mean 'paid'?)")
    assert repr(b.published(exchange="order")).endswith("1 to queue 'other'; did you mean 'orders'?)")
    assert [message.body for message in b.published(routing_key="created", body=b"42")] == [b"42"]


def test_publishes_of_a_transaction_are_recorded_before_the_commit(b, channel):
    channel.queue_declare("q")
    channel.tx_select()
    channel.basic_publish("", "q", b"1")
    channel.tx_rollback()
    assert [m.body for m in b.published()] == [b"1"]
    assert b.messages("q") == []


def test_unroutable_messages_are_recorded(b, channel):
    channel.basic_publish("amq.direct", "nobody", b"lost", pika.BasicProperties(app_id="a"))
    assert [(m.exchange, m.body) for m in b.unroutable] == [("amq.direct", b"lost")]
    assert repr(b.unroutable) == "[<exchange 'amq.direct' key 'nobody' b'lost' app_id='a'>]"


def test_renewal_of_a_lock_is_not_a_publish(b, channel):
    def renew(tag):
        channel.basic_publish("", "amq.renew-lock", b"", pika.BasicProperties(headers={"x-delivery-tag": tag}))

    channel.queue_declare("q")
    channel.basic_publish("", "q", b"1")
    tag = channel.basic_get("q")[0].delivery_tag
    renew(tag)
    assert [m.body for m in b.published(vhost="v")] == [b"1"]
    renew(tag + 1)  # no such delivery
    assert [m.routing_key for m in b.unroutable_in("v")] == ["amq.renew-lock"]


def test_channel_errors_are_recorded(b, channel):
    with pytest.raises(pika.exceptions.ChannelClosedByBroker):
        channel.queue_declare("absent", passive=True)
    (error,) = b.channel_errors
    assert (error.vhost, error.code, error.scope, error.channel, error.user) == ("v", 404, "channel", 1, "guest")
    assert str(error) == "404 NOT_FOUND - no queue 'absent' in vhost 'v'"


@pytest.mark.explore
def test_the_number_of_remembered_publishes_is_limited(b, channel):
    channel.queue_declare("q", arguments={"x-max-length": 1})
    for _ in range(MESSAGES + 5):
        channel.basic_publish("", "q", b"x")
    assert len(b.published()) == MESSAGES
    assert "(and 5 earlier ones, which are no longer remembered)" in repr(b.published(exchange="other"))


def test_remembered_records_are_limited_by_their_total_size():
    newest = Newest(10, 100)
    for size in (40, 40, 40, 1000):
        newest.add(size, size)
    assert (list(newest), newest.added, newest.discarded) == ([1000], 4, 3)
    newest.add(1, 1)
    assert list(newest) == [1]
    newest.remove(lambda one: one == 1)
    newest.add(100, 100)
    assert list(newest) == [100]


# --- locks ------------------------------------------------------------------------------------------------------------


def test_locked_messages_show_their_consumer_and_the_time_left(b, channel):
    arguments = {"x-consumer-timeout": 60_000, "x-consumer-timeout-action": "return"}
    channel.queue_declare("locked", arguments=arguments)
    channel.queue_declare("plain", arguments={})
    for queue in ("locked", "locked", "plain"):
        channel.basic_publish("", queue, b"x")
    b.clock.freeze()
    channel.basic_get("locked")
    b.clock.advance(seconds=10)
    channel.basic_consume("locked", print, consumer_tag="c")
    channel.basic_get("plain")
    first, second = b.locked("locked")
    assert (first.consumer, first.delivery_tag, first.action, first.ms_left) == (None, 1, "return", 50_000)
    assert (second.consumer, second.delivery_tag, second.ms_left) == ("c", 2, 60_000)
    assert (second.message.body, second.channel) == (b"x", channel.channel_number)
    (plain,) = b.locked("plain")
    assert (plain.action, plain.ms_left) == (None, None)
    b.clock.advance(seconds=50)
    assert [each.delivery_tag for each in b.locked("locked", vhost="v")] == [2, 4]
    b.clock.resume()


def test_locked_messages_of_an_absent_queue(b):
    with pytest.raises(AssertionError, match="there is no queue 'absent'"):
        b.locked("absent")


# --- batches ----------------------------------------------------------------------------------------------------------


def send_members(channel, id_, *messages, size):
    channel.queue_declare("q")
    for message in messages:
        headers = {"x-batch-id": id_, "x-batch-size": size}
        channel.basic_publish("", "q", b"", pika.BasicProperties(message_id=message, headers=headers))


def test_batch_shows_its_members(b, channel):
    send_members(channel, "import", "1", "2", size=3)
    method, _, _ = channel.basic_get("q", auto_ack=True)
    assert method is not None
    method, _, _ = channel.basic_get("q")
    channel.basic_reject(method.delivery_tag, requeue=False)
    channel.queue_declare("q", passive=True)
    batch = b.batch("import")
    assert (batch.vhost, batch.state, batch.size) == ("v", "open", 3)
    assert (batch.ok, batch.failed, batch.open) == (1, 1, 0)
    assert batch.failures == (("2", "q", "rejected"),)


def test_absent_batch_names_a_similar_one(b, channel):
    send_members(channel, "import", "1", size=1)
    channel.queue_declare("q", passive=True)
    with pytest.raises(AssertionError, match=r"there is no batch 'inport' in vhost 'v'.*'import'"):
        b.batch("inport", vhost="v")


# --- jobs -------------------------------------------------------------------------------------------------------------


def test_job_shows_its_state_and_the_reply(b, channel):
    channel.queue_declare("q")
    properties = pika.BasicProperties(message_id="job", headers={"x-job": True})
    channel.basic_publish("", "q", b"", properties)
    method, got, _ = channel.basic_get("q")
    job = b.job("job")
    assert (job.vhost, job.state, job.queue, job.attempt, job.reason) == ("v", "running", "q", 1, None)
    channel.basic_publish("", got.reply_to, b"result")
    channel.basic_ack(method.delivery_tag)
    channel.queue_declare("q", passive=True)
    job = b.job("job")
    assert (job.state, job.reply) == ("done", b"result")


def test_absent_job_names_a_similar_one(b, channel):
    channel.basic_publish("", "nowhere", b"", pika.BasicProperties(message_id="import", headers={"x-job": True}))
    channel.queue_declare("q")
    with pytest.raises(AssertionError, match=r"there is no job 'inport' in vhost 'v'.*'import'"):
        b.job("inport", vhost="v")


def test_jobs_of_several_users_are_told_apart(b, channel):
    channel.queue_declare("q")
    properties = pika.BasicProperties(message_id="job", headers={"x-job": True})
    channel.basic_publish("", "q", b"", properties)
    channel.basic_get("q")
    with pika.BlockingConnection(pika.URLParameters(b.url_of("v", user="bob"))) as connection:
        other = connection.channel()
        other.basic_publish("", "q", b"", properties)
        other.queue_declare("q", passive=True)
    with pytest.raises(ValueError, match="the users 'guest' and 'bob' have a job 'job': choose one, such as user='g"):
        b.job("job")
    assert (b.job("job", user="guest").state, b.job("job", user="bob").state) == ("running", "queued")
    assert Vhost(b, "v").job("job", user="bob").user == "bob"
    with pytest.raises(AssertionError, match="there is no job 'job' of user 'nobody'"):
        b.job("job", user="nobody")


# --- message groups ---------------------------------------------------------------------------------------------------


def test_groups_of_a_queue_are_shown_with_their_states_and_messages(b, channel):
    channel.queue_declare("grouped", arguments={"x-group-header": "key", "x-group-on-dead": "park"})
    for key, body in ("a", b"a1"), ("b", b"b1"), ("a", b"a2"):
        channel.basic_publish("", "grouped", body, pika.BasicProperties(headers={"key": key}))
    channel.basic_reject(channel.basic_get("grouped")[0].delivery_tag, requeue=False)
    channel.basic_get("grouped")
    parked, busy = b.groups("grouped")
    assert (parked.key, parked.state, [each.body for each in parked.messages]) == ("a", "parked", [b"a1", b"a2"])
    assert (busy.key, busy.state, busy.messages) == ("b", "busy", [])
    channel.queue_declare("ungrouped")
    assert b.groups("ungrouped", vhost="v") == Vhost(b, "v").groups("ungrouped") == []
    with pytest.raises(AssertionError):
        b.groups("absent")
