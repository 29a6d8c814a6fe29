"""Rows of the table of kinds of queues."""

import pytest

from amqpbroker.broker.queues.arguments.arguments import ARGUMENTS, CONSUMER_ARGUMENTS
from amqpbroker.broker.queues.kinds import CLASSIC, KINDS, QUORUM, STREAM, known_arguments, policy_keys
from amqpbroker.compat import NEWEST_COMPAT, OLDEST_COMPAT
from amqpbroker.config.rows.queues import QUEUE_TYPES

STRICT = NEWEST_COMPAT.configured({}, extensions=False)


def test_default_queue_type_may_be_any_supported_kind():
    made = list(KINDS.values())
    names = {kind.name: kind.name for kind in made}
    assert names | {kind.module: kind.name for kind in made} == QUEUE_TYPES


@pytest.mark.parametrize("kind", KINDS.values(), ids=lambda kind: kind.name)
def test_queue_type_names_only_defined_arguments(kind):
    assert kind.arguments_in(STRICT).keys() <= ARGUMENTS.keys()
    assert set(kind.consumer_arguments_in(NEWEST_COMPAT)) <= CONSUMER_ARGUMENTS.keys()
    known = kind.arguments_in(OLDEST_COMPAT)
    assert list(kind.arguments_in(STRICT))[: len(known)] == list(known)


def test_every_defined_queue_argument_belongs_to_a_queue_type():
    assert known_arguments(STRICT).keys() == ARGUMENTS.keys()


def test_policy_for_one_queue_type_applies_to_that_type_only():
    keys = policy_keys(NEWEST_COMPAT)
    for kind in (CLASSIC, QUORUM, STREAM):
        assert keys.kinds_of({"max-length-bytes": 1}, kind.apply_to) == {kind.name}
