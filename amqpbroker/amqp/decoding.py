"""Decoding of method arguments, and errors for frames that cannot be parsed."""

from typing import Any, Final

from amqpbroker import errors
from amqpbroker.amqp.state import State
from amqpbroker.errors import AmqpError
from amqpbroker.wire import methods
from amqpbroker.wire.erlang import erlang_binary, erlang_octets
from amqpbroker.wire.values import MalformedError

UPDATE_SECRET: Final = 10 << 16 | 70

#: Maximum number of bytes of an unusable frame in an error message (rabbit_reader:payload_snippet/1).
_SHOWN: Final = 16


class UnblamedError(AmqpError):
    """An error that is not attributed to a method."""


def arguments_of(state: State, method: methods.Method, payload: bytes) -> dict[str, Any]:
    """Decode the payload of a method frame. Raises AmqpError 501 for a payload that does not fit the method.

    The error omits payloads that may contain secrets in this state of the connection.
    """
    try:
        return methods.decode(method, payload)
    except methods.NotUtf8Error:
        kind = UnblamedError if state.open else AmqpError
        raise kind(501, "Malformed UTF-8 in shortstr") from None
    except MalformedError:
        secret = state.private or method.ids == UPDATE_SECRET
        shown = _length(payload[4:]) if secret else erlang_octets(payload[4:])
        raise errors.frame_error(f"cannot decode {shown}") from None


def unusable(state: State, kind: int, payload: bytes, reason: str) -> AmqpError:
    """Return the error for an invalid frame. reason: in Erlang's terms, such as `unknown_frame`."""
    return errors.frame_error(f"{frame_text(state, kind, payload)}: {reason}")


def frame_text(state: State, kind: int, payload: bytes) -> str:
    """Describe an unusable frame in the words of rabbit_reader."""
    shown = "all" if len(payload) <= _SHOWN else f"first {_SHOWN}"
    return f"type {kind}, {shown} octets = {_length(payload) if state.private else erlang_binary(payload[:_SHOWN])}"


def _length(payload: bytes) -> str:
    """Return a placeholder for a payload that may contain a password: error messages are logged."""
    return f"{len(payload)} octets"
