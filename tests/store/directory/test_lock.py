"""Locks of a data directory, by `flock` and, with a stand-in for its module, by Windows' locks of regions."""

import os
from errno import EACCES
from types import SimpleNamespace

import pytest

from amqpbroker.store.directory.lock import LOCKED_AT, locking

fcntl = pytest.importorskip("fcntl", reason="Windows has the other locks, which the broker's tests take")


class Regions:
    """The module msvcrt of one system. Locks belong to descriptors, and a locked byte excludes other descriptors."""

    LK_UNLCK, LK_NBLCK = 0, 2

    def __init__(self):
        self.owners = {}

    def locking(self, descriptor, mode, count):
        at = (os.fstat(descriptor).st_ino, os.lseek(descriptor, 0, os.SEEK_CUR), count)
        if mode == self.LK_NBLCK:
            if at in self.owners:
                raise PermissionError(EACCES, "Permission denied")
            self.owners[at] = descriptor
        elif self.owners.get(at) != descriptor:
            raise PermissionError(EACCES, "Permission denied")
        else:
            del self.owners[at]


@pytest.fixture(params=["flock", "regions"])
def locks(request):
    return locking(fcntl, None) if request.param == "flock" else locking(None, Regions())


@pytest.fixture
def descriptors(tmp_path):
    """Two descriptors of a lock file, as two processes have."""
    found = [os.open(tmp_path / "lock", os.O_RDWR | os.O_CREAT) for _ in range(2)]
    yield found
    for each in found:
        os.close(each)


def test_a_lock_excludes_another_one_until_it_is_released(locks, descriptors):
    first, second = descriptors
    assert locks.acquire(first)
    assert not locks.acquire(second)
    locks.release(first)
    assert locks.acquire(second)
    assert not locks.acquire(first)


def test_lock_check_does_not_acquire_the_lock(locks, descriptors):
    first, second = descriptors
    assert not locks.is_held(second)
    assert locks.acquire(first)
    assert locks.is_held(second)
    locks.release(first)
    assert not locks.is_held(first)
    assert locks.acquire(second)


def test_checks_do_not_exclude_each_other_by_flock(descriptors):
    first, second = descriptors
    fcntl.flock(first, fcntl.LOCK_SH)
    assert not locking(fcntl, None).is_held(second)


def test_a_region_is_locked_behind_the_pid(descriptors):
    """Windows lets no other process read a locked byte."""
    regions = Regions()
    locking(None, regions).acquire(descriptors[0])
    assert [(at, count) for _, at, count in regions.owners] == [(LOCKED_AT, 1)]
    assert os.read(descriptors[1], 20) == b""


@pytest.mark.parametrize("fails", ["flock", "regions"])
def test_other_errors_of_lock_calls_are_raised(descriptors, fails):
    def fail(*arguments):
        raise OSError(5, "Input/output error")

    flock = SimpleNamespace(flock=fail, LOCK_EX=2, LOCK_NB=4, LOCK_SH=1, LOCK_UN=8)
    regions = SimpleNamespace(locking=fail, LK_NBLCK=2, LK_UNLCK=0)
    locks = locking(flock, None) if fails == "flock" else locking(None, regions)
    for call in locks:
        with pytest.raises(OSError, match="Input/output error"):
            call(descriptors[0])
