"""Batches of a simulated leader: each appends one message, and settles the oldest ones when there are many."""

import random
from functools import lru_cache

from amqpbroker.broker.exchanges.held import HeldCopy
from amqpbroker.message.message import Message
from amqpbroker.store import record
from amqpbroker.store.groups import Groups
from amqpbroker.store.journal.journal import Journal
from amqpbroker.store.log import Batch
from amqpbroker.store.recovered import Recovered
from amqpbroker.wire.frames import lone_content
from tests.simulation.database.ledger import Attempt

SEGMENT_BYTES = 1_500
SIZES = (20, 20, 200, 700)
#: Number of live messages from which the oldest are settled.
MOST = 8
_HOLDER = 1


class Batches:
    """The live messages of one leader. found: by its recovery."""

    def __init__(self, journal: Journal, found: Recovered, chance: random.Random) -> None:
        self._journal = journal
        self._chance = chance
        copies = found.copies.get(_HOLDER)
        #: Message -> its position.
        self._live = dict(zip(copies.sequences, copies.positions, strict=True)) if copies is not None else {}

    @property
    def live(self) -> list[int]:
        return list(self._live)

    def make(self, sequence: int) -> tuple[Attempt, Batch]:
        """Return the next batch, with this message, and what is in it."""
        journal = self._journal
        size = self._chance.choice(SIZES)
        copy = HeldCopy(Message(b"\0\1q", None, None, size, _content(size), 1), _HOLDER, sequence, 0)
        groups = Groups(journal.next_position())
        part_bytes = groups.add_lone(copy)
        journal.living.add([copy.position], [part_bytes])
        settled = list(self._live)[:-MOST] if len(self._live) > MOST + self._chance.randrange(MOST) else []
        parts = groups.take()
        if settled:
            positions = [self._live.pop(number) for number in settled]
            journal.living.settle(positions)
            payload = record.settle(positions)
            parts += [record.group(payload), payload]
        self._live[sequence] = copy.position
        return Attempt(sequence, tuple(settled)), journal.batch(parts)


@lru_cache
def _content(size: int) -> bytes:
    return lone_content(1, b"\0\0", [bytes(size)], size)
