"""Changes to the bytes of properties, in one pass and without decoding.

All properties here are well formed. Except in `sort_headers` and `merge_headers`, they are also normalised (see
`wire/headers`): headers are sorted by name, and each name occurs once. Entries of headers are encoded as in a field
table on the wire: name, type, value.
"""

from typing import Final

from mypy_extensions import i64

from amqpbroker.octets import read_i32_be
from amqpbroker.wire.property_flags import (
    CONTENT_ENCODING,
    CONTENT_TYPE,
    CORRELATION_ID,
    DELIVERY_MODE,
    EXPIRATION,
    HEADERS,
    PRIORITY,
    REPLY_TO,
)
from amqpbroker.wire.raw_headers import value_end

#: Maximum number of entries that are sorted by a cached order.
_FEW: Final = 8

#: Number of cached orders.
_ORDERS: Final = 256

#: Orders by which headers were sorted before; applications send the same names in the same order. An order is the
#: positions of the entries, one octet per entry; its index in the list is derived from the names. Each use checks that
#: the order fits.
_orders: Final = [b""] * _ORDERS


def sort_headers(data: bytes, at: i64) -> bytes | None:
    """Return properties or content frames with headers sorted by name; None if there are many, or a name is repeated.

    at: position of the headers in `data`, see `PropertyWalk.unsorted_at`.
    """
    start: i64 = at + 4
    stop: i64 = start + (i64(read_i32_be(data, at)) & 0xFFFFFFFF)
    count: i64 = 0
    mark: i64 = 0
    place: i64 = start
    while place < stop:
        count += 1
        if count > _FEW:
            return None
        mark = (mark * 31 + i64(data[place]) + i64(data[place + 1]) * 8) & 0xFFFFFF
        place = _entry_end(data, place)
    slot: i64 = mark % _ORDERS
    order = _orders[slot]
    if len(order) == count:
        moved = _moved(data, start, stop, order)
        if moved is not None:
            return moved
    order = _orders[slot] = _order_by_name(data, start, stop)
    return _moved(data, start, stop, order) if len(order) == count else None


def _moved(data: bytes, start: i64, stop: i64, order: bytes) -> bytes | None:
    """Return `data` with the entries in data[start:stop] in this order, None if they are not sorted then."""
    parts = [data[:start]]
    last: i64 = -1
    index: i64 = 0
    count: i64 = len(order)
    while index < count:
        place: i64 = start
        before: i64 = i64(order[index])
        while before:
            place = _entry_end(data, place)
            before -= 1
        if last >= 0 and _order(data, place, data, last) <= 0:
            return None
        parts.append(data[place : _entry_end(data, place)])
        last = place
        index += 1
    parts.append(data[stop:])
    return b"".join(parts)


def _order_by_name(data: bytes, start: i64, stop: i64) -> bytes:
    """Return the positions of the entries in data[start:stop] by name, without repeated names."""
    entries: dict[bytes, int] = {}
    place: i64 = start
    index: i64 = 0
    while place < stop:
        entries.setdefault(data[place + 1 : place + 1 + i64(data[place])], index)
        place = _entry_end(data, place)
        index += 1
    return bytes([entries[name] for name in sorted(entries)])


def merge_headers(properties: bytes, at: i64) -> bytes:
    """Return properties with headers sorted by name. If a name is repeated, the first header is kept.

    at: position of the headers, see `PropertyWalk.unsorted_at`.
    """
    start: i64 = at + 4
    stop: i64 = start + (i64(read_i32_be(properties, at)) & 0xFFFFFFFF)
    table = b"".join(_sorted(properties, start, stop))
    return properties[:at] + len(table).to_bytes(4, "big") + table + properties[stop:]


def _sorted(data: bytes, start: i64, stop: i64) -> list[bytes]:
    """Return the entries in data[start:stop] in order."""
    entries: dict[bytes, bytes] = {}
    place: i64 = start
    while place < stop:
        end = _entry_end(data, place)
        name = data[place + 1 : place + 1 + i64(data[place])]
        if name not in entries:
            entries[name] = data[place:end]
        place = end
    return [entries[name] for name in sorted(entries)]


def set_headers(data: bytes, entries: bytes) -> bytes:
    """Return properties with these headers set, in their sorted positions.

    They replace headers with the same names.
    """
    at: i64 = _headers_at(data)
    if not data[0] & HEADERS >> 8:
        head = bytes((data[0] | HEADERS >> 8, data[1]))
        return head + data[2:at] + len(entries).to_bytes(4, "big") + entries + data[at:]
    stop: i64 = at + 4 + (i64(read_i32_be(data, at)) & 0xFFFFFFFF)
    table = b"".join(_merged(data, at + 4, stop, entries))
    return data[:at] + len(table).to_bytes(4, "big") + table + data[stop:]


def _merged(data: bytes, start: i64, stop: i64, entries: bytes) -> list[bytes]:
    """Return the entries in data[start:stop] and `entries` in the order of their names."""
    parts: list[bytes] = []
    end: i64 = len(entries)
    place: i64 = start
    new: i64 = 0
    taken: i64 = 0
    while place < stop and new < end:
        order = _order(data, place, entries, new)
        if order < 0:
            if taken < new:
                parts.append(entries[taken:new])
                taken = new
            place = _entry_end(data, place)
        else:
            if start < place:
                parts.append(data[start:place])
                start = place
            if order == 0:
                start = place = _entry_end(data, place)
            new = _entry_end(entries, new)
    # Entries that were passed but not appended come from only one of the two sources.
    parts.append(entries[taken:new])
    parts.append(data[start:stop])
    parts.append(entries[new:])
    return parts


def _order(data: bytes, at: i64, others: bytes, other: i64) -> i64:
    """Compare the names of two entries: less than 0 if the one in `data` comes first, 0 if they are equal."""
    size: i64 = i64(data[at])
    other_size: i64 = i64(others[other])
    shared: i64 = size if size < other_size else other_size
    while shared:
        at += 1
        other += 1
        difference: i64 = i64(data[at]) - i64(others[other])
        if difference:
            return difference
        shared -= 1
    return size - other_size


def _entry_end(data: bytes, at: i64) -> i64:
    """Return the end of the entry at `at`."""
    return value_end(data, at + 1 + i64(data[at]))


def without_header(data: bytes, at: i64, entry: i64) -> bytes:
    """Return properties without one of the headers.

    at: position of the headers (their length). entry: position of the header's entry. Headers need not be sorted.
    """
    end = _entry_end(data, entry)
    length: int = (i64(read_i32_be(data, at)) & 0xFFFFFFFF) - (end - entry)
    return data[:at] + length.to_bytes(4, "big") + data[at + 4 : entry] + data[end:]


def headers_between(data: bytes, first: bytes, last: bytes) -> bytes:
    """Return the entries of the headers from `first` to `last`: names, each with its length before it."""
    if not data[0] & HEADERS >> 8:
        return b""
    at: i64 = _headers_at(data)
    place: i64 = at + 4
    stop: i64 = place + (i64(read_i32_be(data, at)) & 0xFFFFFFFF)
    while place < stop and _order(data, place, first, 0) < 0:
        place = _entry_end(data, place)
    start = place
    while place < stop and _order(data, place, last, 0) <= 0:
        place = _entry_end(data, place)
    return data[start:place]


def without_expiration(data: bytes) -> bytes:
    """Return properties without an expiration."""
    if not data[0] & EXPIRATION >> 8:
        return data
    flags: i64 = i64(data[0]) << 8
    at: i64 = _headers_at(data)
    if flags & HEADERS:
        at += 4 + (i64(read_i32_be(data, at)) & 0xFFFFFFFF)
    if flags & DELIVERY_MODE:
        at += 1
    if flags & PRIORITY:
        at += 1
    if flags & CORRELATION_ID:
        at += 1 + i64(data[at])
    if flags & REPLY_TO:
        at += 1 + i64(data[at])
    return bytes((data[0] & ~(EXPIRATION >> 8), data[1])) + data[2:at] + data[at + 1 + i64(data[at]) :]


def with_delivery_mode(data: bytes) -> bytes:
    """Return properties with a delivery mode: 1, for a transient message, if they have none."""
    if data[0] & DELIVERY_MODE >> 8:
        return data
    at: i64 = _headers_at(data)
    if data[0] & HEADERS >> 8:
        at += 4 + (i64(read_i32_be(data, at)) & 0xFFFFFFFF)
    return bytes((data[0] | DELIVERY_MODE >> 8, data[1])) + data[2:at] + b"\1" + data[at:]


def _headers_at(data: bytes) -> i64:
    """Return the position of the headers, or the position where they would be inserted."""
    flags: i64 = i64(data[0]) << 8
    at: i64 = 2
    if flags & CONTENT_TYPE:
        at += 1 + i64(data[at])
    if flags & CONTENT_ENCODING:
        at += 1 + i64(data[at])
    return at
