"""Faults with awaitable methods."""

import functools
from collections.abc import Callable, Coroutine, Generator
from types import TracebackType
from typing import Any, Concatenate, ParamSpec, Self

from amqpbroker.testing.faults.api import Faults, Ordered
from amqpbroker.testing.faults.fault import EVERYBODY, Only
from amqpbroker.testing.faults.injector import Injector
from amqpbroker.testing.faults.target import Struck
from amqpbroker.testing.hints import Hinted

P = ParamSpec("P")

#: Makes a call on the broker's thread, and waits until its consequences are written.
Call = Callable[[Callable[[], Any]], Coroutine[Any, Any, Any]]


class AsyncOrdered(Hinted):
    """A fault to inject. `await` injects it and returns this object; `async with` also removes it at the end."""

    def __init__(self, faults: "AsyncFaults", ordered: Ordered, injecting: Coroutine[Any, Any, None]) -> None:
        self._faults = faults
        self._ordered = ordered
        self._injecting = injecting

    @property
    def struck(self) -> int:
        """The number of times that the fault has triggered."""
        return self._ordered.struck

    async def clear(self) -> None:
        """Remove the fault. Confirms that it held back are sent, in order."""
        await self._faults.clear(self)

    def __await__(self) -> Generator[Any, Any, Self]:
        yield from self._injecting.__await__()
        return self

    async def __aenter__(self) -> Self:
        return await self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.clear()

    def __repr__(self) -> str:
        return repr(self._ordered)


def _awaitable(
    order: Callable[Concatenate[Faults, P], Ordered],
) -> Callable[Concatenate["AsyncFaults", P], AsyncOrdered]:
    """Return the method of AsyncFaults for a method of Faults, with its parameters, docstring and errors."""

    @functools.wraps(order)
    def ordering(self: "AsyncFaults", /, *args: P.args, **kwargs: P.kwargs) -> AsyncOrdered:
        calls: list[Callable[[], Any]] = []
        ordered = order(Faults(self._injector, calls.append, self._only), *args, **kwargs)
        return AsyncOrdered(self, ordered, self._make(calls))

    return ordering


class AsyncFaults(Hinted):
    """The methods of `Faults`, awaited: `await broker.faults.nack()`, or `async with broker.faults.nack():`.

    `only()`, `active`, `happened` and `report()` return at once and are not awaited.
    """

    reset = _awaitable(Faults.reset)
    drop = _awaitable(Faults.drop)
    restart = _awaitable(Faults.restart)
    stop_reading = _awaitable(Faults.stop_reading)
    stop_writing = _awaitable(Faults.stop_writing)
    one_byte_writes = _awaitable(Faults.one_byte_writes)
    nack = _awaitable(Faults.nack)
    withhold_confirms = _awaitable(Faults.withhold_confirms)
    delay_confirms = _awaitable(Faults.delay_confirms)
    block = _awaitable(Faults.block)
    duplicate = _awaitable(Faults.duplicate)
    expire_lock = _awaitable(Faults.expire_lock)
    refuse_declare = _awaitable(Faults.refuse_declare)
    random = _awaitable(Faults.random)

    def __init__(self, injector: Injector, call: Call, only: Only = EVERYBODY) -> None:
        self._injector = injector
        self._call = call
        self._only = only

    def only(self, *, connection: str = "", user: str = "", vhost: str = "") -> "AsyncFaults":
        """Return the same methods for some connections only. See `Faults.only`."""
        only = self._sync([]).only(connection=connection, user=user, vhost=vhost)._only
        return AsyncFaults(self._injector, self._call, only)

    async def unblock(self) -> None:
        """End all faults of `block`: publishers may go on."""
        calls: list[Callable[[], Any]] = []
        self._sync(calls).unblock()
        await self._make(calls)

    async def clear(self, ordered: AsyncOrdered | None = None) -> None:
        """Remove one fault, or all of them. Confirms that they held back are sent, in order."""
        calls: list[Callable[[], Any]] = []
        self._sync(calls).clear(None if ordered is None else ordered._ordered)
        await self._make(calls)

    async def forget(self) -> None:
        """Remove all faults, and the record in `happened`, for the next test."""
        await self.clear()
        self._injector.happened.clear()

    @property
    def active(self) -> list[str]:
        """The faults that may still trigger, as they were injected."""
        return self._sync([]).active

    @property
    def happened(self) -> list[Struck]:
        """The times that faults triggered, oldest first, the last 10,000."""
        return self._sync([]).happened

    def report(self) -> str:
        """Return the text on faults that a failing test shows, empty without faults."""
        return self._injector.report()

    def _sync(self, calls: list[Callable[[], Any]]) -> Faults:
        """Return faults whose calls to the broker's thread are added to a list instead."""
        return Faults(self._injector, calls.append, self._only)

    async def _make(self, calls: list[Callable[[], Any]]) -> None:
        for call in calls:
            await self._call(call)
