"""Who has copies of messages in the store, and what such a copy is to it."""

from abc import ABCMeta, abstractmethod
from typing import TYPE_CHECKING, Final, Protocol

from mypy_extensions import mypyc_attr

from amqpbroker.store.recovery import Copies

if TYPE_CHECKING:
    from amqpbroker.broker.message import Message

#: `Copy.position` of a copy that is to be written soon, and of one that is not stored at all. Lower than PENDING: it is
#: to be written with a group, and that says with which.
PENDING: Final = -1
NOT_STORED: Final = 0


class Holder(Protocol):
    """A durable queue, or a durable exchange that holds messages back.

    id: its name in the journal, 0 for one that stores nothing.
    """

    id: int

    def recover(self, copies: Copies) -> None:
        """Take in its stored copies, before anything else happens to it."""

    def recovered(self) -> None:
        """All holders have their copies: whatever is overdue may leave."""

    def discard(self) -> None:
        """Drop all copies from memory, without changing the store, after the broker has ended."""


# Acyclic: a copy refers only to its message, which is acyclic. See `Entry` for the rules of that subclass.
@mypyc_attr(acyclic=True)
class Copy(metaclass=ABCMeta):
    """One holder's copy of a message.

    sequence: its place among the holder's copies. deadline_ms: when it expires, or is due; milliseconds since the
    epoch, 0 for never. delivery_count: how many of its returns count against a delivery limit. position: where it is
    stored, or that it is not, set by the store.
    """

    __slots__ = ("deadline_ms", "delivery_count", "message", "position", "sequence")

    def __init__(self, message: "Message", sequence: int, deadline_ms: int) -> None:
        self.message: Message = message
        self.sequence: int = sequence
        self.deadline_ms: int = deadline_ms
        self.delivery_count: int = 0
        self.position: int = 0

    @property
    @abstractmethod
    def holder_id(self) -> int:
        """The id of who holds it."""
