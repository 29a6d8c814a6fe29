"""Rows of a request in slices, so that the broker goes on between them."""

import asyncio
from collections.abc import AsyncIterator, Iterable
from itertools import islice
from typing import TypeVar, final

Row = TypeVar("Row")


@final
class RowSlices:
    """Slices of the lists of one request, with at most `rows` rows of all these lists in one event loop iteration."""

    def __init__(self, rows: int) -> None:
        self._rows = rows
        self._left = rows

    async def of(self, rows: Iterable[Row]) -> AsyncIterator[list[Row]]:
        """Iterate over the slices of a list, which may be generated on the way."""
        rest = iter(rows)
        while True:
            if not self._left:
                await asyncio.sleep(0)
                self._left = self._rows
            some = list(islice(rest, self._left))
            if not some:
                return
            self._left -= len(some)
            yield some
