"""The queues that would take the dead letters of one queue, of which earlier ones may not have been sent yet."""

from typing import final

from amqpbroker.broker.exchanges.destination import Demand, Destination
from amqpbroker.broker.queues.deadletter import DeadLetters
from amqpbroker.broker.queues.entry import Entry


@final
class LetterTakers:
    """Says whether any destination takes a dead letter."""

    def __init__(self, dead_letters: DeadLetters) -> None:
        self._dead_letters = dead_letters
        #: By destination, the letters that are not sent yet.
        self._demands: dict[Destination, Demand] = {}

    def may_take(self, entry: Entry, reason: str) -> bool:
        """Return whether a dead letter of an entry reaches a destination that accepts it, if it is sent next."""
        letters, demands = self._dead_letters, self._demands
        if not letters.waiting:
            demands.clear()
        letter, destinations = letters.preview(entry, reason)
        found = False
        for destination in destinations:
            if destination.closed:
                continue
            demand = demands.get(destination)
            if demand is None:
                demand = demands[destination] = destination.new_demand()
            demand.add(letter)
            found = found or not demand.is_refused()
        return found
