"""Copies a whole store, such as that of a data directory into a database. See docs/decisions/0074-copies.md."""

from typing import NamedTuple

from amqpbroker.store.copying.interfaces import Source, Target
from amqpbroker.store.copying.journals import copy_journal
from amqpbroker.store.copying.merging import Division, Merging
from amqpbroker.store.copying.streams import copy_streams
from amqpbroker.store.definitions.definitions import KEYS, OBJECTS, VhostDefinition
from amqpbroker.store.log import StoreError


class Copied(NamedTuple):
    """Numbers of what was copied. messages: one for each queue that has it. segments, size_bytes: of streams."""

    definitions: int
    messages: int
    segments: int
    size_bytes: int


def copy(source: Source, target: Target) -> Copied:
    """Copy everything into an empty store.

    Raises StoreError if it is not empty, if the source is damaged, or if a broker may have used it meanwhile; OSError.
    """
    if not target.is_empty():
        raise StoreError(f"{target.name} is not empty: name an empty database, or a directory that does not exist")
    shared = [each for kind in KEYS if kind not in OBJECTS for each in source.definitions.all(kind)]
    parts = target.begin([each.name for each in shared if isinstance(each, VhostDefinition)])
    by_name = {part.name: Merging(part) for part in parts.values()}
    targets = {vhost: by_name[part.name] for vhost, part in parts.items()}
    messages = segments = size_bytes = 0
    for part in source.parts:
        division = Division(targets)
        for kind in OBJECTS:
            for definition in part.definitions.all(kind):
                division.add(definition)
        for size in copy_streams(part, division):
            segments += 1
            size_bytes += size
        messages += copy_journal(part, division)
    for to in by_name.values():
        to.finish()
    source.check()
    target.end(shared)
    definitions = len(shared) + sum([to.definitions for to in by_name.values()])
    return Copied(definitions, messages, segments, size_bytes)
