"""A follower of the copies of marked messages, such as members of batches and jobs."""

from abc import abstractmethod
from collections.abc import Callable
from typing import Final, Generic, TypeVar

from amqpbroker.broker.tracking.copy_tracker import CopyTracker
from amqpbroker.message.deaths import rejected_in
from amqpbroker.message.message import Copy, Message
from amqpbroker.store.store import Store

#: The reason of the failure of a copy that did not survive a restart.
LOST: Final = "lost"

#: A thing that is followed, such as a job; and the knowledge about one of its copies.
Subject = TypeVar("Subject")
Known = TypeVar("Known")


class Move(Generic[Subject, Known]):
    """A message on its way to queues.

    subject: None if the message does not count. known: about the copy. copy: that has left; None for a publish. queue,
    reason: that it has left, and of its death; the latter is empty if it did not die. failed: the copy has failed
    already, and its letter does not count. arrived: number of copies that have entered queues.
    """

    __slots__ = ("arrived", "copy", "failed", "known", "queue", "reason", "subject")

    def __init__(
        self,
        subject: Subject | None,
        known: Known | None = None,
        copy: Copy | None = None,
        queue: str = "",
        reason: str = "",
        failed: bool = False,
    ) -> None:
        self.subject = subject
        self.known = known
        self.copy = copy
        self.queue = queue
        self.reason = reason
        self.failed = failed
        self.arrived = 0


class Follower(CopyTracker, Generic[Subject, Known]):
    """Follows the copies of marked messages: which of them count, which come back, and which are on their way.

    A rejected copy is dead: its letters do not count, except in the queue in which it was rejected. A copy that leaves
    for other queues is a move until its copies have arrived there. Subclasses have the subjects, and change them.
    """

    def __init__(self, ignores_rejects: Callable[[str], bool], store: Store) -> None:
        """ignores_rejects(queue): returns whether a message that is rejected in the queue has not failed."""
        self._ignores_rejects = ignores_rejects
        self._store: Store = store
        self._moves: list[Move[Subject, Known]] = []

    # --- subjects -----------------------------------------------------------------------------------------------------

    @abstractmethod
    def _find(self, message: Message) -> Subject | None:
        """Return the subject of a message, None if it has none."""

    @abstractmethod
    def _release(self, copy: Copy, queue: str) -> tuple[Subject, Known] | None:
        """Release the place of a copy that leaves. Return its subject, None if the copy does not count."""

    @abstractmethod
    def _came(self, subject: Subject, copy: Copy, queue: str, move: Move[Subject, Known] | None) -> bool:
        """Count a new copy; return False if it does not count.

        move: on which the copy has come, None for one that comes back after it failed.
        """

    @abstractmethod
    def _succeeded(self, subject: Subject, copy: Copy) -> None:
        """Settle a copy, which `_release` returned, as acknowledged."""

    @abstractmethod
    def _failed(self, subject: Subject, known: Known, copy: Copy, queue: str, reason: str) -> None:
        """Settle a copy, which `_release` returned, as failed."""

    def _left(self, subject: Subject, copy: Copy) -> None:
        """Note that a copy, which `_release` returned, is on its way."""

    def _letter_sent(self, subject: Subject, letter: Message) -> None:
        """Note the dead letter of a copy that has failed."""

    @abstractmethod
    def _move_ended(self, subject: Subject, move: Move[Subject, Known], reason: str) -> None:
        """Act on the end of a move. reason: of the failure if no copy has arrived, empty for that of the move."""

    # --- fates of copies ----------------------------------------------------------------------------------------------

    def entered(self, copy: Copy, queue: str) -> None:
        message = copy.message
        subject = self._find(message)
        if subject is None:
            return
        last = self._moves[-1] if self._moves else None
        move = last if last is not None and last.subject == subject else None
        if message.died and self._is_dead(message, queue):
            if move is not None and move.failed:
                self._letter_sent(subject, message)
            return
        if move is not None and move.failed:
            move = None
        if self._came(subject, copy, queue, move) and move is not None:
            move.arrived += 1

    def acknowledged(self, copy: Copy, queue: str) -> None:
        taken = self._release(copy, queue)
        if taken is not None:
            self._succeeded(taken[0], copy)

    def failed(self, copy: Copy, queue: str, reason: str) -> None:
        taken = self._release(copy, queue)
        if taken is not None:
            self._failed(*taken, copy, queue, reason)

    def begin_move(self, copy: Copy, queue: str) -> None:
        self._begin(copy, queue, "", failed=False)

    def begin_letter(self, copy: Copy, queue: str, reason: str, rejected: bool) -> None:
        self._begin(copy, queue, reason, failed=rejected)

    def _begin(self, copy: Copy, queue: str, reason: str, failed: bool) -> None:
        taken = self._release(copy, queue)
        if taken is None:
            self._moves.append(Move(None))
            return
        self._moves.append(Move(*taken, copy, queue, reason, failed))
        if failed:
            self._failed(*taken, copy, queue, reason)
        else:
            self._left(taken[0], copy)

    def begin_publish(self, subject: Subject | None) -> None:
        """Begin to publish a message, like `begin_move`. subject: None if the message does not count."""
        self._moves.append(Move(subject))

    def end_move(self, reason: str) -> None:
        move = self._moves.pop()
        if move.subject is not None:
            self._move_ended(move.subject, move, reason)

    # --- copies -------------------------------------------------------------------------------------------------------

    def _is_dead(self, message: Message, queue: str) -> bool:
        """Return whether a message that died was rejected, and is not in the queue in which it was rejected."""
        rejecting = [each for each in rejected_in(message.properties) if not self._ignores_rejects(each)]
        return bool(rejecting) and queue not in rejecting

    def _is_stored(self, copy: Copy) -> bool:
        """Return whether a copy survives a restart. A store that keeps nothing is one of tests, which keep copies."""
        if self._store.keeps:
            return copy.position != 0
        return copy.holder_id != 0 and copy.message.persistent

    def _end(self) -> None:
        """Follow no message any more: the broker has ended."""
        # It refers to the vhost.
        self._ignores_rejects = _never
        self.set_active(False)
        self.whole = None


def is_marked(message: Message) -> bool:
    """Return whether the message has headers."""
    return message.undecoded or message.headers is not None


def _never(queue: str) -> bool:
    return False
