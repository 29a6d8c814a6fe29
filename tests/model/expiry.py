"""Expiry of the ready copies of a queue: of its head, or at any position."""

from typing import TYPE_CHECKING

from tests.model.copies import Copy

if TYPE_CHECKING:
    from tests.model.line import Line


def first_deadline_ms(line: "Line") -> int:
    """Return when the next copy expires, 0 for never."""
    if not line.spec.expires_anywhere:
        first = line.first()
        return 0 if first is None else first.deadline_ms
    return min([copy.deadline_ms for copy in line.may_expire() if copy.deadline_ms], default=0)


def pop_expired(line: "Line", now_ms: int) -> list[Copy]:
    """Remove and return the copies that have expired, in the order in which they leave."""
    expired = []
    if line.spec.expires_anywhere:
        return pop_before(line, (now_ms + 1, 0))
    while (first := line.first()) is not None and first.is_overdue(now_ms):
        expired.append(line.pop())
    return expired


def pop_before(line: "Line", end: tuple[int, int]) -> list[Copy]:
    """Remove and return the copies with an earlier deadline and sequence from a queue where any position expires."""
    overdue = [copy for copy in line.may_expire() if copy.deadline_ms and (copy.deadline_ms, copy.sequence) < end]
    for copy in overdue:
        line.remove(copy)
    return sorted(overdue, key=lambda copy: (copy.deadline_ms, copy.sequence))
