"""Waiting for other threads in asyncio and trio, without a dependency on either beyond the one that runs."""

import asyncio
import contextlib
import sys
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any, Literal, TypeVar

T = TypeVar("T")


def running_library() -> Literal["asyncio", "trio"] | None:
    """Return the library whose event loop runs on this thread; None if there is none."""
    if _trio_token() is not None:
        return "trio"
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return None
    return "asyncio"


def refuse_to_block(name: str) -> None:
    """Raise RuntimeError on a thread with a running event loop: clients on it could do nothing during the call."""
    if running_library() is not None:
        raise RuntimeError(
            f"{name}() would block this thread's event loop: `await broker.{name}(...)` of an AsyncBroker, "
            f"or of the fixture async_amqp_vhost in pytest; or await asyncio.to_thread(b.{name}, ...)"
        )


async def in_thread(call: Callable[[], T]) -> T:
    """Make a call on another thread, and return its result."""
    if running_library() == "trio":
        result: T = await sys.modules["trio"].to_thread.run_sync(call)
        return result
    return await asyncio.to_thread(call)


async def wait_for(future: "Future[Any]", timeout_s: float) -> None:
    """Wait until a future is done, or for `timeout_s` seconds."""
    if running_library() == "trio":
        await _wait_in_trio(future, timeout_s)
    else:
        await _wait_in_asyncio(future, timeout_s)


async def _wait_in_asyncio(future: "Future[Any]", timeout_s: float) -> None:
    loop, event = asyncio.get_running_loop(), asyncio.Event()

    def done(future: "Future[Any]") -> None:
        with contextlib.suppress(RuntimeError):  # the loop has ended: nobody waits any more
            loop.call_soon_threadsafe(event.set)

    future.add_done_callback(done)
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(timeout_s):
            await event.wait()


async def _wait_in_trio(future: "Future[Any]", timeout_s: float) -> None:
    trio, token = sys.modules["trio"], _trio_token()
    event = trio.Event()

    def done(future: "Future[Any]") -> None:
        with contextlib.suppress(trio.RunFinishedError):  # the loop has ended: nobody waits any more
            token.run_sync_soon(event.set)

    future.add_done_callback(done)
    with trio.move_on_after(timeout_s):
        await event.wait()


def _trio_token() -> Any:
    """Return the token of the trio event loop on this thread; None if there is none."""
    trio = sys.modules.get("trio")
    if trio is None or not hasattr(trio, "lowlevel"):
        return None
    try:
        return trio.lowlevel.current_trio_token()
    except RuntimeError:
        return None
