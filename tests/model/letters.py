"""Copies that leave their queues for good, and whose dead letters are still to be sent."""

from collections.abc import Callable
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from tests.model.copies import Copy

if TYPE_CHECKING:
    from tests.model.line import Line


class Letters:
    """Sends dead letters in order. A letter that dies in another queue at once waits for those before it."""

    def __init__(self, send: Callable[["Line", Copy, str], None], lose: Callable[["Line", Copy, str], None]) -> None:
        """send(line, copy, reason): the copy has left, and its dead letter enters the queue of dead letters.

        lose(line, copy, reason): the same without a queue of dead letters.
        """
        self._send = send
        self._lose = lose
        self._dying: list[tuple[Line, list[Copy], str]] = []
        self._depth = 0

    @contextmanager
    def waiting(self) -> Any:
        """Send dead letters only at the end of this block, and of all around it."""
        self._depth += 1
        yield
        if self._depth == 1:
            while self._dying:
                line, copies, reason = self._dying.pop(0)
                for copy in copies:
                    self._send(line, copy, reason)
        self._depth -= 1

    def leave(self, line: "Line", copies: list[Copy], reason: str) -> None:
        """Send the dead letters of copies that are no longer in their queue."""
        if not line.spec.letters:
            for copy in copies:
                self._lose(line, copy, reason)
        elif copies:
            with self.waiting():
                self._dying.append((line, copies, reason))

    @property
    def count(self) -> int:
        return len(self._dying)

    def postpone(self, count: int) -> None:
        """Send the first `count` groups of letters after the others."""
        self._dying = self._dying[count:] + self._dying[:count]
