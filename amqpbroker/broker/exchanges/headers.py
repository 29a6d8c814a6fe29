"""The headers exchange type: the binding's arguments are compared with the message's headers."""

from typing import ClassVar

from amqpbroker import errors
from amqpbroker.broker.exchanges.exchange import Binding, ExchangeType, Target
from amqpbroker.broker.exchanges.header_index import HeaderIndex, Wanted
from amqpbroker.compat import DEFAULT_COMPAT, Compat
from amqpbroker.message.message import Message
from amqpbroker.wire.erlang import erlang_binary, erlang_term
from amqpbroker.wire.values import TYPE_NAMES, Field, Table

_MATCH = "x-match"
_MODES = (b"all", b"any", b"all-with-x", b"any-with-x")


class HeadersType(ExchangeType):
    """AMQP 0-9-1 section 3.1.3.4; rabbit_exchange_type_headers of 4.0."""

    name: ClassVar[str] = "headers"
    keyed = False
    per_key = False

    def __init__(self) -> None:
        self._index = HeaderIndex()

    def validate_binding(self, routing_key: bytes, arguments: Table, compat: Compat = DEFAULT_COMPAT) -> None:
        match = arguments.get(_MATCH)
        if match is None:
            return
        if match.kind != "S":
            raise errors.invalid_x_match_type(TYPE_NAMES[match.kind], erlang_term(match))
        if match.value not in _MODES:
            raise errors.invalid_x_match_value(erlang_binary(match.value))

    def bind(self, binding: Binding) -> None:
        wanted, any_of = _rule(binding.arguments)
        self._index.add(wanted, any_of, binding.destination)

    def unbind(self, binding: Binding) -> None:
        wanted, any_of = _rule(binding.arguments)
        self._index.remove(wanted, any_of, binding.destination)

    def close(self) -> None:
        self._index.clear()

    def route(self, routing_key: bytes, message: Message) -> list[Target]:
        return self._index.match(message.properties)


def _rule(arguments: Table) -> tuple[list[Wanted], bool]:
    """Return the headers that a binding requires, and whether any one of them is sufficient.

    A void argument requires a header with any value. Only the modes with-x use names that begin with `x-`.
    """
    mode = arguments.get(_MATCH, Field("S", b"all")).value
    with_x = mode in (b"all-with-x", b"any-with-x")
    wanted: list[Wanted] = [
        (name.encode("utf-8", "surrogateescape"), None if field.kind == "V" else field)
        for name, field in arguments.items()
        if name != _MATCH and (with_x or not name.startswith("x-"))
    ]
    return wanted, mode in (b"any", b"any-with-x")
