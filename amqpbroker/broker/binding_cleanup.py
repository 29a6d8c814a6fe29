"""Incremental removal of many bindings of a deleted queue or exchange: invisible at once, removed in slices."""

import logging
from collections import deque
from collections.abc import Callable
from itertools import islice
from typing import Final

from amqpbroker import errors
from amqpbroker.broker.durable import binding_definition, is_durable
from amqpbroker.broker.exchanges.exchange import Binding
from amqpbroker.broker.exchanges.removal import Removal
from amqpbroker.clock import Clock, Timer
from amqpbroker.config.bounds import Bounds
from amqpbroker.store.definitions.definitions import Definitions

log = logging.getLogger(__name__)

#: Delay before bindings are removed again from the definitions after a failure.
RETRY_MS: Final = 1_000


class Job:
    """Bindings of one removal that are still to be removed.

    names: pairs of whether an exchange was deleted, and the name of the deleted exchange or queue. is_stored: the
    definitions may still have the bindings.
    """

    __slots__ = ("actor", "bindings", "is_stored", "names")

    def __init__(self, bindings: dict[Binding, None], names: set[tuple[bool, str]], actor: str) -> None:
        self.bindings = bindings
        self.names = names
        self.actor = actor
        self.is_stored: bool = True


class BindingCleanup:
    """Removes the bindings of a vhost whose source or destination is deleted already.

    Until a binding is removed it is in the tables of its exchange and of its destination, but does not live (see
    `Binding.lives`), and readers of the tables skip it. If the broker ends meanwhile, it removes the remaining bindings
    from its definitions at the next start (`restore`).

    many: a removal of more bindings than this is done in slices.
    """

    def __init__(
        self,
        vhost: str,
        clock: Clock,
        definitions: Definitions,
        bounds: Bounds,
        remove: Callable[[Binding, str], None],
    ) -> None:
        """remove(binding, actor): remove the binding from the tables of source and destination, and emit the event."""
        self.many: int = bounds.many_bindings
        self._most: int = bounds.binding_removals
        self._vhost = vhost
        self._clock = clock
        self._definitions = definitions
        self._remove: Callable[[Binding, str], None] = remove
        self._jobs: deque[Job] = deque()
        self._timer: Timer | None = None

    def begin(self, removal: Removal, names: set[tuple[bool, str]], actor: str) -> None:
        """Start removing the bindings. The deleted exchanges and the deleted queue are closed already."""
        for source, count in removal.by_source.items():
            source.lingering += count
            if source.type.picks and not source.closed:
                source.type.unbind_all([binding for binding in removal.bindings if binding.source is source])
        self._jobs.append(Job(removal.bindings, names, actor))
        if self._timer is None:
            self._timer = self._clock.after(0, self._go_on)

    def finish(self, binding: Binding) -> None:
        """Remove a binding now, because an equal one is created. Raises AmqpError 506 without changing anything."""
        for job in self._jobs:
            if binding in job.bindings:
                self._delete(job, [binding])
                return

    def remove_stored(self, is_exchange: bool, name: str) -> None:
        """Remove the stored bindings of a deleted exchange or queue whose name is reused. Raises AmqpError 506."""
        for job in self._jobs:
            if job.is_stored and (is_exchange, name) in job.names:
                with self._definitions.transaction():
                    for was_exchange, former in job.names:
                        self._definitions.remove_bindings(self._vhost, was_exchange, former)
                job.is_stored = False

    def stop(self) -> None:
        """Stop the removal, because the whole vhost is deleted."""
        self._jobs.clear()
        self._remove = _nothing
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _go_on(self) -> None:
        self._timer = None
        if not self._jobs:
            return
        job = self._jobs[0]
        delay_ms = 0
        try:
            self._delete(job, list(islice(job.bindings, self._most)))
        except errors.AmqpError as error:
            log.warning(
                "cannot remove stored bindings of deleted objects in vhost '%s', will try again: %s", self._vhost, error
            )
            delay_ms = RETRY_MS
        if not job.bindings:
            self._jobs.popleft()
        if self._jobs:
            self._timer = self._clock.after(delay_ms, self._go_on)

    def _delete(self, job: Job, bindings: list[Binding]) -> None:
        if job.is_stored:
            stored = [binding_definition(self._vhost, binding) for binding in bindings if is_durable(binding)]
            if stored:
                self._definitions.remove(*stored)
        for binding in bindings:
            del job.bindings[binding]
            binding.source.lingering -= 1
            self._remove(binding, job.actor)


def _nothing(binding: Binding, actor: str) -> None:
    pass
