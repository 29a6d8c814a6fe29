"""Lock of a data directory: the lock file belongs to one process until it is released or the process ends."""

import os
from collections.abc import Callable
from typing import Any, Final, NamedTuple

from amqpbroker.store.syscalls import optional_module

#: Offset of the byte that is locked on Windows. It is behind the owner's pid, because other processes cannot read a
#: locked byte there.
LOCKED_AT: Final = 1 << 30


class Locking(NamedTuple):
    """Functions on the descriptor of a lock file; they raise OSError.

    acquire: lock the file for this process; return False if another process has it. is_held: return whether any
    process has it. release: unlock the file.
    """

    acquire: Callable[[int], bool]
    is_held: Callable[[int], bool]
    release: Callable[[int], None]


def locking(fcntl: Any, msvcrt: Any) -> Locking:
    """Return the functions by `flock`, or by `msvcrt` if there is no module fcntl (Windows)."""
    return _by_region(msvcrt) if fcntl is None else _by_flock(fcntl)


def _by_flock(fcntl: Any) -> Locking:
    def attempt(descriptor: int, kind: int) -> bool:
        try:
            fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True

    def is_held(descriptor: int) -> bool:
        # A shared lock, for an instant, so that it excludes no other process that only checks.
        held = not attempt(descriptor, fcntl.LOCK_SH)
        release(descriptor)
        return held

    def release(descriptor: int) -> None:
        fcntl.flock(descriptor, fcntl.LOCK_UN)

    return Locking(lambda descriptor: attempt(descriptor, fcntl.LOCK_EX), is_held, release)


def _by_region(msvcrt: Any) -> Locking:
    def locked(descriptor: int, mode: int) -> None:
        os.lseek(descriptor, LOCKED_AT, os.SEEK_SET)
        msvcrt.locking(descriptor, mode, 1)

    def acquire(descriptor: int) -> bool:
        try:
            locked(descriptor, msvcrt.LK_NBLCK)
        except PermissionError:
            return False
        return True

    def is_held(descriptor: int) -> bool:
        if not acquire(descriptor):
            return True
        release(descriptor)
        return False

    def release(descriptor: int) -> None:
        locked(descriptor, msvcrt.LK_UNLCK)

    return Locking(acquire, is_held, release)


acquire, is_held, release = locking(optional_module("fcntl"), optional_module("msvcrt"))
