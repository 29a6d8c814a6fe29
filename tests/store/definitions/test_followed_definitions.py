"""Definitions that several brokers share."""

import pytest

from amqpbroker.errors import AmqpError
from amqpbroker.store.definitions.definitions import QueueDefinition, VhostDefinition
from amqpbroker.store.definitions.followed_definitions import FollowedDefinitions
from tests.fault_definitions import FaultyDefinitions

V = VhostDefinition("v")


@pytest.fixture
def followed():
    return FollowedDefinitions({VhostDefinition: [V]})


def test_it_has_what_was_found_at_the_start(followed):
    assert (followed.all(VhostDefinition), followed.all(QueueDefinition)) == ([V], [])


@pytest.mark.parametrize(
    "change",
    [
        lambda definitions: definitions.put(V),
        lambda definitions: definitions.remove(V),
        lambda definitions: definitions.remove_vhost("v"),
        lambda definitions: definitions.remove_bindings("v", False, "q"),
        lambda definitions: definitions.transaction(),
        lambda definitions: definitions.new_id(),
    ],
)
def test_a_change_is_refused_while_another_broker_writes(followed, change):
    with pytest.raises(AmqpError, match="another broker writes the definitions") as raised:
        change(followed)
    assert raised.value.code == 506


def test_changes_go_to_the_storage_that_this_broker_writes(followed):
    written = FaultyDefinitions()
    assert not followed.is_writing
    followed.write_to(written)
    assert followed.is_writing
    with followed.transaction():
        followed.put(V)
    assert (written.all(VhostDefinition), followed.new_id()) == ([V], 1)
    followed.remove(V)
    followed.sync()
    assert written.all(VhostDefinition) == []
    followed.write_to(None)
    assert not followed.is_writing
    with pytest.raises(AmqpError):
        followed.put(V)


def test_a_change_of_another_broker_is_not_stored_again(followed):
    written = FaultyDefinitions()
    followed.write_to(written)
    with followed.following():
        followed.put(V)
    assert written.all(VhostDefinition) == []
    followed.put(V)
    assert written.all(VhostDefinition) == [V]


class Recorded:
    def __init__(self):
        self.changes = []

    def changed(self, definition):
        self.changes.append(("changed", definition))

    def removed(self, definition):
        self.changes.append(("removed", definition))


def test_own_changes_are_reported_and_followed_ones_are_not():
    recorded = Recorded()
    followed = FollowedDefinitions({}, recorded)
    with pytest.raises(AmqpError):
        followed.put(V)
    followed.write_to(FaultyDefinitions())
    with followed.following():
        followed.put(V)
        followed.remove(V)
        followed.remove_vhost("v")
    assert recorded.changes == []
    followed.put(V)
    followed.remove(V)
    followed.remove_vhost("w")
    assert recorded.changes == [("changed", V), ("removed", V), ("removed", VhostDefinition("w"))]
