"""Several followers of the copies of messages behind the interface of one."""

from typing import final

from amqpbroker.broker.tracking.copy_tracker import CopyTracker
from amqpbroker.message.message import Copy, Message


@final
class AllTrackers(CopyTracker):
    """Reports each fate to several followers. It is active while any of these is active."""

    def __init__(self, parts: list[CopyTracker]) -> None:
        self._parts: list[CopyTracker] = parts
        for part in parts:
            part.whole = self

    def part_changed(self) -> None:
        self.active = any(part.active for part in self._parts)

    def follows(self, message: Message) -> bool:
        return any(part.follows(message) for part in self._parts)

    def entered(self, copy: Copy, queue: str) -> None:
        for part in self._parts:
            part.entered(copy, queue)

    def acknowledged(self, copy: Copy, queue: str) -> None:
        for part in self._parts:
            if part.active:
                part.acknowledged(copy, queue)

    def failed(self, copy: Copy, queue: str, reason: str) -> None:
        for part in self._parts:
            if part.active:
                part.failed(copy, queue, reason)

    def unroutable(self, message: Message, user: str) -> None:
        for part in self._parts:
            part.unroutable(message, user)

    def begin_move(self, copy: Copy, queue: str) -> None:
        for part in self._parts:
            part.begin_move(copy, queue)

    def begin_letter(self, copy: Copy, queue: str, reason: str, rejected: bool) -> None:
        for part in self._parts:
            part.begin_letter(copy, queue, reason, rejected)

    def end_move(self, reason: str) -> None:
        for part in self._parts:
            part.end_move(reason)
