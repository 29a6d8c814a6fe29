"""Division of a source's parts among those of a target, where ids and numbers are given anew.

Ids of queues, exchanges, batches and jobs are unique within a part, so those of two parts may be equal.
"""

from collections.abc import Mapping
from functools import partial
from typing import Final, NamedTuple

from amqpbroker.store import keys
from amqpbroker.store.copying.interfaces import Part
from amqpbroker.store.copying.writing import JournalWriter
from amqpbroker.store.definitions.definitions import Definition, ExchangeDefinition, QueueDefinition
from amqpbroker.store.log import StoreError
from amqpbroker.store.record import BATCHES_ID, JOBS_ID, MAX_ID
from amqpbroker.store.recovered import Recovered

#: Definitions of a part that are written at once.
_AT_ONCE: Final = 1000


class Merging:
    """One part of the target, with what it gets from the parts of the source.

    part: where it is written. journal: for its messages. definitions: number of its queues, exchanges, bindings and
    offsets. numbers: holder of id records of batches or jobs -> the greatest number of its records.
    """

    def __init__(self, part: Part) -> None:
        """Raises OSError."""
        self.part: Part = part
        part.files.make_directory(part.streams)
        self.journal = JournalWriter(part)
        self.numbers: dict[int, int] = {BATCHES_ID: 0, JOBS_ID: 0}
        self.definitions: int = 0
        self._last_id: int = 0
        #: The last id that nothing has.
        self._unused_id: int = 0
        self._waiting: list[Definition] = []

    def new_id(self) -> int:
        """Return an id for a queue or an exchange. Raises StoreError."""
        if self._last_id >= MAX_ID:
            raise StoreError(f"{self.part.name}: there are more than {MAX_ID} queues and exchanges")
        self._last_id += 1
        return self._last_id

    def unused_id(self) -> int:
        """Return an id that no queue or exchange has or is going to have. Raises StoreError."""
        self._unused_id = self.new_id()
        return self._unused_id

    def reach(self, holder_id: int, number: int) -> None:
        """Record the number of a record of batches or jobs."""
        self.numbers[holder_id] = max(self.numbers[holder_id], number)

    def add(self, definition: Definition) -> None:
        """Write a definition, later. Raises OSError, StoreError."""
        self.definitions += 1
        self._waiting.append(definition)
        if len(self._waiting) >= _AT_ONCE:
            self._write()

    def finish(self) -> None:
        """Write what is left. Raises OSError, StoreError."""
        self.journal.close()
        self._write()
        if self._unused_id and self._unused_id == self._last_id:
            # A later queue must not get it.
            definitions, last = self.part.definitions, QueueDefinition("", "", self._last_id, False, b"")
            with definitions.transaction():
                definitions.put(last)
                definitions.remove(last)
            definitions.sync()

    def _write(self) -> None:
        if self._waiting:
            self.part.definitions.put(*self._waiting)
            self.part.definitions.sync()
            self._waiting.clear()


class Taken(NamedTuple):
    """An id record in the target. See `MessageIdRecord` for the fields."""

    to: Merging
    holder_id: int
    sequence: int
    key: bytes


class Division:
    """One part of the source: where its objects and its records go. Objects of vhosts that do not exist go nowhere."""

    def __init__(self, targets: Mapping[str, Merging]) -> None:
        """targets: by vhost."""
        self._targets = targets
        self._holders: dict[int, tuple[Merging, int]] = {}
        #: Numbers of batches and jobs -> where they go.
        self._owners: dict[int, dict[int, Merging]] = {BATCHES_ID: {}, JOBS_ID: {}}
        #: Added to the numbers of batches and jobs: the greatest ones of the parts before this one.
        self._shifts: dict[Merging, dict[int, int]] = {}
        #: New ids of queues that exist no longer, for jobs that have been there.
        self._gone: dict[tuple[Merging, int], int] = {}

    def add(self, definition: Definition) -> None:
        """Add an exchange, a queue, a binding or an offset, in the order of their kinds. Raises OSError, StoreError."""
        to = self._targets.get(getattr(definition, "vhost", ""))
        if to is None:
            return
        if isinstance(definition, QueueDefinition | ExchangeDefinition) and definition.id:
            new = to.new_id()
            self._holders[definition.id] = (to, new)
            definition = definition._replace(id=new)
        to.add(definition)

    def know(self, found: Recovered) -> None:
        """Learn the batches and jobs of this part."""
        for holder_id, first in ((BATCHES_ID, keys.BATCH), (JOBS_ID, keys.JOB)):
            ids = found.ids.get(holder_id)
            if ids is None:
                continue
            for key, number in zip(ids.keys, ids.sequences, strict=True):
                to = self._targets.get(keys.vhost_of(key)) if key.startswith(first) else None
                if to is not None:
                    self._owners[holder_id][number] = to

    def holder(self, holder_id: int) -> tuple[Merging, int] | None:
        """Return where the copies of a queue or exchange go, and its id there; None if it does not exist."""
        return self._holders.get(holder_id)

    def taken(self, holder_id: int, sequence: int, key: bytes) -> Taken | None:
        """Return what becomes of an id record, None if its holder does not exist. Raises StoreError."""
        if holder_id not in self._owners:
            found = self._holders.get(holder_id)
            return None if found is None else Taken(*found, sequence, key)
        is_owner = key.startswith((keys.BATCH, keys.JOB))
        owner = sequence if is_owner else keys.owner_of(key)
        to = self._owners[holder_id].get(owner)
        if to is None:
            return None
        if to not in self._shifts:
            self._shifts[to] = to.numbers.copy()
        shift = self._shifts[to][holder_id]
        if not is_owner:
            key = keys.with_owner(key, owner + shift)
        elif holder_id == JOBS_ID:
            key = keys.with_places(key, partial(self._place, to))
        to.reach(holder_id, sequence + shift)
        return Taken(to, holder_id, sequence + shift, key)

    def _place(self, to: Merging, holder_id: int) -> int:
        """Return the id of a queue or exchange in which a job has a copy; a new one if it exists no longer."""
        found = self._holders.get(holder_id)
        if not holder_id:
            return 0
        if found is not None and found[0] is to:
            return found[1]
        new = self._gone.get((to, holder_id))
        if new is None:
            new = self._gone[to, holder_id] = to.unused_id()
        return new
