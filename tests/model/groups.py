"""A queue with message groups: which of its messages may be delivered, and the groups that are stopped."""

import itertools
from dataclasses import dataclass, field
from typing import NamedTuple

from tests.model.consumers import Consumer
from tests.model.copies import Copy
from tests.model.line import Line
from tests.model.spec import Grouping

#: Reasons of the dead letters of closed groups.
FOLLOWING = ("rejected", "delivery_limit", "group")

#: Numbers of dead letters of closed groups. Each exceeds those before, also of an earlier queue with the same name.
LETTER_NUMBERS = itertools.count(1)


class Stopped(NamedTuple):
    """A group that a failed message has stopped. is_closed: its messages follow to the dead letter queue.

    first: the first number of its letters. failed: sequence number of the copy that failed.
    """

    key: str
    is_closed: bool
    since_ms: int
    first: int = 0
    failed: int = 0


class Version(NamedTuple):
    """The highest acknowledged version of a key."""

    key: str
    number: int
    expires_ms: int


@dataclass
class GroupedLine(Line):
    """Its ready copies are in the order of their sequences, to which returned ones go back."""

    stopped: dict[str, Stopped] = field(default_factory=dict)
    versions: dict[str, Version] = field(default_factory=dict)
    #: Keys of which the consumer that has them gets more, in the order in which they came to be so.
    fed: list[str] = field(default_factory=list)
    front: int = 0

    @property
    def options(self) -> Grouping:
        assert self.spec.groups is not None
        return self.spec.groups

    # --- order --------------------------------------------------------------------------------------------------------

    def first(self) -> Copy | None:
        """Return the first copy of the group that is next."""
        heads: dict[str | int, Copy] = {}
        for copy in self.ready:
            heads.setdefault(copy.key or copy.sequence, copy)
        if self.options.is_fair:
            return min(heads.values(), key=lambda copy: (self._out(copy), copy.sequence), default=None)
        free = [copy for copy in heads.values() if self._is_open(copy) and not self._out(copy)]
        return min(free, key=lambda copy: copy.sequence, default=None)

    def pop(self) -> Copy:
        copy = self.first()
        assert copy is not None
        self.ready.remove(copy)
        return copy

    def pop_dropped(self) -> Copy:
        return self.ready.pop(0)

    def fed_delivery(self) -> tuple[Consumer, Copy] | None:
        """Remove and return a further copy of a group that a consumer has already, with the consumer."""
        more = {copy.key: copy for copy in reversed(self.ready) if self._holder(copy)}
        self.fed = [key for key in self.fed if key in more]
        self.fed += sorted([key for key in more if key not in self.fed], key=lambda key: more[key].sequence)
        consumer = self.consumers.taker()
        for key in self.fed:
            if consumer is not None and self._holder(more[key]) == consumer.tag:
                self.ready.remove(more[key])
                if self._out(more[key]) + 1 == self.options.prefetch:
                    # If the copy is dropped instead of being delivered, because it has expired or an old version, its
                    # group is the last one of those that get more. No order of groups is promised.
                    self.fed.remove(key)
                return consumer, more[key]
        return None

    def next_delivery(self) -> tuple[Consumer, Copy] | None:
        consumer = self.consumers.taker()
        return None if consumer is None or self.first() is None else (consumer, self.pop())

    def _is_open(self, copy: Copy) -> bool:
        """Return whether the group of a copy is neither stopped nor waits for a delayed one."""
        return copy.key not in self.stopped and not self._is_behind(copy)

    def _is_behind(self, copy: Copy) -> bool:
        """Return whether an earlier copy of the group is delayed."""
        return any(self._is_same(each, copy) and each.sequence < copy.sequence for each in self.delayed)

    def _holder(self, copy: Copy) -> str:
        """Return the tag of the consumer that has the group of a copy and may get more of it, "" for none."""
        out = self._out(copy)
        if self.options.is_fair or not 0 < out < self.options.prefetch or not self._is_open(copy):
            return ""
        holders = {each.consumer for each in self.held.values() if self._is_same(each.copy, copy)}
        return holders.pop() if len(holders) == 1 else ""

    def _out(self, copy: Copy) -> int:
        return sum([self._is_same(each.copy, copy) for each in self.held.values()])

    def _is_same(self, copy: Copy, other: Copy) -> bool:
        """Return whether two copies are in one group. A copy without a key is a group of its own."""
        return copy.key == other.key and (copy.key != "" or copy.sequence == other.sequence)

    def in_order(self) -> list[Copy]:
        return [*self.ready]

    def rejoin(self, copies: list[Copy]) -> None:
        self.ready = sorted([*self.ready, *copies], key=lambda copy: copy.sequence)

    def ranked(self, copies: list[Copy]) -> list[Copy]:
        return copies

    def requeued(self, copies: list[Copy]) -> list[Copy]:
        # In the order of their groups. That of the deliveries differs: a returned copy is delivered again after later
        # ones of its group, if a consumer may have several. Copies that reach the delivery limit leave in this order.
        return sorted(copies, key=lambda copy: copy.sequence)

    def may_expire(self) -> list[Copy]:
        return [copy for copy in self.ready if copy.key not in self.stopped or self.stopped[copy.key].is_closed]

    def clear(self) -> None:
        super().clear()
        self.stopped = {key: each for key, each in self.stopped.items() if each.is_closed}

    # --- stopped groups -----------------------------------------------------------------------------------------------

    def failed(self, copies: list[Copy], reason: str, now_ms: int) -> list[Copy]:
        """Handle copies that failed for good. Return those that leave; the others stay in their stopped groups."""
        if self.options.on_dead == "skip":
            return copies
        gone = []
        for copy in sorted(copies, key=lambda copy: copy.sequence):
            stopped = self.stopped.get(copy.key)
            is_taken = self._is_letter_taken(copy, reason)
            if stopped is None and copy.key:
                is_closed = self.options.on_dead == "follow" and is_taken
                stopped = self.stopped[copy.key] = Stopped(copy.key, is_closed, now_ms, failed=copy.sequence)
            if stopped is None:
                gone.append(copy)
            elif stopped.is_closed and is_taken:
                gone.append(self._numbered(copy))
                # Groups that follow together do so in the order in which their last messages failed.
                self.stopped[copy.key] = self.stopped.pop(copy.key)
            else:
                count = copy.count + (reason == "rejected")
                self.rejoin([copy._replace(redelivered=True, count=count)])
        return gone

    def pop_following(self) -> list[Copy]:
        """Remove and return the copies of closed groups that no held or delayed one precedes.

        One whose dead letter would cycle stays, and those of its group after it.
        """
        closed = [stopped.key for stopped in self.stopped.values() if stopped.is_closed]
        found: list[Copy] = []
        for key in closed:
            follows = [copy for copy in self.of_group(key) if not self._out(copy) and not self._is_behind(copy)]
            found += itertools.takewhile(lambda copy: self._is_letter_taken(copy, "group"), follows)
        for copy in found:
            self.ready.remove(copy)
        return [self._numbered(copy) for copy in found]

    def _numbered(self, copy: Copy) -> Copy:
        """Return a copy with the number of a letter. A letter that comes back has its number."""
        stopped = self.stopped[copy.key]
        was_letter = any(at == self.spec.name and reason in FOLLOWING for at, reason, _ in copy.deaths)
        if was_letter and stopped.first and copy.letter >= stopped.first:
            return copy
        number = next(LETTER_NUMBERS)
        if not stopped.first:
            self.stopped[copy.key] = stopped._replace(first=number)
        return copy._replace(letter=number)

    def _is_letter_taken(self, copy: Copy, reason: str) -> bool:
        return self.spec.letters not in ("", self.spec.name) and copy.died(self.spec.name, reason).may_enter(
            self.spec.letters
        )

    def of_group(self, key: str) -> list[Copy]:
        """Return the ready copies of a group, in order."""
        return [copy for copy in self.ready if copy.key == key]

    def unpark(self, key: str, first: Copy | None, now_ms: int) -> None:
        """Open a parked group: a copy starts anew, and the time that stood still goes on."""
        stopped, copies = self.stopped.pop(key), self.of_group(key)
        for copy in copies:
            again = copy._replace(count=0) if copy is first else copy
            if copy.deadline_ms:
                ttls = [ttl for ttl in (self.spec.ttl_ms, copy.expiration_ms) if ttl >= 0]
                deadline_ms = min(copy.deadline_ms + now_ms - stopped.since_ms, now_ms + min(ttls))
                again = again._replace(deadline_ms=deadline_ms)
            self.ready[self.ready.index(copy)] = again

    def unpark_lost(self, now_ms: int) -> None:
        """Open the parked groups whose failed copies are lost."""
        for stopped in list(self.stopped.values()):
            left = sorted([copy.sequence for copy in (*self.ready, *self.delayed) if copy.key == stopped.key])
            if not stopped.is_closed and left and left[0] > stopped.failed:
                self.unpark(stopped.key, next(iter(self.of_group(stopped.key)), None), now_ms)

    def prune(self) -> None:
        """Open parked groups that have no messages."""
        keys = {copy.key for copy in self.waiting_or_held()}
        self.stopped = {key: each for key, each in self.stopped.items() if each.is_closed or key in keys}

    # --- versions -----------------------------------------------------------------------------------------------------

    def acked(self, copy: Copy, now_ms: int) -> None:
        if self.options.version_ttl_ms < 0 or not copy.key or not copy.version:
            return
        known = self.versions.pop(copy.key, None)
        number = copy.version if known is None or known.expires_ms <= now_ms else max(copy.version, known.number)
        self.versions[copy.key] = Version(copy.key, number, now_ms + self.options.version_ttl_ms)

    def is_outdated(self, copy: Copy, now_ms: int) -> bool:
        known = self.versions.get(copy.key)
        return known is not None and 0 < copy.version < known.number and known.expires_ms > now_ms

    def live_versions(self, now_ms: int) -> tuple[Version, ...]:
        return tuple(each for each in self.versions.values() if each.expires_ms > now_ms)

    # --- crashes ------------------------------------------------------------------------------------------------------

    def stored_groups(self) -> tuple[Stopped | Version, ...]:
        self.prune()
        return (*self.stopped.values(), *self.versions.values())

    def restart(self, copies: list[Copy], now_ms: int, groups: tuple[Stopped | Version, ...]) -> None:
        super().restart(copies, now_ms, groups)
        self.front = min([0, *(copy.sequence for copy in copies)])
        self.stopped = {each.key: each for each in groups if isinstance(each, Stopped)}
        self.versions = {each.key: each for each in groups if isinstance(each, Version) and each.expires_ms > now_ms}
        self.prune()
