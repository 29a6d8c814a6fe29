"""Lists: filtered, sorted, paged and reduced to columns (rabbit_mgmt_util:reply_list/5).

They are made in slices, so that the broker goes on meanwhile.
"""

import asyncio
import re
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from heapq import merge
from itertools import islice
from operator import itemgetter
from typing import Any, TypeVar, final

import orjson

from amqpbroker.management import failure
from amqpbroker.management.streamed import Parts, encoded_rows
from amqpbroker.management.values import whole_number
from amqpbroker.patterns import Pattern
from amqpbroker.row_slices import RowSlices

#: Seconds for which objects are filtered before the broker goes on.
FILTER_SLICE_S = 0.01
#: Number of values that are sorted in the time of one row.
SORTED_PER_ROW = 20
MAX_PAGE_SIZE = 500
DEFAULT_PAGE_SIZE = 100

Row = dict[str, Any]
Object = TypeVar("Object")


@final
@dataclass(frozen=True, slots=True)
class Listing:
    """Objects, and how to show one. `name(object)` is what a filter looks at and what orders them if nothing else does.

    paged: whether the list can be had in pages; others ignore these parameters. ordered: the objects come in the order
    of their names. value(column): returns what gives an object's value in that column without its row, None if nothing
    does. belongs(object): whether the list has the object at all, None for all of them. stands_in(object): whether
    another broker may have more to show of an object of this name.
    """

    objects: Iterable[Any]
    show: Callable[[Any], Row]
    name: Callable[[Any], Any] | None = None
    paged: bool = True
    ordered: bool = False
    value: Callable[[str], Callable[[Any], Any] | None] = lambda column: None
    belongs: Callable[[Any], bool] | None = None
    stands_in: Callable[[Any], bool] | None = None

    def sorted_by(self, column: str) -> Callable[[Any], Any]:
        """Return what gives an object's value in the column, None where the row does not have it."""
        return self.value(column) or (lambda each: _at(self.show(each), column))

    def reduced(self, columns: list[str]) -> Callable[[Any], Row | list[Any]]:
        """Return what shows only these columns of an object."""
        values = {column: None if "." in column else self.value(column) for column in columns}
        alone = {column: value for column, value in values.items() if value is not None}
        if len(alone) < len(values):
            return lambda each: only(self.show(each), columns)
        return lambda each: _present({column: value(each) for column, value in alone.items()})


@final
@dataclass(frozen=True, slots=True)
class Page:
    """Page of a list that is requested. number is None for the whole list."""

    number: int | None
    size: int
    pattern: Pattern | None


def parse_page(query: Mapping[str, str]) -> Page:
    """Raises ApiError 400 for what RabbitMQ refuses."""
    if "page" not in query:
        return Page(None, 0, None)
    try:
        number = whole_number(query["page"])
        size = whole_number(query.get("page_size") or str(DEFAULT_PAGE_SIZE))
        text = query.get("name", "")
        written = text if query.get("use_regex") == "true" else re.escape(text)
        pattern = Pattern(written, ignore_case=True, unicode=True)
    except ValueError:
        raise failure.bad_request("Pagination parameters are invalid") from None
    if number < 1 or not 1 <= size <= MAX_PAGE_SIZE:
        raise failure.ApiError(
            400,
            "invalid_pagination_parameters",
            f"Invalid pagination parameters: page number {number}, page size {size}",
        )
    return Page(number, size, pattern if text else None)


@final
@dataclass(frozen=True, slots=True)
class Selection:
    """The objects of a list that a query asks for, in order, before a page of them is cut out.

    total, filtered: number of objects before and after the filter. show: with the columns of the query. column: by
    which the objects are sorted, None for the name. backwards: in descending order.
    """

    page: Page
    total: int
    filtered: int
    objects: Sequence[Any]
    show: Callable[[Any], Row | list[Any]]
    column: str | None
    backwards: bool


async def encode(listing: Listing, query: Mapping[str, str], rows: int) -> Parts:
    """Yield the JSON of a list in parts, as the query asks for it. Raises ApiError 400 before the first part.

    rows: maximum number of rows that are made in one event loop iteration.
    """
    selection = await select(listing, query, rows)
    page = selection.page
    objects = page_of(selection.objects, page, selection.filtered)
    yield opening(page)
    async for part in encoded_rows(objects, selection.show, RowSlices(rows)):
        yield part
    yield closing(page, selection.total, selection.filtered, len(objects))


def opening(page: Page) -> bytes:
    """Return the JSON before the rows."""
    return b"[" if page.number is None else b'{"items":['


def closing(page: Page, total: int, filtered: int, count: int) -> bytes:
    """Return the JSON behind the rows. total, filtered: see Selection. count: of the rows."""
    if page.number is None:
        return b"]"
    counts = {
        "filtered_count": filtered,
        "item_count": count,
        "page": page.number,
        "page_count": max(1, -(-filtered // page.size)),
        "page_size": page.size,
        "total_count": total,
    }
    return b"]," + orjson.dumps(counts)[1:]


async def select(listing: Listing, query: Mapping[str, str], rows: int) -> Selection:
    """Filter and sort a list. Raises ApiError 400.

    rows: number of objects whose rows are made, for their values, in one event loop iteration.
    """
    page = parse_page(query) if listing.paged else Page(None, 0, None)
    objects: Sequence[Any] = list(listing.objects)
    if listing.belongs is not None:
        objects = await _found(objects, listing.belongs)
    total = len(objects)
    name = listing.name
    sort = query.get("sort")
    # Filter and sort before rows are made, so that a page of a list of thousands costs no more than its own rows.
    by_name = name is not None and sort in (None, "", "name")
    if page.pattern is not None and name is not None:
        objects = await _found(objects, partial(_has_name, page.pattern, name))
    if name is not None and not listing.ordered:
        objects = sorted(objects, key=name)
    if by_name and _reversed(query):
        objects = objects[::-1]
    filtered = len(objects)
    if sort and not by_name:
        shown = filtered if page.number is None else min(filtered, page.number * page.size)
        objects = await _sorted(objects, listing.sorted_by(sort), _reversed(query), shown, rows)
    columns = asked_columns(query)
    show = listing.show if columns is None else listing.reduced(columns)
    return Selection(page, total, filtered, objects, show, None if by_name else sort or None, _reversed(query))


async def _found(objects: Sequence[Any], accepts: Callable[[Any], bool]) -> list[Any]:
    """Return the objects that are accepted. A slow search is done in slices."""
    found = []
    began = time.perf_counter()
    for each in objects:
        if accepts(each):
            found.append(each)
        if time.perf_counter() - began > FILTER_SLICE_S:
            await asyncio.sleep(0)
            began = time.perf_counter()
    return found


def _has_name(pattern: Pattern, name: Callable[[Any], Any], each: Any) -> bool:
    return pattern.found_in(_text(name(each)))


def _text(name: Any) -> str:
    return name if isinstance(name, str) else str(name[-1])


def _reversed(query: Mapping[str, str]) -> bool:
    return query.get("sort_reverse") == "true"


def page_of(objects: Sequence[Object], page: Page, filtered: int) -> Sequence[Object]:
    """Return the objects of a page. filtered: their number in all pages. Raises ApiError 400 beyond the last one."""
    if page.number is None:
        return objects
    start = (page.number - 1) * page.size
    if start and start >= filtered:
        raise failure.ApiError(
            400, "page_out_of_range", f"Page out of range, page: {page.number} page size: {page.size}, len: {filtered}"
        )
    return list(objects[start : start + page.size])


async def _sorted(
    objects: Sequence[Any], value: Callable[[Any], Any], backwards: bool, count: int, rows: int
) -> list[Any]:
    """Return the first `count` objects in the order of their values. Only these are kept in memory, not the rows.

    Parts of the list are sorted in slices, and so is what comes first of them.
    """
    by_value = itemgetter(0)
    run = SORTED_PER_ROW * rows
    runs: list[list[tuple[tuple[int, Any], Any]]] = [[]]
    async for some in RowSlices(rows).of(objects):
        runs[-1] += [(sort_key(value(each)), each) for each in some]
        if len(runs[-1]) >= run:
            runs[-1].sort(key=by_value, reverse=backwards)
            runs.append([])
    runs[-1].sort(key=by_value, reverse=backwards)
    merged = islice(merge(*runs, key=by_value, reverse=backwards), count)
    return [each async for some in RowSlices(run).of(merged) for _, each in some]


def asked_columns(query: Mapping[str, str]) -> list[str] | None:
    """Return the requested columns, which may be none; None for all columns."""
    return query["columns"].split(",") if "columns" in query else None


def only(row: Row, columns: Iterable[str]) -> Row | list[Any]:
    """These columns of it; an empty list if it has none of them, as RabbitMQ writes it."""
    return with_columns(row, columns) or []


def _present(row: Row) -> Row | list[Any]:
    """The columns that have a value; an empty list if none has."""
    if None in row.values():
        row = {column: value for column, value in row.items() if value is not None}
    return row or []


def with_columns(row: Row, columns: Iterable[str]) -> Row:
    """Only these columns; `a.b` is a column of the object in column `a`."""
    reduced: Row = {}
    for column in columns:
        head, _, rest = column.partition(".")
        if head not in row:
            continue
        if not rest:
            reduced[head] = row[head]
        elif isinstance(row[head], dict):
            inner = with_columns(row[head], [rest])
            kept = reduced.get(head)
            reduced[head] = {**kept, **inner} if isinstance(kept, dict) else inner
    return reduced


def _at(row: Row, path: str) -> Any:
    value: Any = row
    for part in path.split("."):
        value = value.get(part) if isinstance(value, dict) else None
    return value


def sort_key(value: Any) -> tuple[int, Any]:
    """Values of all types in one order: what is missing first, then numbers, then text."""
    if value is None:
        return 0, 0
    if isinstance(value, bool | int | float):
        return 1, value
    if isinstance(value, str):
        return 2, value
    return 3, str(value)
