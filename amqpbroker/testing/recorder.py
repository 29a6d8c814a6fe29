"""Records of published messages and of errors that clients got, the newest of each."""

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from amqpbroker.broker.events.tap import Tap, TappedDestination, TappedVhost, Via
from amqpbroker.broker.queues.queue import Queue
from amqpbroker.errors import AmqpError
from amqpbroker.message.message import Message

#: Limits of remembered messages, and of the bytes of their bodies: of all messages, and of unroutable ones.
MESSAGES = 10_000
MESSAGES_BYTES = 64 * 1024 * 1024
UNROUTABLE = 1_000
UNROUTABLE_BYTES = 8 * 1024 * 1024

#: Limit of remembered errors.
REFUSALS = 1_000

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Refusal:
    """An error that closed a client's channel or connection.

    - `vhost`: name of the vhost.
    - `code`, `text`: reply code and text that the client got, such as 404 and "NOT_FOUND - no queue 'q' in vhost '/'".
    - `scope`: "channel" or "connection", whichever was closed.
    - `connection`: RabbitMQ's name of the connection.
    - `channel`: number of the channel, 0 if the error has none.
    - `user`: name of the user.
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
    """A message of a client, and the queues that it was routed to, without those that dropped it as a duplicate."""

    vhost: str
    message: Message
    queues: Sequence[str]


class Newest(Generic[T]):
    """The newest added items. added: number of all items. discarded: number of those that are gone."""

    def __init__(self, count: int, size: int) -> None:
        self.added = 0
        self.discarded = 0
        self._count = count
        self._size = size
        self._left = size
        self._newest: deque[tuple[T, int]] = deque()

    def add(self, one: T, size: int = 0) -> None:
        self.added += 1
        self._newest.append((one, size))
        self._left -= size
        while len(self._newest) > self._count or (self._left < 0 and len(self._newest) > 1):
            self._left += self._newest.popleft()[1]
            self.discarded += 1

    def __iter__(self) -> Iterator[T]:
        return (one for one, _ in self._newest)

    def remove(self, unwanted: Callable[[T], bool]) -> None:
        """Remove the unwanted items."""
        self._newest = deque([item for item in self._newest if not unwanted(item[0])])
        self._left = self._size - sum([size for _, size in self._newest])


class Recorder(Tap):
    """Records publishes and errors as a `Tap` of the broker."""

    def __init__(self) -> None:
        self.publishes: Newest[Publish] = Newest(MESSAGES, MESSAGES_BYTES)
        self.unroutable: Newest[Publish] = Newest(UNROUTABLE, UNROUTABLE_BYTES)
        self.refusals: Newest[Refusal] = Newest(REFUSALS, 0)

    def published(
        self, vhost: TappedVhost, message: Message, destinations: Sequence[TappedDestination], via: Via
    ) -> None:
        queues = [each.name for each in destinations if isinstance(each, Queue) and not each.is_duplicate(message)]
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
        for newest in (self.publishes, self.unroutable, self.refusals):
            newest.remove(_any)

    def vhost_deleted(self, name: str) -> None:
        """Remove the records of a vhost."""
        self.publishes.remove(lambda one: one.vhost == name)
        self.unroutable.remove(lambda one: one.vhost == name)
        self.refusals.remove(lambda one: one.vhost == name)


def _any(one: object) -> bool:
    return True
