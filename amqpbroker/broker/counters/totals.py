"""Counters of the broker as a whole: traffic, churn, logins and dead letters."""

from collections.abc import Iterable
from typing import ClassVar

from amqpbroker.broker.counters.stats import CHANNEL_COUNTERS, CONNECTION_COUNTERS, QUEUE_COUNTERS, Sample, Totals

CHURN_COUNTERS = (
    "channel_closed",
    "channel_created",
    "connection_closed",
    "connection_created",
    "queue_created",
    "queue_declared",
    "queue_deleted",
)


class Churn:
    """Counts of opened, closed, created and deleted objects, as in `churn_rates` of the management API's overview."""

    __slots__ = ("sample", *CHURN_COUNTERS)
    counter_names: ClassVar[tuple[str, ...]] = CHURN_COUNTERS

    def __init__(self) -> None:
        self.sample: Sample | None = None
        self.connection_created: int = 0
        self.connection_closed: int = 0
        self.channel_created: int = 0
        self.channel_closed: int = 0
        self.queue_declared: int = 0
        self.queue_created: int = 0
        self.queue_deleted: int = 0

    def count_connection_created(self) -> None:
        self.connection_created += 1

    def count_connection_closed(self) -> None:
        self.connection_closed += 1

    def count_channel_created(self) -> None:
        self.channel_created += 1

    def count_channel_closed(self) -> None:
        self.channel_closed += 1

    def counters(self) -> tuple[int, ...]:
        return (
            self.channel_closed,
            self.channel_created,
            self.connection_closed,
            self.connection_created,
            self.queue_created,
            self.queue_declared,
            self.queue_deleted,
        )


class AuthAttempts:
    """Login attempts by protocol: `amqp091`, `http`."""

    def __init__(self) -> None:
        self.succeeded: dict[str, int] = {}
        self.failed: dict[str, int] = {}

    def count(self, protocol: str, succeeded: bool) -> None:
        counts = self.succeeded if succeeded else self.failed
        counts[protocol] = counts.get(protocol, 0) + 1

    def reset(self) -> None:
        """Reset all counts to 0."""
        self.succeeded.clear()
        self.failed.clear()


class BrokerTotals:
    """Counts that outlive the objects that they belong to.

    traffic: of all channels. byte_totals: of all connections. queues: of all queues, by kind. dead_letters: (kind of
    the queue that a message left, strategy, reason) -> count, in RabbitMQ's words: at_most_once, at_least_once, or
    disabled if there is no dead letter exchange; expired, rejected, maxlen, delivery_limit. deduplicated_by_queues,
    deduplicated_by_exchanges: dropped duplicates. replaced: messages that newer ones replaced.
    redrives: number of redrives that were started. redriven, not_redriven: messages that they moved, and that they
    could not move.
    """

    def __init__(self, kinds: Iterable[str]) -> None:
        """kinds: names of the kinds of queues."""
        self.traffic = Totals(CHANNEL_COUNTERS)
        self.byte_totals = Totals(CONNECTION_COUNTERS)
        self.queues: dict[str, Totals] = {kind: Totals(QUEUE_COUNTERS) for kind in kinds}
        self.dead_letters: dict[tuple[str, str, str], int] = {}
        self.churn = Churn()
        self.auth_attempts = AuthAttempts()
        self.deduplicated_by_queues: int = 0
        self.replaced: int = 0
        self.deduplicated_by_exchanges: int = 0
        self.redrives: int = 0
        self.redriven: int = 0
        self.not_redriven: int = 0

    def count_deduplicated_by_queue(self) -> None:
        self.deduplicated_by_queues += 1

    def count_replaced(self, count: int) -> None:
        self.replaced += count

    def count_redrive(self) -> None:
        self.redrives += 1

    def count_redriven(self, moved: bool) -> None:
        if moved:
            self.redriven += 1
        else:
            self.not_redriven += 1

    def count_deduplicated_by_exchange(self) -> None:
        self.deduplicated_by_exchanges += 1
