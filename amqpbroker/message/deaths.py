"""The broker's record of a message's dead-letterings: x-death and the six related headers, as bytes.

Source: mc:record_death, mc:is_death_cycle, mc_amqpl:deaths_to_headers of RabbitMQ 4.0.
"""

from typing import Final

from mypy_extensions import i32, i64, mypyc_attr

from amqpbroker.octets import BytesWriter, read_i64_be, write_i32_be, write_i64_be
from amqpbroker.wire.property_edit import headers_between, without_header
from amqpbroker.wire.raw_headers import find_header, header, headers_start, value_end
from amqpbroker.wire.values import INTEGER_KINDS

#: Header of a followed message that was redriven with its history: its number of rejections up to then.
REDRIVEN_REJECTIONS: Final = "x-redriven-rejections"

# Names of headers and fields: length, name, type of the value.
_X_DEATH: Final = b"\x07x-deathA"
_FIRST_EXCHANGE: Final = b"\x16x-first-death-exchangeS"
_FIRST_QUEUE: Final = b"\x13x-first-death-queueS"
_FIRST_REASON: Final = b"\x14x-first-death-reasonS"
_LAST_EXCHANGE: Final = b"\x15x-last-death-exchangeS"
_LAST_QUEUE: Final = b"\x12x-last-death-queueS"
_LAST_REASON: Final = b"\x13x-last-death-reasonS"

_ORIGINAL_EXPIRATION: Final = b"\x13original-expirationS"
_COUNT: Final = b"\x05countl"
_REASON: Final = b"\x06reasonS"
_QUEUE: Final = b"\x05queueS"
_TIME: Final = b"\x04timeT"
_EXCHANGE: Final = b"\x08exchangeS"
_ROUTING_KEYS: Final = b"\x0crouting-keysA"

#: Offset of the type of a value from the start of its field; sizes in bytes of a count, and of the part before a
#: string's bytes.
_ORIGINAL_EXPIRATION_TYPE: Final = 20
_REASON_TYPE: Final = 7
_QUEUE_TYPE: Final = 6
_COUNT_BYTES: Final = 15
_REASON_BYTES: Final = 12
_QUEUE_BYTES: Final = 11
_EXPIRATION_BYTES: Final = 25
#: Size of a table without an original expiration, with empty strings and no routing keys.
_TABLE_BYTES: Final = 84

#: Tables that are larger than this (about twenty of them) are searched for a field as a whole before they are parsed
#: one by one.
_MANY: Final = 2048


@mypyc_attr(acyclic=True)
class Deaths:
    """The deaths of one message."""

    __slots__ = ("_first", "_last", "_tables")

    def __init__(self, properties: bytes = b"\0\0") -> None:
        """Read the deaths from these properties, whose headers were written by `headers`."""
        #: The tables of x-death, one for each queue and reason; the most recent comes first.
        self._tables: bytes = b""
        self._first: bytes = b""
        self._last: bytes = b""
        headers = headers_between(properties, _X_DEATH, _FIRST_REASON)
        at: i64 = 0
        end: i64 = len(headers)
        while at < end:
            value: i64 = at + 1 + i64(headers[at])
            stop: i64 = value_end(headers, value)
            name = headers[at : value + 1]
            if name == _X_DEATH:
                self._tables = headers[value + 5 : stop]
            elif name in (_FIRST_EXCHANGE, _FIRST_QUEUE, _FIRST_REASON):
                self._first += headers[at:stop]
            at = stop

    def add(
        self,
        queue: bytes,
        reason: bytes,
        time_s: i64,
        exchange: bytes,
        routing_keys: tuple[bytes, ...],
        expiration_ms: int,
    ) -> None:
        """Record a death. A repeated death in the same queue for the same reason keeps the details of the first one.

        reason: rejected, expired, maxlen or delivery_limit. time_s: seconds since the epoch. exchange, routing_keys: of
        the publish, including CC keys but not BCC keys. expiration_ms: the message's own TTL, -1 for none.
        """
        tables = self._tables
        at = _find(tables, queue, reason)
        if at < 0:
            self._tables = _table(queue, reason, time_s, exchange, routing_keys, expiration_ms) + tables
        else:
            stop: i64 = value_end(tables, at)
            behind = _behind_count(tables, at)
            count: int = read_i64_be(tables, behind - 8) + 1
            counted = tables[at : behind - 8] + count.to_bytes(8, "big") + tables[behind:stop]
            self._tables = counted + tables[:at] + tables[stop:]
        to = BytesWriter()
        if not self._first:
            _write(to, _FIRST_EXCHANGE, exchange)
            _write(to, _FIRST_QUEUE, queue)
            _write(to, _FIRST_REASON, reason)
            self._first = to.getvalue()
            to.truncate(0)
        _write(to, _LAST_EXCHANGE, exchange)
        _write(to, _LAST_QUEUE, queue)
        _write(to, _LAST_REASON, reason)
        self._last = to.getvalue()

    def headers(self, more: bytes = b"") -> bytes:
        """Return the headers as entries of a field table on the wire, sorted by name. Call it only after `add`.

        more: further entries, whose names come after x-first-death-reason and before x-last-death-exchange.
        """
        to = BytesWriter()
        _write(to, _X_DEATH, self._tables)
        to.write(self._first)
        to.write(more)
        to.write(self._last)
        return to.getvalue()

    def tables(self) -> bytes:
        """Return the items of x-death, as on the wire."""
        return self._tables

    def is_cycle(self, queue: str) -> bool:
        """Return whether the message would return to a queue in which it died, without a rejection since then.

        A rejection in that queue or in a later one means that a client was involved, so that it is not a cycle. So does
        the death of a message that followed a failed one of its group. It may follow again if it has expired since, as
        each round takes time then.
        """
        tables = self._tables
        name = queue.encode("utf-8", "surrogateescape")
        if len(tables) > _MANY and _field(_QUEUE, name) not in tables:
            return False
        at: i64 = 0
        end: i64 = len(tables)
        follows = expired = False
        while at < end:
            reason_at = _behind_count(tables, at)
            queue_at = value_end(tables, reason_at + _REASON_TYPE)
            reason = tables[reason_at + _REASON_BYTES : queue_at]
            if reason == b"expired":
                expired = True
            elif reason == b"group" and not at:
                follows = True
            elif reason == b"rejected" or (reason == b"group" and not follows):
                return False
            if tables[queue_at + _QUEUE_BYTES : value_end(tables, queue_at + _QUEUE_TYPE)] == name:
                return not (follows and expired)
            at = value_end(tables, at)
        return False


def rejected_in(properties: bytes) -> list[str]:
    """Return the queues whose consumers have failed to process a message with these properties, by its deaths.

    Rejections before a redrive that keeps the history do not count. The deaths are the broker's, see `Message.died`.
    """
    queues: list[str] = []
    rejections = 0
    for name, count in _rejections(properties):
        queues.append(name)
        rejections += count
    redriven = header(properties, REDRIVEN_REJECTIONS.encode()) if queues else None
    if redriven is not None and redriven.kind in INTEGER_KINDS:
        # The queues of the most recent rejections come first.
        del queues[max(0, rejections - redriven.value) :]
    return queues


def without_redriven_rejections(properties: bytes) -> bytes:
    """Return properties without the header `REDRIVEN_REJECTIONS`, which is a client's if the message never died."""
    name = REDRIVEN_REJECTIONS.encode()
    at = find_header(properties, name)
    return without_header(properties, headers_start(properties) - 4, at - len(name) - 1) if at else properties


def count_rejections(properties: bytes) -> int:
    """Return how often a message with these properties was rejected, or exceeded a delivery limit."""
    return sum([count for _, count in _rejections(properties)])


def _rejections(properties: bytes) -> list[tuple[str, int]]:
    """Return the queues in which a message was rejected, and how often, from the most recent rejection."""
    tables = Deaths(properties).tables()
    rejections: list[tuple[str, int]] = []
    at: i64 = 0
    end: i64 = len(tables)
    while at < end:
        reason_at = _behind_count(tables, at)
        queue_at = value_end(tables, reason_at + _REASON_TYPE)
        if tables[reason_at + _REASON_BYTES : queue_at] in (b"rejected", b"delivery_limit"):
            name = tables[queue_at + _QUEUE_BYTES : value_end(tables, queue_at + _QUEUE_TYPE)]
            count: int = read_i64_be(tables, reason_at - 8)
            rejections.append((name.decode("utf-8", "surrogateescape"), count))
        at = value_end(tables, at)
    return rejections


def _find(tables: bytes, queue: bytes, reason: bytes) -> i64:
    """Return the position of the table for this queue and reason, -1 if there is none."""
    if len(tables) > _MANY and _field(_REASON, reason) + _field(_QUEUE, queue) not in tables:
        return -1
    at: i64 = 0
    end: i64 = len(tables)
    while at < end:
        reason_at = _behind_count(tables, at)
        queue_at = value_end(tables, reason_at + _REASON_TYPE)
        if (
            tables[queue_at + _QUEUE_BYTES : value_end(tables, queue_at + _QUEUE_TYPE)] == queue
            and tables[reason_at + _REASON_BYTES : queue_at] == reason
        ):
            return at
        at = value_end(tables, at)
    return -1


def _field(name: bytes, value: bytes) -> bytes:
    return name + len(value).to_bytes(4, "big") + value


def _behind_count(tables: bytes, at: i64) -> i64:
    """Return the end of the count, which is the start of the reason, in the table at `at`."""
    at += 5
    if tables[at] == _ORIGINAL_EXPIRATION[0]:
        at = value_end(tables, at + _ORIGINAL_EXPIRATION_TYPE)
    return at + _COUNT_BYTES


def _table(
    queue: bytes, reason: bytes, time_s: i64, exchange: bytes, routing_keys: tuple[bytes, ...], expiration_ms: int
) -> bytes:
    """Return an x-death table for one death, with the fields in RabbitMQ's order."""
    expiration = b"" if expiration_ms < 0 else b"%d" % expiration_ms
    size: i32 = 0
    for key in routing_keys:
        size += 5 + len(key)
    table_size: i32 = _TABLE_BYTES + len(queue) + len(reason) + len(exchange) + size
    if expiration:
        table_size += _EXPIRATION_BYTES + len(expiration)
    to = BytesWriter()
    to.write(b"F")
    write_i32_be(to, table_size)
    if expiration:
        _write(to, _ORIGINAL_EXPIRATION, expiration)
    to.write(_COUNT)
    write_i64_be(to, 1)
    _write(to, _REASON, reason)
    _write(to, _QUEUE, queue)
    to.write(_TIME)
    write_i64_be(to, time_s)
    _write(to, _EXCHANGE, exchange)
    to.write(_ROUTING_KEYS)
    write_i32_be(to, size)
    for key in routing_keys:
        _write(to, b"S", key)
    return to.getvalue()


def _write(to: BytesWriter, name: bytes, value: bytes) -> None:
    to.write(name)
    write_i32_be(to, len(value))
    to.write(value)
