"""The bindings of a headers exchange, indexed by the headers that they require."""

import struct
from typing import TYPE_CHECKING, Final

from mypy_extensions import i64

from amqpbroker.octets import read_i16_be, read_i32_be, read_i64_be
from amqpbroker.wire.raw_headers import headers_end, headers_start, value_end
from amqpbroker.wire.values import Field, decode_value, encode_field

if TYPE_CHECKING:
    from amqpbroker.broker.exchanges.exchange import Target

_DOUBLE: Final = struct.Struct(">d")

#: Target -> number of bindings to it.
_Targets = dict["Target", int]


class Condition:
    """A header with a certain value, or with any value.

    met: number of the last message that meets it. targets: the targets of bindings that require nothing else, or any of
    several headers. combinations: the combinations of conditions that are looked up by this one.
    """

    __slots__ = ("combinations", "met", "targets", "used")

    def __init__(self) -> None:
        self.met: i64 = 0
        self.targets: _Targets = {}
        self.combinations: dict[Combination, None] = {}
        self.used: int = 0


class Combination:
    """Several conditions that bindings require together. by: the condition by which the combination is looked up."""

    __slots__ = ("by", "conditions", "targets")

    def __init__(self, conditions: tuple[Condition, ...], by: Condition) -> None:
        self.conditions: tuple[Condition, ...] = conditions
        self.by: Condition = by
        self.targets: _Targets = {}


class _Header:
    """The conditions on one header.

    seen: number of the last message that has the header. present: the condition that any value meets.
    """

    __slots__ = ("present", "seen", "values")

    def __init__(self) -> None:
        self.seen: i64 = 0
        self.present: Condition | None = None
        self.values: dict[object, Condition] = {}


#: A header's name, and the required value; None if any value will do.
Wanted = tuple[bytes, Field | None]


class HeaderIndex:
    """Finds the targets of a message by its header bytes.

    Bindings with the same requirements are one entry. An entry that requires several headers is looked up by the
    condition that was the rarest when the entry was made. Values are compared only for headers that a binding names.
    """

    def __init__(self) -> None:
        self._headers: dict[bytes, _Header] = {}
        # A bit for each `_bit()` of a header name. A name whose bit is not set is certainly not in `_headers`.
        self._names: i64 = 0
        self._always: _Targets = {}
        self._combinations: dict[tuple[Condition, ...], Combination] = {}
        self._number: i64 = 0

    def add(self, wanted: list[Wanted], any_of: bool, target: "Target") -> None:
        """Add a binding for messages with all of these headers, or with any of them."""
        if not wanted and not any_of:
            _add(self._always, target)
            return
        conditions = [self._condition(name, field) for name, field in wanted]
        for condition in conditions:
            condition.used += 1
        if any_of or len(conditions) == 1:
            for condition in conditions:
                _add(condition.targets, target)
            return
        together = tuple(conditions)
        combination = self._combinations.get(together)
        if combination is None:
            by = conditions[0]
            for condition in conditions:
                if len(condition.combinations) < len(by.combinations):
                    by = condition
            combination = self._combinations[together] = Combination(together, by)
            by.combinations[combination] = None
        _add(combination.targets, target)

    def remove(self, wanted: list[Wanted], any_of: bool, target: "Target") -> None:
        """Remove a binding that was added with the same arguments."""
        if not wanted and not any_of:
            _remove(self._always, target)
            return
        conditions = [self._condition(name, field) for name, field in wanted]
        if any_of or len(conditions) == 1:
            for condition in conditions:
                _remove(condition.targets, target)
        else:
            combination = self._combinations[tuple(conditions)]
            _remove(combination.targets, target)
            if not combination.targets:
                del self._combinations[combination.conditions]
                del combination.by.combinations[combination]
        for (name, field), condition in zip(wanted, conditions, strict=True):
            condition.used -= 1
            if not condition.used:
                self._delete_condition(name, field)

    def clear(self) -> None:
        """Remove all bindings."""
        self._headers = {}
        self._names = 0
        self._always = {}
        self._combinations = {}

    def _condition(self, name: bytes, field: Field | None) -> Condition:
        header = self._headers.get(name)
        if header is None:
            header = self._headers[name] = _Header()
            self._names |= _bit(len(name), name[0] if name else 0)
        if field is None:
            condition = header.present
            if condition is None:
                condition = header.present = Condition()
            return condition
        key = _bound_key(field)
        found = header.values.get(key)
        if found is None:
            found = header.values[key] = Condition()
        return found

    def _delete_condition(self, name: bytes, field: Field | None) -> None:
        header = self._headers[name]
        if field is None:
            header.present = None
        else:
            del header.values[_bound_key(field)]
        if header.present is None and not header.values:
            del self._headers[name]
            if not self._headers:
                self._names = 0

    def match(self, data: bytes) -> "list[Target]":
        """Return the targets of a message with these properties. A target may occur more than once."""
        found: list[Target] = list(self._always)
        names = self._names
        at: i64 = headers_start(data) if names else 0
        if at == 0:
            return found
        number: i64 = self._number + 1
        self._number = number
        end: i64 = headers_end(data, at)
        met: list[Condition] = []
        while at < end:
            size: i64 = data[at]
            first: i64 = data[at + 1]
            value: i64 = at + 1 + size
            after: i64 = value_end(data, value)
            if names & _bit(size, first):
                header = self._headers.get(data[at + 1 : value])
                if header is not None and header.seen != number:
                    header.seen = number
                    condition = header.values.get(_sent_key(data, value, after))
                    if condition is not None:
                        condition.met = number
                        met.append(condition)
                    condition = header.present
                    if condition is not None:
                        condition.met = number
                        met.append(condition)
            at = after
        for condition in met:
            if condition.targets:
                found += condition.targets
            for combination in condition.combinations:
                if _is_met(combination, number):
                    found += combination.targets
        return found


def _add(targets: _Targets, target: "Target") -> None:
    targets[target] = targets.get(target, 0) + 1


def _remove(targets: _Targets, target: "Target") -> None:
    count = targets[target] - 1
    if count:
        targets[target] = count
    else:
        del targets[target]


def _is_met(combination: Combination, number: i64) -> bool:
    for condition in combination.conditions:  # noqa: SIM110 - runs for every message
        if condition.met != number:
            return False
    return True


def _bit(length: i64, first: i64) -> i64:
    """Return a bit for a header name, by its length and first byte. For an empty name, the first byte has no effect."""
    if length == 0:
        return 1
    one: i64 = 1
    return one << ((length * 7 + first) & 63)


# --- values -----------------------------------------------------------------------------------------------------------
#
# Each value has a key, and equal keys mean equal values to RabbitMQ: integers of all widths compare by value, and so do
# floats; strings compare with binaries; nested values compare by their bytes. A message's timestamp counts in
# milliseconds and a binding's in seconds (mc_amqpl:routing_value): in RabbitMQ 4.0 they never match each other.


def _sent_key(data: bytes, at: i64, end: i64) -> object:
    """Return the key of a message's value in data[at:end]."""
    kind: i64 = data[at]
    if kind == 0x53 or kind == 0x78:  # S x
        return data[at + 5 : end]
    number: i64
    if kind == 0x49:  # I
        number = i64(read_i32_be(data, at + 1))
        return number
    if kind == 0x6C or kind == 0x4C:  # l L
        number = read_i64_be(data, at + 1)
        return number
    if kind == 0x73:  # s
        number = i64(read_i16_be(data, at + 1))
        return number
    if kind == 0x62:  # b
        number = data[at + 1]
        number = (number ^ 0x80) - 0x80
        return number
    if kind == 0x74:  # t
        return _TRUE if data[at + 1] else _FALSE
    if kind == 0x64:  # d
        return "d", data[at + 1 : end]
    if kind == 0x54:  # T
        return int.from_bytes(data[at + 1 : end], "big") * 1000
    return _bound_key(decode_value(data, at, end))


_TRUE: Final = ("t", True)
_FALSE: Final = ("t", False)
_INTEGERS: Final = "bBsuIilT"


def _bound_key(field: Field) -> object:
    """Return the key of a value that a binding requires.

    It equals the key of a message's value, except for timestamps.
    """
    kind, value = field
    if kind in _INTEGERS:
        return int(value)
    if kind in "Sx":
        return bytes(value)
    if kind in "fd":
        return "d", _DOUBLE.pack(value)
    if kind in "AF":
        return "A" if not value else kind, encode_field(field)[1:]
    return kind, value
