"""One queue's copy of a message, as a tuple."""

from typing import NamedTuple

NONE = -1
#: Reasons of the deaths that make a member of a batch fail.
FAILURES = ("rejected", "delivery_limit")


class Membership(NamedTuple):
    """Headers of a member of a batch. size: NONE without one. events: those that are requested, () for none."""

    id: str
    member: str
    size: int
    events: tuple[str, ...]


class Copy(NamedTuple):
    """One queue's copy of a message. deaths: (queue, reason, times), the latest first. first: the first death of all.

    is_normal: it was returned to a quorum queue without a delivery limit, which ignores its priority until a restart.
    due_ms: end of its last delay, 0 if it was never delayed. A stored copy keeps it after its delay. key: the header
    that queues recognise duplicates, earlier values and groups by, "" for none. version: 0 for none.
    moved: it came by a redrive, since the broker started. letter: its number among the dead letters of closed groups.
    forgiven: number of its rejections before a redrive with its history, if it belongs to a batch.
    """

    body: bytes
    persistent: bool
    priority: int = 0
    expiration_ms: int = NONE
    deaths: tuple[tuple[str, str, int], ...] = ()
    first: tuple[str, str] | None = None
    sequence: int = 0
    deadline_ms: int = 0
    redelivered: bool = False
    count: int = 0
    is_normal: bool = False
    due_ms: int = 0
    key: str = ""
    version: int = 0
    moved: bool = False
    batch: Membership | None = None
    letter: int = 0
    forgiven: int = 0

    def died(self, queue: str, reason: str) -> "Copy":
        times = sum([times for at, why, times in self.deaths if (at, why) == (queue, reason)])
        others = tuple(death for death in self.deaths if death[:2] != (queue, reason))
        deaths = ((queue, reason, times + 1), *others)
        return self.revived()._replace(deaths=deaths, first=self.first or (queue, reason))

    def revived(self) -> "Copy":
        """Return the message as it enters another queue, or this one again, without an expiration of its own."""
        fresh = Copy(self.body, self.persistent, self.priority, NONE, self.deaths, self.first)
        return fresh._replace(
            key=self.key, version=self.version, batch=self.batch, letter=self.letter, forgiven=self.forgiven
        )

    def absolved(self) -> "Copy":
        """Return the message without its failures so far, if it belongs to a batch."""
        return self._replace(forgiven=sum([times for _, times in self.rejections]) if self.batch else 0)

    @property
    def rejections(self) -> list[tuple[str, int]]:
        """The queues that it failed in for good, the latest first, with the number of times."""
        return [(at, times) for at, reason, times in self.deaths if reason in FAILURES]

    def is_high(self) -> bool:
        """Return whether it has high priority in a quorum queue."""
        return self.priority > 4 and not self.is_normal

    def is_overdue(self, now_ms: int) -> bool:
        return 0 < self.deadline_ms <= now_ms

    def may_enter(self, queue: str) -> bool:
        """Return whether it may enter the queue: False if it would cycle without a client's doing.

        A copy that follows a failed one of its group may do so again if it has expired since.
        """
        follows = self.deaths[:1] != () and self.deaths[0][1] == "group"
        has_expired = False
        for at, reason, _ in self.deaths:
            has_expired = has_expired or reason == "expired"
            if reason == "rejected" or (reason == "group" and not follows):
                return True
            if at == queue:
                return follows and has_expired
        return True
