import asyncio

import pytest

from amqpbroker.row_slices import RowSlices


class Loop:
    """Counts event loop iterations."""

    def __init__(self):
        self.iterations = 0
        self._next()

    def _next(self):
        self.iterations += 1
        asyncio.get_running_loop().call_soon(self._next)


@pytest.mark.parametrize("lists", [[], [0], [1], [3], [4], [7], [2, 2, 2], [3, 0, 3], [1, 5, 1]])
async def test_one_event_loop_iteration_has_at_most_so_many_rows_of_all_lists(lists):
    loop, slices = Loop(), RowSlices(3)
    counts = {}
    for count in lists:
        found = []
        async for some in slices.of(range(count)):
            found += some
            counts[loop.iterations] = counts.get(loop.iterations, 0) + len(some)
        assert found == list(range(count))
    # All but the last iteration are used fully.
    assert list(counts.values()) == [3] * (sum(lists) // 3) + [sum(lists) % 3] * (sum(lists) % 3 > 0)


async def test_rows_are_generated_in_the_iteration_that_handles_them():
    made = []
    slices = RowSlices(2).of(made.append(number) or number for number in range(5))
    assert await anext(slices) == made == [0, 1]
    assert await anext(slices) == [2, 3]
    assert made == [0, 1, 2, 3]
    await slices.aclose()
