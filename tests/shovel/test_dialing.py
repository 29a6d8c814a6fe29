import asyncio

import pytest

from amqpbroker.shovel.dialing import to_the_end


async def turns(count, steps, raises=None):
    for _ in range(count):
        await asyncio.sleep(0)
    steps.append("done")
    if raises is not None:
        raise raises
    return count


async def test_to_the_end_returns_the_result():
    assert await to_the_end(turns(3, [])) == 3


async def test_to_the_end_raises_the_error():
    with pytest.raises(OSError, match="no"):
        await to_the_end(turns(3, [], OSError("no")))


@pytest.mark.parametrize("after", range(1, 6))
async def test_cancellation_takes_effect_after_the_awaited_operation(after):
    steps = []
    task = asyncio.ensure_future(to_the_end(turns(3, steps)))
    for _ in range(after):
        await asyncio.sleep(0)
    task.cancel()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert steps == ["done"]


async def test_deadline_takes_effect_after_the_awaited_operation():
    steps = []
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.001):
            await to_the_end(turns(2000, steps))
    assert steps == ["done"]
