"""The description of a queue for the management API."""

from amqpbroker.message.message import Message, encode_address
from amqpbroker.wire.properties import encode_properties
from tests.broker.queueing import Subscriber, declare, make_vhost, publish


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
