"""The extensions that a conformance case uses are found by the rows of the kinds of queues."""

import json
from dataclasses import replace

import pytest

from amqpbroker.broker.queues.arguments.arguments import ARGUMENTS
from amqpbroker.broker.queues.kinds import CLASSIC, KINDS, QUORUM
from amqpbroker.compat import DEFAULT_COMPAT
from amqpbroker.wire.values import Field, longstr
from tests.conformance.extensions_used import ExtensionsUsed, SentFrames
from tests.harness import method

LIMIT = {"x-delivery-limit": Field("I", 3)}


def checked_as_in_rabbitmq(kind):
    """Return the rows of the arguments that the kind has in RabbitMQ, without stricter checks."""
    rows = [ARGUMENTS[each] if isinstance(each, str) else each for each in kind.arguments]
    return tuple(row._replace(stricter_check=None) for row in rows)


@pytest.fixture
def used(monkeypatch):
    """The extensions that are used while x-delivery-limit is one of classic queues, and there is a new argument."""

    def check(field, arguments):
        return None

    new = ARGUMENTS["x-queue-master-locator"]._replace(name="x-new")
    stricter = ARGUMENTS["x-max-length"]._replace(stricter_check=check)
    monkeypatch.setitem(KINDS, "classic", replace(CLASSIC, extensions=("x-delivery-limit", new)))
    others = [row for row in checked_as_in_rabbitmq(QUORUM) if row.name != stricter.name]
    monkeypatch.setitem(KINDS, "quorum", replace(QUORUM, extensions=(), arguments=(*others, stricter)))
    return ExtensionsUsed(DEFAULT_COMPAT)


@pytest.mark.parametrize(
    ("arguments", "queue_type", "names"),
    [
        ({"x-delivery-limit", "x-message-ttl"}, "classic", {"x-delivery-limit"}),
        ({"x-delivery-limit"}, "quorum", set()),
        ({"x-max-length"}, "classic", set()),
        ({"x-max-length"}, "quorum", {"x-max-length"}),  # checked differently
        ({"x-new", "x-other"}, "quorum", {"x-new"}),  # refused, because another type supports it
        ({"x-delivery-limit"}, "unknown", set()),
    ],
)
def test_argument_of_a_queue_is_an_extension_if_its_type_treats_it_differently(used, arguments, queue_type, names):
    used.declared(arguments, queue_type)
    assert used.names == names


def test_policy_key_is_an_extension_if_it_is_new_or_applies_to_more_types(used):
    used.defined({"max-length": 5, "delivery-limit": 5, "redeclare": "warn", "unknown": 1})
    assert used.names == {"delivery-limit", "redeclare"}


def test_arguments_and_policy_keys_are_found_in_http_requests_at_any_depth(used):
    used.requested({"queues": [{"name": "q", "arguments": {"x-delivery-limit": 5, "x-queue-type": "quorum"}}]})
    used.requested(json.loads(json.dumps({"arguments": {"x-max-length": 5}, "definition": {"max-length": 5}})))
    assert used.names == set()
    used.requested([{"policies": [{"definition": {"redeclare": "warn"}}]}, {"arguments": {"x-delivery-limit": 5}}])
    assert used.names == {"redeclare", "x-delivery-limit"}


def test_arguments_are_found_in_the_bytes_of_a_client(used):
    sent = SentFrames(used)
    declared = method("queue.declare", queue="q", arguments=LIMIT | {"x-queue-type": longstr("quorum")})
    for data in (b"AMQP\0\0\x09\x01", method("channel.open"), declared):
        sent.feed(data)
    assert used.names == set()
    whole = method("queue.declare", queue="q", arguments=LIMIT)
    sent.feed(whole[:20])
    sent.feed(whole[20:])
    assert used.names == {"x-delivery-limit"}


def test_bytes_after_an_invalid_frame_are_ignored(used):
    sent = SentFrames(used)
    sent.feed(b"AMQP\0\0\x09\x01" + b"\xff" * 20)
    sent.feed(method("queue.declare", queue="q", arguments=LIMIT))
    assert used.names == set()


def test_without_differences_no_extension_is_used(monkeypatch):
    for kind in (CLASSIC, QUORUM):
        arguments = checked_as_in_rabbitmq(kind)
        monkeypatch.setitem(KINDS, kind.name, replace(kind, extensions=(), arguments=arguments))
    used = ExtensionsUsed(DEFAULT_COMPAT)
    used.declared([*ARGUMENTS, "x-other"])
    used.declared(ARGUMENTS, "quorum")
    used.defined({"max-length": 5, "message-ttl": 5})
    assert used.names == set()
