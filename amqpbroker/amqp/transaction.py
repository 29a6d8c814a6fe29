"""tx: publishes and acknowledgements that take effect together, or not at all."""

from amqpbroker import errors
from amqpbroker.broker.actions import check_followed
from amqpbroker.broker.deduplication.foreseen_ids import ForeseenIds
from amqpbroker.broker.exchanges.destination import Demand, Destination
from amqpbroker.broker.exchanges.exchange import Exchange
from amqpbroker.broker.queues.entry import Entry
from amqpbroker.broker.tracking.transaction_preview import TransactionPreview
from amqpbroker.broker.users.permissions import Permissions
from amqpbroker.broker.vhost import Vhost
from amqpbroker.message.message import Message

#: Message, destinations, bits of basic.publish, exchange.
Published = tuple[Message, tuple[Destination, ...], int, Exchange]
#: Deliveries by their tags, and how they are settled; see `Unacked.settle`.
Settled = tuple[dict[int, Entry], str]


class Transaction:
    """The operations of a channel since tx.select, the last commit or the last rollback.

    Messages are routed, and errors raised, when they are published; returns are sent at the commit
    (rabbit_channel.erl).
    """

    def __init__(self) -> None:
        self._publishes: list[Published] = []
        self._settled: list[Settled] = []

    @property
    def uncommitted(self) -> int:
        """Number of publishes that wait for the commit."""
        return len(self._publishes)

    @property
    def acks_uncommitted(self) -> int:
        """Number of deliveries that the commit settles."""
        return sum([len(entries) for entries, _ in self._settled])

    def publish(self, message: Message, destinations: tuple[Destination, ...], bits: int, exchange: Exchange) -> None:
        """Add a message with its destinations, which are determined now. bits: those of basic.publish."""
        self._publishes.append((message, destinations, 0 if destinations else bits, exchange))

    def settle(self, entries: dict[int, Entry], how: str) -> None:
        """Add settled deliveries; consecutive ones that are settled alike are merged (rabbit_channel:ack_cons/3)."""
        if self._settled and self._settled[-1][1] == how:
            self._settled[-1][0].update(entries)
        else:
            self._settled.append((entries, how))

    def settled(self) -> list[Entry]:
        """Return the deliveries that the commit settles."""
        return [entry for entries, _ in self._settled for entry in entries.values()]

    def take(self, vhost: Vhost, permissions: Permissions) -> tuple[list[Published], list[Settled]]:
        """Remove and return all operations in order, to be applied now.

        permissions: of the user. Raises AmqpError 406, and does nothing, if a queue would refuse its part of the
        messages, or if members of batches or jobs are to be refused; these also 403 or 404 because of their targets.
        """
        demands, messages = self._foresee()
        for demand in demands:
            if demand.is_refused():
                raise errors.partial_transaction()
        check_followed(vhost, permissions, messages)
        publishes, self._publishes = self._publishes, []
        settled, self._settled = self._settled, []
        return publishes, settled

    def _foresee(self) -> tuple[list[Demand], list[TransactionPreview]]:
        """Return the demands of the messages, one for each destination, and what is going to happen to each message."""
        demands: dict[Destination, Demand] = {}
        messages: list[TransactionPreview] = []
        ids = ForeseenIds()
        for message, destinations, _, _ in self._publishes:
            dropped = bool(destinations)
            stored = False
            for passage in destinations:
                if passage.will_drop(message, ids):
                    continue
                for destination in passage.ends():
                    # A destination that passes nothing on was asked above.
                    if destination is not passage and destination.will_drop(message, ids):
                        continue
                    dropped = False
                    if not destination.instant:
                        stored = True
                    demand = demands.get(destination)
                    if demand is None:
                        demand = demands[destination] = destination.new_demand()
                    demand.add(message)
            messages.append(TransactionPreview(message, dropped, not stored))
        return list(demands.values()), messages

    def rollback(self) -> dict[int, Entry]:
        """Discard all operations; return the deliveries that were settled, by their delivery tags."""
        self._publishes = []
        back: dict[int, Entry] = {}
        for entries, _ in self._settled:
            back.update(entries)
        self._settled = []
        return back
