"""Work that is done in slices: rows and messages of HTTP requests, samples, redrives, and sweeps of bindings."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from amqpbroker.broker.binding_cleanup import Job
from amqpbroker.broker.exchanges.exchange import Binding, Exchange
from amqpbroker.broker.redrive.redrive import Redrive
from amqpbroker.broker.vhost import Vhost
from amqpbroker.metrics.page import SAMPLES_PER_ROW
from tests.simulation.checks.memory import MESSAGE_BYTES
from tests.simulation.counted_rows import COUNTED, COUNTS, GOT, GOT_BYTES, LABELLED, SAMPLED

if TYPE_CHECKING:
    from tests.simulation.broker_process import BrokerProcess

#: Kinds of rows of which a request handles more than `rows` in an iteration.
MULTIPLES = {LABELLED: SAMPLES_PER_ROW, SAMPLED: SAMPLES_PER_ROW}


class SliceShares:
    """Redrives and sweeps at the end of the iteration before.

    redrives: number of visited messages of those that ran. sweeps: bindings that were still to be removed.
    """

    def __init__(self, process: "BrokerProcess") -> None:
        self._process = process
        self._redrives: dict[Redrive, int] = {}
        self._sweeps: dict[Vhost, dict[Job, list[Binding]]] = {}
        COUNTS.clear()

    def check(self) -> Iterator[str]:
        """Yield everything that has exceeded its limit since the last call."""
        if COUNTS:
            yield from self._handled()
        if self._redrives:
            yield from self._redriven()
        if self._sweeps:
            yield from self._swept()
        for vhost in self._process.broker.vhosts.values():
            if vhost.redrives.running:
                for queue in vhost.queues:
                    task = vhost.redrives.current(queue)
                    if task is not None:
                        self._redrives[task] = _visited(task)
            if vhost._sweep._jobs:
                self._sweeps[vhost] = {job: list(job.bindings) for job in vhost._sweep._jobs}

    def _handled(self) -> Iterator[str]:
        bounds = self._process.broker.config.bounds
        most = {GOT: bounds.slice_count, GOT_BYTES: bounds.slice_bytes + MESSAGE_BYTES, COUNTED: bounds.samples}
        for (task, kind, _), count in COUNTS.items():
            if count > most.get(kind, bounds.rows * MULTIPLES.get(kind, 1)):
                by = "" if task is None else " by a request"
                yield f"{count} {kind}{by} in one iteration"
        COUNTS.clear()

    def _redriven(self) -> Iterator[str]:
        most = self._process.broker.config.bounds.slice_count
        for task, before in self._redrives.items():
            if _visited(task) - before > most:
                yield f"a redrive of {task.source} visits {_visited(task) - before} messages in one iteration"
        self._redrives.clear()

    def _swept(self) -> Iterator[str]:
        most = self._process.broker.config.bounds.binding_removals
        for vhost, jobs in self._sweeps.items():
            if self._process.broker.vhosts.get(vhost.name) is not vhost:
                continue
            removed = [each for job, bindings in jobs.items() for each in bindings if each not in job.bindings]
            if len(removed) > most and sum(not _may_return(vhost, each) for each in removed) > most:
                yield f"{len(removed)} bindings of deleted objects of {vhost.name} are removed in one iteration"
        self._sweeps.clear()


def _visited(task: Redrive) -> int:
    return task.moved + task.failed + task.skipped


def _may_return(vhost: Vhost, binding: Binding) -> bool:
    """Return whether a removed binding may have been created again, which removes the old one at once."""
    others = vhost.exchanges if isinstance(binding.destination, Exchange) else vhost.queues
    return not binding.source.closed and binding.destination.name in others
