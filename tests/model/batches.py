"""Batches: counting the copies of their members, and the messages about their ends."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, NamedTuple

from tests.model.copies import FAILURES, NONE, Copy

if TYPE_CHECKING:
    from tests.model.line import Line

#: The queue that gets the messages about all batches.
EVENTS = "events"


class Failure(NamedTuple):
    member: str
    queue: str
    reason: str


class Member(NamedTuple):
    """A member. outcome: "", ok or failed. stored, transient: numbers of its copies that are not settled.

    failed: number of its copies that failed. failure: the first one.
    """

    outcome: str = ""
    stored: int = 0
    transient: int = 0
    failed: int = 0
    failure: Failure | None = None


class Batch(NamedTuple):
    """A batch. requested: events that are sent. forgotten: number of members that had succeeded by the completion."""

    size: int = NONE
    requested: tuple[str, ...] = ()
    members: tuple[tuple[str, Member], ...] = ()
    sent: tuple[str, ...] = ()
    forgotten: int = 0
    has_failed: bool = False

    def count(self, outcome: str) -> int:
        return sum([member.outcome == outcome for _, member in self.members])

    @property
    def ok(self) -> int:
        return self.count("ok") + self.forgotten

    @property
    def total(self) -> int:
        return max(self.size, len(self.members) + self.forgotten)

    @property
    def is_complete(self) -> bool:
        is_published = 0 <= self.size <= len(self.members) + self.forgotten
        return "complete" in self.sent or (is_published and not self.count(""))

    def due(self) -> list[str]:
        """Return the events that have occurred and are not sent."""
        occurred = {
            "death": self.has_failed,
            "complete": self.is_complete,
            "success": self.is_complete and not self.count("failed"),
        }
        ended = "success" in self.sent
        return [event for event, has in occurred.items() if has and event not in self.sent and not ended]


class Move:
    """A message on its way to queues. failure: what it is if no queue takes it; None for a publish."""

    def __init__(self, names: tuple[str, str] | None, failure: Failure | None) -> None:
        self.names = names
        self.failure = failure
        self.arrived = 0


def event_body(id_: str, event: str, batch: Batch) -> bytes:
    """Return the body of the message about an event, with the failed members in their order."""
    failed = sorted(member.failure.member for _, member in batch.members if member.failure is not None)
    content = {
        "id": id_,
        "event": event,
        "size": batch.total,
        "ok": batch.ok,
        "failed": batch.count("failed"),
        "failures": failed,
    }
    return json.dumps(content).encode()


class Batches:
    """The batches by id, as tuples, of which a state is a copy."""

    def __init__(self) -> None:
        self.by_id: dict[str, Batch] = {}
        self._moves: list[Move] = []

    # --- copies -------------------------------------------------------------------------------------------------------

    @contextmanager
    def publishing(self, copy: Copy, is_routed: bool) -> Iterator[None]:
        """Count a published message within this block. A member is settled only after all queues have it."""
        if copy.batch is None:
            yield
            return
        self._open(copy)
        id_, name = copy.batch.id, copy.batch.member
        if not is_routed:
            yield
            if self._member(id_, name) is None and "complete" not in self.by_id[id_].sent:
                self._change(id_, name, failed=1, failure=Failure(name, "", "unroutable"))
            return
        with self._moving(Move((id_, name), None)):
            yield

    @contextmanager
    def leaving(self, line: "Line", copy: Copy, reason: str) -> Iterator[None]:
        """Count a message that leaves a queue, and may enter others within this block."""
        names = self._open_names(line, copy)
        if names is None:
            yield
            return
        if reason in FAILURES:
            self.failed(line, copy, reason)
            yield
            return
        with self._moving(Move(names, Failure(names[1], line.spec.name, reason))):
            self._settle(line, copy)
            yield

    def entered(self, line: "Line", copy: Copy) -> None:
        if copy.batch is None or not _is_alive(copy, line.spec.name) or copy.batch.id not in self.by_id:
            return
        id_, name, *_ = copy.batch
        move = self._moves[-1] if self._moves and self._moves[-1].names == (id_, name) else None
        member = self._member(id_, name)
        if member is None and (move is None or "complete" in self.by_id[id_].sent):
            return
        if member is not None and member.outcome == "ok":
            return
        comes_back = member is not None and member.failed > 0 and (move is None or move.failure is None)
        if move is not None:
            move.arrived += 1
        is_stored = line.is_stored(copy)
        self._change(id_, name, stored=is_stored, transient=not is_stored, failed=-1 if comes_back else 0)

    def acked(self, line: "Line", copy: Copy) -> None:
        if self._open_names(line, copy) is not None:
            self._settle(line, copy)

    def failed(self, line: "Line", copy: Copy, reason: str) -> None:
        if self._open_names(line, copy) is not None and copy.batch is not None:
            self._settle(line, copy, 1, Failure(copy.batch.member, line.spec.name, reason))

    def _open(self, copy: Copy) -> None:
        """Complete what is known of the batch of a published message."""
        assert copy.batch is not None
        batch = self.by_id.setdefault(copy.batch.id, Batch())
        if "complete" not in batch.sent:
            size, requested = max(batch.size, copy.batch.size), batch.requested or copy.batch.events
            self.by_id[copy.batch.id] = batch._replace(size=size, requested=requested)

    @contextmanager
    def _moving(self, move: Move) -> Iterator[None]:
        self._moves.append(move)
        yield
        self._moves.pop()
        if move.names is None or self._member(*move.names) is None:
            return
        lost = not move.arrived and move.failure is not None
        self._change(*move.names, failed=int(lost), failure=move.failure if lost else None)

    def _member(self, id_: str, name: str) -> Member | None:
        return dict(self.by_id[id_].members).get(name)

    def _open_names(self, line: "Line", copy: Copy) -> tuple[str, str] | None:
        """Return the batch and the member whose open copy this is, None if it does not count."""
        if copy.batch is None or copy.batch.id not in self.by_id or not _is_alive(copy, line.spec.name):
            return None
        member = self._member(copy.batch.id, copy.batch.member)
        is_open = member is not None and (member.stored if line.is_stored(copy) else member.transient)
        return (copy.batch.id, copy.batch.member) if is_open else None

    def _settle(self, line: "Line", copy: Copy, failed: int = 0, failure: Failure | None = None) -> None:
        assert copy.batch is not None
        is_stored = line.is_stored(copy)
        id_, name, *_ = copy.batch
        self._change(id_, name, stored=-is_stored, transient=is_stored - 1, failed=failed, failure=failure)

    def _change(
        self,
        id_: str,
        name: str,
        stored: int = 0,
        transient: int = 0,
        failed: int = 0,
        failure: Failure | None = None,
    ) -> None:
        batch = self.by_id[id_]
        members = dict(batch.members)
        old = members.get(name, Member())
        new = Member(
            old.outcome, old.stored + stored, old.transient + transient, old.failed + failed, old.failure or failure
        )
        if not new.stored and not new.transient and all(move.names != (id_, name) for move in self._moves):
            new = new._replace(outcome="failed") if new.failed else new._replace(outcome="ok", failure=None)
        members[name] = new
        self.by_id[id_] = batch._replace(members=tuple(members.items()), has_failed=batch.has_failed or new.failed > 0)

    # --- events -------------------------------------------------------------------------------------------------------

    def take_events(self) -> list[Copy]:
        """Return the messages about events that have occurred since the last call."""
        copies = []
        for id_, batch in self.by_id.items():
            for event in batch.due():
                batch = self.by_id[id_]
                if event in batch.requested:
                    copies.append(Copy(event_body(id_, event, batch), True))
                batch = batch._replace(sent=(*batch.sent, event))
                if event != "death":
                    rest = tuple((name, member) for name, member in batch.members if member.outcome != "ok")
                    forgotten = batch.forgotten + len(batch.members) - len(rest)
                    batch = batch._replace(members=rest, forgotten=forgotten)
                self.by_id[id_] = batch
        return copies

    def lose(self) -> None:
        """Count the copies as failed that a restart has lost."""
        for id_, batch in list(self.by_id.items()):
            for name, member in batch.members:
                if member.transient:
                    lost = member.transient
                    self._change(id_, name, transient=-lost, failed=lost, failure=Failure("", "", "lost"))

    def stored(self) -> tuple[tuple[str, Batch], ...]:
        return tuple(self.by_id.items())

    def restart(self, stored: tuple[tuple[str, Batch], ...]) -> None:
        for id_, batch in stored:
            has_failed = any(member.failed for _, member in batch.members)
            self.by_id[id_] = batch._replace(has_failed=has_failed)


def _is_alive(copy: Copy, queue: str) -> bool:
    """Return whether the fate of a copy counts: a rejected one only where it was rejected since a redrive."""
    recent = sum([times for _, times in copy.rejections]) - copy.forgiven
    rejecting = [at for at, _ in copy.rejections][:recent]
    return not rejecting or queue in rejecting
