"""Following the definitions that another broker writes."""

import pytest

from amqpbroker.broker.following import FOLLOWED
from amqpbroker.cluster.following.definitions_follower import Changes, DefinitionsFollower
from amqpbroker.store.database.fence import LOG
from amqpbroker.store.definitions.definitions import PermissionDefinition, UserDefinition, VhostDefinition
from amqpbroker.store.log import UnwrittenError
from tests.store.database.opening import Opened

NOTHING = Changes([], [])
ANN = UserDefinition("ann", b"hash", ("administrator",))
EVERYTHING = PermissionDefinition("ann", "v", ".*", ".*", ".*")


@pytest.fixture
def leader(database):
    made = Opened(database)
    yield made
    made.close()


@pytest.fixture
def follower(leader):
    return DefinitionsFollower(LOG, FOLLOWED)


@pytest.fixture
def read(leader, follower):
    session = leader.session(leader.lease._url, "following")
    return lambda: session.run(follower.read_on)


def test_changes_are_what_was_written_since_the_last_look(leader, read):
    assert read() == NOTHING
    leader.definitions.put(EVERYTHING, ANN, VhostDefinition("v"))
    assert read() == NOTHING
    leader.definitions.sync()
    assert read() == Changes([VhostDefinition("v"), ANN, EVERYTHING], [])
    assert read() == NOTHING


def test_a_changed_definition_is_new_and_a_removed_one_is_named(leader, read):
    leader.definitions.put(ANN, VhostDefinition("v"), VhostDefinition("w"))
    leader.definitions.sync()
    read()
    leader.definitions.put(VhostDefinition("v", "changed"), ANN)
    leader.definitions.remove(VhostDefinition("w"))
    leader.definitions.sync()
    assert read() == Changes([VhostDefinition("v", "changed")], [VhostDefinition("w")])


def test_writes_between_two_looks_are_one_change(leader, read):
    read()
    leader.definitions.put(VhostDefinition("v"))
    leader.definitions.sync()
    leader.definitions.remove(VhostDefinition("v"))
    leader.definitions.sync()
    assert read() == NOTHING


def test_the_next_leader_is_followed_in_the_same_way(leader, database, follower, read):
    leader.definitions.put(ANN)
    leader.definitions.sync()
    read()
    later = Opened(database)
    later.definitions.put(VhostDefinition("v"))
    later.definitions.sync()
    assert read() == Changes([VhostDefinition("v")], [])
    assert follower.found[UserDefinition] == {("ann",): ANN}
    later.close()


def test_definitions_are_read_again_from_another_server(leader, read):
    """As after the promotion of a standby: the number of its last write may be the same."""
    leader.definitions.put(ANN)
    leader.definitions.sync()
    assert read() == Changes([ANN], [])
    leader.reading.run(lambda connection: connection.execute('DELETE FROM "user"'))
    assert read() == NOTHING
    ended = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'following'"
    leader.reading.run(lambda connection: connection.execute(ended))
    with pytest.raises(UnwrittenError):
        read()
    assert read() == Changes([], [ANN])
