"""Messages with Python's values, for tests."""

import datetime
import decimal
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from amqpbroker.message import message as broker_message
from amqpbroker.wire.properties import decode_properties
from amqpbroker.wire.values import Field, Table, text

#: Number of bytes of a body that are shown.
SHOWN_BYTES = 60


@dataclass(frozen=True, slots=True, repr=False)
class Message:
    """A message that was published, or that is ready in a queue.

    - `vhost`, `exchange`, `routing_key`: names, as text. `exchange` is "" for the default exchange.
    - `body`: the body, as bytes.
    - `properties`: dict of the properties that are set, except headers, with AMQP's names such as "content_type" and
      "delivery_mode". Values are text and numbers; `timestamp` is a datetime in UTC, or a number if it is out of range.
    - `headers`: dict of the headers. Values are text (bytes if they are not UTF-8), numbers, bool, None, datetime,
      Decimal, lists and dicts.
    - `queues`: names of the queues that a published message was routed to, or of the queue that has it.
    - `redelivered`: True if its next consumer gets it as redelivered.
    - `due`: time of the broker's clock, in UTC, at which a delayed message is ready; None for other messages.
    - `offset`: offset of a message that `Stream.messages` returned; None for other messages.
    """

    vhost: str
    exchange: str
    routing_key: str
    body: bytes
    properties: Mapping[str, Any] = field(default_factory=dict)
    headers: Mapping[str, Any] = field(default_factory=dict)
    queues: Sequence[str] = ()
    redelivered: bool = False
    due: datetime.datetime | None = None
    offset: int | None = None

    def __repr__(self) -> str:
        body = repr(self.body[:SHOWN_BYTES]) + ("..." if len(self.body) > SHOWN_BYTES else "")
        more = [f"{name}={value!r}" for name, value in self.properties.items()]
        more += [f"headers={dict(self.headers)!r}"] if self.headers else []
        more += [f"due={self.due.isoformat(timespec='milliseconds')}"] if self.due is not None else []
        return f"<{' '.join((where(self.exchange, self.routing_key), body, *more))}>"


def where(exchange: str, routing_key: str) -> str:
    """Return the exchange and routing key, or the queue, that a message was published to, in words."""
    return f"queue {routing_key!r}" if not exchange else f"exchange {exchange!r} key {routing_key!r}"


def seen(message: broker_message.Message, vhost: str, queues: Sequence[str], redelivered: bool = False) -> Message:
    """Return a message of the broker for a test."""
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
    """Return a timestamp as a datetime, or as a number if it is out of range: some clients send milliseconds."""
    try:
        return datetime.datetime.fromtimestamp(seconds, datetime.UTC)
    except (ValueError, OverflowError, OSError):
        return seconds
