"""A stream of a broker for tests, with awaitable methods."""

from collections.abc import Awaitable, Callable
from typing import Protocol, TypeVar

from amqpbroker.testing.checks import check_text
from amqpbroker.testing.hints import Hinted, checked_arguments
from amqpbroker.testing.instance import Instance
from amqpbroker.testing.message import Message
from amqpbroker.testing.replay import Offset, Offsets, offsets, replay

T = TypeVar("T")


class AsyncQuery(Protocol):
    """Makes a query on the broker's thread, and returns its result; see `AsyncBroker`."""

    async def __call__(self, what: str, query: Callable[[Instance], Awaitable[T]], timeout_s: float = 0) -> T: ...


class AsyncStream(Hinted):
    """A stream of an `AsyncBroker`. Its methods are those of `Stream`, to be awaited."""

    def __init__(self, query: AsyncQuery, name: str, vhost: str | None) -> None:
        check_text("name", name)
        check_text("vhost", vhost, optional=True)
        #: The stream's name.
        self.name = name
        self._vhost = vhost
        self._query = query

    @checked_arguments
    async def messages(
        self, offset: Offset = "first", *, count: int | None = None, timeout: float = 5
    ) -> list[Message]:
        """Return the stored messages from an offset on, oldest first; wait for `count`. See `Stream.messages`."""
        __tracebackhide__ = True
        return await self._query(
            "stream().messages()",
            lambda instance: replay(
                instance.broker, instance.inspector, self.name, self._vhost, offset, count, timeout
            ),
            0 if count is None else timeout,
        )

    async def first_offset(self) -> int:
        """Return the offset of the oldest message that is stored."""
        return (await self._offsets("first_offset()")).first

    async def next_offset(self) -> int:
        """Return the offset of the next message that is published."""
        return (await self._offsets("next_offset()")).next

    async def _offsets(self, what: str) -> Offsets:
        __tracebackhide__ = True

        async def query(instance: Instance) -> Offsets:
            return offsets(instance.inspector, self.name, self._vhost)

        return await self._query(f"stream().{what}", query)

    def __repr__(self) -> str:
        return f"<stream {self.name}>"
