"""A message's deaths as tables of plain values: a slow equivalent of `Deaths`, which stores and encodes bytes."""

from dataclasses import dataclass, replace

from amqpbroker.message.message import Message
from amqpbroker.wire.properties import decode_properties
from amqpbroker.wire.values import Field, Table, longstr, text


@dataclass(frozen=True)
class Death:
    """All deaths in one queue for one reason: the properties of the first one, and the number of all."""

    queue: str
    reason: str
    count: int = 1
    time_s: int = 1
    exchange: str = "x"
    routing_keys: tuple[bytes, ...] = (b"k1", b"k2")
    expiration_ms: int = -1

    def table(self) -> Table:
        table: Table = {}
        if self.expiration_ms >= 0:
            table["original-expiration"] = longstr(str(self.expiration_ms))
        table["count"] = Field("l", self.count)
        table["reason"] = longstr(self.reason)
        table["queue"] = longstr(self.queue)
        table["time"] = Field("T", self.time_s)
        table["exchange"] = longstr(self.exchange)
        table["routing-keys"] = Field("A", [longstr(key) for key in self.routing_keys])
        return table


@dataclass(frozen=True)
class History:
    """All deaths of a message: by queue and reason, the most recent first; the first and the last of all."""

    entries: tuple[Death, ...]
    first: Death
    last: Death

    def headers(self) -> Table:
        headers: Table = {"x-death": Field("A", [Field("F", death.table()) for death in self.entries])}
        for name, death in (("first", self.first), ("last", self.last)):
            headers[f"x-{name}-death-exchange"] = longstr(death.exchange)
            headers[f"x-{name}-death-queue"] = longstr(death.queue)
            headers[f"x-{name}-death-reason"] = longstr(death.reason)
        return headers

    def is_cycle(self, queue: str) -> bool:
        for death in self.entries:
            if death.reason == "rejected":
                return False
            if death.queue == queue:
                return True
        return False


def history(*deaths: Death) -> History:
    """Return the history of deaths in the order in which they happened."""
    entries: tuple[Death, ...] = ()
    for death in deaths:
        known = [entry for entry in entries if (entry.queue, entry.reason) == (death.queue, death.reason)]
        entry = replace(known[0], count=known[0].count + 1) if known else death
        entries = (entry, *[other for other in entries if other not in known])
    return History(entries, deaths[0], deaths[-1])


def deaths_of(message: Message) -> list[Death]:
    """Return the deaths in x-death, the most recent death first."""
    tables = [field.value for field in decode_properties(message.properties)["headers"]["x-death"].value]
    return [
        Death(
            text(table["queue"].value),
            text(table["reason"].value),
            table["count"].value,
            table["time"].value,
            text(table["exchange"].value),
            tuple(key.value for key in table["routing-keys"].value),
            int(table["original-expiration"].value) if "original-expiration" in table else -1,
        )
        for table in tables
    ]
