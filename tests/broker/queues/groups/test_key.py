"""The keys of message groups."""

import pytest

from amqpbroker.broker.vhost import Vhost
from amqpbroker.message.message import Message, encode_address
from amqpbroker.wire.properties import encode_properties
from amqpbroker.wire.values import Field, longstr
from tests.broker.queues.groups.grouped import declare, send, work


def test_empty_name_of_the_header_groups_by_routing_key(vhost: Vhost) -> None:
    queue = declare(vhost, header="")
    worker = work(queue)
    for text in ("x1", "x2", "y1"):
        assert queue.publish(Message(encode_address("e", text[:1].encode()), encode_properties({}), text.encode()))
    assert worker.texts() == ["x1", "y1"]


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        (longstr("1"), Field("l", 1), False),
        (Field("l", 1), Field("b", 1), True),
        (Field("t", True), Field("t", False), False),
        (longstr("x" * 500), longstr("x" * 500), True),
        (longstr("x" * 500), longstr("x" * 501), False),
        (Field("d", 1.5), Field("d", 1.5), True),
    ],
)
def test_keys_are_equal_by_type_and_value(vhost: Vhost, one: Field, other: Field, same: bool) -> None:
    queue = declare(vhost)
    worker = work(queue)
    send(queue, "x", key=one)
    send(queue, "y", key=other)
    assert worker.texts() == (["x"] if same else ["x", "y"])


@pytest.mark.parametrize("none", [Field("V", None), Field("A", []), Field("F", {})])
def test_lists_and_tables_are_no_keys(vhost: Vhost, none: Field) -> None:
    queue = declare(vhost)
    worker = work(queue)
    send(queue, "x", "y", key=none)
    assert worker.texts() == ["x", "y"]
