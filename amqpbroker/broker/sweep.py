"""Many bindings of something that is deleted: gone for everybody at once, and removed a slice at a time."""

import logging
from collections import deque
from collections.abc import Callable
from itertools import islice
from typing import Final

from amqpbroker import errors
from amqpbroker.broker.durable import binding_definition, is_durable
from amqpbroker.broker.exchange import Binding
from amqpbroker.broker.removal import Removal
from amqpbroker.clock import Clock, Timer
from amqpbroker.store.definitions import Definitions

log = logging.getLogger(__name__)

#: A removal of more bindings than this is swept.
MANY: Final = 1_000
#: How many bindings are removed at a time.
SLICE: Final = 100
#: How long to wait before the definitions are asked again to forget bindings, where they could not.
RETRY_MS: Final = 1_000


class Job:
    """The bindings of one removal that are still to be removed.

    names: of what was deleted, each with whether it is an exchange. is_stored: the definitions may still have them.
    """

    __slots__ = ("actor", "bindings", "is_stored", "names")

    def __init__(self, bindings: dict[Binding, None], names: set[tuple[bool, str]], actor: str) -> None:
        self.bindings = bindings
        self.names = names
        self.actor = actor
        self.is_stored: bool = True


class Sweep:
    """Removes the bindings of a vhost whose source or destination is deleted already.

    Until a binding is removed it is in the tables of its exchange and of its destination, but does not live (see
    `Binding.lives`); whoever looks passes it over. A broker that ends meanwhile finds the rest in its definitions, and
    removes it at its start (`restore`).
    """

    def __init__(
        self, vhost: str, clock: Clock, definitions: Definitions, remove: Callable[[Binding, str], None]
    ) -> None:
        """remove(binding, actor): take the binding out of the tables of its two ends, and tell of it."""
        self._vhost = vhost
        self._clock = clock
        self._definitions = definitions
        self._remove: Callable[[Binding, str], None] = remove
        self._jobs: deque[Job] = deque()
        self._timer: Timer | None = None

    def begin(self, removal: Removal, names: set[tuple[bool, str]], actor: str) -> None:
        """Remove these from now on. What was deleted is closed already."""
        for source, count in removal.by_source.items():
            source.lingering += count
            if source.type.picks and not source.closed:
                source.type.unbind_all([binding for binding in removal.bindings if binding.source is source])
        self._jobs.append(Job(removal.bindings, names, actor))
        if self._timer is None:
            self._timer = self._clock.after(0, self._go_on)

    def finish(self, binding: Binding) -> None:
        """Remove one now, as another takes its place. Raises AmqpError 506, after which all is as before."""
        for job in self._jobs:
            if binding in job.bindings:
                self._forget(job, [binding])
                return

    def settle(self, is_exchange: bool, name: str) -> None:
        """See to it that nothing is stored of former bindings of a name that is given anew. Raises AmqpError 506."""
        for job in self._jobs:
            if job.is_stored and (is_exchange, name) in job.names:
                with self._definitions.transaction():
                    for was_exchange, former in job.names:
                        self._definitions.remove_bindings(self._vhost, was_exchange, former)
                job.is_stored = False

    def stop(self) -> None:
        """Remove nothing from now on: the vhost is gone, and everything with it."""
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
            self._forget(job, list(islice(job.bindings, SLICE)))
        except errors.AmqpError as error:
            log.warning("bindings of what was deleted in vhost '%s' are still stored: %s", self._vhost, error)
            delay_ms = RETRY_MS
        if not job.bindings:
            self._jobs.popleft()
        if self._jobs:
            self._timer = self._clock.after(delay_ms, self._go_on)

    def _forget(self, job: Job, bindings: list[Binding]) -> None:
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
