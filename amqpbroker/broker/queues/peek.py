"""Reads the messages of a queue without changing anything: no message is locked, counted, marked or expired."""

import heapq
from collections.abc import Callable
from typing import Final, NamedTuple, final

from amqpbroker.broker.queues.entry import Entry
from amqpbroker.broker.queues.lines.ready_line import place_at, rank_and_sequence
from amqpbroker.broker.queues.queue import Queue

READY: Final = "ready"
UNACKED: Final = "unacked"
DELAYED: Final = "delayed"
#: Ready messages that are not delivered, because their message group has stopped.
PARKED: Final = "parked"
#: States of messages that can be read.
STATES: Final = (READY, UNACKED, DELAYED, PARKED)


class Place(NamedTuple):
    """Place of a message among those of its state. It exists whether the message is still there or not.

    rank: part of the ready line, due time by the wall clock of a delayed message, or 0. sequence: position in the
    queue, which a message keeps.
    """

    rank: int
    sequence: int


#: The place before all messages.
START: Final = Place(0, 0)


class Peeked(NamedTuple):
    """A message that was read. due_ms: when a delayed message is ready, by the wall clock; 0 for others."""

    entry: Entry
    place: Place
    due_ms: int


@final
class Peek:
    """The messages of one state in one queue.

    Ready messages are in the order in which they leave, delayed ones in the order of their due times, unacknowledged
    and parked ones in the order of their positions.
    """

    def __init__(self, queue: Queue, state: str, held: Callable[[Queue], list[Entry]]) -> None:
        """state: one of STATES. held(queue): returns the messages of a queue that clients hold."""
        self._queue = queue
        self._held = held
        reads = {READY: self._ready, UNACKED: self._unacked, DELAYED: self._delayed, PARKED: self._parked}
        self._read = reads[state]

    def following(self, place: Place, count: int) -> list[Peeked]:
        """Return up to `count` messages behind a place, in order.

        There may be fewer than `count`, but none only if there is none behind the place. Raises UnreadableError.
        """
        return self._read(place, count)

    def _ready(self, place: Place, count: int) -> list[Peeked]:
        found = self._queue.ready_following(place_at(place.rank, place.sequence), count)
        return [Peeked(entry, Place(*rank_and_sequence(each)), 0) for each, entry in found]

    def _unacked(self, place: Place, count: int) -> list[Peeked]:
        if self._queue.kind.retains:
            return []  # they stay ready
        behind = [entry for entry in self._held(self._queue) if entry.sequence > place.sequence]
        first = heapq.nsmallest(count, behind, key=lambda entry: entry.sequence)
        return [Peeked(entry, Place(0, entry.sequence), 0) for entry in first]

    def _delayed(self, place: Place, count: int) -> list[Peeked]:
        found = self._queue.delayed_following(place.rank, place.sequence, count)
        return [Peeked(entry, Place(due_ms, entry.sequence), due_ms) for due_ms, entry in found]

    def _parked(self, place: Place, count: int) -> list[Peeked]:
        found = self._queue.parked_following(place.sequence, count)
        return [Peeked(entry, Place(0, entry.sequence), 0) for entry in found]
