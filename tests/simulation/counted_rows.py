"""Rows, messages and samples that are handled in one event loop iteration, by functions that are never compiled.

Most of them serve the requests of simulated HTTP clients.
"""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any
from unittest.mock import patch

from amqpbroker.broker.counters import rates
from amqpbroker.management import get_request, listing
from amqpbroker.management.definitions import export
from amqpbroker.management.routes import connections, definitions
from amqpbroker.metrics import page, snapshot

#: Task of a request, kind of rows and number of the iteration -> number of rows. A check reads and clears it.
COUNTS: Counter[tuple[Any, str, int]] = Counter()

#: Kinds of rows.
LISTED, SORTED, CONNECTIONS = "rows are listed", "values are sorted", "connections are described"
PLANNED, IMPORTED = "steps of an import are planned", "steps of an import are made"
COLLECTED, LABELLED, SAMPLED = "objects are measured", "objects are labelled", "samples are written"
#: Kinds of messages, and of other work.
GOT, GOT_BYTES, COUNTED = "messages are got", "bytes of messages are got", "objects are sampled"


def _count(kind: str, number: int = 1) -> None:
    try:
        loop: Any = asyncio.get_running_loop()
    except RuntimeError:
        return  # the broker starts
    COUNTS[asyncio.current_task(loop), kind, loop.iterations] += number


def _counted(kind: str, function: Callable[..., Any]) -> Callable[..., Any]:
    def counted(*arguments: Any) -> Any:
        _count(kind)
        return function(*arguments)

    return counted


def _encoded_rows(objects: Iterable[Any], show: Callable[[Any], Any], slices: Any) -> AsyncIterator[bytes]:
    return listing_rows(objects, _counted(LISTED, show), slices)


def _sorted(objects: Any, value: Callable[[Any], Any], *others: Any) -> Any:
    return listing_sorted(objects, _counted(SORTED, value), *others)


def _gather(several: Any, infos: Callable[[Any], Any], rows: int) -> Any:
    return gather(several, _counted(CONNECTIONS, infos), rows)


def _imported(plan: Iterable[Any], *others: Any) -> Any:
    return imported(_steps(plan), *others)


def _steps(plan: Iterable[Any]) -> Iterator[Callable[..., Any]]:
    for step in plan:
        _count(PLANNED)
        yield _counted(IMPORTED, step)


def _line(name: str, labels: str, value: Any) -> str:
    if labels:
        _count(SAMPLED)
    return line(name, labels, value)


def _got(message: Any, *others: Any) -> Any:
    _count(GOT)
    _count(GOT_BYTES, message.size)
    return got(message, *others)


def _sliced(members: list[Any], most: int) -> Iterator[Any]:
    for some in sliced(members, most):
        _count(COUNTED, len(some))
        yield some


got, sliced = get_request.got, rates._sliced
listing_rows, listing_sorted, gather = listing.encoded_rows, listing._sorted, connections.gather
imported, line = definitions.imported, page.line

#: Functions of the broker's modules, and those that count and call them.
REPLACED: tuple[tuple[Any, str, Callable[..., Any]], ...] = (
    (listing, "encoded_rows", _encoded_rows),
    (export, "encoded_rows", _encoded_rows),
    (listing, "_sorted", _sorted),
    (connections, "gather", _gather),
    (definitions, "imported", _imported),
    (page, "label_text", _counted(LABELLED, page.label_text)),
    (page, "line", _line),
    (get_request, "got", _got),
    (rates, "_sliced", _sliced),
    *[
        (snapshot, row.__name__, _counted(COLLECTED, row))
        for row in (snapshot.QueueRow, snapshot.ChannelRow, snapshot.ConnectionRow, snapshot.ExchangeRow)
    ],
)


@contextmanager
def counting() -> Iterator[None]:
    """Count rows until the context ends."""
    patches = [patch.object(module, name, function) for module, name, function in REPLACED]
    for each in patches:
        each.start()
    try:
        yield
    finally:
        for each in patches:
            each.stop()
        COUNTS.clear()
