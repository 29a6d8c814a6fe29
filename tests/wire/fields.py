"""Hypothesis strategies: field tables with every type of value, arguments of methods, properties."""

import struct
from typing import Any

from hypothesis import strategies as st

from amqpbroker.wire.methods import Method
from amqpbroker.wire.properties import PROPERTIES
from amqpbroker.wire.values import Field


def _integers(bits: int, signed: bool) -> st.SearchStrategy[int]:
    return st.integers(-(2 ** (bits - 1)), 2 ** (bits - 1) - 1) if signed else st.integers(0, 2**bits - 1)


def _single(value: float) -> float:
    rounded: float = struct.unpack(">f", struct.pack(">f", value))[0]
    return rounded


#: Type byte -> strategy of its values, for the types that contain no other values.
SCALARS: dict[str, st.SearchStrategy[Any]] = {
    "t": st.booleans(),
    "b": _integers(8, True),
    "B": _integers(8, False),
    "s": _integers(16, True),
    "u": _integers(16, False),
    "I": _integers(32, True),
    "i": _integers(32, False),
    "l": _integers(64, True),
    "f": st.floats(width=32, allow_nan=False, allow_infinity=False).map(_single),
    "d": st.floats(allow_nan=False, allow_infinity=False),
    "D": st.tuples(_integers(8, False), _integers(32, True)),
    "S": st.binary(max_size=8),
    "x": st.binary(max_size=8),
    "T": _integers(64, False),
    "V": st.none(),
}

names = st.text(max_size=4)
scalars = st.one_of([values.map(lambda value, kind=kind: Field(kind, value)) for kind, values in SCALARS.items()])
fields = st.recursive(
    scalars,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3).map(lambda value: Field("A", value)),
        st.dictionaries(names, inner, max_size=3).map(lambda value: Field("F", value)),
    ),
    max_leaves=6,
)
tables = st.dictionaries(names, fields, max_size=4)

#: Types of method arguments.
ARGUMENTS: dict[str, st.SearchStrategy[Any]] = {
    "bit": st.booleans(),
    "octet": _integers(8, False),
    "short": _integers(16, False),
    "long": _integers(32, False),
    "longlong": _integers(64, False),
    "timestamp": _integers(64, False),
    "shortstr": st.text(max_size=20),
    "longstr": st.binary(max_size=20),
    "table": tables,
}

#: Types of properties, whose strings need not be text.
_PROPERTIES = ARGUMENTS | {"shortstr": st.binary(max_size=20)}

properties = st.fixed_dictionaries({}, optional={name: _PROPERTIES[kind] for name, _, kind in PROPERTIES})


def arguments(method: Method) -> st.SearchStrategy[dict[str, Any]]:
    """Return a strategy for all arguments of the method."""
    return st.fixed_dictionaries({name: ARGUMENTS[kind] for name, kind in method.fields})
