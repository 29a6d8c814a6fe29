"""Redrive of a dead letter queue: its messages go back to the queues in which they died."""

from collections.abc import Mapping
from typing import NamedTuple

from tests.model.copies import NONE, Copy
from tests.model.groups import FOLLOWING, GroupedLine
from tests.model.line import Line


class Redrive(NamedTuple):
    """Options of a redrive. destination: "" for the queue of the last death. reason: of that, "" for any."""

    destination: str = ""
    keeps_history: bool = False
    limit: int = NONE
    reason: str = ""

    def accepts(self, copy: Copy) -> bool:
        return not self.reason or (copy.deaths != () and copy.deaths[0][1] == self.reason)

    def target(self, lines: Mapping[str, Line], source: Line, copy: Copy) -> Line | None:
        """Return the queue that a copy goes to, None if it stays."""
        name = self.destination or (copy.deaths[0][0] if copy.deaths else "")
        line = lines.get(name)
        if line is None or line is source or _waits_for_group(source, copy):
            return None
        died = lines.get(copy.deaths[0][0]) if copy.deaths and copy.deaths[0][1] in FOLLOWING else None
        return None if _is_closed(line, copy) or _is_closed(died, copy) else line

    def revived(self, copy: Copy) -> Copy:
        """Return the message as it enters its queue again."""
        again = copy.revived()
        if not copy.deaths:
            # It did not lose its expiration.
            return again._replace(expiration_ms=copy.expiration_ms)
        if self.keeps_history:
            return again.absolved()
        return again._replace(deaths=(), first=None, letter=0, forgiven=0)


def _is_closed(line: Line | None, copy: Copy) -> bool:
    """Return whether a queue has closed the group of a copy."""
    return isinstance(line, GroupedLine) and copy.key in line.stopped and line.stopped[copy.key].is_closed


def _waits_for_group(source: Line, copy: Copy) -> bool:
    """Return whether a ready copy waits for others of its group, and is no dead letter of another queue."""
    if not isinstance(source, GroupedLine) or not copy.key:
        return False
    if copy.deaths and copy.deaths[0][0] != source.spec.name:
        return _is_closed(source, copy)
    is_open = source.options.is_fair or not (source._out(copy) or source._is_behind(copy))
    return copy.key in source.stopped or not is_open


class Counts(NamedTuple):
    """Numbers of messages that a redrive has moved, could not move, and did not want to move."""

    moved: int
    failed: int
    skipped: int
