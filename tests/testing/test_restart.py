"""A restart keeps the objects that a server keeps on disk, and no others."""

import threading
import time
from datetime import timedelta

import pika
import pytest

from amqpbroker.broker.queues.groups.following import FOLLOW_AGAIN_MS
from amqpbroker.testing import Broker, host
from amqpbroker.testing.host import STOPPED
from amqpbroker.testing.retained import carry
from tests.broker.queueing import declare as declare_plain
from tests.broker.queueing import get, ready
from tests.broker.queues.groups.grouped import TO_GRAVE, declare, group, send, states, waiting
from tests.harness import make_broker

PERSISTENT = pika.BasicProperties(delivery_mode=2)


@pytest.fixture
def b():
    with Broker(vhosts=["blue"], users={"bob": "b"}) as broker:
        yield broker


def connected(url):
    return pika.BlockingConnection(pika.URLParameters(url))


def can_connect(url):
    try:
        connected(url).close()
    except pika.exceptions.AMQPError:
        return False
    return True


def restart(b, connection):
    b.restart()
    with pytest.raises(pika.exceptions.AMQPError):
        connection.process_data_events(60)


@pytest.mark.parametrize("kind", ["classic", "quorum"])
def test_durable_queues_keep_persistent_messages_in_order(b, kind):
    connection = connected(b.url)
    channel = connection.channel()
    channel.queue_declare("q", durable=True, arguments={"x-queue-type": kind})
    channel.exchange_declare("e", "topic", durable=True)
    channel.queue_bind("q", "e", "k.*")
    for number in range(5):
        channel.basic_publish("e", "k.1", str(number).encode(), PERSISTENT)
    assert channel.basic_get("q")[2] == b"0"
    restart(b, connection)
    found = b.messages("q")
    if kind == "quorum":
        found = sorted(found, key=lambda message: message.body)
    assert [(m.body, m.redelivered) for m in found] == [
        (b"0", True),
        *((str(number).encode(), False) for number in range(1, 5)),
    ]
    with connected(b.url) as connection:
        channel = connection.channel()
        channel.basic_publish("e", "k.2", b"5", PERSISTENT)
        assert len(b.messages("q")) == 6
        assert sorted(channel.basic_get("q", auto_ack=True)[2] for _ in range(6)) == [b"%d" % n for n in range(6)]
    # Records of publishes are kept.
    assert len(b.published(exchange="e")) == 6


def test_transient_messages_are_gone_after_a_restart(b):
    connection = connected(b.url)
    channel = connection.channel()
    channel.queue_declare("durable", durable=True)
    channel.queue_declare("transient")
    channel.queue_declare("exclusive", durable=True, exclusive=True)
    channel.exchange_declare("transient", "fanout")
    channel.queue_bind("durable", "transient")
    channel.basic_publish("", "durable", b"transient")
    channel.basic_publish("", "durable", b"persistent", PERSISTENT)
    channel.basic_publish("", "transient", b"persistent", PERSISTENT)
    restart(b, connection)
    assert [queue.name for queue in b.queues()] == ["durable"]
    assert [m.body for m in b.messages("durable")] == [b"persistent"]
    with connected(b.url) as connection, pytest.raises(pika.exceptions.ChannelClosedByBroker):
        connection.channel().exchange_declare("transient", passive=True)


def test_ttl_and_delays_continue_across_a_restart(b):
    connection = connected(b.url)
    channel = connection.channel()
    channel.queue_declare("q", durable=True, arguments={"x-message-ttl": 60_000})
    channel.queue_declare("due", durable=True)
    channel.exchange_declare("later", "x-delayed-message", durable=True, arguments={"x-delayed-type": "fanout"})
    channel.queue_bind("due", "later")
    channel.basic_publish("", "q", b"x", PERSISTENT)
    later = pika.BasicProperties(delivery_mode=2, headers={"x-delay": 90_000})
    channel.basic_publish("later", "", b"late", later)
    channel.basic_publish("later", "", b"lost", pika.BasicProperties(headers={"x-delay": 90_000}))
    b.clock.advance(seconds=50)
    now = b.clock.now()
    restart(b, connection)
    assert b.clock.now() >= now
    assert len(b.messages("q")) == 1
    b.clock.advance(seconds=11)
    assert b.messages("q") == []
    assert b.messages("due") == []
    b.clock.advance(seconds=30)
    assert [m.body for m in b.messages("due")] == [b"late"]


def test_ports_users_and_vhosts_survive_a_restart(b):
    b.add_vhost("green")
    b.delete_vhost("blue")
    urls = [b.url_of("green", "bob"), b.url]
    b.restart()
    b.restart()
    for url in urls:
        with connected(url) as connection:
            assert connection.is_open
    assert b.url_of("green", "bob") == urls[0]
    with pytest.raises(pika.exceptions.AMQPConnectionError):
        connected(b.url_of("blue"))


def test_restart_keeps_the_broker_down_for_the_given_time(b):
    began = time.monotonic()
    b.restart(0.2)
    assert time.monotonic() - began >= 0.2
    connected(b.url).close()


def test_stop_during_a_restart_ends_the_restart(b):
    url, raised = b.url, []

    def restart():
        try:
            b.restart(60)
        except RuntimeError as error:
            raised.append(str(error))

    restarting = threading.Thread(target=restart)
    restarting.start()
    while not b._instance.server.is_replaced:
        time.sleep(0.005)
    with pytest.raises(RuntimeError, match="restarted already"):
        b.restart()
    while can_connect(url):
        pass
    b.stop()
    restarting.join(60)
    assert raised == [STOPPED]
    b.start()
    assert b.queues() == []


@pytest.mark.parametrize("queue_type", ["classic", "quorum"])
def test_messages_are_still_delayed_after_a_restart(queue_type: str) -> None:
    with Broker() as b:
        connection = connected(b.url)
        channel = connection.channel()
        retry = {"x-delayed-retry-type": "all", "x-delayed-retry-min": 3_600_000}
        channel.queue_declare("q", durable=True, arguments={"x-queue-type": queue_type, **retry})
        channel.confirm_delivery()
        for body in b"1", b"2":
            channel.basic_publish("", "q", body, pika.BasicProperties(delivery_mode=2))
        channel.basic_nack(channel.basic_get("q")[0].delivery_tag)
        (before,) = b.delayed("q")
        b.clock.advance(seconds=3_000)
        restart(b, connection)
        assert [message.body for message in b.messages("q")] == [b"2"]
        (after,) = b.delayed("q")
        assert (after.body, after.redelivered) == (b"1", True)
        # Both are rounded to milliseconds, from two clocks.
        assert abs(after.due - before.due) <= timedelta(milliseconds=2)
        b.clock.advance(seconds=590)
        assert [message.body for message in b.delayed("q")] == [b"1"]
        b.clock.advance(seconds=20)
        assert (sorted(message.body for message in b.messages("q")), b.delayed("q")) == ([b"1", b"2"], [])


def test_restart_requested_after_stop_does_not_keep_the_broker_running(b):
    instance, thread = b._instance, b._host.thread

    def stop_and_restart():
        instance.server.stop()
        instance.restart()

    b._host.loop.call_soon_threadsafe(stop_and_restart)
    thread.join(10)
    assert not thread.is_alive()


def test_restart_of_a_stopped_broker_is_an_error(b):
    async def stop():
        b._instance.server.stop()

    b._host.run(stop())
    with pytest.raises(RuntimeError, match=r"stopped during this call|not running"):
        b.restart()


def test_calls_to_a_stopping_broker_are_refused_at_once(monkeypatch):
    steps = ["the loop stands still", "the loop is closed"]
    reached, go_on = ([threading.Event() for _ in steps] for _ in range(2))

    class SlowEnd(host.asyncio.Runner):
        def __exit__(self, *error):
            reached[0].set()
            go_on[0].wait(60)
            super().__exit__(*error)
            reached[1].set()
            go_on[1].wait(60)

    monkeypatch.setattr(host.asyncio, "Runner", SlowEnd)
    b = Broker().start()
    b._host.patience_s = 10
    b._host.loop.call_soon_threadsafe(b._host._end)
    for step, event in enumerate(reached):
        assert event.wait(60), steps[step]
        began = time.monotonic()
        with pytest.raises(RuntimeError, match="the broker is not running"):
            b.queues()
        assert time.monotonic() - began < 5, steps[step]
        go_on[step].set()
    b.stop()


def test_error_of_a_restart_that_times_out_lists_the_active_faults(b, monkeypatch):
    b.faults.nack(routing_key="nobody")
    monkeypatch.setattr(b._host, "patience_s", 0.05)
    monkeypatch.setattr(b._instance, "restart", lambda down_s: None)
    with pytest.raises(
        TimeoutError, match=r"restart\(\) has not returned after .* s: (.|\n)*nack\(routing_key='nobody'\)"
    ):
        b.restart()


@pytest.mark.parametrize("scope", ["queue", "window", "exchange"])
def test_ids_of_accepted_messages_survive_and_time_travel_ends_their_window(b, scope):
    on = {"x-message-deduplication": True}
    window = on | {"x-cache-ttl": 60_000}

    def publish(channel):
        properties = pika.BasicProperties(delivery_mode=2, headers={"x-deduplication-header": "a"})
        channel.basic_publish("e", "q", b"once", properties)

    def declare(connection):
        channel = connection.channel()
        channel.confirm_delivery()
        channel.exchange_declare("e", "fanout", durable=True, arguments=window if scope == "exchange" else None)
        arguments = {"queue": on, "window": window, "exchange": None}[scope]
        channel.queue_declare("q", durable=True, arguments=arguments)
        channel.queue_bind("q", "e")
        return channel

    connection = connected(b.url)
    channel = declare(connection)
    publish(channel)
    publish(channel)
    assert [message.queues for message in b.published()] == [("q",), ()]
    restart(b, connection)
    with connected(b.url) as connection:
        channel = declare(connection)
        publish(channel)
        assert len(b.messages("q")) == 1
        b.clock.advance(seconds=60)
        publish(channel)
        assert len(b.messages("q")) == (1 if scope == "queue" else 2)


def test_batches_survive_and_their_transient_members_have_failed(b):
    connection = connected(b.url)
    channel = connection.channel()
    channel.queue_declare("q", durable=True)
    for number, mode in enumerate((2, 2, 1)):
        headers = {"x-batch-id": "b", "x-batch-size": 3}
        properties = pika.BasicProperties(message_id=str(number), delivery_mode=mode, headers=headers)
        channel.basic_publish("", "q", b"", properties)
    channel.basic_get("q", auto_ack=True)
    restart(b, connection)
    with connected(b.url) as connection:
        channel = connection.channel()
        channel.basic_get("q", auto_ack=True)
        channel.queue_declare("q", passive=True)
        batch = b.batch("b")
        assert (batch.ok, batch.failed, batch.open) == (2, 1, 0)
        assert batch.failures == (("", "", "lost"),)


def test_jobs_and_their_replies_survive_and_transient_jobs_have_failed(b):
    connection = connected(b.url)
    channel = connection.channel()
    channel.queue_declare("q", durable=True)
    for name, mode in ("done", 2), ("queued", 2), ("lost", 1):
        properties = pika.BasicProperties(message_id=name, delivery_mode=mode, headers={"x-job": True})
        channel.basic_publish("", "q", b"", properties)
    method, got, _ = channel.basic_get("q")
    channel.basic_publish("", got.reply_to, b"result")
    channel.basic_ack(method.delivery_tag)
    restart(b, connection)
    with connected(b.url) as connection:
        channel = connection.channel()
        assert (b.job("done").state, b.job("done").reply) == ("done", b"result")
        assert (b.job("lost").state, b.job("lost").reason) == ("failed", "lost")
        assert b.job("queued").state == "queued"
        channel.basic_get("q", auto_ack=True)
        channel.queue_declare("q", passive=True)
        assert b.job("queued").state == "done"


@pytest.mark.parametrize("kind", ["classic", "quorum"])
def test_stopped_groups_and_versions_survive_a_restart(b, kind):
    connection = connected(b.url)
    channel = connection.channel()
    arguments = {
        "x-queue-type": kind,
        "x-group-header": "key",
        "x-group-on-dead": "park",
        "x-group-version-header": "version",
    }
    channel.queue_declare("groups", durable=True, arguments=arguments)

    def publish(key, version):
        headers = {"key": key, "version": version}
        channel.basic_publish("", "groups", key, pika.BasicProperties(headers=headers, delivery_mode=2))

    publish("a", 1)
    publish("a", 2)
    channel.basic_reject(channel.basic_get("groups")[0].delivery_tag, requeue=False)
    publish("b", 5)
    channel.basic_get("groups", auto_ack=True)
    b.wait_until(queue="groups", ready=2, unacked=0)
    restart(b, connection)
    (group,) = b.groups("groups")
    assert (group.key, group.state, len(group.messages)) == ("a", "parked", 2)
    connection = connected(b.url)
    channel = connection.channel()
    publish("b", 4)
    assert channel.basic_get("groups") == (None, None, None)
    b.wait_until(queue="groups", ready=2)
    connection.close()


# --- message groups, without sockets ----------------------------------------------------------------------------------


class Instances:
    """Two brokers: the second one is the next instance of the first."""

    def __init__(self, on_dead):
        self.brokers = make_broker(), make_broker()
        self.queues = []
        self.graves = []
        for broker in self.brokers:
            vhost = broker.vhosts["/"]
            self.graves.append(declare_plain(vhost, "grave", durable=True, max_length=3, overflow="reject-publish"))
            self.queues.append(declare(vhost, group_on_dead=on_dead, durable=True, **TO_GRAVE))

    def restart(self):
        """Return the queue and the dead letter queue of the second one."""
        carry(*self.brokers)
        return self.queues[1], self.graves[1]


def test_groups_are_redriven_before_each_other_over_a_restart():
    instances = Instances("follow")
    queue, grave = instances.queues[0], instances.graves[0]
    for texts in (("a1", "a2"), ("b1", "b2")):
        send(queue, *texts)
    queue.reject([get(queue)])
    queue.redrive_group(group(queue, "a"), [grave])
    assert waiting(queue) == ["a1", "a2", "b1", "b2"]
    heir, grave = instances.restart()
    first, second = get(heir), get(heir)
    heir.reject([second])
    heir.redrive_group(group(heir, "b"), [grave])
    heir.requeue([first])
    assert waiting(heir) == ["b1", "b2", "a1", "a2"]


def test_messages_of_a_closed_group_follow_after_a_restart():
    instances = Instances("follow")
    queue = instances.queues[0]
    send(queue, "a1", "a2", "a3", "a4", "a5")
    queue.reject([get(queue)])
    assert waiting(queue) == ["a4", "a5"]
    heir, grave = instances.restart()
    assert waiting(heir) == ["a4", "a5"]
    grave.purge()
    heir.clock.advance(FOLLOW_AGAIN_MS)
    assert (ready(grave), waiting(heir)) == ([b"a4", b"a5"], [])


@pytest.mark.parametrize(("more", "left"), [(["a2"], {"a": "free"}), ([], {})])
def test_parked_group_is_open_after_a_restart_if_the_message_that_failed_was_transient(more, left):
    instances = Instances("park")
    queue = instances.queues[0]
    send(queue, "a1", persistent=False)
    send(queue, *more)
    queue.reject([get(queue)])
    heir, _ = instances.restart()
    assert (waiting(heir), states(heir), heir.stored_count()) == (more, left, 0)


def test_streams_keep_their_messages_offsets_and_times(b):
    connection = connected(b.url)
    channel = connection.channel()
    arguments = {"x-queue-type": "stream", "x-stream-max-segment-size-bytes": 200, "x-max-length-bytes": 500}
    channel.queue_declare("events", durable=True, arguments=arguments)
    channel.confirm_delivery()
    for number in range(9):
        channel.basic_publish("", "events", b"%d" % number)
    b.clock.advance(hours=1)
    since = b.clock.now()
    channel.basic_publish("", "events", b"9", pika.BasicProperties(delivery_mode=1))
    events = b.stream("events")
    before, first = events.messages(), events.first_offset
    assert first > 0
    restart(b, connection)
    assert events.messages() == before
    assert (events.first_offset, events.next_offset) == (first, 10)
    assert [each.offset for each in events.messages(since)] == [9]
    with connected(b.url) as connection:
        channel = connection.channel()
        channel.confirm_delivery()
        channel.basic_publish("", "events", b"10")
        assert [each.offset for each in events.messages("last")] == [10]
        assert [each.body for each in events.messages(9)] == [b"9", b"10"]
        for number in range(11, 20):
            channel.basic_publish("", "events", b"%d" % number)
    assert events.first_offset > first
    b.restart()
    assert [each.offset for each in events.messages()] == list(range(events.first_offset, 20))


def test_reader_continues_at_its_offset_after_a_restart(b):
    connection = connected(b.url)
    connection.channel().queue_declare("events", durable=True, arguments={"x-queue-type": "stream"})
    channel = connection.channel()
    for number in range(3):
        channel.basic_publish("", "events", b"%d" % number)
    restart(b, connection)
    with connected(b.url) as connection:
        channel = connection.channel()
        channel.basic_qos(prefetch_count=10)
        channel.basic_publish("", "events", b"3")
        found = channel.consume("events", arguments={"x-stream-offset": 2}, inactivity_timeout=60)
        assert [next(found)[2] for _ in range(2)] == [b"2", b"3"]
        channel.cancel()
