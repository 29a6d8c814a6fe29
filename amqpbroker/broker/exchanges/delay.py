"""The x-delay header."""

import re
import struct
from typing import Final

from mypy_extensions import i64

from amqpbroker.message.message import Message
from amqpbroker.octets import read_i16_be, read_i32_be, read_i64_be
from amqpbroker.wire.property_edit import set_headers
from amqpbroker.wire.raw_headers import find_header, value_end
from amqpbroker.wire.values import INTEGER_KINDS, Field, decode_value

#: The longest delay, ten years, as for RabbitMQ's TTLs: longer delays are reduced to it. (The plugin's limit is 2^32 -
#: 1 ms.)
MAX_DELAY_MS: Final = 10 * 365 * 86_400_000

_NAME: Final = b"x-delay"
_ENTRY: Final = b"\x07x-delay"
_INT: Final = struct.Struct(">i").pack
_LONG: Final = struct.Struct(">q").pack
_NUMBER = re.compile(rb"([+-]?)0*([0-9]+)(\.[0-9]*)?")
_MAX_DIGITS = len(str(MAX_DELAY_MS))


def delay_ms(properties: bytes) -> i64:
    """Return the delay that the headers of a message request, 0 for none."""
    at: i64 = find_header(properties, _NAME)
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
    delay = delay_ms(message.properties)
    negated = b"I" + _INT(-delay) if delay < 2**31 else b"l" + _LONG(-delay)
    return message.rewritten(message.address, set_headers(message.properties, _ENTRY + negated))
