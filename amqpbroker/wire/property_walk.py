"""One pass over the bytes of properties, for the values that the broker needs, without creating objects.

`PropertyWalk.walk` accepts properties that are well formed, and that RabbitMQ would deliver unchanged, or with headers
in another order, without BCC, or with an expiration without leading zeros. All other properties, including malformed
ones, go to the decoder (`wire/properties`, `wire/headers`).
"""

from typing import Final

from mypy_extensions import i64

from amqpbroker.octets import read_i32_be, read_i64_be
from amqpbroker.wire.property_flags import (
    APP_ID,
    CLUSTER_ID,
    CONTENT_ENCODING,
    CONTENT_TYPE,
    CORRELATION_ID,
    DELIVERY_MODE,
    EXPIRATION,
    HEADERS,
    MESSAGE_ID,
    PRIORITY,
    REPLY_TO,
    TIMESTAMP,
    TYPE,
    UNDEFINED,
    USER_ID,
)
from amqpbroker.wire.values import MAX_DEPTH

#: The reply-to of direct replies, and its length.
PSEUDO_QUEUE: Final = b"amq.rabbitmq.reply-to"
PSEUDO_QUEUE_BYTES: Final = 21

#: Maximum number of digits of an expiration that is accepted here, without leading zeros.
_DIGITS: Final = 12

#: Names of headers that mark a message to be followed: those that begin with "x-batch", and "x-job"; and the first
#: seven bytes of both as numbers, padded with zeros.
MARK: Final = b"x-batch"
JOB_MARK: Final = b"\5x-job"
_MARK: Final = 0x782D6261746368
_JOB_MARK: Final = 0x782D6A6F620000

_UNREADABLE: Final = -1

#: Results of `_order_of`.
_NOT_PLAIN: Final = 0
_SORTED: Final = 1
_UNSORTED: Final = 2


class PropertyWalk:
    """Walks over properties. The attributes hold the result of the last `walk`.

    mode, priority: 0 if absent. expiration_ms: -1 if absent; it may exceed the allowed maximum. expiration_at: position
    of the expiration (its length) if RabbitMQ would write the number differently, otherwise 0. has_headers: there is a
    headers table. headers_at: position of the headers (their length), 0 if absent. unsorted_at: the same if they are
    not sorted by name, or if a name is repeated, otherwise 0. cc_at, bcc_at: positions of the entries of the headers CC
    and BCC (their names), which are arrays; 0 if absent. is_marked: a header marks a message to be followed. user_at,
    user_end: start and end of the user id in the data; both 0 if absent. reply_at: position of the reply-to (its
    length) if it is the name of direct replies, otherwise 0.
    """

    __slots__ = (
        "bcc_at",
        "cc_at",
        "expiration_at",
        "expiration_ms",
        "has_headers",
        "headers_at",
        "is_marked",
        "mode",
        "priority",
        "reply_at",
        "unsorted_at",
        "user_at",
        "user_end",
    )

    def __init__(self) -> None:
        self.mode: i64 = 0
        self.priority: i64 = 0
        self.expiration_ms: i64 = -1
        self.expiration_at: i64 = 0
        self.has_headers: bool = False
        self.headers_at: i64 = 0
        self.is_marked: bool = False
        self.unsorted_at: i64 = 0
        self.cc_at: i64 = 0
        self.bcc_at: i64 = 0
        self.user_at: i64 = 0
        self.user_end: i64 = 0
        self.reply_at: i64 = 0

    def walk(self, data: bytes) -> bool:
        """Return whether `data`, flags and property list as in the content header, can be used without decoding."""
        try:
            return self._walk(data)
        except IndexError:
            return False

    def _walk(self, data: bytes) -> bool:
        end: i64 = len(data)
        if end < 2:
            return False
        flags: i64 = data[0] << 8 | data[1]
        at: i64 = 2
        size: i64
        if flags & UNDEFINED:
            return False
        self.mode = self.priority = self.user_at = self.user_end = self.reply_at = self.unsorted_at = 0
        self.headers_at = self.cc_at = self.bcc_at = self.expiration_at = 0
        self.expiration_ms = -1
        self.is_marked = False
        if flags & CONTENT_TYPE:
            at += 1 + i64(data[at])
        if flags & CONTENT_ENCODING:
            at += 1 + i64(data[at])
        self.has_headers = flags & HEADERS != 0
        if flags & HEADERS:
            if at + 4 > end:
                return False
            size = i64(read_i32_be(data, at)) & 0xFFFFFFFF
            at += 4
            if at + size > end:
                return False
            self.headers_at = at - 4
            order = self._order_of(data, at, at + size, end)
            if order == _NOT_PLAIN:
                return False
            if order == _UNSORTED:
                self.unsorted_at = self.headers_at
            at += size
        if flags & DELIVERY_MODE:
            self.mode = i64(data[at])
            at += 1
        if flags & PRIORITY:
            self.priority = i64(data[at])
            at += 1
        if flags & CORRELATION_ID:
            at += 1 + i64(data[at])
        if flags & REPLY_TO:
            size = i64(data[at])
            if size == PSEUDO_QUEUE_BYTES and data[at + 1 : at + 1 + size] == PSEUDO_QUEUE:
                self.reply_at = at
            at += 1 + size
        if flags & EXPIRATION:
            size = i64(data[at])
            digits = _digits_at(data, at + 1, at + 1 + size)
            self.expiration_ms = _number(data, digits, at + 1 + size)
            if self.expiration_ms < 0:
                return False
            if digits != at + 1:
                self.expiration_at = at
            at += 1 + size
        if flags & MESSAGE_ID:
            at += 1 + i64(data[at])
        if flags & TIMESTAMP:
            at += 8
        if flags & TYPE:
            at += 1 + i64(data[at])
        if flags & USER_ID:
            self.user_at = at + 1
            at += 1 + i64(data[at])
            self.user_end = at
        if flags & APP_ID:
            at += 1 + i64(data[at])
        if flags & CLUSTER_ID:
            at += 1 + i64(data[at])
        return at == end

    def _order_of(self, data: bytes, at: i64, stop: i64, end: i64) -> i64:
        """Return whether headers are sorted by name with unique names, `_NOT_PLAIN` if they have another fault.

        The other faults: CC or BCC that is not an array or is repeated, values that are not well formed, and values
        that RabbitMQ would write differently.
        """
        order: i64 = _SORTED
        before: i64 = -1
        before_at: i64 = 0
        before_end: i64 = 0
        while at < stop:
            size: i64 = i64(data[at])
            name: i64 = at + 1
            value: i64 = name + size
            if value >= stop:
                return _NOT_PLAIN
            # The first seven bytes of the name as a number, padded with zeros.
            first: i64 = 0
            if name + 8 <= end:
                first = i64(read_i64_be(data, name)) >> 8 & 0xFFFFFFFFFFFFFF
                if size < 7:
                    first = first >> (56 - 8 * size) << (56 - 8 * size)
            else:
                first = _first_bytes(data, name, size)
            if first <= before and (first < before or data[name:value] <= data[before_at:before_end]):
                order = _UNSORTED
            before, before_at, before_end = first, name, value
            if first == _MARK or first == _JOB_MARK:  # noqa: SIM109 - a tuple would be slow
                self.is_marked = True
            if data[value - 1] == 0x43 and 2 <= size <= 3 and data[value - 2] == 0x43:
                if size == 2:
                    if self.cc_at or data[value] != 0x41:
                        return _NOT_PLAIN
                    self.cc_at = name - 1
                elif data[name] == 0x42:
                    if self.bcc_at or data[value] != 0x41:
                        return _NOT_PLAIN
                    self.bcc_at = name - 1
            at = _value_end(data, value, stop, 0)
            if at < 0:
                return _NOT_PLAIN
        return order


def _digits_at(data: bytes, at: i64, end: i64) -> i64:
    """Return the start of a number after a plus sign and leading zeros. Raises IndexError."""
    if data[at] == 0x2B:
        at += 1
    while at < end - 1 and data[at] == 0x30:
        at += 1
    return at


def _number(data: bytes, at: i64, end: i64) -> i64:
    """Return the number in the digits, -1 if there are no digits, too many, or other characters. Raises IndexError."""
    if not 0 < end - at <= _DIGITS:
        return -1
    number: i64 = 0
    while at < end:
        digit: i64 = i64(data[at]) - 0x30
        if digit < 0 or digit > 9:
            return -1
        number = number * 10 + digit
        at += 1
    return number


def _first_bytes(data: bytes, at: i64, size: i64) -> i64:
    first: i64 = 0
    i: i64 = 0
    while i < 7:
        first = first << 8
        if i < size:
            first |= i64(data[at + i])
        i += 1
    return first


def _value_end(data: bytes, at: i64, stop: i64, depth: i64) -> i64:
    """Return the end of the value whose type is at `at`, -1 if it is malformed or not as RabbitMQ writes it."""
    if at >= stop:
        return _UNREADABLE
    kind: i64 = i64(data[at])
    at += 1
    if kind == 0x53 or kind == 0x78:  # S x
        if at + 4 > stop:
            return _UNREADABLE
        at += 4 + (i64(read_i32_be(data, at)) & 0xFFFFFFFF)
    elif kind == 0x49 or kind == 0x69:  # I i
        at += 4
    elif kind == 0x6C or kind == 0x54:  # l T
        at += 8
    elif kind == 0x74:  # t
        if at >= stop or data[at] > 1:
            return _UNREADABLE
        at += 1
    elif kind == 0x46 or kind == 0x41:  # F A
        if at + 4 > stop or depth >= MAX_DEPTH:
            return _UNREADABLE
        inner: i64 = at + 4 + (i64(read_i32_be(data, at)) & 0xFFFFFFFF)
        at += 4
        if inner > stop:
            return _UNREADABLE
        while at < inner:
            if kind == 0x46:
                at += 1 + i64(data[at])
            at = _value_end(data, at, inner, depth + 1)
            if at < 0:
                return _UNREADABLE
    elif kind == 0x64:  # d
        if at + 8 > stop or (data[at] & 0x7F == 0x7F and data[at + 1] & 0xF0 == 0xF0):
            return _UNREADABLE
        at += 8
    elif kind == 0x66:  # f
        if at + 4 > stop or (data[at] & 0x7F == 0x7F and data[at + 1] & 0x80 != 0):
            return _UNREADABLE
        at += 4
    elif kind == 0x62 or kind == 0x42:  # b B
        at += 1
    elif kind == 0x73 or kind == 0x75:  # s u
        at += 2
    elif kind == 0x44:  # D
        at += 5
    elif kind != 0x56:  # V
        return _UNREADABLE
    return at if at <= stop else _UNREADABLE
