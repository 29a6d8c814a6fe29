"""Headers exchanges: what matches by x-match, type and value (2.5)."""

from __future__ import annotations

from typing import Any

from conformance.lab import Lab
from conformance.registry import case, family
from conformance.values import Value

MESSAGES: dict[str, Any] = {
    "none": None,
    "empty": {},
    "a1": {"a": 1},
    "a1 b2": {"a": 1, "b": 2},
    "a1 b3": {"a": 1, "b": 3},
    "b2": {"b": 2},
    "a1 b2 c3": {"a": 1, "b": 2, "c": 3},
    "a void": {"a": None},
    "x-a1": {"x-a": 1},
    "a1 x-a1": {"a": 1, "x-a": 1},
}


@family(
    {
        "default": ({"a": 1, "b": 2},),
        "all": ({"x-match": "all", "a": 1, "b": 2},),
        "any": ({"x-match": "any", "a": 1, "b": 2},),
        "all_with_x": ({"x-match": "all-with-x", "a": 1, "x-a": 1},),
        "any_with_x": ({"x-match": "any-with-x", "a": 5, "x-a": 1},),
        "all_ignores_x": ({"x-match": "all", "a": 1, "x-a": 9},),
        "any_ignores_x": ({"x-match": "any", "a": 5, "x-a": 1},),
        "empty": ({},),
        "empty_all": ({"x-match": "all"},),
        "empty_any": ({"x-match": "any"},),
        "empty_all_with_x": ({"x-match": "all-with-x"},),
        "empty_any_with_x": ({"x-match": "any-with-x"},),
        "void_present": ({"a": None},),
        "void_present_any": ({"x-match": "any", "a": None, "b": None},),
        "all_only_x": ({"x-match": "all", "x-a": 9},),
        "any_only_x": ({"x-match": "any", "x-a": 1},),
    }
)
def match(lab: Lab, arguments: dict[str, Any]) -> None:
    """One set of binding arguments against every kind of message."""
    ch = lab.channel()
    ch.exchange(lab.x(), "headers")
    ch.queue(lab.q())
    ch.bind(lab.q(), lab.x(), "", arguments=arguments)
    for text, headers in MESSAGES.items():
        properties = {} if headers is None else {"headers": headers}
        ch.publish(lab.x(), "", text, **properties)
    ch.sync()


VALUES: dict[str, Any] = {
    "int8": Value("b", 1),
    "uint8": Value("B", 1),
    "int16": Value("s", 1),
    "uint16": Value("u", 1),
    "int32": 1,
    "uint32": Value("i", 1),
    "int64": Value("l", 1),
    "float": Value("f", 1.0),
    "double": 1.0,
    "decimal": Value("D", (0, 1)),
    "decimal_10": Value("D", (1, 10)),
    "longstr": "1",
    "binary": Value("x", b"1"),
    "bool": True,
    "timestamp": Value("T", 1),
    "void": None,
    "array": [1],
    "array_int64": [Value("l", 1)],
    "table": {"k": 1},
    "table_int64": {"k": Value("l", 1)},
    "int32_two": 2,
    "longstr_empty": "",
    "bool_false": False,
    "array_empty": [],
    "table_empty": {},
}


@family({name: (value,) for name, value in VALUES.items()})
def value(lab: Lab, value: Any) -> None:
    """One bound value against message values of every type."""
    ch = lab.channel()
    ch.exchange(lab.x(), "headers")
    ch.queue(lab.q())
    ch.bind(lab.q(), lab.x(), "", arguments={"h": value})
    for name, other in VALUES.items():
        ch.publish(lab.x(), "", name, headers={"h": other})
    ch.sync()


@family(
    {
        "foo": ("foo",),
        "in_capitals": ("ALL",),
        "empty": ("",),
        "int": (1,),
        "bool": (True,),
        "void": (None,),
        "table": ({},),
        "binary": (Value("x", b"all"),),
    }
)
def match_invalid(lab: Lab, value: Any) -> None:
    """Values that x-match may not have."""
    ch = lab.channel()
    ch.exchange(lab.x(), "headers")
    ch.queue(lab.q())
    ch.bind(lab.q(), lab.x(), "", arguments={"x-match": value, "a": 1})


@case()
def match_invalid_on_unbind(lab: Lab) -> None:
    """An x-match that is not one, in an unbind."""
    ch = lab.channel()
    ch.exchange(lab.x(), "headers")
    ch.queue(lab.q())
    ch.unbind(lab.q(), lab.x(), "", arguments={"x-match": "foo"})


@case()
def match_invalid_e2e(lab: Lab) -> None:
    """An x-match that is not one, between exchanges."""
    ch = lab.channel()
    ch.exchange(lab.x(), "headers")
    ch.exchange_bind("amq.fanout", lab.x(), "", arguments={"x-match": "foo"})


@case()
def key_is_ignored(lab: Lab) -> None:
    """Routing keys play no part, but are part of the binding."""
    ch = lab.channel()
    ch.exchange(lab.x(), "headers")
    ch.queue(lab.q())
    ch.bind(lab.q(), lab.x(), "one", arguments={"a": 1})
    ch.publish(lab.x(), "other", "matches", headers={"a": 1})
    ch.unbind(lab.q(), lab.x(), "two", arguments={"a": 1})
    ch.publish(lab.x(), "other", "matches still", headers={"a": 1})
    ch.unbind(lab.q(), lab.x(), "one", arguments={"a": 1})
    ch.publish(lab.x(), "other", "matches no more", headers={"a": 1})
    ch.sync()


@case()
def predeclared(lab: Lab) -> None:
    """amq.headers and amq.match are both headers exchanges."""
    ch = lab.channel()
    for name in ("amq.headers", "amq.match"):
        ch.queue(lab.q(name))
        ch.bind(lab.q(name), name, "", arguments={"case": lab.q()})
        ch.publish(name, "", name, headers={"case": lab.q()})
    ch.sync()


@case()
def header_twice(lab: Lab) -> None:
    """A header that a message carries twice."""
    ch = lab.channel()
    ch.exchange(lab.x(), "headers")
    ch.queue(lab.q())
    ch.bind(lab.q(), lab.x(), "", arguments={"a": 2})
    ch.publish(lab.x(), "", "1 then 2", headers=[("a", 1), ("a", 2)])
    ch.publish(lab.x(), "", "2 then 1", headers=[("a", 2), ("a", 1)])
    ch.sync()


@case()
def many_bindings(lab: Lab) -> None:
    """Bindings to several queues that ask for the same headers alone, together and in any of them."""
    ch = lab.channel()
    ch.exchange(lab.x(), "headers")
    bindings: dict[str, list[dict[str, Any]]] = {
        "a": [{"a": 1}, {"a": 1, "b": 2}, {"a": None, "c": "x"}],
        "b": [{"b": 2, "a": 1}, {"x-match": "any", "a": 2, "b": 2}],
        "c": [{"x-match": "any", "c": "x", "b": None}, {"a": 1, "b": 2, "c": "x"}],
    }
    for name, wanted in bindings.items():
        ch.queue(lab.q(name))
        for number, arguments in enumerate(wanted):
            ch.bind(lab.q(name), lab.x(), str(number), arguments=arguments)
    sent: list[dict[str, Any]] = [
        {"a": 1},
        {"a": 2},
        {"a": 1, "b": 2},
        {"a": 1, "b": 3},
        {"a": 2, "c": "x"},
        {"a": 1, "b": 2, "c": "x", "d": True},
        {"c": "x"},
        {"d": 1},
    ]
    for number, headers in enumerate(sent):
        ch.publish(lab.x(), "", f"bound {number}", headers=headers)
    ch.unbind(lab.q("a"), lab.x(), "1", arguments={"a": 1, "b": 2})
    ch.unbind(lab.q("b"), lab.x(), "0", arguments={"b": 2, "a": 1})
    ch.unbind(lab.q("c"), lab.x(), "0", arguments={"x-match": "any", "c": "x", "b": None})
    for number, headers in enumerate(sent):
        ch.publish(lab.x(), "", f"unbound {number}", headers=headers)
    ch.sync()
