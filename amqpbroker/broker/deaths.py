"""The broker's own record of a message's dead-letterings, and the headers that show it to consumers."""

from dataclasses import dataclass, field, replace

from amqpbroker.wire.values import Field, Table, encode_table, longstr, text


@dataclass(frozen=True, slots=True)
class Death:
    """All the deaths in one queue for one reason.

    reason: rejected, expired, maxlen or delivery_limit. exchange, routing_keys (CC keys included, BCC keys not), time_s
    (since the epoch) and expiration_ms (-1 for none) are those of the first of them.
    """

    queue: str
    reason: str
    count: int
    time_s: int
    exchange: str
    routing_keys: tuple[bytes, ...]
    expiration_ms: int


@dataclass(slots=True)
class Deaths:
    """Dead-letterings of one message. Immutable; several messages may refer to the same record.

    entries: the most recent death first. first, last: the deaths in the x-first-death and x-last-death headers.

    Source: mc:record_death, mc_amqpl:deaths_to_headers of RabbitMQ 4.0.
    """

    entries: tuple[Death, ...]
    first: Death
    last: Death
    _encoded: bytes = field(default=b"", init=False, compare=False, repr=False)

    def encoded(self) -> bytes:
        """Return the entries of `headers` as in a field table on the wire, sorted by name."""
        if not self._encoded:
            self._encoded = encode_table(self.headers())[4:]
        return self._encoded

    def headers(self) -> Table:
        """x-death and the six headers beside it."""
        return {
            "x-death": Field("A", [Field("F", _entry(death)) for death in self.entries]),
            "x-first-death-exchange": longstr(self.first.exchange),
            "x-first-death-queue": longstr(self.first.queue),
            "x-first-death-reason": longstr(self.first.reason),
            "x-last-death-exchange": longstr(self.last.exchange),
            "x-last-death-queue": longstr(self.last.queue),
            "x-last-death-reason": longstr(self.last.reason),
        }

    def is_cycle(self, queue_name: str) -> bool:
        """Whether the message would come back to a queue that it died in, with no rejection since (mc:is_death_cycle).

        A rejection in that queue itself, or in one after it, means that a client had a hand in it.
        """
        for death in self.entries:
            if death.reason == "rejected":
                return False
            if death.queue == queue_name:
                return True
        return False


#: First and last name, in sort order, of the headers that record deaths.
FIRST_HEADER = b"x-death"
LAST_HEADER = b"x-last-death-reason"


def recorded(deaths: Deaths | None, death: Death) -> Deaths:
    """The record with one more death, `death.count` being 1."""
    if deaths is None:
        return Deaths((death,), death, death)
    entries = deaths.entries
    entry = death
    for place, known in enumerate(entries):
        if known.queue == death.queue and known.reason == death.reason:
            entry = replace(known, count=known.count + 1)
            entries = entries[:place] + entries[place + 1 :]
            break
    return Deaths((entry, *entries), deaths.first, death)


def recovered(headers: Table) -> Deaths:
    """The record from the headers that `Deaths.headers` gave: what is stored of a message is enough."""
    entries = tuple(_death(field.value) for field in headers["x-death"].value)
    return Deaths(entries, _named(headers, "x-first-death"), _named(headers, "x-last-death"))


def _entry(death: Death) -> Table:
    """One table of x-death, its fields in RabbitMQ's order."""
    table: Table = {}
    if death.expiration_ms >= 0:
        table["original-expiration"] = longstr(str(death.expiration_ms))
    table["count"] = Field("l", death.count)
    table["reason"] = longstr(death.reason)
    table["queue"] = longstr(death.queue)
    table["time"] = Field("T", death.time_s)
    table["exchange"] = longstr(death.exchange)
    table["routing-keys"] = Field("A", [longstr(key) for key in death.routing_keys])
    return table


def _death(table: Table) -> Death:
    expiration = table.get("original-expiration")
    return Death(
        queue=text(table["queue"].value),
        reason=text(table["reason"].value),
        count=table["count"].value,
        time_s=table["time"].value,
        exchange=text(table["exchange"].value),
        routing_keys=tuple(key.value for key in table["routing-keys"].value),
        expiration_ms=-1 if expiration is None else int(expiration.value),
    )


def _named(headers: Table, prefix: str) -> Death:
    """What a triple of headers says; the rest of a Death is not in them, and not asked for."""
    queue, reason, exchange = (text(headers[f"{prefix}-{part}"].value) for part in ("queue", "reason", "exchange"))
    return Death(queue, reason, 1, 0, exchange, (), -1)
