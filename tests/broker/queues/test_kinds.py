"""Rows of the table of kinds of queues."""

import pytest

from amqpbroker.broker.queues.arguments import ARGUMENTS, CONSUMER_ARGUMENTS
from amqpbroker.broker.queues.kinds import CLASSIC, KINDS, QUORUM, STREAM, known_arguments, policy_keys
from amqpbroker.config.rows.queues import QUEUE_TYPES


def test_default_queue_type_may_be_any_supported_kind():
    made = [kind for kind in KINDS.values() if kind.make is not None]
    names = {kind.name: kind.name for kind in made}
    assert names | {kind.module: kind.name for kind in made} == QUEUE_TYPES


@pytest.mark.parametrize("kind", KINDS.values(), ids=lambda kind: kind.name)
def test_queue_type_names_only_defined_arguments(kind):
    assert kind.known_of_4_3.keys() <= ARGUMENTS.keys()
    assert set(kind.consumer_arguments_in(newest=True)) <= CONSUMER_ARGUMENTS.keys()
    assert list(kind.arguments_in(newest=True))[: len(kind.known)] == list(kind.known)


def test_every_defined_queue_argument_belongs_to_a_queue_type():
    assert known_arguments(newest=True).keys() == ARGUMENTS.keys()


def test_every_queue_type_except_stream_can_be_created():
    assert [name for name, kind in KINDS.items() if kind.make is None] == ["stream"]


def test_policy_for_one_queue_type_applies_to_that_type_only():
    keys = policy_keys()
    for kind in (CLASSIC, QUORUM, STREAM):
        assert keys.kinds_of({"max-length-bytes": 1}, kind.apply_to) == {kind.name}
