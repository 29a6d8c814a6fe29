from typing import Any

import pytest

from amqpbroker.broker.queues.dead_letters.original_message import Death
from amqpbroker.broker.redrive.options import RedriveFilter
from amqpbroker.message.checksum import content_checksum
from amqpbroker.wire.values import Field
from tests.broker.redrive.driving import message

DEATH = Death("work", "rejected", "", (b"work",), None)


@pytest.mark.parametrize(
    ("field", "wanted", "equal"),
    [
        (Field("S", b"a"), "a", True),
        (Field("S", b"a"), "b", False),
        (Field("S", b"1"), 1, False),
        (Field("I", 1), 1, True),
        (Field("l", 1), 1.0, True),
        (Field("t", True), True, True),
        (Field("t", True), 1, False),
        (Field("I", 1), True, False),
        (Field("V", None), None, True),
        (Field("d", 0.5), 0.5, True),
    ],
)
def test_header_equals_a_value_of_its_type(field: Field, wanted: Any, equal: bool) -> None:
    assert RedriveFilter(headers={"h": wanted}).accepts(message(b"", h=field), DEATH) == equal


def test_message_without_the_header_is_not_accepted() -> None:
    assert not RedriveFilter(headers={"h": None}).accepts(message(b"", other="x"), DEATH)
    assert not RedriveFilter(headers={"h": None}).accepts(message(b""), DEATH)


def test_conditions_are_all_required() -> None:
    both = RedriveFilter(reason="rejected", queue="work", headers={"a": "1", "b": "2"})
    assert both.accepts(message(b"", a="1", b="2"), DEATH)
    assert not both.accepts(message(b"", a="1"), DEATH)
    assert not both.accepts(message(b"", a="1", b="2"), DEATH._replace(queue="other"))
    assert not both.accepts(message(b"", a="1", b="2"), DEATH._replace(reason="expired"))


def test_named_messages_have_a_position_and_a_checksum() -> None:
    one, other = message(b"1"), message(b"2")
    named = RedriveFilter(messages={7: content_checksum(one)})
    assert named.names(7, one)
    assert not named.names(7, other)
    assert not named.names(8, one)
    assert RedriveFilter().names(8, one)


def test_message_that_did_not_die_has_no_reason_and_no_queue() -> None:
    assert RedriveFilter().accepts(message(b""), None)
    assert not RedriveFilter(reason="rejected").accepts(message(b""), None)
    assert not RedriveFilter(queue="work").accepts(message(b""), None)
