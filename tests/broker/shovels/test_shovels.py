import pytest

from amqpbroker.broker.shovels.shovels import ShovelRunner, ShovelStatus
from amqpbroker.broker.users.users import BROKER
from tests.harness import make_broker

VALUE = {"src-uri": "amqp://", "src-queue": "a", "dest-uri": "amqp:///v"}


class Recorder(ShovelRunner):
    def __init__(self):
        self.done = []

    def start(self, vhost, name, definition):
        self.done.append(("start", vhost, name, definition.source.queue))

    def stop(self, vhost, name):
        self.done.append(("stop", vhost, name))

    def status(self, vhost, name):
        return ShovelStatus(vhost, name, "running", 0) if name != "lost" else None


@pytest.fixture
def broker():
    broker = make_broker()
    broker.add_vhost("v")
    return broker


def test_shovel_runner_starts_existing_and_later_shovels(broker):
    broker.parameters.put("shovel", "/", "1", VALUE)
    runner = Recorder()
    broker.shovels.run(runner)
    broker.parameters.put("shovel", "v", "2", VALUE)
    broker.parameters.put("shovel", "v", "2", {**VALUE, "src-queue": "b"})
    broker.shovels.restart("/", "1")
    broker.parameters.delete("shovel", "/", "1")
    broker.delete_vhost("v")
    assert runner.done == [
        ("start", "/", "1", "a"),
        ("start", "v", "2", "a"),
        ("start", "v", "2", "b"),
        ("start", "/", "1", "a"),
        ("stop", "/", "1"),
        ("stop", "v", "2"),
    ]
    assert broker.parameters.list("shovel") == []


def test_restart_of_a_missing_shovel_is_an_error(broker):
    broker.shovels.run(Recorder())
    with pytest.raises(LookupError, match="shovel 'nix' in vhost '/' does not exist"):
        broker.shovels.restart("/", "nix")


def test_shovel_statuses_are_listed_by_name_while_a_runner_exists(broker):
    for name in ("b", "lost", "a"):
        broker.parameters.put("shovel", "/", name, VALUE)
    assert broker.shovels.statuses() == []
    broker.shovels.run(Recorder())
    assert [status.name for status in broker.shovels.statuses()] == ["a", "b"]
    broker.shovels.run(None)
    assert broker.shovels.statuses() == []


def test_invalid_shovel_definition_changes_nothing(broker):
    runner = Recorder()
    broker.shovels.run(runner)
    with pytest.raises(ValueError, match="Validation failed"):
        broker.parameters.put("shovel", "/", "s", {})
    assert (runner.done, broker.parameters.list("shovel")) == ([], [])


def test_shovel_to_a_vhost_its_user_cannot_access_is_refused(broker):
    ann = broker.users.add_user("ann", "p", ["policymaker"])
    broker.users.set_permissions("ann", "/", ".*", ".*", ".*")
    with pytest.raises(ValueError, match=r'^Validation failed\n\nuser "ann" may not connect to vhost "v"\n$'):
        broker.parameters.authorise("shovel", "s", VALUE, ann)
    broker.users.set_permissions("ann", "v", "", "", "")
    broker.parameters.authorise("shovel", "s", VALUE, ann)
    with pytest.raises(ValueError, match='may not connect to vhost "nix"'):
        broker.parameters.authorise("shovel", "s", {**VALUE, "src-uri": ["amqp://", "amqp:///nix"]}, ann)
    with pytest.raises(ValueError, match="Key"):
        broker.parameters.authorise("shovel", "s", {}, ann)


def test_internal_broker_user_has_all_permissions_in_every_vhost(broker):
    permissions = broker.users.permissions(BROKER, "v")
    for permission in ("configure", "write", "read"):
        permissions.check(permission, "queue", "q")


def test_user_named_like_the_internal_broker_user_has_no_permissions(broker):
    user = broker.users.add_user(BROKER.name, "p", BROKER.tags)
    with pytest.raises(Exception, match="refused"):
        broker.users.permissions(user, "v")
