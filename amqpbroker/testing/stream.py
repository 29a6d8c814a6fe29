"""A stream of a broker for tests."""

from collections.abc import Awaitable, Callable
from typing import Protocol, TypeVar

from amqpbroker.testing.aio.waiting import refuse_to_block
from amqpbroker.testing.checks import check_text
from amqpbroker.testing.hints import Hinted, checked_arguments
from amqpbroker.testing.instance import Instance
from amqpbroker.testing.message import Message
from amqpbroker.testing.replay import Offset, Offsets, offsets, replay

T = TypeVar("T")


class Query(Protocol):
    """Makes a query on the broker's thread, and returns its result; see `Broker`."""

    def __call__(self, what: str, query: Callable[[Instance], Awaitable[T]], timeout_s: float = 0) -> T: ...


class Stream(Hinted):
    """A stream of a `Broker`, as `Broker.stream` returns it. Reading it changes nothing in the stream."""

    def __init__(self, query: Query, name: str, vhost: str | None) -> None:
        check_text("name", name)
        check_text("vhost", vhost, optional=True)
        #: The stream's name.
        self.name = name
        self._vhost = vhost
        self._query = query

    @checked_arguments
    def messages(self, offset: Offset = "first", *, count: int | None = None, timeout: float = 5) -> list[Message]:
        """Return the stored messages from an offset on, oldest first. Each has its `offset`.

        - `offset`: "first", "last" (the messages that were stored together last), "next", an offset, a negative number
          for so many messages at the end, a datetime with a time zone, or an age such as "1h".
        - `count`: wait until there are this many; None returns at once.
        - `timeout`: seconds of real time to wait for `count`.

        Raises `AssertionError` if there is no such stream or, with `count`, if there are fewer messages after the
        timeout, or more; `ValueError` for an invalid argument, or if several vhosts have such a stream; `RuntimeError`,
        with `count` only, on a thread with a running event loop, as `Broker.wait_until` does.
        """
        __tracebackhide__ = True
        if count is not None:
            refuse_to_block("stream(...).messages")
        return self._query(
            "stream().messages()",
            lambda instance: replay(
                instance.broker, instance.inspector, self.name, self._vhost, offset, count, timeout
            ),
            0 if count is None else timeout,
        )

    @property
    def first_offset(self) -> int:
        """Offset of the oldest message that is stored. Retention increases it."""
        return self._offsets("first_offset").first

    @property
    def next_offset(self) -> int:
        """Offset of the next message that is published."""
        return self._offsets("next_offset").next

    def _offsets(self, what: str) -> Offsets:
        __tracebackhide__ = True

        async def query(instance: Instance) -> Offsets:
            return offsets(instance.inspector, self.name, self._vhost)

        return self._query(f"stream().{what}", query)

    def __repr__(self) -> str:
        return f"<stream {self.name}>"
