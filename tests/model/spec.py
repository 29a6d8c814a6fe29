"""The arguments of a queue."""

from typing import NamedTuple

from tests.model.copies import NONE


class Retry(NamedTuple):
    """Delay of returned messages. returns: all, failed or returned. multiplier: 0 for a delay that grows linearly."""

    returns: str
    min_ms: int
    max_ms: int
    multiplier: float = 0

    def delays(self, failed: bool) -> bool:
        return self.returns == "all" or failed == (self.returns == "failed")

    def delay_ms(self, failed: bool, count: int) -> int:
        if not self.delays(failed):
            return 0
        times = max(1, count)
        factor = self.multiplier ** (times - 1) if self.multiplier else times
        return round(min(self.min_ms * factor, self.max_ms))


class Lock(NamedTuple):
    """Timeout of acknowledgements. action: return or cancel."""

    timeout_ms: int
    action: str


class Deduplication(NamedTuple):
    """Recognition of duplicates. scope: window or queue. The others: x-cache-ttl, x-cache-size, x-cache-persistence."""

    scope: str
    ttl_ms: int = NONE
    size: int = NONE
    on_disk: bool = True


class LastValue(NamedTuple):
    """Replacement of messages. at_tail: the newer one goes to the end. letters: replaced ones are dead-lettered."""

    at_tail: bool = False
    letters: bool = False


class Grouping(NamedTuple):
    """Message groups. on_dead: skip, park or follow. version_ttl_ms: NONE without versions."""

    on_dead: str = "skip"
    prefetch: int = 1
    is_fair: bool = False
    version_ttl_ms: int = NONE


class Spec(NamedTuple):
    """The arguments of a queue. delivery_limit: None for the default of its type.

    letters: the queue of its dead letters, through the default exchange. expires_anywhere: messages expire behind the
    head too.
    """

    name: str
    quorum: bool = False
    max_priority: int = 0
    ttl_ms: int = NONE
    max_length: int = NONE
    delivery_limit: int | None = None
    letters: str = ""
    retry: Retry | None = None
    expires_anywhere: bool = False
    single_active: bool = False
    lock: Lock | None = None
    deduplication: Deduplication | None = None
    last_value: LastValue | None = None
    groups: Grouping | None = None

    @property
    def limit(self) -> int:
        """Return the delivery limit, NONE for none."""
        if self.delivery_limit is None:
            return 20 if self.quorum else NONE
        return self.delivery_limit

    @property
    def counts_returns(self) -> bool:
        """Return whether consumers see the number of returns."""
        return self.quorum or self.limit >= 0

    @property
    def refuses_get(self) -> bool:
        """Return whether basic.get is refused, or its lock closes the channel."""
        return (self.quorum and self.single_active) or (self.lock is not None and self.lock.action == "cancel")

    @property
    def returns_last(self) -> bool:
        """Return whether returned messages go to the end, so that none blocks the others forever."""
        return self.quorum and self.limit < 0 and self.groups is None

    def level(self, priority: int) -> int:
        """Return the level of messages with this priority, among which the queue is in the order of arrival."""
        return int(priority > 4) if self.quorum else min(priority, self.max_priority)
