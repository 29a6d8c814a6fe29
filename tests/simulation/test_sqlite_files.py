import errno
import random

import pytest

from amqpbroker.config.bounds import BOUNDS
from amqpbroker.errors import AmqpError
from amqpbroker.store.definitions.definitions import VhostDefinition
from tests.simulation.sqlite_files import SqliteFiles


class FirstChance(random.Random):
    """Chooses the first possibility each time, so that everything that may happen does."""

    def random(self):
        return 0.0

    def choice(self, values):
        return values[0]


class Machine:
    """A database whose next sync can be made to fail."""

    def __init__(self):
        self.fails = False
        #: Number of statements up to one that fails, 0 if none does.
        self.statements = 0
        self.files = SqliteFiles(FirstChance(), self._may_fail, self._may_change)
        self.start()

    def _may_fail(self, operation):
        if self.fails and operation == "sync":
            self.fails = False
            raise OSError(errno.EIO, "simulated")

    def _may_change(self):
        self.statements -= 1
        if not self.statements:
            raise OSError(errno.ENOSPC, "simulated")

    def start(self):
        self.definitions = self.files.definitions(BOUNDS)

    def fail_sync(self):
        self.fails = True
        with pytest.raises(OSError, match="simulated"):
            self.definitions.sync()

    def restart(self):
        self.files.end_process()
        self.start()

    def cut_power(self):
        self.files.cut_power()
        self.start()

    def add(self, name):
        self.definitions.put(VhostDefinition(name))

    @property
    def vhosts(self):
        return [vhost.name for vhost in self.definitions.all(VhostDefinition)]


@pytest.fixture
def machine():
    machine = Machine()
    yield machine
    machine.files.remove_all()


def test_power_failure_undoes_unsynced_changes(machine):
    machine.add("synced")
    machine.definitions.sync()
    machine.add("not synced")
    machine.cut_power()
    assert machine.vhosts == ["synced"]


def test_power_failure_undoes_changes_lost_by_a_failed_sync(machine):
    machine.add("synced")
    machine.definitions.sync()
    machine.add("lost")
    machine.fail_sync()
    machine.cut_power()
    assert machine.vhosts == ["synced"]


def test_failed_sync_of_an_emptied_log_loses_nothing(machine):
    machine.add("first")
    machine.fail_sync()
    machine.restart()
    machine.add("second")
    machine.definitions.sync()
    machine.cut_power()
    assert machine.vhosts == ["first", "second"]


@pytest.mark.parametrize("statement", [1, 2, 3])
def test_change_that_cannot_be_written_is_refused_and_not_made(machine, statement):
    """Test with a failing begin, a failing insertion and a failing commit."""
    machine.statements = statement
    with pytest.raises(AmqpError, match="cannot be stored") as caught:
        machine.add("refused")
    assert caught.value.code == 506
    machine.add("later")
    machine.restart()
    assert machine.vhosts == ["later"]
