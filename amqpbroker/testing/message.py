"""Messages as tests look at them, in Python's values."""

import datetime
import decimal
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from amqpbroker.message import message as broker_message
from amqpbroker.wire.properties import decode_properties
from amqpbroker.wire.values import Field, Table, text

#: How much of a body is shown.
SHOWN_BYTES = 60


@dataclass(frozen=True, slots=True, repr=False)
class Message:
    """A message that was published, or that waits in a queue.

    properties: those that are set, by AMQP's names and without headers: text, numbers, for a timestamp a datetime.
    headers: their values as Python's: text (bytes where it is none), numbers, bool, datetime, Decimal, lists, dicts.
    queues: those that it was routed to, or the one that it waits in. redelivered: as its next consumer will be told.
    """

    vhost: str
    exchange: str
    routing_key: str
    body: bytes
    properties: Mapping[str, Any] = field(default_factory=dict)
    headers: Mapping[str, Any] = field(default_factory=dict)
    queues: Sequence[str] = ()
    redelivered: bool = False

    def __repr__(self) -> str:
        body = repr(self.body[:SHOWN_BYTES]) + ("..." if len(self.body) > SHOWN_BYTES else "")
        more = [f"{name}={value!r}" for name, value in self.properties.items()]
        more += [f"headers={dict(self.headers)!r}"] if self.headers else []
        return f"<{' '.join((where(self.exchange, self.routing_key), body, *more))}>"


def where(exchange: str, routing_key: str) -> str:
    """Where a message was published to, in words."""
    return f"queue {routing_key!r}" if not exchange else f"exchange {exchange!r} key {routing_key!r}"


def seen(message: broker_message.Message, vhost: str, queues: Sequence[str], redelivered: bool = False) -> Message:
    """The broker's message as a test sees it."""
    values = decode_properties(message.properties)
    headers = values.pop("headers", {})
    return Message(
        vhost,
        message.exchange,
        text(message.routing_key),
        bytes(message.body),
        {"type" if name == "message_type" else name: _property(name, value) for name, value in values.items()},
        _table(headers),
        tuple(queues),
        redelivered,
    )


def _property(name: str, value: Any) -> Any:
    if name == "timestamp":
        return _time(value)
    return text(value) if isinstance(value, bytes) else value


def _table(table: Table) -> dict[str, Any]:
    return {name: _value(value) for name, value in table.items()}


def _value(typed: Field) -> Any:
    kind, value = typed
    match kind:
        case "S":
            return _text(value)
        case "F":
            return _table(value)
        case "A":
            return [_value(item) for item in value]
        case "T":
            return _time(value)
        case "D":
            scale, unscaled = value
            return decimal.Decimal(unscaled).scaleb(-scale)
        case _:
            return value


def _text(value: bytes) -> str | bytes:
    try:
        return value.decode()
    except UnicodeDecodeError:
        return value


def _time(seconds: int) -> datetime.datetime | int:
    """Some clients take milliseconds for seconds: a year that no datetime can have."""
    try:
        return datetime.datetime.fromtimestamp(seconds, datetime.UTC)
    except (ValueError, OverflowError, OSError):
        return seconds
