"""Messages that replace others with the same key, in queues that keep the last value of each."""

from typing import TYPE_CHECKING

from tests.model.copies import Copy

if TYPE_CHECKING:
    from tests.model.line import Line


def replaced(line: "Line", key: str) -> Copy | None:
    """Return the ready copy that a new message with the key replaces."""
    if line.spec.last_value is None or not key:
        return None
    same = [copy for copy in (*line.ready, *line.returned) if copy.key == key]
    return max(same, key=lambda copy: copy.sequence, default=None)


def takes_place(line: "Line", old: Copy, new: Copy) -> bool:
    """Return whether the new copy takes the place of the old one, rather than the end of the queue."""
    assert line.spec.last_value is not None
    waits = [copy.sequence for copy in line.waiting_or_held() if copy.key == new.key]
    same_level = line.spec.level(old.priority) == line.spec.level(new.priority)
    return not line.spec.last_value.at_tail and same_level and max(waits) == old.sequence


def put_in_place(line: "Line", old: Copy, new: Copy) -> None:
    """Put a new copy in the place of an old one, with its sequence."""
    new = new._replace(sequence=old.sequence, is_normal=old.is_normal)
    for copies in (line.ready, line.returned):
        if old in copies:
            copies[copies.index(old)] = new


def is_superseded(line: "Line", copy: Copy) -> bool:
    """Return whether a newer message with the key of a returned copy is in the queue."""
    if line.spec.last_value is None or not copy.key:
        return False
    return any(each.key == copy.key and each.sequence > copy.sequence for each in line.waiting_or_held())


def admitted(line: "Line", copies: list[Copy]) -> tuple[list[Copy], list[Copy]]:
    """Return the copies that become ready again, and those that drop out, from the queue too, because of newer ones."""
    if line.spec.last_value is None:
        return copies, []
    kept, dropped = [], []
    for copy in copies:
        newer = [each for each in copies if each.key and each.key == copy.key and each.sequence > copy.sequence]
        if newer or is_superseded(line, copy):
            dropped.append(copy)
            continue
        kept.append(copy)
        old = replaced(line, copy.key)
        if old is not None:
            line.remove(old)
            dropped.append(old)
    return kept, dropped


def stale(line: "Line") -> list[Copy]:
    """Remove and return the ready copies after a crash that newer ready ones replace: they were delivered before."""
    if line.spec.last_value is None:
        return []
    newest = {copy.key: copy.sequence for copy in line.ready}
    found = [copy for copy in line.ready if copy.key and copy.sequence < newest[copy.key]]
    for copy in found:
        line.remove(copy)
    return found
