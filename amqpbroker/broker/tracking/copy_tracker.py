"""The interface through which queues and exchanges report the fates of the copies of followed messages."""

from abc import ABCMeta, abstractmethod
from typing import Final

from mypy_extensions import mypyc_attr

from amqpbroker.message.message import Copy, Message

#: Reasons for which a copy is gone that are no reasons for a dead letter.
PURGED: Final = "purged"
DELETED: Final = "deleted"
UNROUTABLE: Final = "unroutable"


@mypyc_attr(allow_interpreted_subclasses=True)
class CopyTracker(metaclass=ABCMeta):
    """Receives the fates of all copies of the messages of one vhost, of which it follows some.

    Each call belongs to a change of the copy in the store, and is made within the same group: before the copy leaves
    the store, and after it entered.

    active: some messages may be followed. While it is False, callers need not call anything. queue: name of the queue
    that has the copy, "" for an exchange that holds messages back. whole: the followers of which this is one, None if
    it is the only one.
    """

    active: bool = False
    whole: "CopyTracker | None" = None

    def set_active(self, active: bool) -> None:
        """Set whether some messages may be followed."""
        if active != self.active:
            self.active = active
            if self.whole is not None:
                self.whole.part_changed()

    def part_changed(self) -> None:  # noqa: B027 - only a whole has parts
        """Note that a part has become active, or is not active any more."""

    @abstractmethod
    def follows(self, message: Message) -> bool:
        """Return whether the message is marked as one to follow."""

    @abstractmethod
    def entered(self, copy: Copy, queue: str) -> None:
        """Count a new copy."""

    @abstractmethod
    def acknowledged(self, copy: Copy, queue: str) -> None:
        """Settle a copy that was acknowledged, or delivered without acknowledgement."""

    @abstractmethod
    def failed(self, copy: Copy, queue: str, reason: str) -> None:
        """Settle a copy that was dropped. reason: as for a dead letter, PURGED or DELETED."""

    @abstractmethod
    def unroutable(self, message: Message, user: str) -> None:
        """Settle a message that a user has published, and that reached no queue."""

    @abstractmethod
    def begin_move(self, copy: Copy, queue: str) -> None:
        """Begin to move a copy, which leaves and enters other queues: all copies up to `end_move` replace this one."""

    @abstractmethod
    def begin_letter(self, copy: Copy, queue: str, reason: str, rejected: bool) -> None:
        """Begin a dead letter, like `begin_move`. rejected: the copy has failed, even if a queue takes the letter."""

    @abstractmethod
    def end_move(self, reason: str) -> None:
        """End the move that began last. reason: of the failure if no queue has taken the message."""


class _NoTracker(CopyTracker):
    def follows(self, message: Message) -> bool:
        return False

    def entered(self, copy: Copy, queue: str) -> None:
        pass

    def acknowledged(self, copy: Copy, queue: str) -> None:
        pass

    def failed(self, copy: Copy, queue: str, reason: str) -> None:
        pass

    def unroutable(self, message: Message, user: str) -> None:
        pass

    def begin_move(self, copy: Copy, queue: str) -> None:
        pass

    def begin_letter(self, copy: Copy, queue: str, reason: str, rejected: bool) -> None:
        pass

    def end_move(self, reason: str) -> None:
        pass


#: Follows no message.
NO_TRACKER: Final = _NoTracker()
