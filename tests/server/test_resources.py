import errno
import logging
from pathlib import Path

import pytest

from amqpbroker.broker.alarms import Alarms
from amqpbroker.clock import ManualClock
from amqpbroker.server.resources import SMALL_BYTES, WORTH_BYTES, DiskMonitor, MemoryMonitor

LIMIT = 1_000_000_000


class Machine:
    """Memory and a disk that are as full as the test says; `alarms` are those of a broker."""

    def __init__(self):
        self.clock = ManualClock()
        self.alarms = Alarms("here", lambda: None)
        self.used = 0
        self.garbage = 0
        self.trimmed = 0
        self.free = 10 * LIMIT
        self.error = None
        self.looks = []
        self.short = []

    def used_bytes(self):
        self.looks.append(self.clock.now_ms())
        if self.error:
            raise self.error
        return self.used + self.garbage

    def trim(self):
        self.trimmed += 1
        self.garbage = 0

    def free_bytes(self, directory):
        assert directory == Path("/data")
        self.looks.append(self.clock.now_ms())
        if self.error:
            raise self.error
        return self.free

    def memory_monitor(self):
        monitor = MemoryMonitor(self.clock, self.alarms, LIMIT, self.used_bytes, self.trim)
        monitor.on_short = self.short.append
        monitor.check()
        return monitor

    def disk_monitor(self, limit=LIMIT, in_database=False):
        monitor = DiskMonitor(self.clock, self.alarms, limit, Path("/data"), self.free_bytes, in_database)
        monitor.check()
        return monitor


@pytest.fixture
def machine():
    return Machine()


# --- memory ----------------------------------------------------------------------------------------------------------


def test_the_memory_alarm_is_on_while_more_is_used_than_allowed(machine):
    machine.memory_monitor()
    machine.used = LIMIT
    machine.clock.advance(1000)
    assert machine.alarms.resources == ()
    machine.used = LIMIT + 1
    machine.clock.advance(99)
    assert machine.alarms.resources == ()
    machine.clock.advance(1)
    assert machine.alarms.resources == ("memory",)
    machine.used = LIMIT
    machine.clock.advance(100)
    assert machine.alarms.resources == ()


def test_memory_is_checked_less_often_while_plenty_is_free(machine):
    machine.memory_monitor()
    machine.used = LIMIT + 1
    machine.clock.advance(999)
    assert machine.alarms.resources == ()
    machine.clock.advance(1)
    assert machine.alarms.resources == ("memory",)


def test_freed_memory_is_returned_to_the_system_each_second_above_the_limit(machine):
    machine.used = LIMIT + 1
    machine.memory_monitor()
    before = machine.trimmed
    machine.clock.advance(5000)
    assert machine.trimmed == before + 5


def test_memory_alarm_is_set_at_the_start_if_the_limit_is_exceeded(machine):
    machine.used = LIMIT + 1
    machine.memory_monitor()
    assert machine.alarms.resources == ("memory",)


def test_freed_memory_kept_by_the_allocator_sets_no_alarm(machine):
    machine.garbage = 2 * LIMIT
    machine.memory_monitor()
    assert machine.alarms.resources == ()
    machine.used = 2 * LIMIT
    machine.clock.advance(1000)
    assert machine.alarms.resources == ("memory",)
    machine.used, machine.garbage = 0, 2 * LIMIT
    machine.clock.advance(1000)
    assert machine.alarms.resources == ()


def test_freed_memory_is_returned_repeatedly_above_half_of_the_limit(machine):
    machine.used = LIMIT // 2 + 1
    machine.memory_monitor()
    before = machine.trimmed
    machine.clock.advance(60_000)
    assert machine.trimmed == before + 6


def test_small_process_does_not_return_freed_memory(machine):
    machine.used = SMALL_BYTES
    machine.memory_monitor()
    machine.clock.advance(200_000)
    assert machine.trimmed == 0


def test_memory_freed_by_a_backlog_is_returned_below_half_of_the_limit(machine):
    machine.used = SMALL_BYTES
    machine.memory_monitor()
    machine.garbage = WORTH_BYTES
    machine.clock.advance(11_000)
    assert (machine.trimmed, machine.garbage) == (1, 0)


def test_returning_memory_becomes_rarer_while_little_is_freed(machine):
    machine.used = SMALL_BYTES + 1
    machine.memory_monitor()
    given_s = []
    for second in range(1, 200):
        before = machine.trimmed
        machine.clock.advance(1_000)
        if machine.trimmed > before:
            given_s.append(second)
    assert given_s == [20, 60, 120, 180]
    machine.garbage = WORTH_BYTES
    machine.clock.advance(1_000)
    assert machine.garbage == 0
    before = machine.trimmed
    machine.clock.advance(10_000)
    assert machine.trimmed == before + 1


def test_memory_counts_as_short_above_half_of_the_limit(machine):
    monitor = machine.memory_monitor()
    assert (monitor.short, machine.short) == (False, [])
    machine.used = LIMIT // 2 + 1
    machine.clock.advance(2000)
    assert (monitor.short, machine.short) == (True, [True])
    assert machine.alarms.resources == ()
    machine.used = LIMIT * 2
    machine.clock.advance(2000)
    machine.used = LIMIT // 2
    machine.clock.advance(2000)
    assert (monitor.short, machine.short) == (False, [True, False])


def test_memory_is_not_monitored_if_its_use_cannot_be_read(machine, caplog):
    machine.error = FileNotFoundError(errno.ENOENT, "No such file or directory")
    machine.memory_monitor()
    machine.clock.advance(100_000)
    assert len(machine.looks) == 1
    assert "the memory is not watched" in caplog.text


# --- disk ------------------------------------------------------------------------------------------------------------


def test_the_disk_alarm_is_on_while_less_is_free_than_the_limit(machine, caplog):
    machine.disk_monitor()
    machine.free = LIMIT - 1
    machine.clock.advance(10_000)
    assert machine.alarms.resources == ("disk",)
    assert f"Free disk space is insufficient. Free bytes: {LIMIT - 1}. Limit: {LIMIT}" in caplog.text
    machine.free = LIMIT
    machine.clock.advance(1000)
    assert machine.alarms.resources == ()
    assert f"Free disk space is sufficient. Free bytes: {LIMIT}. Limit: {LIMIT}" in caplog.text


@pytest.mark.parametrize(
    ("free", "interval_ms"),
    [
        (100 * LIMIT, 10_000),
        (LIMIT + 125_000_000, 1000),
        (LIMIT + 1, 100),
        (LIMIT - 1, 1000),
    ],
)
def test_free_disk_space_is_checked_more_often_near_the_limit(machine, free, interval_ms):
    machine.free = free
    machine.disk_monitor()
    machine.clock.advance(interval_ms - 1)
    assert len(machine.looks) == 1
    machine.clock.advance(1)
    assert len(machine.looks) == 2


def test_disk_free_limit_of_0_sets_no_alarm(machine):
    machine.free = 0
    machine.disk_monitor(limit=0)
    assert machine.alarms.resources == ()


def test_disk_alarm_does_not_change_while_free_space_cannot_be_read(machine, caplog):
    machine.free = 0
    machine.disk_monitor()
    machine.error = OSError(errno.EIO, "Input/output error")
    machine.clock.advance(60_000)
    assert machine.alarms.resources == ("disk",)
    assert caplog.text.count("cannot tell how much is free in /data: Input/output error") == 1
    failure = machine.error
    machine.error, machine.free = None, LIMIT
    machine.clock.advance(10_000)
    assert machine.alarms.resources == ()
    machine.error = failure
    machine.clock.advance(60_000)
    assert caplog.text.count("cannot tell how much is free") == 2


def test_failing_writes_set_the_disk_alarm_until_they_succeed(machine, caplog):
    monitor = machine.disk_monitor()
    monitor.on_stuck(OSError(errno.ENOSPC, "No space left on device"))
    assert machine.alarms.resources == ("disk",)
    machine.clock.advance(60_000)
    assert machine.alarms.resources == ("disk",)
    monitor.on_stuck(None)
    assert machine.alarms.resources == ()
    (critical,) = [record for record in caplog.records if record.levelno == logging.CRITICAL]
    text = critical.getMessage()
    assert text.startswith("cannot write to /data: No space left on device. Publishers are blocked")
    assert text.endswith("make room there")


def test_a_database_that_refuses_writes_is_named_instead_of_the_data_directory(machine, caplog):
    machine.disk_monitor(in_database=True).on_stuck(OSError(errno.EIO, "postgresql://db:5432/x: connection lost"))
    (text,) = [record.getMessage() for record in caplog.records if record.levelno == logging.CRITICAL]
    assert text.startswith("cannot write to the database: postgresql://db:5432/x: connection lost. Publishers are")
    assert text.endswith("look after the database")


@pytest.mark.parametrize("last", ["space", "writing"])
def test_disk_alarm_clears_only_after_both_of_its_reasons_have_ended(machine, last):
    monitor = machine.disk_monitor()
    machine.free = 0
    machine.clock.advance(10_000)
    monitor.on_stuck(OSError(errno.EIO, "Input/output error"))
    if last == "writing":
        machine.free = LIMIT
        machine.clock.advance(1000)
        assert machine.alarms.resources == ("disk",)
        monitor.on_stuck(None)
    else:
        monitor.on_stuck(None)
        assert machine.alarms.resources == ("disk",)
        machine.free = LIMIT
        machine.clock.advance(1000)
    assert machine.alarms.resources == ()
