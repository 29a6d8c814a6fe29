"""The description of a queue for the management API."""

from typing import Any

import pytest

from amqpbroker.broker.queues.local_queue import LocalQueue
from amqpbroker.broker.vhost import Vhost
from amqpbroker.message.message import Message, encode_address
from amqpbroker.wire.properties import encode_properties
from amqpbroker.wire.values import longstr
from tests.broker.queueing import Subscriber, clock_of, declare, get, make_vhost, publish, table


def test_queue_info_of_an_empty_queue_has_zero_counts():
    info = declare(make_vhost()).info()
    assert info.state == "running"
    assert (info.messages, info.message_bytes, info.consumers, info.consumer_capacity) == (0, 0, 0, 0.0)
    assert (info.head_message_timestamp, info.single_active_consumer_tag, info.exclusive_consumer_tag) == (None,) * 3
    assert info.memory > 0


def test_queue_info_counts_ready_and_unacknowledged_messages():
    queue = declare(make_vhost())
    publish(queue, b"a", b"bb", b"ccc")
    Subscriber(queue, limit=1).subscribe()
    info = queue.info()
    assert (info.messages, info.messages_ready, info.messages_unacknowledged) == (3, 2, 1)
    assert (info.message_bytes, info.message_bytes_ready, info.message_bytes_unacknowledged) == (6, 5, 1)
    assert (info.messages_ram, info.messages_ready_ram, info.messages_unacknowledged_ram) == (3, 2, 1)
    assert (info.messages_persistent, info.messages_paged_out) == (0, 0)


def test_queue_info_shows_the_timestamp_of_the_head_message():
    queue = declare(make_vhost())
    for properties in ({"timestamp": 12345, "content_type": b"text"}, {}):
        queue.publish(Message(encode_address("", b"q"), encode_properties(properties), b""))
    assert queue.info().head_message_timestamp == 12345
    queue.get(no_ack=True)
    assert queue.info().head_message_timestamp is None


def test_consumers():
    queue = declare(make_vhost())
    for tag in ("a", "b"):
        Subscriber(queue, tag).subscribe()
    infos = queue.consumer_infos()
    assert [(info.consumer_tag, info.active, info.activity_status) for info in infos] == [
        ("a", True, "up"),
        ("b", True, "up"),
    ]
    assert queue.info().single_active_consumer_tag is None


def test_quorum_queue_info_shows_its_first_consumer_as_active():
    queue = declare(make_vhost(), queue_type="quorum")
    assert queue.info().single_active_consumer_tag is None
    for tag in ("a", "b"):
        Subscriber(queue, tag).subscribe()
    assert queue.info().single_active_consumer_tag == "a"


def test_queue_info_shows_the_single_active_consumer():
    queue = declare(make_vhost(), single_active_consumer=True)
    first = Subscriber(queue, "a").subscribe()
    Subscriber(queue, "b").subscribe()
    infos = queue.consumer_infos()
    assert [(info.active, info.activity_status) for info in infos] == [(True, "single_active"), (False, "waiting")]
    assert queue.info().single_active_consumer_tag == "a"
    first.cancel()
    assert queue.info().single_active_consumer_tag == "b"


def test_queue_info_shows_the_exclusive_consumer():
    queue = declare(make_vhost())
    Subscriber(queue, "a", exclusive=True).subscribe()
    assert queue.info().exclusive_consumer_tag == "a"


def test_consumer_capacity_is_1_if_consumers_can_take_more_and_0_if_not():
    queue = declare(make_vhost())
    Subscriber(queue, limit=1).subscribe()
    assert queue.info().consumer_capacity == 1.0
    publish(queue, b"a", b"b")
    assert queue.info().consumer_capacity == 0.0


def test_queue_without_a_statistics_sample_has_no_idle_since():
    assert declare(make_vhost()).info().idle_since is None


# --- persistent messages of a broker in memory ------------------------------------------------------------------------

IN_MEMORY = {
    "classic": {},
    "priority": {"max_priority": 5},
    "quorum": {"queue_type": "quorum", "delivery_limit": -1},
    "expiry": {"message_ttl_mode": "any"},
    "window": {"message_deduplication": True, "cache_ttl": 60_000, "deduplication_header": "id"},
    "while_queued": {"message_deduplication": True, "deduplication_header": "id"},
    "last_value": {"last_value_key": "id"},
}


def declare_in_memory(vhost: Vhost, kind: str, **arguments: Any) -> LocalQueue:
    queue = vhost.declare_queue("q", True, False, False, table(**IN_MEMORY[kind], **arguments), None)
    assert isinstance(queue, LocalQueue)
    return queue


def publish_one(queue: LocalQueue, number: int, persistent: bool = True, expiration_ms: int = -1) -> None:
    properties = encode_properties({"headers": {"id": longstr(b"%d" % number)}})
    made = Message(encode_address("", b"q"), properties, b"a")
    made.persistent = persistent
    made.expiration_ms = expiration_ms
    queue.publish(made)


def persistent_count(queue: LocalQueue) -> int:
    return queue.info().messages_persistent


@pytest.mark.parametrize("kind", IN_MEMORY)
def test_persistent_messages_are_counted_without_a_store(kind: str) -> None:
    vhost = make_vhost()
    queue = declare_in_memory(vhost, kind)
    for number in range(12):
        publish_one(queue, number)
    consumer = Subscriber(queue, limit=4).subscribe()
    assert persistent_count(queue) == 12
    assert queue.info().message_bytes_persistent == 12
    consumer.limit = 0
    consumer.ack()
    consumer.ack_all()
    assert persistent_count(queue) == 10
    consumer.requeue()
    assert persistent_count(queue) == 10
    consumer.reject()
    assert persistent_count(queue) == 9
    get(queue, no_ack=True)
    queue.ack(get(queue))
    assert persistent_count(queue) == 7
    held = get(queue)
    assert queue.purge() == 6
    assert persistent_count(queue) == 1
    queue.ack(held)
    assert persistent_count(queue) == 0


@pytest.mark.parametrize("kind", IN_MEMORY)
def test_persistent_messages_are_counted_after_a_restart_without_a_store(kind: str) -> None:
    vhost = make_vhost()
    queue = declare_in_memory(vhost, kind)
    entries = []
    for number in range(4):
        publish_one(queue, number)
        entries.append(get(queue))
    heir = declare_in_memory(make_vhost(), kind)
    heir.inherit(entries)
    heir.recovered()
    assert persistent_count(heir) == 4
    heir.ack(get(heir))
    assert persistent_count(heir) == 3
    heir.purge()
    assert persistent_count(heir) == 0


@pytest.mark.parametrize("kind", sorted(IN_MEMORY.keys() - {"quorum"}))
def test_transient_messages_do_not_count_as_persistent(kind: str) -> None:
    queue = declare_in_memory(make_vhost(), kind)
    for number in range(4):
        publish_one(queue, number, persistent=number == 1)
    assert persistent_count(queue) == 1
    queue.ack(get(queue))
    assert persistent_count(queue) == 1
    queue.purge()
    assert persistent_count(queue) == 0


@pytest.mark.parametrize("kind", IN_MEMORY)
def test_expired_and_dropped_messages_no_longer_count_as_persistent(kind: str) -> None:
    vhost = make_vhost()
    queue = declare_in_memory(vhost, kind, max_length=3)
    for number in range(4):
        publish_one(queue, number, expiration_ms=10)
    assert persistent_count(queue) == 3
    clock_of(vhost).advance(10)
    assert persistent_count(queue) == 0


def test_refused_and_replaced_messages_do_not_count_as_persistent() -> None:
    queue = declare_in_memory(make_vhost(), "classic", max_length=1, overflow="reject-publish-dlx")
    publish_one(queue, 1)
    publish_one(queue, 2)
    assert persistent_count(queue) == 1
    queue = declare_in_memory(make_vhost(), "last_value")
    publish_one(queue, 1)
    publish_one(queue, 1)
    assert persistent_count(queue) == 1


def test_queue_that_is_not_durable_has_no_persistent_messages() -> None:
    queue = declare(make_vhost())
    publish_one(queue, 1)
    assert persistent_count(queue) == 0
