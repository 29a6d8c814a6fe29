"""Headers that make a delayed exchange hold a message: x-delay, and the headers with a delivery time."""

import re
import struct
from typing import Final

from mypy_extensions import i64

from amqpbroker.message.delivery_time import DELIVERY_DELAY, DELIVERY_TIME, delivery_time_ms
from amqpbroker.message.message import Message
from amqpbroker.octets import read_i16_be, read_i32_be, read_i64_be
from amqpbroker.wire.property_edit import set_headers
from amqpbroker.wire.raw_headers import find_header, value_end
from amqpbroker.wire.values import INTEGER_KINDS, Field, decode_value

#: The longest delay, ten years, as for RabbitMQ's TTLs: longer delays are reduced to it. (The plugin's limit is 2^32 -
#: 1 ms.)
MAX_DELAY_MS: Final = 10 * 365 * 86_400_000

_NAME: Final = b"x-delay"
_INT: Final = struct.Struct(">i").pack
_LONG: Final = struct.Struct(">q").pack
_EXTENSIONS: Final = b"x-opt-delivery-"
_NUMBER = re.compile(rb"([+-]?)0*([0-9]+)(\.[0-9]*)?")
_MAX_DIGITS = len(str(MAX_DELAY_MS))


def delay_ms(properties: bytes) -> i64:
    """Return the delay that the headers of a message request, 0 for none."""
    return _delay_in(properties, _NAME)


def held_until_ms(properties: bytes, now_ms: i64, extensions: bool) -> i64:
    """Return the time until which a message that is published at `now_ms` is held; `now_ms` if it is not held.

    Both are milliseconds since the epoch. If several headers name a time, the latest counts. extensions: the headers
    with a delivery time count.
    """
    delay: i64 = delay_ms(properties)
    if extensions and _EXTENSIONS in properties:
        other: i64 = _delay_in(properties, DELIVERY_DELAY)
        left: i64 = min(MAX_DELAY_MS, delivery_time_ms(properties, DELIVERY_TIME) - now_ms)
        delay = max(delay, other, left)
    return now_ms + delay


def is_delivery_time(properties: bytes, until_ms: i64) -> bool:
    """Return whether a message is held until a time because its delivery time says so, and not a delay."""
    return _EXTENSIONS in properties and delivery_time_ms(properties, DELIVERY_TIME) == until_ms


def _delay_in(properties: bytes, name: bytes) -> i64:
    at: i64 = find_header(properties, name)
    return _delay_at(properties, at) if at else 0


def _delay_at(properties: bytes, at: i64) -> i64:
    """Return the delay in the value whose type is at `at`."""
    kind: i64 = properties[at]
    delay: i64
    if kind == 0x49:  # I
        delay = i64(read_i32_be(properties, at + 1))
    elif kind == 0x6C:  # l
        delay = read_i64_be(properties, at + 1)
    elif kind == 0x73:  # s
        delay = i64(read_i16_be(properties, at + 1))
    else:
        delay = asked_delay_ms(decode_value(properties, at, value_end(properties, at)))
    if delay < 0:
        return 0
    return delay if delay < MAX_DELAY_MS else MAX_DELAY_MS


def asked_delay_ms(field: Field) -> int:
    """Return the delay that a value requests, 0 for none.

    Accepts integers and floats of every kind, decimals, and numbers as text (rabbit_delayed_message_utils:get_delay).
    """
    kind, value = field
    if kind in INTEGER_KINDS or kind in "fd":
        return int(max(0, min(MAX_DELAY_MS, value)))
    if kind == "D":
        scale, unscaled = value
        return int(max(0, min(MAX_DELAY_MS, unscaled // 10**scale)))
    if kind == "S":
        number = _NUMBER.fullmatch(value)
        if number is None or number[1] == b"-":
            return 0
        return MAX_DELAY_MS if len(number[2]) > _MAX_DIGITS else min(int(number[2]), MAX_DELAY_MS)
    return 0


def released(message: Message) -> Message:
    """Return the message with its delay negated: consumers see the delay, and it is not delayed again."""
    properties = message.properties
    negated = _negated(properties, _NAME)
    if _EXTENSIONS in properties:
        negated += _negated(properties, DELIVERY_DELAY)
    return message.rewritten(message.address, set_headers(properties, negated)) if negated else message


def _negated(properties: bytes, name: bytes) -> bytes:
    """Return the header with its delay negated; nothing if it has no delay."""
    delay = _delay_in(properties, name)
    if delay <= 0:
        return b""
    value = b"I" + _INT(-delay) if delay < 2**31 else b"l" + _LONG(-delay)
    return b"%c%b%b" % (len(name), name, value)
