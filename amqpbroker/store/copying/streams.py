"""Copying of the segments of streams. The id of a stream is in the names of its files, and not in them."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from amqpbroker.store.copying.interfaces import Part
from amqpbroker.store.copying.merging import Division
from amqpbroker.store.files import Files
from amqpbroker.store.streams.segment import StreamSegment, parsed_name

#: Bytes that are copied at once.
_PART_BYTES: Final = 8 << 20


def copy_streams(part: Part, division: Division) -> Iterator[int]:
    """Copy the segments of the streams that exist, with their indexes; yield the size of each in bytes.

    Raises OSError.
    """
    names = set(part.files.names(part.streams))
    for name in sorted(names):
        parsed = parsed_name(name)
        holder = division.holder(parsed[0]) if parsed is not None else None
        if parsed is None or holder is None:
            continue
        number, first = parsed
        to, new_id = holder[0].part, holder[1]
        read = StreamSegment(part.streams, number, first, part.files)
        written = StreamSegment(to.streams, new_id, first, to.files)
        yield _copy_file(part.files, read.path, to.files, written.path)
        if read.index_path.name in names:
            _copy_file(part.files, read.index_path, to.files, written.index_path)
        to.files.sync_directory(to.streams)


def _copy_file(source: Files, path: Path, target: Files, new_path: Path) -> int:
    """Copy one file; return its size in bytes. Raises OSError."""
    with _closing(source, source.open(path)) as read, _closing(target, target.create(new_path)) as written:
        size = source.size(read)
        for start in range(0, size, _PART_BYTES):
            target.write(written, source.read(read, start, min(_PART_BYTES, size - start)))
            target.sync(written)
        return size


@contextmanager
def _closing(files: Files, descriptor: int) -> Iterator[int]:
    try:
        yield descriptor
    finally:
        files.close(descriptor)
