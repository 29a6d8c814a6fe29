"""Python as Windows or macOS has it, as far as this broker can tell: functions are taken away before anything runs.

Python imports this module at its start if the folder is in PYTHONPATH, so that the processes that a test starts lack
the functions as well. AMQPBROKER_LACKING names the system: `windows` or `macos`.
"""

import asyncio
import concurrent.futures.thread
import errno
import fcntl
import logging
import os
import random
import select
import shutil
import signal
import socket
import sqlite3
import sys
import tempfile
import types

#: Modules of the standard library that take a Unix for granted under this `sys.platform` once they are imported.
USED = (asyncio, concurrent.futures.thread, logging, random, tempfile)

#: Functions that macOS lacks, and Windows as well.
MACOS = {
    os: ("fdatasync", "posix_fadvise", "posix_fallocate", "sched_getaffinity"),
    socket: ("AF_NETLINK", "TCP_INFO", "TCP_CONGESTION"),
}

#: Functions that Windows lacks beside them.
WINDOWS = {
    os: (
        *("pread", "preadv", "pwrite", "pwritev", "readv", "writev", "O_CLOEXEC", "O_DIRECTORY", "O_DSYNC", "O_SYNC"),
        *("statvfs", "fstatvfs", "sysconf", "fork", "register_at_fork", "fchmod", "mkfifo"),
    ),
    signal: ("pthread_sigmask", "SIGHUP", "SIG_BLOCK", "SIG_UNBLOCK", "SIG_SETMASK", "sigtimedwait", "setitimer"),
    select: ("poll", "epoll"),
}

F_FULLFSYNC = 51  # of macOS


def take_away(names: dict[types.ModuleType, tuple[str, ...]]) -> None:
    for module, gone in names.items():
        for name in gone:
            if hasattr(module, name):
                delattr(module, name)


def no_uvloop() -> None:
    sys.modules["uvloop"] = None  # type: ignore[assignment]


def no_trio() -> None:
    """Hide trio, which takes a Unix for granted under this `sys.platform`; the broker does not need it."""
    sys.modules["trio"] = None  # type: ignore[assignment]


# --- macOS ------------------------------------------------------------------------------------------------------------


def macos() -> None:
    take_away(MACOS)
    real = fcntl.fcntl

    def call(descriptor, command, argument=0):
        """Flush the cache of the disk, and note it in a file, unless the test has an error for that."""
        if command != F_FULLFSYNC:
            return real(descriptor, command, argument)
        refused = int(os.environ.get("AMQPBROKER_FULLFSYNC_ERROR", "0"))
        with open(os.environ["AMQPBROKER_FULLFSYNC_NOTES"], "a") as notes:
            notes.write(f"{refused}\n")
        if refused:
            raise OSError(refused, os.strerror(refused))
        os.fsync(descriptor)
        return 0

    fcntl.fcntl = call
    fcntl.F_FULLFSYNC = F_FULLFSYNC


# --- Windows ----------------------------------------------------------------------------------------------------------


def windows() -> None:
    usage, flock = shutil.disk_usage, fcntl.flock
    statvfs = os.statvfs

    def disk_usage(path):
        """Return what the function of Windows returns, which needs no statvfs."""
        os.statvfs = statvfs
        try:
            return usage(path)
        finally:
            del os.statvfs

    shutil.disk_usage = disk_usage
    signal.SIGBREAK = signal.SIGUSR2
    no_uvloop()
    no_trio()
    take_away(MACOS)
    take_away(WINDOWS)
    for name in ("fcntl", "resource", "termios", "pwd", "grp"):
        sys.modules[name] = None  # type: ignore[assignment]
    sys.modules["msvcrt"] = regions(flock)
    for loop in (asyncio.SelectorEventLoop, asyncio.AbstractEventLoop):
        loop.add_signal_handler = no_signals
        loop.remove_signal_handler = no_signals
    refuse_to_change_names_of_open_files()
    refuse_vfs_of_unix()
    refuse_to_open_directories()


def no_signals(loop, number, callback=None, *arguments):
    raise NotImplementedError


def regions(flock) -> types.ModuleType:
    """Return the module msvcrt, whose locks are by flock, of the whole file; so they end with their process."""
    msvcrt = types.ModuleType("msvcrt")
    msvcrt.LK_UNLCK, msvcrt.LK_NBLCK = 0, 2

    def locking(descriptor, mode, count):
        try:
            flock(descriptor, fcntl.LOCK_UN if mode == msvcrt.LK_UNLCK else fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise PermissionError(errno.EACCES, "Permission denied") from None

    msvcrt.locking = locking
    return msvcrt


def refuse_to_change_names_of_open_files() -> None:
    """Refuse to remove, or to rename, a file that this process has open."""

    def refusing(function, which):
        def call(*paths, **options):
            for path in paths[:which]:
                if not options and not called_by_python() and is_open(path):
                    raise PermissionError(errno.EACCES, "The file is in use by another process", os.fspath(path))
            return function(*paths, **options)

        return call

    for name, which in (("unlink", 1), ("remove", 1), ("rename", 1), ("replace", 2)):
        setattr(os, name, refusing(getattr(os, name), which))


def called_by_python() -> bool:
    """Return whether a module calls that has other code for Windows."""
    return sys._getframe(2).f_globals["__name__"] in ("tempfile", "shutil", "os")


def is_open(path) -> bool:
    real = os.path.realpath(path)
    for name in os.listdir("/proc/self/fd"):
        try:
            if os.readlink(f"/proc/self/fd/{name}") == real:
                return True
        except OSError:
            pass
    return False


def refuse_vfs_of_unix() -> None:
    connect = sqlite3.connect

    def call(database, *arguments, **options):
        if "vfs=unix" in str(database):
            raise sqlite3.OperationalError("no such vfs: unix-excl")
        return connect(database, *arguments, **options)

    sqlite3.connect = call


def refuse_to_open_directories() -> None:
    """Refuse it to `os.open` without a directory to start from, which Windows has not."""
    real = os.open

    def call(path, flags, mode=0o777, *, dir_fd=None):
        if dir_fd is None and not called_by_python() and os.path.isdir(path):
            raise PermissionError(errno.EACCES, "Permission denied", os.fspath(path))
        return real(path, flags, mode, dir_fd=dir_fd)

    os.open = call


{"windows": windows, "macos": macos, "": lambda: None}[os.environ.get("AMQPBROKER_LACKING", "")]()
