"""Copies a whole store, such as that of a data directory into a database."""

from pathlib import Path
from typing import Final, NamedTuple

from amqpbroker.store.definitions.definitions import KEYS, Definitions, QueueDefinition
from amqpbroker.store.files import Files
from amqpbroker.store.log import StoreError

#: Directories of a store.
PARTS: Final = ("journal", "streams")

#: Bytes that are copied at once.
_PART_BYTES: Final = 8 << 20


class Place(NamedTuple):
    """A store that only this process uses. name: for the operator. root: the directory of its parts."""

    name: str
    root: Path
    files: Files
    definitions: Definitions


class Copied(NamedTuple):
    """Numbers of copied definitions and files. size: of all files, in bytes."""

    definitions: int
    files: int
    size: int


def copy(source: Place, target: Place) -> Copied:
    """Copy everything into an empty store. Raises StoreError if it is not empty, OSError."""
    if any(target.definitions.all(kind) for kind in KEYS) or any(
        target.files.names(target.root / part) for part in PARTS
    ):
        raise StoreError(f"{target.name} is not empty: name an empty database, or a directory that does not exist")
    files = size = 0
    for part in PARTS:
        target.files.make_directory(target.root / part)
        for name in source.files.names(source.root / part):
            size += _copy_file(source, target, Path(part) / name)
            files += 1
        target.files.sync_directory(target.root / part)
    count = 0
    with target.definitions.transaction():
        for kind in KEYS:
            found = source.definitions.all(kind)
            target.definitions.put(*found)
            count += len(found)
        if source.definitions.last_id:
            # An id is never used again, even if what had it is deleted.
            last = QueueDefinition("", "", source.definitions.last_id, False, b"")
            if not any(queue.id == last.id for queue in source.definitions.all(QueueDefinition)):
                target.definitions.put(last)
                target.definitions.remove(last)
    target.definitions.sync()
    return Copied(count, files, size)


def _copy_file(source: Place, target: Place, name: Path) -> int:
    """Copy one file; return its size in bytes."""
    read, written = source.files.open(source.root / name), target.files.create(target.root / name)
    try:
        size = source.files.size(read)
        for start in range(0, size, _PART_BYTES):
            target.files.write(written, source.files.read(read, start, min(_PART_BYTES, size - start)))
            target.files.sync(written)
        return size
    finally:
        source.files.close(read)
        target.files.close(written)
