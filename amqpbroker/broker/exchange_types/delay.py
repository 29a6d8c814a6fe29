"""The x-delay header."""

import re

from amqpbroker.broker.message import Message
from amqpbroker.wire.headers import with_headers
from amqpbroker.wire.values import INTEGER_KINDS, Field, Table

#: The longest delay, ten years, as for RabbitMQ's TTLs: longer ones are cut to it. (The plugin stops at 2^32 - 1 ms.)
MAX_DELAY_MS = 10 * 365 * 86_400_000

_HEADER = "x-delay"
_NUMBER = re.compile(rb"([+-]?)0*([0-9]+)(\.[0-9]*)?")
_MAX_DIGITS = len(str(MAX_DELAY_MS))


def delay_ms(headers: Table) -> int:
    """The delay that headers ask for, 0 for none.

    Integers and floats of every kind, decimals, and numbers as text (rabbit_delayed_message_utils:get_delay).
    """
    field = headers.get(_HEADER)
    if field is None:
        return 0
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
    """The message with its delay negated, so that consumers see it was delayed and it is not delayed again."""
    headers = message.headers or {}
    delay = delay_ms(headers)
    negated = Field("I" if delay < 2**31 else "l", -delay)
    again = message.rewritten(message.address, with_headers(message.properties, {_HEADER: negated}))
    again.headers = {**headers, _HEADER: negated}
    return again
