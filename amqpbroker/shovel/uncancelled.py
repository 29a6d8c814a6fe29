"""Awaiting coroutines that must run to their end although the awaiting task is cancelled."""

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

T = TypeVar("T")


async def to_the_end(coroutine: Coroutine[Any, Any, T]) -> T:
    """Await the coroutine. A cancellation takes effect once the coroutine has ended.

    If the creation of a transport from a socket is cancelled, the event loop closes the socket without telling the
    protocol, and uvloop leaves the Python socket with a descriptor that may have been reused for another file.
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
        del task  # the task holds the raised error, which refers to this frame
