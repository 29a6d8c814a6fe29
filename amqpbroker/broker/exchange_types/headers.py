"""headers: the binding's arguments are compared with the message's headers."""

from typing import ClassVar

from amqpbroker import errors
from amqpbroker.broker.exchange import Binding, ExchangeType, Target
from amqpbroker.broker.message import Message
from amqpbroker.compat import DEFAULT_COMPAT, Compat
from amqpbroker.wire.erlang import erlang_binary, erlang_term
from amqpbroker.wire.values import INTEGER_KINDS, TYPE_NAMES, Field, Table, encode_field

_MATCH = "x-match"
_MODES = (b"all", b"any", b"all-with-x", b"any-with-x")

#: A value in a form in which Python's equality is RabbitMQ's.
_Comparable = tuple[str, object]
#: A header's name and value; None where presence is enough (a void argument).
_Wanted = tuple[str, _Comparable | None]


class HeadersType(ExchangeType):
    """AMQP 0-9-1 section 3.1.3.4; rabbit_exchange_type_headers of 4.0.

    Rules are indexed by the headers that they ask for: one that wants all of them by the rarest so far. So a message
    meets only rules that share a header with it, mostly those that match.
    """

    name: ClassVar[str] = "headers"
    keyed = False
    per_key = False

    def __init__(self) -> None:
        self._rules: dict[Binding, _Rule] = {}
        self._index: dict[_Wanted, dict[_Rule, None]] = {}
        self._always: dict[_Rule, None] = {}

    def validate_binding(self, routing_key: bytes, arguments: Table, compat: Compat = DEFAULT_COMPAT) -> None:
        match = arguments.get(_MATCH)
        if match is None:
            return
        if match.kind != "S":
            raise errors.invalid_x_match_type(TYPE_NAMES[match.kind], erlang_term(match))
        if match.value not in _MODES:
            raise errors.invalid_x_match_value(erlang_binary(match.value))

    def bind(self, binding: Binding) -> None:
        rule = self._rules[binding] = _Rule(binding)
        if rule.any:
            rule.indexed_by = rule.required
        elif rule.required:
            rule.indexed_by = (min(rule.required, key=lambda pair: len(self._index.get(pair, ()))),)
        else:
            self._always[rule] = None
        for pair in rule.indexed_by:
            self._index.setdefault(pair, {})[rule] = None

    def unbind(self, binding: Binding) -> None:
        rule = self._rules.pop(binding)
        self._always.pop(rule, None)
        for pair in rule.indexed_by:
            rules = self._index[pair]
            del rules[rule]
            if not rules:
                del self._index[pair]

    def close(self) -> None:
        self._rules.clear()
        self._index.clear()
        self._always.clear()

    def route(self, routing_key: bytes, message: Message) -> list[Target]:
        found: list[Target] = [rule.target for rule in self._always]
        if not self._index or message.headers is None:
            return found
        values = {name: _comparable(field, True) for name, field in message.headers.items()}
        for name, value in values.items():
            for pair in ((name, value), (name, None)):
                rules = self._index.get(pair, ())
                found += [rule.target for rule in rules if rule.any or rule.all_in(values)]
        return found


class _Rule:
    """One binding: the headers it asks for, and those of them that it is found by."""

    __slots__ = ("any", "indexed_by", "required", "target")

    def __init__(self, binding: Binding) -> None:
        mode = binding.arguments.get(_MATCH, Field("S", b"all")).value
        with_x = mode in (b"all-with-x", b"any-with-x")
        self.target: Target = binding.destination
        self.any = mode in (b"any", b"any-with-x")
        self.required: tuple[_Wanted, ...] = tuple(
            (name, None if field.kind == "V" else _comparable(field, False))
            for name, field in binding.arguments.items()
            if name != _MATCH and (with_x or not name.startswith("x-"))
        )
        self.indexed_by: tuple[_Wanted, ...] = ()

    def all_in(self, values: dict[str, _Comparable]) -> bool:
        return all(name in values and (wanted is None or values[name] == wanted) for name, wanted in self.required)


def _comparable(field: Field, from_message: bool) -> _Comparable:
    """Integers of all widths compare by value, so do floats, and strings with binaries; nested values by their bytes.

    A message's timestamp counts in milliseconds and a binding's in seconds (mc_amqpl:routing_value): in RabbitMQ 4.0
    they never match each other.
    """
    kind, value = field
    if kind in INTEGER_KINDS:
        return "integer", value
    if kind == "T":
        return "integer", value * 1000 if from_message else value
    if kind in "Sx":
        return "string", bytes(value)
    if kind in "fd":
        return "float", encode_field(Field("d", value))
    if kind in "AF":
        return "A" if not value else kind, encode_field(field)[1:]
    return kind, value
