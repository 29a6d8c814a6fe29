"""tx: publishes and acknowledgements that take effect together, or not at all."""

from typing import TYPE_CHECKING

from amqpbroker import errors
from amqpbroker.broker.exchanges.destination import Destination
from amqpbroker.broker.exchanges.exchange import Exchange
from amqpbroker.broker.queues.entry import Entry
from amqpbroker.message.message import Message

if TYPE_CHECKING:
    from amqpbroker.amqp.channel import Channel


class Transaction:
    """What a channel has done since tx.select, the last commit or the last rollback.

    Messages are routed, and errors raised, when they are published; returns are sent at the commit
    (rabbit_channel.erl). A commit runs within one call, on the loop's thread, and what could refuse a part of it is
    asked before: unlike RabbitMQ's, it is all or nothing across queues.
    """

    def __init__(self, channel: "Channel") -> None:
        self._channel = channel
        self._publishes: list[tuple[Message, tuple[Destination, ...], int, Exchange]] = []
        self._settled: list[tuple[dict[int, Entry], str]] = []

    @property
    def uncommitted(self) -> int:
        """How many publishes wait for the commit."""
        return len(self._publishes)

    @property
    def acks_uncommitted(self) -> int:
        """How many deliveries are settled once it comes."""
        return sum([len(entries) for entries, _ in self._settled])

    def publish(self, message: Message, destinations: tuple[Destination, ...], bits: int, exchange: Exchange) -> None:
        """Where a message goes, and whether it goes anywhere, is decided now (bits: those of basic.publish)."""
        self._publishes.append((message, destinations, 0 if destinations else bits, exchange))

    def settle(self, entries: dict[int, Entry], how: str) -> None:
        """What is settled alike one after the other is settled at once (rabbit_channel:ack_cons/3)."""
        if self._settled and self._settled[-1][1] == how:
            self._settled[-1][0].update(entries)
        else:
            self._settled.append((entries, how))

    def settled(self) -> list[Entry]:
        """What is settled once it is committed."""
        return [entry for entries, _ in self._settled for entry in entries.values()]

    def commit(self) -> None:
        """Raises AmqpError 406, and has done nothing, if a queue would refuse its share of the messages."""
        for destination, (count, size) in self._demands().items():
            if destination.refuses(count, size):
                raise errors.partial_transaction()
        publishes, self._publishes = self._publishes, []
        settled, self._settled = self._settled, []
        store = self._channel.vhost.store
        store.begin()
        try:
            for message, destinations, bits, exchange in publishes:
                left = tuple([destination for destination in destinations if not destination.closed])
                self._channel.place(message, left, bits, self._channel.tally.outlet(exchange))
            for entries, how in settled:
                self._channel.settle(dict(sorted(entries.items())), how)
        finally:
            store.end()

    def _demands(self) -> dict[Destination, tuple[int, int]]:
        """How many messages, and of how many octets, each destination is to take."""
        demands: dict[Destination, tuple[int, int]] = {}
        for message, destinations, _, _ in self._publishes:
            for destination in destinations:
                count, size = demands.get(destination, (0, 0))
                demands[destination] = count + 1, size + message.size
        return demands

    def rollback(self) -> None:
        """Forget the publishes; what was acknowledged is outstanding again, under its old delivery tags."""
        self._publishes = []
        back: dict[int, Entry] = {}
        for entries, _ in self._settled:
            back.update(entries)
        self._settled = []
        back.update(self._channel.unacked)
        self._channel.unacked = dict(sorted(back.items()))
