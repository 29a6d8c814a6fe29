"""Chunks of one segment that are going to be written, and their write."""

import contextlib
import errno
from typing import Final, NoReturn

from amqpbroker.store.files import Files
from amqpbroker.store.log import UnwrittenError
from amqpbroker.store.streams.format import INDEX_BYTES, segment_head
from amqpbroker.store.streams.segment import StreamSegment

#: Temporary errors of opening a file, and of writing to a disk. Any other error is final.
_TOO_MANY_FILES: Final = frozenset({errno.EMFILE, errno.ENFILE})
_FOR_NOW: Final = _TOO_MANY_FILES | {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO}


class SegmentWriting:
    """Chunks that are appended to a segment together.

    start: position of the first one. is_new: the segment has no file yet. parts: bytes of the chunks. index: index
    entries of some of them.
    """

    def __init__(self, segment: StreamSegment, start: int, is_new: bool) -> None:
        self.segment = segment
        self.start = start
        self.is_new = is_new
        self.parts: list[bytes] = []
        self.index: list[bytes] = []
        self._refused: bool = False

    def add(self, head: bytes, payload: bytes) -> None:
        """Add a chunk."""
        self.parts += (head, payload)

    def write(self, files: Files, synced: bool) -> None:
        """Write the chunks, and sync them if `synced`.

        Raises UnwrittenError, after which the file is as before and the write may be repeated, and OSError, after which
        nothing may be written any more.
        """
        segment = self.segment
        descriptor = -1
        try:
            if self.is_new:
                descriptor = files.create(segment.path)
                files.write(descriptor, segment_head(segment.first, segment.mark))
            else:
                descriptor = files.open(segment.path, write=True)
        except OSError as error:
            self._undo(files, descriptor, error)
        try:
            if self.is_new and synced:
                # The head is synced before anything is written after it, so that an incomplete head means damage.
                files.sync(descriptor)
            try:
                files.write(descriptor, *self.parts)
            except OSError as error:
                undone, descriptor = descriptor, -1
                self._undo(files, undone, error)
            if self._refused:
                self._read_back(files, descriptor)
                self._refused = False
            if self.is_new:
                try:
                    files.sync_directory(segment.path.parent)
                except OSError as error:
                    undone, descriptor = descriptor, -1
                    self._undo(files, undone, error, _TOO_MANY_FILES)
            if synced:
                files.sync(descriptor)
        finally:
            if descriptor >= 0:
                files.close(descriptor)
        if self.index:
            self._write_index(files)

    def _undo(self, files: Files, descriptor: int, error: OSError, for_now: frozenset[int] = _FOR_NOW) -> NoReturn:
        """Close the file, and remove what was written.

        Raises UnwrittenError if the error is one of the temporary ones in `for_now`, otherwise the error.
        """
        segment = self.segment
        temporary = error.errno in for_now
        try:
            if descriptor >= 0 and temporary and not self.is_new:
                files.truncate(descriptor, self.start)
                if files.size(descriptor) != self.start:
                    raise OSError(errno.EIO, "The file cannot be shortened", str(segment.path)) from error
        finally:
            if descriptor >= 0:
                files.close(descriptor)
        if not temporary:
            raise error
        if descriptor >= 0 and self.is_new:
            files.remove(segment.path)
        self._refused = True
        raise UnwrittenError(error.errno, error.strerror, str(segment.path)) from error

    def _read_back(self, files: Files, descriptor: int) -> None:
        """Read back chunks that the disk has accepted after refusing them. Raises OSError if the bytes differ."""
        data = b"".join(self.parts)
        if files.read(descriptor, self.start, len(data) + 1) != data:
            raise OSError(errno.EIO, "The written chunks cannot be read back", str(self.segment.path))

    def _write_index(self, files: Files) -> None:
        """Append the index entries, which are not needed: an error has no effect."""
        path = self.segment.index_path
        with contextlib.suppress(OSError):
            try:
                descriptor = files.open(path, write=True)
            except FileNotFoundError:
                descriptor = files.create(path)
            try:
                size = files.size(descriptor)
                if size % INDEX_BYTES:
                    # An earlier write failed, and these entries would not be found behind an incomplete one.
                    files.truncate(descriptor, size - size % INDEX_BYTES)
                files.write(descriptor, *self.index)
            finally:
                files.close(descriptor)
