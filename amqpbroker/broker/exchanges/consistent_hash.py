"""x-consistent-hash: equal keys go to one queue, and different keys spread over the queues by weight."""

import hashlib
import re
from bisect import bisect_right
from typing import ClassVar

from amqpbroker import errors
from amqpbroker.broker.exchanges.exchange import Binding, ExchangeType, Target
from amqpbroker.compat import DEFAULT_COMPAT, Compat
from amqpbroker.message.message import Message
from amqpbroker.wire.erlang import erlang_binary
from amqpbroker.wire.properties import decode_properties
from amqpbroker.wire.raw_headers import header
from amqpbroker.wire.values import INTEGER_KINDS, TYPE_NAMES, Field, Table, encode_field, text

_PROPERTIES = ("correlation_id", "message_id", "timestamp")
_INTEGER = re.compile(rb"[+-]?[0-9]+")


class ConsistentHashType(ExchangeType):
    """rabbit_exchange_type_consistent_hash of 4.0: the binding key is the weight.

    The hash is computed from the first routing key, or from the header or property that the exchange argument
    `hash-header` or `hash-property` names; all messages without it go to the same queue. The number of buckets for the
    jump consistent hash is the sum of the weights, so a queue that is bound later takes over only its proportion of the
    keys. If a queue has several bindings, the first one counts.
    """

    name: ClassVar[str] = "x-consistent-hash"
    per_key = False
    picks = True

    def __init__(self, arguments: Table) -> None:
        """Parse the exchange's arguments. Raises AmqpError 406 if they are invalid."""
        self._header = _longstr(arguments, "hash-header")
        self._property = _longstr(arguments, "hash-property")
        if self._property is not None:
            if self._header is not None:
                raise errors.hash_arguments_exclusive()
            if self._property not in _PROPERTIES:
                raise errors.unsupported_hash_property(self._property)
        self.keyed = self._header is None and self._property is None
        self._bindings: dict[Binding, None] = {}
        self._targets: list[Target] = []
        self._ends: list[int] | None = None

    def validate_binding(self, routing_key: bytes, arguments: Table, compat: Compat = DEFAULT_COMPAT) -> None:
        if not _INTEGER.fullmatch(routing_key):
            raise errors.binding_weight_no_integer(erlang_binary(routing_key))
        if int(routing_key) < 1:
            raise errors.binding_weight_not_positive()

    def bind(self, binding: Binding) -> None:
        self._bindings[binding] = None
        self._clear_layout()

    def unbind(self, binding: Binding) -> None:
        del self._bindings[binding]
        self._clear_layout()

    def close(self) -> None:
        self._bindings.clear()
        self._clear_layout()

    def route(self, routing_key: bytes, message: Message) -> list[Target]:
        ends = self._ends
        if ends is None:
            ends = self._ends = self._lay_out()
        if not ends:
            return []
        bucket = jump_hash(self._hashed(routing_key, message), ends[-1])
        return [self._targets[bisect_right(ends, bucket)]]

    def _clear_layout(self) -> None:
        """Forget the targets, which may be deleted, until the next message needs the layout."""
        self._targets = []
        self._ends = None

    def _lay_out(self) -> list[int]:
        """Lay the targets' buckets out side by side; return the position where the buckets of each target end."""
        weights: dict[Target, int] = {}
        for binding in self._bindings:
            weights.setdefault(binding.destination, int(binding.routing_key))
        self._targets = list(weights)
        ends = []
        end = 0
        for weight in weights.values():
            end += weight
            ends.append(end)
        return ends

    def _hashed(self, routing_key: bytes, message: Message) -> bytes:
        if self._header is not None:
            field = header(message.properties, self._header.encode("utf-8", "surrogateescape"))
            return b"" if field is None else _hashed_bytes(field)
        if self._property is not None:
            value = decode_properties(message.properties).get(self._property, b"")
            return b"%d" % value if isinstance(value, int) else bytes(value)
        return routing_key


def jump_hash(key: bytes, buckets: int) -> int:
    """Return a bucket in [0, buckets): Lamping and Veach, "A fast, minimal memory, consistent hash algorithm" (2014).

    If one bucket is added, each key stays in its bucket or moves to the new one.
    """
    seed = int.from_bytes(hashlib.blake2b(key, digest_size=8).digest(), "big")
    bucket = 0
    following = 0
    while following < buckets:
        bucket = following
        seed = (seed * 2862933555777941757 + 1) & 0xFFFF_FFFF_FFFF_FFFF
        following = int((bucket + 1) * (1 << 31) / ((seed >> 33) + 1))
    return bucket


def _hashed_bytes(field: Field) -> bytes:
    """Return the bytes of a header to be hashed, which are the same for equal values of any width."""
    kind, value = field
    if kind in "Sx":
        return bytes(value)
    return b"%d" % value if kind in INTEGER_KINDS else encode_field(field)


def _longstr(arguments: Table, name: str) -> str | None:
    field = arguments.get(name)
    if field is None:
        return None
    if field.kind != "S":
        raise errors.hash_argument_no_longstr(name, TYPE_NAMES[field.kind])
    return text(field.value)
