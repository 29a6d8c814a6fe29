"""Changes of definitions by a broker that another broker may have undone."""

from types import SimpleNamespace

import pytest

from amqpbroker.cluster.following.own_changes import OwnChanges, Undone
from amqpbroker.store.definitions.definitions import (
    ParameterDefinition,
    PermissionDefinition,
    QueueDefinition,
    UserDefinition,
    VhostDefinition,
)

V = VhostDefinition("v")
ANN = UserDefinition("ann", b"hash", ())
EVERYTHING = PermissionDefinition("ann", "v", ".*", ".*", ".*")
ELSEWHERE = PermissionDefinition("ann", "w", ".*", ".*", ".*")
NOTHING = Undone([], [], set())


def found(*definitions):
    kinds = {VhostDefinition: 1, UserDefinition: 1, PermissionDefinition: 2, ParameterDefinition: 3}
    return {kind: {each[:keys]: each for each in definitions if type(each) is kind} for kind, keys in kinds.items()}


@pytest.fixture
def changes():
    made = OwnChanges()
    made.write_to(SimpleNamespace(epoch=3))
    return made


def test_a_change_that_is_read_is_no_longer_remembered(changes):
    changes.changed(V)
    changes.removed(ANN)
    assert not changes.are_read
    assert changes.compare(found(V), 4) == NOTHING
    assert changes.are_read


def test_a_change_waits_until_another_broker_writes(changes):
    changes.changed(V)
    assert changes.compare(found(), 3) == NOTHING
    assert not changes.are_read
    assert changes.compare(found(), 4) == Undone([], [V], set())
    assert changes.are_read


def test_another_definition_in_the_database_replaces_the_own_one(changes):
    changes.changed(V._replace(description="mine"))
    theirs = V._replace(description="theirs")
    assert changes.compare(found(theirs), 4) == Undone([theirs], [], set())


def test_a_removed_vhost_returns_with_all_that_is_stored_for_it(changes):
    changes.removed(V)
    assert changes.compare(found(V, ANN, EVERYTHING, ELSEWHERE), 4) == Undone([V, EVERYTHING], [], {"v"})
    assert changes.are_read


def test_a_vhost_that_was_removed_and_created_again_returns_unless_its_removal_is_read(changes):
    changes.removed(V)
    changes.changed(V)
    assert changes.compare(found(V, EVERYTHING), 3) == NOTHING
    assert not changes.are_read
    assert changes.compare(found(V, EVERYTHING), 4) == Undone([EVERYTHING], [], {"v"})
    assert changes.are_read
    assert changes.compare(found(V, EVERYTHING), 5) == NOTHING
    changes.removed(V)
    assert changes.compare(found(), 3) == NOTHING
    changes.changed(V)
    assert changes.compare(found(V, EVERYTHING), 4) == NOTHING
    assert changes.are_read


def test_a_vhost_that_returns_retains_what_was_changed_later(changes):
    changes.removed(V)
    changes.write_to(SimpleNamespace(epoch=5))
    mine, changed = V._replace(description="mine"), EVERYTHING._replace(read="")
    changes.changed(mine)
    changes.changed(changed)
    other = EVERYTHING._replace(user="bob")
    assert changes.compare(found(V, EVERYTHING, other), 5) == Undone([other], [], {"v"})
    assert changes.compare(found(mine, changed, other), 5) == NOTHING
    assert changes.are_read


def test_only_the_last_change_of_a_definition_counts(changes):
    changes.changed(V)
    changes.removed(V)
    assert changes.compare(found(), 4) == NOTHING
    assert changes.are_read


def test_changes_in_a_later_epoch_are_not_undone(changes):
    changes.changed(V)
    changes.changed(ANN)
    changes.write_to(None)
    changes.write_to(SimpleNamespace(epoch=5))
    changes.changed(ANN)
    assert changes.compare(found(), 5) == Undone([], [V], set())
    assert not changes.are_read


def test_kinds_that_are_not_followed_are_left_alone(changes):
    changes.changed(QueueDefinition("v", "q", 1, False, b""))
    assert changes.compare(found(), 4) == NOTHING
    assert changes.are_read
