"""Recorder of published messages and of errors that clients got. It remembers a limited number of them."""

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from amqpbroker.broker.events.tap import Tap, TappedDestination, TappedVhost, Via
from amqpbroker.broker.queues.queue import Queue
from amqpbroker.errors import AmqpError
from amqpbroker.message.message import Message

#: How many messages are remembered, with how many octets of bodies: the newest of all, and of those that nobody got.
MESSAGES = 10_000
MESSAGES_BYTES = 64 * 1024 * 1024
UNROUTABLE = 1_000
UNROUTABLE_BYTES = 8 * 1024 * 1024

#: How many refusals are remembered.
REFUSALS = 1_000

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Refusal:
    """A mistake of a client, which closed its channel, or its connection.

    code, text: as it was told, such as 404 and "NOT_FOUND - no queue 'q' in vhost '/'". scope: "channel" or
    "connection". connection: its name. channel: the number, 0 for none. user: who it was.
    """

    vhost: str
    code: int
    text: str
    scope: str
    connection: str
    channel: int
    user: str

    def __str__(self) -> str:
        return f"{self.code} {self.text}"


@dataclass(frozen=True, slots=True)
class Publish:
    """A client's message, and the queues that it went to."""

    vhost: str
    message: Message
    queues: Sequence[str]


class Kept(Generic[T]):
    """The newest of what is added. added: how many ever were. dropped: how many of these are not kept any more."""

    def __init__(self, count: int, size: int) -> None:
        self.added = 0
        self.dropped = 0
        self._count = count
        self._size = size
        self._left = size
        self._kept: deque[tuple[T, int]] = deque()

    def add(self, one: T, size: int = 0) -> None:
        self.added += 1
        self._kept.append((one, size))
        self._left -= size
        while len(self._kept) > self._count or (self._left < 0 and len(self._kept) > 1):
            self._left += self._kept.popleft()[1]
            self.dropped += 1

    def __iter__(self) -> Iterator[T]:
        return (one for one, _ in self._kept)

    def forget(self, unwanted: Callable[[T], bool]) -> None:
        """Keep it no longer."""
        self._kept = deque([item for item in self._kept if not unwanted(item[0])])
        self._left = self._size - sum([size for _, size in self._kept])


class Recorder(Tap):
    """For `Broker.tap`."""

    def __init__(self) -> None:
        self.publishes: Kept[Publish] = Kept(MESSAGES, MESSAGES_BYTES)
        self.unroutable: Kept[Publish] = Kept(UNROUTABLE, UNROUTABLE_BYTES)
        self.refusals: Kept[Refusal] = Kept(REFUSALS, 0)

    def published(
        self, vhost: TappedVhost, message: Message, destinations: Sequence[TappedDestination], via: Via
    ) -> None:
        queues = [each.name for each in destinations if isinstance(each, Queue)]
        one = Publish(vhost.name, message, queues)
        self.publishes.add(one, message.size)
        if not destinations:
            self.unroutable.add(one, message.size)

    def delivered(self, vhost: TappedVhost, message: Message, queue: str, redelivered: bool, via: Via) -> None:
        pass

    def refused(self, vhost: TappedVhost, error: AmqpError, via: Via) -> None:
        self.refusals.add(Refusal(vhost.name, error.code, error.text, error.scope, *via))

    def discard(self) -> None:
        """Release all records after the broker has ended."""
        for kept in (self.publishes, self.unroutable, self.refusals):
            kept.forget(_any)

    def forget_vhost(self, name: str) -> None:
        self.publishes.forget(lambda one: one.vhost == name)
        self.unroutable.forget(lambda one: one.vhost == name)
        self.refusals.forget(lambda one: one.vhost == name)


def _any(one: object) -> bool:
    return True
