"""Awaiting what must not be cut short by the cancellation of the task that awaits it."""

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

T = TypeVar("T")


async def to_the_end(coroutine: Coroutine[Any, Any, T]) -> T:
    """Await the coroutine. A cancellation takes effect once it has ended.

    An event loop that is to make a transport of a socket, and is cancelled meanwhile, closes the socket and tells the
    protocol nothing, and uvloop leaves the Python object with a descriptor that may belong to somebody else by then.
    """
    task = asyncio.ensure_future(coroutine)
    cancelled = False
    while not task.done():
        try:
            await asyncio.wait([task])
        except asyncio.CancelledError:
            cancelled = True
    if cancelled and not task.cancelled() and task.exception() is None:
        raise asyncio.CancelledError
    try:
        return task.result()
    finally:
        del task  # it has the error that is raised, which refers to this frame
