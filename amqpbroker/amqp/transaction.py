"""tx: publishes and acknowledgements that take effect together, or not at all."""

from typing import TYPE_CHECKING

from amqpbroker.broker.destination import Destination
from amqpbroker.broker.message import Entry, Message

if TYPE_CHECKING:
    from amqpbroker.amqp.channel import Channel


class Transaction:
    """What a channel has done since tx.select, the last commit or the last rollback.

    Messages are routed, and errors raised, when they are published; returns are sent at the commit
    (rabbit_channel.erl). Nothing here can fail half-way: a commit runs within one call, on the loop's thread.
    """

    def __init__(self, channel: "Channel") -> None:
        self._channel = channel
        self._publishes: list[tuple[Message, tuple[Destination, ...], int]] = []
        self._settled: list[tuple[dict[int, Entry], str]] = []

    def publish(self, message: Message, destinations: tuple[Destination, ...], bits: int) -> None:
        self._publishes.append((message, destinations, bits))

    def settle(self, entries: dict[int, Entry], how: str) -> None:
        self._settled.append((entries, how))

    def commit(self) -> None:
        publishes, self._publishes = self._publishes, []
        settled, self._settled = self._settled, []
        for message, destinations, bits in publishes:
            self._channel.place(message, destinations, bits)
        for entries, how in settled:
            self._channel.settle(entries, how)

    def rollback(self) -> None:
        """Forget the publishes; what was acknowledged is outstanding again, under its old delivery tags."""
        self._publishes = []
        back: dict[int, Entry] = {}
        for entries, _ in self._settled:
            back.update(entries)
        self._settled = []
        back.update(self._channel.unacked)
        self._channel.unacked = dict(sorted(back.items()))
