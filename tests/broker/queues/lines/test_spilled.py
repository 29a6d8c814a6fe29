import pytest

from amqpbroker.broker.queues.entry import Entry
from amqpbroker.broker.queues.lines.spilled import decoded, encoded
from amqpbroker.message.message import Message
from amqpbroker.wire.frames import content
from amqpbroker.wire.properties import encode_properties
from amqpbroker.wire.values import Field, longstr
from tests.broker.queueing import declare, make_vhost

QUEUE = declare(make_vhost())


@pytest.mark.parametrize("keys", [(b"x", b"blind"), (b"k" * 300, *[b"blind"] * 300)])
def test_spilled_entry_is_restored_with_all_its_fields(keys):
    properties = encode_properties(
        {"headers": {"k": Field("l", 7), "CC": Field("A", [longstr("x")])}, "priority": 3, "expiration": b"500"}
    )
    message = Message(b"\4some\3key", properties, b"body")
    message.persistent, message.priority, message.expiration_ms = True, 3, 500
    message.headers = {"k": Field("l", 7), "CC": Field("A", [longstr("x")])}
    message.extra_keys, message.cc_keys = keys, 1
    full = Entry(message, QUEUE, 70, 1_700_000_000_500)
    full.redelivered, full.delivery_count = True, 4
    framed = Message(b"\0\1q", None, None, 2, content(5, b"\x10\0\1", b"hi", 0), 5)
    queue = declare(make_vhost(), "other")
    got, plain = decoded(encoded([full, Entry(framed, QUEUE, 71, 0)]), queue)
    assert (got.queue, got.sequence, got.deadline_ms, got.redelivered, got.delivery_count, got.position) == (
        queue,
        70,
        1_700_000_000_500,
        True,
        4,
        0,
    )
    for name in ("address", "properties", "body", "size", "persistent", "priority", "expiration_ms", "headers"):
        assert getattr(got.message, name) == getattr(message, name)
    assert (got.message.extra_keys, got.message.cc_keys) == (keys, 1)
    assert (plain.message.frames, plain.message.frames_channel) == (framed.frames, 5)
    assert (plain.message.persistent, plain.redelivered, plain.sequence) == (False, False, 71)
