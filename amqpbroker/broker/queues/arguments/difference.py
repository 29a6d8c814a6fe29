"""A difference between a declaration and the existing queue or exchange, with RabbitMQ's error text."""

from typing import Final, NamedTuple

from amqpbroker import errors
from amqpbroker.wire.erlang import erlang_characters, erlang_term
from amqpbroker.wire.values import TYPE_NAMES, Field, longstr

#: Number of bytes of a long value that are kept.
SHOWN_BYTES: Final = 255


class Difference(NamedTuple):
    """An argument with different values.

    current: of the existing queue or exchange. declared: the received value. Either is None if it has no such argument.
    """

    argument: str
    current: Field | None
    declared: Field | None

    def refusal(self, kind: str, name: str, vhost: str) -> errors.AmqpError:
        """Return RabbitMQ's 406 for a queue or an exchange. kind: queue or exchange."""
        declared, current = self.declared, self.current
        if declared is None or current is None:
            received, shown = _typed(declared), _typed(current)
        else:
            received, shown = _untyped(declared), _untyped(current)
        return errors.inequivalent_argument(self.argument, kind, name, vhost, received, shown)

    def shortened(self) -> "Difference":
        """Return a copy without long values, to be kept and shown."""
        return Difference(self.argument, _short(self.current), _short(self.declared))

    def __str__(self) -> str:
        return f"{self.argument} is {_plain(self.current)} and was declared as {_plain(self.declared)}"


def difference(argument: str, declared: Field | None, current: Field | None) -> Difference | None:
    """Compare two values of an argument. Return None if they are the same.

    Values of an argument that is present in both are the same if Erlang prints them alike: 1000 in any width, but
    neither 1.0 nor <<"1">> for 1.
    """
    if declared is None or current is None:
        return None if declared is current else Difference(argument, current, declared)
    return None if erlang_term(declared) == erlang_term(current) else Difference(argument, current, declared)


def _typed(field: Field | None) -> str:
    if field is None:
        return "none"
    return f"the value '{_shown(field)}' of type '{TYPE_NAMES[field.kind]}'"


def _untyped(field: Field) -> str:
    return "none" if field.kind == "V" else f"'{_shown(field)}'"


def _shown(field: Field) -> str:
    return erlang_characters(field.value) if field.kind in "Sx" else erlang_term(field)


def _plain(field: Field | None) -> str:
    return "none" if field is None else _untyped(field)


def _short(field: Field | None) -> Field | None:
    if field is None:
        return None
    if field.kind in "AF":
        return longstr(erlang_term(field).encode()[:SHOWN_BYTES])
    if field.kind in "Sx" and len(field.value) > SHOWN_BYTES:
        return Field(field.kind, field.value[:SHOWN_BYTES])
    return field
