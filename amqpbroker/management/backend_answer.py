"""Answers of the authentication backend for coroutines: they wait, and the event loop goes on."""

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING, TypeVar

from amqpbroker.management import failure

if TYPE_CHECKING:
    from amqpbroker.broker.broker import Broker

Found = TypeVar("Found")


async def answered(broker: "Broker", request: Callable[[Callable[[Found], None]], None]) -> Found:
    """Call `request`; return the value that it passes to its argument, without an iteration if it does so at once.

    Raises ApiError 503 if there is no answer within the time for an AMQP handshake.
    """
    future: asyncio.Future[Found] = asyncio.get_running_loop().create_future()

    def answer(found: Found) -> None:
        if not future.done():  # the time is up, or the request was cancelled
            future.set_result(found)

    request(answer)
    if not future.done():
        try:
            async with asyncio.timeout(broker.config.handshake_timeout_ms / 1000):
                await future
        except TimeoutError:
            raise failure.slow_login() from None
    return future.result()
