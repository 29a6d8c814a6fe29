"""Who has copies of messages in the store, and what such a copy is to it."""

from typing import TYPE_CHECKING, Protocol

from amqpbroker.store.recovery import Copies

if TYPE_CHECKING:
    from amqpbroker.broker.message import Message


class Holder(Protocol):
    """A durable queue, or a durable exchange that holds messages back.

    id: its name in the journal, 0 for one that stores nothing.
    """

    id: int

    def recover(self, copies: Copies) -> None:
        """Take in its stored copies, before anything else happens to it."""

    def recovered(self) -> None:
        """All holders have their copies: whatever is overdue may leave."""


class Copy(Protocol):
    """One holder's copy of a message. position: where it is stored (see `persistence`), set by the store."""

    position: int

    @property
    def message(self) -> "Message": ...

    @property
    def queue(self) -> Holder: ...

    @property
    def sequence(self) -> int:
        """Its place among the holder's copies."""

    @property
    def deadline_ms(self) -> int:
        """When it expires, or is due; milliseconds since the epoch, 0 for never."""

    @property
    def delivery_count(self) -> int: ...
