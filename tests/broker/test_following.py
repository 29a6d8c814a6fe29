"""A broker makes the changes of definitions that another broker has stored."""

import logging

import pytest

from amqpbroker.broker.broker import Broker
from amqpbroker.broker.following import FOLLOWED, follow
from amqpbroker.broker.policies.policies import Policy
from amqpbroker.clock import ManualClock
from amqpbroker.config import Config
from amqpbroker.store.definitions.definitions import (
    GlobalParameterDefinition,
    ParameterDefinition,
    PermissionDefinition,
    UserDefinition,
    VhostDefinition,
)
from amqpbroker.store.definitions.followed_definitions import FollowedDefinitions
from amqpbroker.store.store import MemoryStore
from tests.broker.test_storage import Kept
from tests.fault_definitions import KEYS, FaultyDefinitions
from tests.harness import Wire


def key_of(definition):
    return type(definition), definition[: KEYS[type(definition)]]


class Pair:
    """A broker that writes definitions, and one that follows it."""

    def __init__(self, **settings):
        self.stored = FaultyDefinitions()
        self.leader = Broker(Config(**settings), ManualClock(), MemoryStore(), self.stored)
        self.seen = self.state()
        self.definitions = FollowedDefinitions({kind: list(self.stored.all(kind)) for kind in FOLLOWED})
        self.broker = Broker(Config(**settings), ManualClock(), MemoryStore(), self.definitions, shares_vhosts=True)

    def state(self):
        return [definition for kind in FOLLOWED for definition in self.stored.all(kind)]

    def follow(self):
        before, self.seen = self.seen, self.state()
        put = [each for each in self.seen if each not in before]
        keys = {key_of(each) for each in self.seen}
        removed = [each for each in before if key_of(each) not in keys]
        with self.definitions.following():
            follow(self.broker, put, removed)


@pytest.fixture
def pair():
    return Pair()


def test_a_follower_begins_with_what_is_stored(pair):
    assert list(pair.broker.defined_vhosts) == ["/"]
    assert pair.broker.users.authenticate("guest", b"guest") is not None
    assert pair.broker.vhosts == {}


def test_users_and_their_permissions_are_followed(pair):
    pair.leader.add_vhost("v")
    pair.leader.users.add_user("ann", "secret", ["monitoring"])
    pair.leader.users.set_permissions("ann", "v", "a", "b", "c")
    pair.leader.users.set_topic_permissions("ann", "v", "x", "d", "e")
    pair.follow()
    users = pair.broker.users
    assert users.authenticate("ann", b"secret").tags == ("monitoring",)
    assert users.list_permissions("ann") == pair.leader.users.list_permissions("ann")
    assert users.list_topic_permissions("ann") == pair.leader.users.list_topic_permissions("ann")
    pair.leader.users.clear_permissions("ann", "v")
    pair.leader.users.change_password("ann", "other")
    pair.follow()
    assert users.list_permissions("ann") == []
    assert users.authenticate("ann", b"secret") is None
    pair.leader.users.delete_user("ann")
    pair.follow()
    assert not users.has("ann")
    assert users.list_topic_permissions("ann") == []


def test_vhosts_are_known_and_not_served(pair):
    pair.leader.add_vhost("v", "first", ["a"])
    pair.follow()
    pair.leader.update_vhost("v", description="second")
    pair.follow()
    assert pair.broker.defined_vhosts["v"] == VhostDefinition("v", "second", ("a",), "classic")
    assert "v" not in pair.broker.vhosts
    pair.leader.delete_vhost("v")
    pair.follow()
    assert list(pair.broker.defined_vhosts) == ["/"]


def test_a_policy_applies_to_the_queues_of_a_served_vhost(pair):
    pair.leader.add_vhost("v")
    pair.follow()
    Kept("v").opened(pair.broker)
    queue = pair.broker.vhosts["v"].declare_queue("q", True, False, False, {})
    pair.leader.policies.put(Policy("v", "p", "^q", {"max-length": 3}))
    pair.follow()
    assert queue.settings.max_length == 3
    pair.leader.policies.delete("v", "p")
    pair.follow()
    assert queue.settings.max_length == -1


def test_policies_of_vhosts_that_are_not_served_are_known_too(pair):
    pair.leader.add_vhost("v")
    pair.leader.policies.put(Policy("v", "p", "^q", {"max-length": 3}))
    pair.leader.limits.set_vhost("v", "max-queues", 1)
    pair.leader.global_parameters.put("cluster_name", "ours")
    pair.follow()
    assert [policy.name for policy in pair.broker.policies.list("v")] == ["p"]
    assert pair.broker.limits.vhost("v") == {"max-queues": 1}
    assert pair.broker.cluster_name == "ours"
    pair.leader.limits.clear_vhost("v")
    pair.leader.global_parameters.delete("cluster_name")
    pair.follow()
    assert pair.broker.limits.vhosts() == {}
    assert pair.broker.cluster_name == pair.broker.config.cluster_name


def test_clients_of_a_deleted_vhost_are_disconnected(pair):
    pair.leader.add_vhost("v")
    pair.leader.users.permit_everything("guest", "v")
    pair.stored.put(PermissionDefinition("guest", "v", ".*", ".*", ".*"))
    pair.follow()
    Kept("v").opened(pair.broker)
    client = Wire(pair.broker).log_in(vhost="v")
    pair.leader.delete_vhost("v")
    pair.follow()
    assert client.closed() == (320, "CONNECTION_FORCED - vhost 'v' is deleted")
    assert pair.broker.storages == [pair.broker.storage]


def test_clients_of_a_deleted_user_are_disconnected(pair):
    pair.leader.add_vhost("v")
    pair.leader.users.add_user("ann", "secret")
    pair.leader.users.set_permissions("ann", "v", ".*", ".*", ".*")
    pair.follow()
    Kept("v").opened(pair.broker)
    client = Wire(pair.broker).log_in("ann", "secret", vhost="v")
    pair.leader.users.delete_user("ann")
    pair.follow()
    assert client.closed()[0] == 320


def test_a_change_that_is_refused_does_not_stop_the_others(pair, caplog):
    strange = ParameterDefinition("policy", "/", "p", {"pattern": "(", "definition": {}, "priority": 0})
    with pair.definitions.following(), caplog.at_level(logging.ERROR):
        follow(pair.broker, [strange, GlobalParameterDefinition("a", 1)], [])
        follow(pair.broker, [PermissionDefinition("nobody", "/", "", "", "")], [UserDefinition("nobody", b"", ())])
    assert pair.broker.global_parameters.value("a", None) == 1
    assert [record.message.partition(":")[0] for record in caplog.records] == [
        "a change that another broker has made cannot be made here"
    ]
