"""Messages that are delivered twice."""

from itertools import islice

import pika
import pytest

from amqpbroker.testing.faults.duplicate import Duplicate


@pytest.mark.parametrize("no_ack", [True, False])
def test_duplicate_is_delivered_after_the_messages_already_queued(b, channel, queue, no_ack):
    for body in (b"1", b"2", b"3"):
        channel.basic_publish("", queue, body)
    b.faults.duplicate(2)
    got = []
    for method, _, body in islice(channel.consume(queue, auto_ack=no_ack, inactivity_timeout=60), 4):
        got.append((body, method.redelivered))
        if not no_ack:
            channel.basic_ack(method.delivery_tag)
    assert got == [(body, False) for body in (b"1", b"2", b"3", b"2")]
    assert channel.cancel() == 0
    assert channel.queue_declare(queue, passive=True).method.message_count == 0


def test_duplicate_has_the_properties_of_the_original_message(b, channel, queue):
    properties = pika.BasicProperties(headers={"a": 1}, message_id="m", delivery_mode=2, priority=3)
    channel.basic_publish("", queue, b"x", properties)
    b.faults.duplicate()
    (first, before, _), (again, after, body) = [channel.basic_get(queue, auto_ack=True) for _ in range(2)]
    assert (vars(before), body) == (vars(after), b"x")
    assert (first.exchange, first.routing_key) == (again.exchange, again.routing_key)


def test_duplicate_is_not_duplicated_again(b, channel, queue):
    channel.basic_publish("", queue, b"x")
    b.faults.duplicate(times=None)
    got = [channel.basic_get(queue, auto_ack=True)[2] for _ in range(3)]
    assert got == [b"x", b"x", None]


def test_duplicate_fault_counts_only_deliveries_of_its_queue(b, channel, queue):
    channel.queue_declare("other", auto_delete=True)
    b.faults.duplicate(queue=queue)
    for name in ("other", queue):
        channel.basic_publish("", name, b"x")
        channel.basic_get(name, auto_ack=True)
    assert channel.basic_get("other")[0] is None
    assert channel.basic_get(queue, auto_ack=True)[2] == b"x"


def test_a_duplicate_for_a_deleted_queue_is_discarded(b, connect):
    channel = connect().channel()
    channel.queue_declare("short", auto_delete=True)
    channel.basic_publish("", "short", b"x")
    b.faults.duplicate()
    next(channel.consume("short"))
    channel.queue_delete("short")
    assert channel.queue_declare("short", auto_delete=True).method.message_count == 0


def test_invalid_arguments_raise_errors():
    with pytest.raises(ValueError, match="delivery = 0: this must be"):
        Duplicate(0)
