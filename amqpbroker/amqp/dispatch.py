"""Where a frame goes that the frame loop does not handle itself, and how what cannot be read is worded."""

from typing import TYPE_CHECKING, Any, Final

from amqpbroker import errors
from amqpbroker.amqp.gate import CHANNEL_CLOSE, CHANNEL_OPEN
from amqpbroker.amqp.methods import HANDLERS
from amqpbroker.broker.events.events import INTERNAL
from amqpbroker.errors import AmqpError
from amqpbroker.wire import methods
from amqpbroker.wire.erlang import erlang_binary, erlang_octets
from amqpbroker.wire.frames import BODY, HEADER, HEARTBEAT, METHOD
from amqpbroker.wire.values import MalformedError

if TYPE_CHECKING:
    from amqpbroker.amqp.channel import Channel
    from amqpbroker.amqp.connection import Connection

UPDATE_SECRET: Final = 10 << 16 | 70

#: Frame types with the minimum size of their payloads in octets.
_LEAST: Final = {METHOD: 4, HEADER: 12, BODY: 0, HEARTBEAT: 0}
#: Maximum number of octets of an unusable frame in an error message (rabbit_reader:payload_snippet/1).
_SHOWN: Final = 16


def take_method(connection: "Connection", channel: "Channel", ids: int, payload: bytes) -> None:
    """A method on an open channel that is not on the hot path. Raises AmqpError, MalformedError."""
    method = methods.METHODS.get(ids)
    if method is None:
        raise errors.not_implemented(f"unknown method {ids >> 16}.{ids & 0xFFFF}")
    arguments = arguments_of(connection, method, payload)
    if ids == CHANNEL_CLOSE:
        connection.gate.close(connection, channel)
        channel.send("channel.close-ok")
        return
    if ids == CHANNEL_OPEN:
        raise errors.channel_error("second 'channel.open' seen")
    handler = HANDLERS.get(method.name)
    if handler is None:
        raise errors.command_invalid("unimplemented method")
    events = connection.broker.events
    events.actor = connection.user.name
    try:
        handler(channel, arguments)
    finally:
        events.actor = INTERNAL


def take_other(connection: "Connection", kind: int, number: int, channel: "Channel | None", payload: bytes) -> None:
    """A frame that is not a method of an open channel, or not one that is due now. Raises AmqpError, MalformedError."""
    connection.blamed = 0
    if number and not connection.running and connection.ending.close_sent:
        return
    if len(payload) < _LEAST.get(kind, len(payload) + 1):
        raise unusable(connection, kind, payload, "unknown_frame")
    if kind == HEARTBEAT:
        if number:
            raise errors.unexpected_frame(_frame_text(connection, kind, payload))
        if payload:
            raise unusable(connection, kind, payload, "unknown_frame")
        return
    ids = int.from_bytes(payload[:4], "big") if kind == METHOD else 0
    if number == 0 and kind == METHOD:
        connection.blamed = ids
        connection.channel_zero.take(connection, ids, payload)
    elif number == 0 or not connection.running:
        raise errors.unexpected_frame(_frame_text(connection, kind, payload))
    elif channel is not None:
        connection.take_content(kind, channel, payload)
    elif number in connection.gate.shut:
        connection.gate.passed_over(connection, number, ids)
    elif kind != METHOD:
        raise errors.unexpected_frame("expected method frame, got non method frame instead")
    else:
        connection.blamed = ids
        _check(connection, ids, payload)
        if ids != CHANNEL_OPEN:
            raise errors.channel_error("expected 'channel.open'")
        connection.blamed = 0
        connection.gate.open(connection, number)


def _check(connection: "Connection", ids: int, payload: bytes) -> None:
    """Raise AmqpError 501 if the payload does not fit the method. Unknown methods are not checked."""
    method = methods.METHODS.get(ids)
    if method is not None:
        arguments_of(connection, method, payload)


def arguments_of(connection: "Connection", method: methods.Method, payload: bytes) -> dict[str, Any]:
    """A method frame's, decoded. Raises AmqpError 501 for a payload that does not fit the method."""
    try:
        return methods.decode(method, payload)
    except methods.NotUtf8Error:
        if connection.running:
            connection.blamed = 0
        raise errors.frame_error("Malformed UTF-8 in shortstr") from None
    except MalformedError:
        secret = connection.channel_zero.logging_in or method.ids == UPDATE_SECRET
        octets = _length(payload[4:]) if secret else erlang_octets(payload[4:])
        raise errors.frame_error(f"cannot decode {octets}") from None


def unusable(connection: "Connection", kind: int, payload: bytes, reason: str) -> AmqpError:
    """A frame that is none, for a reason in Erlang's terms such as `unknown_frame`."""
    return errors.frame_error(f"{_frame_text(connection, kind, payload)}: {reason}")


def _frame_text(connection: "Connection", kind: int, payload: bytes) -> str:
    """As rabbit_reader words a frame that it cannot use."""
    shown = "all" if len(payload) <= _SHOWN else f"first {_SHOWN}"
    secret = connection.channel_zero.logging_in
    return f"type {kind}, {shown} octets = {_length(payload) if secret else erlang_binary(payload[:_SHOWN])}"


def _length(payload: bytes) -> str:
    """Placeholder for a payload that may contain a password: error messages are logged."""
    return f"{len(payload)} octets"
