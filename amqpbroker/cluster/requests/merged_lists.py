"""Lists of several brokers, merged.

A peer sends its part of a list as lines: the numbers of its objects before and after the filter, and then for each
object a line with its name and the value by which it is sorted, and a line with its row, which is passed on as it is.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

from amqpbroker.management.listing import Listing, Selection, closing, opening, page_of, select, sort_key
from amqpbroker.management.streamed import Parts, encoded
from amqpbroker.row_slices import RowSlices


class Entry(NamedTuple):
    """An object of a list. value: by which it is sorted. row: JSON, None if the object is here and not shown yet."""

    name: Any
    value: Any
    row: bytes | None
    object: Any = None


class Part(NamedTuple):
    """The objects of a list that one broker has. total, filtered: number of objects before and after the filter.

    entries: in order; of a page, those that may be in it or before it.
    """

    total: int
    filtered: int
    entries: list[Entry]


async def part_of(listing: Listing, query: Mapping[str, str], rows: int) -> Parts:
    """Yield the lines of the part that this broker has of a list. Raises ApiError 400 before the first part.

    rows: maximum number of rows that are made in one event loop iteration.
    """
    slices = RowSlices(rows)
    stands_in = listing.stands_in
    if stands_in is not None:
        listing = replace(listing, objects=[each for each in listing.objects if not stands_in(each)])
    selection = await select(listing, query, rows)
    yield encoded([selection.total, selection.filtered]) + b"\n"
    async for some in slices.of(_entries(listing, selection)):
        lines = []
        for entry in some:
            lines += [encoded([entry.name, entry.value]), encoded(selection.show(entry.object)), b""]
        yield b"\n".join([line for line in lines if line]) + b"\n"


def _entries(listing: Listing, selection: Selection) -> Iterable[Entry]:
    """Yield the entries of objects that are here, without rows."""
    objects = selection.objects
    page, name, column = selection.page, listing.name, selection.column
    if page.number is not None and listing.stands_in is None:
        objects = objects[: page.number * page.size]
    value = None if column is None else listing.sorted_by(column)
    for each in objects:
        yield Entry(None if name is None else name(each), None if value is None else value(each), None, each)


async def parsed_part(lines: bytes, rows: int) -> Part:
    """Return the part of a peer. Raises ValueError for anything else."""
    first, _, rest = lines.partition(b"\n")
    total, filtered = json.loads(first)
    found = rest.split(b"\n")
    if found.pop() or len(found) % 2:
        raise ValueError("cut off")
    entries = []
    async for some in RowSlices(rows).of(zip(found[::2], found[1::2], strict=True)):
        for line, row in some:
            name, value = json.loads(line)
            entries.append(Entry(tuple(name) if isinstance(name, list) else name, value, row))
    return Part(total, filtered, entries)


async def merged(listing: Listing, parts: Sequence[Part], query: Mapping[str, str], rows: int) -> Parts:
    """Yield the JSON of a list of which this broker and others have parts, as `encode` does for one broker."""
    slices = RowSlices(rows)
    stands_in, name = listing.stands_in, listing.name
    if stands_in is not None and name is not None:
        elsewhere = {entry.name for part in parts for entry in part.entries}
        objects = [each for each in listing.objects if not (stands_in(each) and name(each) in elsewhere)]
        listing = replace(listing, objects=objects)
    selection = await select(listing, query, rows)
    total = selection.total + sum(part.total for part in parts)
    filtered = selection.filtered + sum(part.filtered for part in parts)
    entries = [*_entries(listing, selection)]
    for part in parts:
        entries += part.entries
    if name is not None:
        entries.sort(key=lambda entry: entry.name, reverse=selection.column is None and selection.backwards)
    if selection.column is not None:
        entries.sort(key=lambda entry: sort_key(entry.value), reverse=selection.backwards)
    page = selection.page
    cut = page_of(entries, page, filtered)
    yield opening(page)
    separator = b""
    async for some in slices.of(cut):
        shown = [encoded(selection.show(entry.object)) if entry.row is None else entry.row for entry in some]
        yield separator + b",".join(shown)
        separator = b","
    yield closing(page, total, filtered, len(cut))
