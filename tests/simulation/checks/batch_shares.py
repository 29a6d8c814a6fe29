"""Work for batches in one event loop iteration: messages about them, and members that are removed."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from amqpbroker.broker.batches.batch import Batch
from amqpbroker.broker.batches.batches import Batches

if TYPE_CHECKING:
    from tests.simulation.broker_process import BrokerProcess


class BatchShares:
    """Batches that waited at the end of the iteration before.

    due: batches with events whose messages are to be sent. complete: those with members to be removed, and the numbers
    of these members.
    """

    def __init__(self, process: "BrokerProcess") -> None:
        self._process = process
        self._due: dict[Batches, list[Batch]] = {}
        self._complete: dict[Batches, dict[Batch, int]] = {}

    def check(self) -> Iterator[str]:
        """Yield everything that has exceeded its limit since the last call."""
        due, complete = self._due, self._complete
        self._due, self._complete = {}, {}
        for vhost in self._process.broker.vhosts.values():
            batches = vhost.batches
            if batches is None:
                continue
            if batches in due:
                yield from self._sent(batches, due[batches])
            if batches in complete:
                yield from self._removed(batches, complete[batches])
            if batches._due._waiting:
                self._due[batches] = list(batches._due._waiting)
            if batches._succeeded_members._waiting:
                self._complete[batches] = batches._succeeded_members._waiting.copy()

    def _sent(self, batches: Batches, before: list[Batch]) -> Iterator[str]:
        waiting = batches._due
        sent = [
            each
            for each in before
            if not (each in waiting._waiting or each in waiting._refused) and batches.find(each.id) is each
        ]
        if len(sent) > self._process.broker.config.bounds.batch_events:
            yield f"messages about {len(sent)} batches are sent in one iteration"

    def _removed(self, batches: Batches, before: dict[Batch, int]) -> Iterator[str]:
        waiting = batches._succeeded_members._waiting
        removed = sum(
            count - min(waiting.get(each, 0), count) for each, count in before.items() if batches.find(each.id) is each
        )
        if removed > self._process.broker.config.bounds.batch_removals:
            yield f"{removed} members of complete batches are removed in one iteration"
