"""System calls of the store on systems that lack some of them, with fakes of their modules."""

import errno
import os
import threading
from types import SimpleNamespace

import pytest

from amqpbroker.store.syscalls import directory_sync, file_sync, optional_module, positioned, read_ahead

F_FULLFSYNC = 51  # of macOS


class Calls:
    """A module whose functions record their calls. refused: the error of `fcntl`, None if it works."""

    def __init__(self, *names, refused=None, **constants):
        self.made = []
        self.refused = refused
        for name in names:
            setattr(self, name, self.recorder(name))
        vars(self).update(constants)

    def recorder(self, name):
        def call(*arguments):
            self.made.append((name, *arguments))
            if name == "fcntl" and self.refused:
                raise OSError(self.refused, os.strerror(self.refused))

        return call


def test_file_sync_uses_fdatasync_if_available():
    system = Calls("fsync", "fdatasync")
    file_sync(system, Calls("fcntl"))(7)
    assert system.made == [("fdatasync", 7)]


def test_file_sync_uses_fsync_if_fdatasync_is_missing():
    """Windows has fsync alone, and no module fcntl."""
    system = Calls("fsync")
    file_sync(system, None)(7)
    assert system.made == [("fsync", 7)]


def test_sync_on_macos_flushes_the_cache_of_the_disk():
    system, fcntl = Calls("fsync"), Calls("fcntl", F_FULLFSYNC=F_FULLFSYNC)
    file_sync(system, fcntl)(7)
    assert (system.made, fcntl.made) == ([], [("fcntl", 7, F_FULLFSYNC)])


@pytest.mark.parametrize("number", [errno.ENOTSUP, errno.EINVAL, errno.ENOTTY])
def test_file_sync_uses_fsync_if_the_disk_cache_cannot_be_flushed(number):
    system, fcntl = Calls("fsync"), Calls("fcntl", F_FULLFSYNC=F_FULLFSYNC, refused=number)
    file_sync(system, fcntl)(7)
    assert system.made == [("fsync", 7)]


@pytest.mark.parametrize("number", [errno.EIO, errno.ENOSPC, errno.EBADF])
def test_a_flush_that_fails_is_not_followed_by_a_weaker_sync(number):
    system, fcntl = Calls("fsync"), Calls("fcntl", F_FULLFSYNC=F_FULLFSYNC, refused=number)
    with pytest.raises(OSError, match=os.strerror(number)):
        file_sync(system, fcntl)(7)
    assert system.made == []


needs_directories = pytest.mark.skipif(not hasattr(os, "O_DIRECTORY"), reason="this system opens no directories")


@needs_directories
def test_a_directory_on_macos_is_flushed_as_files_are(tmp_path):
    fcntl = Calls("fcntl", F_FULLFSYNC=F_FULLFSYNC)
    directory_sync(os, fcntl)(tmp_path)
    assert [call[::2] for call in fcntl.made] == [("fcntl", F_FULLFSYNC)]


@needs_directories
def test_a_directory_is_synced_and_closed(tmp_path):
    synced = []

    def fsync(descriptor):
        synced.append(descriptor)
        assert os.fstat(descriptor).st_ino == tmp_path.stat().st_ino
        raise OSError(errno.EIO, "Input/output error")

    system = SimpleNamespace(open=os.open, close=os.close, fsync=fsync, O_RDONLY=os.O_RDONLY, O_DIRECTORY=0)
    with pytest.raises(OSError, match="Input/output error"):
        directory_sync(system, None)(tmp_path)
    with pytest.raises(OSError, match=os.strerror(errno.EBADF)):
        os.fstat(synced[0])


def test_a_directory_that_cannot_be_opened_is_not_synced(tmp_path):
    """Windows refuses to open a directory, and has no O_DIRECTORY."""
    directory_sync(SimpleNamespace(), None)(tmp_path)


def test_read_ahead_does_nothing_if_the_system_lacks_it():
    system = Calls("posix_fadvise", POSIX_FADV_WILLNEED=3)
    read_ahead(system)(7, 10, 20)
    read_ahead(SimpleNamespace())(7, 10, 20)
    assert system.made == [("posix_fadvise", 7, 10, 20, 3)]


def test_missing_optional_module_is_none():
    assert optional_module("errno") is errno
    assert optional_module("no_such_module") is None


class TestSubstitutes:
    """Reads and writes by seeking, on a system that lacks one of pread, pwrite and writev."""

    NAMES = ("lseek", "read", "write", "SEEK_SET", "pread", "pwrite", "writev")

    @pytest.fixture(params=["pread", "pwrite", "writev", "all"])
    def calls(self, request):
        lacks = ("pread", "pwrite", "writev") if request.param == "all" else (request.param,)
        has = [name for name in self.NAMES if hasattr(os, name) and name not in lacks]
        return positioned(SimpleNamespace(**{name: getattr(os, name) for name in has}))

    @pytest.fixture
    def descriptor(self, tmp_path):
        descriptor = os.open(tmp_path / "file", os.O_RDWR | os.O_CREAT | os.O_APPEND)
        yield descriptor
        os.close(descriptor)

    def test_a_read_stops_at_the_end_of_the_file(self, calls, descriptor):
        os.write(descriptor, b"0123456789")
        assert calls.read_at(descriptor, 4, 3) == b"3456"
        assert calls.read_at(descriptor, 4, 8) == b"89"
        assert calls.read_at(descriptor, 4, 20) == b""

    def test_append_writes_to_the_end_of_the_file(self, calls, descriptor):
        assert calls.append(descriptor, [b"01", memoryview(b"234")]) == 5
        calls.read_at(descriptor, 1, 0)
        assert calls.append(descriptor, [b"56"]) == 2
        assert calls.read_at(descriptor, 10, 0) == b"0123456"

    def test_write_at_overwrites_bytes(self, calls, descriptor, tmp_path):
        os.write(descriptor, b"0123456789")
        other = os.open(tmp_path / "file", os.O_WRONLY)
        assert calls.write_at(other, memoryview(b"ab"), 4) == 2
        os.close(other)
        assert calls.read_at(descriptor, 10, 0) == b"0123ab6789"

    def test_appends_of_one_thread_do_not_disturb_reads_of_another(self, calls, descriptor):
        """The journal's thread appends while the event loop reads."""
        block = 64
        for number in range(100):
            calls.append(descriptor, [bytes([number]) * block])
        done = threading.Event()

        def append():
            while not done.is_set():
                calls.append(descriptor, [b"x" * block])

        thread = threading.Thread(target=append)
        thread.start()
        try:
            for _ in range(30):
                for number in range(0, 100, 3):
                    assert calls.read_at(descriptor, block, number * block) == bytes([number]) * block
        finally:
            done.set()
            thread.join()
