"""Declaring and deleting exchanges (2.5)."""

from __future__ import annotations

from typing import Any

from conformance.cases.queue_arguments import EVERY_TYPE
from conformance.lab import Lab
from conformance.registry import case, family
from conformance.values import Value


@family({kind: (kind,) for kind in ("direct", "fanout", "topic", "headers")})
def declare(lab: Lab, kind: str) -> None:
    """Each type, twice."""
    ch = lab.channel()
    ch.exchange(lab.x(), kind)
    ch.exchange(lab.x(), kind)


@family(
    {
        "unknown": ("foo",),
        "empty": ("",),
        "atom": ("true",),
        "in_capitals": ("Direct",),
        "delayed": ("x-delayed-message",),
        "recent_history": ("x-recent-history",),
        "modulus_hash": ("x-modulus-hash",),
        "jms_topic": ("x-jms-topic",),
        "not_utf8": (b"\xff",),
        "longest": ("t" * 255,),
    }
)
def kind(lab: Lab, name: Any) -> None:
    """A type that is not there."""
    lab.channel().exchange(lab.x(), name)


@case()
def declare_nowait(lab: Lab) -> None:
    """A declaration with nowait has no reply."""
    ch = lab.channel()
    ch.exchange(lab.x(), "fanout", nowait=True)
    ch.exchange(lab.x(), passive=True)


@case()
def declare_nowait_error(lab: Lab) -> None:
    """A declaration with nowait reports an error."""
    ch = lab.channel()
    ch.exchange(lab.x(), "foo", nowait=True)
    ch.closed()


@case()
def passive_missing(lab: Lab) -> None:
    """A passive declare of an exchange that is not there."""
    lab.channel().exchange(lab.x(), passive=True)


@case()
def passive_ignores_the_rest(lab: Lab) -> None:
    """A passive declare compares nothing but the name, not even a type that exists."""
    ch = lab.channel()
    ch.exchange(lab.x(), "topic")
    ch.exchange(lab.x(), "nonsense", passive=True, durable=True, auto_delete=True, internal=True)


@family(
    {
        "type": ({}, {"kind": "topic"}),
        "durable": ({}, {"durable": True}),
        "not_durable": ({"durable": True}, {}),
        "auto_delete": ({}, {"auto_delete": True}),
        "internal": ({}, {"internal": True}),
        "not_internal": ({"internal": True}, {}),
        "alternate_added": ({}, {"arguments": {"alternate-exchange": "a"}}),
        "alternate_missing": ({"arguments": {"alternate-exchange": "a"}}, {}),
        "alternate_other": (
            {"arguments": {"alternate-exchange": "a"}},
            {"arguments": {"alternate-exchange": "b"}},
        ),
        "unknown_argument": ({}, {"arguments": {"x-my-own": 1}}),
        "unknown_argument_other": ({"arguments": {"x-my-own": 1}}, {"arguments": {"x-my-own": 2}}),
        "type_and_durable": ({}, {"kind": "topic", "durable": True}),
        "flags": ({}, {"durable": True, "auto_delete": True, "internal": True}),
    }
)
def redeclare(lab: Lab, first: dict[str, Any], second: dict[str, Any]) -> None:
    """A second declare that differs from the first."""
    ch = lab.channel()
    ch.exchange(lab.x(), **first)
    ch.exchange(lab.x(), **second)


@family(
    {
        "int": (1,),
        "void": (None,),
        "bool": (True,),
        "table": ({},),
        "empty": ("",),
        "missing": ("nope",),
        "itself": ("self",),
        "binary": (Value("x", b"a"),),
    }
)
def alternate(lab: Lab, value: Any) -> None:
    """Values of the argument alternate-exchange."""
    ch = lab.channel()
    ch.exchange(lab.x(), arguments={"alternate-exchange": lab.x() if value == "self" else value})


@family(
    {
        "amq": ("amq.mine",),
        "amq_dot": ("amq.",),
        "rabbitmq": ("amq.rabbitmq.mine",),
    }
)
def reserved(lab: Lab, name: str) -> None:
    """An exchange name that clients may not declare."""
    lab.channel().exchange(name)


@family(
    {
        "direct": ("amq.direct", "direct"),
        "fanout": ("amq.fanout", "fanout"),
        "topic": ("amq.topic", "topic"),
        "headers": ("amq.headers", "headers"),
        "match": ("amq.match", "headers"),
        "trace": ("amq.rabbitmq.trace", "topic"),
    }
)
def predeclared(lab: Lab, name: str, kind: str) -> None:
    """The exchanges every vhost has."""
    ch = lab.channel()
    ch.exchange(name, passive=True)
    ch.exchange(name, kind, durable=True, internal=name == "amq.rabbitmq.trace")
    lab.channel().exchange(name, "x-other", durable=True)


@case()
def log_exchange(lab: Lab) -> None:
    """The log exchange is there only where it is configured."""
    lab.channel().exchange("amq.rabbitmq.log", passive=True)


@case()
def predeclared_with_other_flags(lab: Lab) -> None:
    """A predeclared exchange declared transient."""
    lab.channel().exchange("amq.direct", "direct")


@family(
    {
        "declare": ("exchange.declare", {"exchange_type": "direct"}),
        "declare_passive": ("exchange.declare", {"passive": True}),
        "delete": ("exchange.delete", {}),
    }
)
def default(lab: Lab, method: str, arguments: dict[str, Any]) -> None:
    """The default exchange is not to be touched."""
    lab.channel().call(method, exchange="", **arguments)


@case()
def name_with_line_ends(lab: Lab) -> None:
    """CR and LF are taken out of a name."""
    ch = lab.channel()
    for short in ("a\r\nb", "ab"):
        lab.x(short)
    ch.exchange(lab.x("a\r\nb"))
    ch.exchange(lab.x("ab"), passive=True)


@case()
def name_with_odd_letters(lab: Lab) -> None:
    """Names are free otherwise."""
    ch = lab.channel()
    for short in ("a b", "it's", "žluť", "a/b", "50%~p"):
        ch.exchange(lab.x(short))
        ch.exchange(lab.x(short), passive=True)


@case()
def delete(lab: Lab) -> None:
    """Deleting is fine whether it is there or not."""
    ch = lab.channel()
    ch.exchange(lab.x())
    ch.exchange_delete(lab.x())
    ch.exchange_delete(lab.x())
    ch.exchange(lab.x(), passive=True)


@case()
def delete_nowait(lab: Lab) -> None:
    """A delete without a reply."""
    ch = lab.channel()
    ch.exchange(lab.x())
    ch.exchange_delete(lab.x(), nowait=True)
    ch.exchange(lab.x(), passive=True)


@case()
def delete_if_unused(lab: Lab) -> None:
    """if-unused refuses while it has a binding."""
    ch = lab.channel()
    ch.exchange(lab.x())
    ch.queue(lab.q())
    ch.bind(lab.q(), lab.x(), "k")
    ch.exchange_delete(lab.x(), if_unused=True)


@case()
def delete_if_unused_as_destination(lab: Lab) -> None:
    """Being another exchange's destination is not use."""
    ch = lab.channel()
    ch.exchange(lab.x("source"))
    ch.exchange(lab.x("destination"))
    ch.exchange_bind(lab.x("destination"), lab.x("source"), "k")
    ch.exchange_delete(lab.x("destination"), if_unused=True)
    ch.exchange_delete(lab.x("source"), if_unused=True)


@case()
def delete_takes_bindings(lab: Lab) -> None:
    """Bindings go with the exchange and do not come back."""
    ch = lab.channel()
    ch.exchange(lab.x(), "fanout")
    ch.queue(lab.q())
    ch.bind(lab.q(), lab.x())
    ch.exchange_delete(lab.x())
    ch.exchange(lab.x(), "fanout")
    ch.publish(lab.x(), "", mandatory=True)
    ch.wait("basic.return")


@family(
    {
        "direct": ("amq.direct",),
        "trace": ("amq.rabbitmq.trace",),
        "amq_missing": ("amq.nope",),
    }
)
def delete_system(lab: Lab, name: str) -> None:
    """System exchanges are not to be deleted."""
    lab.channel().exchange_delete(name)


@case()
def auto_delete(lab: Lab) -> None:
    """An auto-delete exchange goes with its last binding, not before it had one."""
    ch = lab.channel()
    ch.exchange(lab.x(), auto_delete=True)
    ch.exchange(lab.x(), passive=True)
    ch.queue(lab.q())
    ch.bind(lab.q(), lab.x(), "a")
    ch.bind(lab.q(), lab.x(), "b")
    ch.unbind(lab.q(), lab.x(), "a")
    ch.exchange(lab.x(), passive=True)
    ch.unbind(lab.q(), lab.x(), "b")
    ch.exchange(lab.x(), passive=True)


@case()
def auto_delete_with_queue(lab: Lab) -> None:
    """It goes when its last bound queue is deleted."""
    ch = lab.channel()
    ch.exchange(lab.x(), auto_delete=True)
    ch.queue(lab.q())
    ch.bind(lab.q(), lab.x(), "a")
    ch.delete(lab.q())
    ch.exchange(lab.x(), passive=True)


@case()
def auto_delete_unbind_of_nothing(lab: Lab) -> None:
    """An unbind that removes nothing does not delete it."""
    ch = lab.channel()
    ch.exchange(lab.x(), auto_delete=True)
    ch.queue(lab.q())
    ch.unbind(lab.q(), lab.x(), "a")
    ch.exchange(lab.x(), passive=True)


@case()
def auto_delete_chain(lab: Lab) -> None:
    """One auto-delete exchange takes the next with it."""
    ch = lab.channel()
    ch.exchange(lab.x("first"), auto_delete=True)
    ch.exchange(lab.x("second"), auto_delete=True)
    ch.queue(lab.q())
    ch.exchange_bind(lab.x("second"), lab.x("first"), "k")
    ch.bind(lab.q(), lab.x("second"), "k")
    ch.delete(lab.q())
    lab.channel().exchange(lab.x("second"), passive=True)
    lab.channel().exchange(lab.x("first"), passive=True)


@case()
def internal(lab: Lab) -> None:
    """Clients cannot publish to an internal exchange; other exchanges can."""
    ch = lab.channel()
    ch.exchange(lab.x("in"), "fanout", internal=True)
    ch.exchange(lab.x("out"), "fanout")
    ch.queue(lab.q())
    ch.exchange_bind(lab.x("in"), lab.x("out"))
    ch.bind(lab.q(), lab.x("in"))
    ch.publish(lab.x("out"), "k", "through")
    ch.sync()
    ch.publish(lab.x("in"), "k", "direct")
    ch.closed()


@case()
def publish_missing(lab: Lab) -> None:
    """Publishing to no exchange closes the channel."""
    ch = lab.channel()
    ch.publish(lab.x(), "k")
    ch.closed()


@case()
def publish_deleted(lab: Lab) -> None:
    """Publishing to an exchange that is gone."""
    ch, other = lab.channel(), lab.channel()
    ch.exchange(lab.x(), "fanout")
    ch.publish(lab.x(), "k")
    ch.sync()
    other.exchange_delete(lab.x())
    ch.publish(lab.x(), "k")
    ch.closed()


@family(
    {
        "queue_bind": ("queue.bind", {"exchange": "a\r\nb", "queue": "q"}),
        "queue_unbind": ("queue.unbind", {"exchange": "a\r\nb", "queue": "q"}),
        "bind_source": ("exchange.bind", {"source": "a\r\nb", "destination": "other"}),
        "bind_destination": ("exchange.bind", {"source": "other", "destination": "a\r\nb"}),
        "unbind_source": ("exchange.unbind", {"source": "a\r\nb", "destination": "other"}),
        "delete": ("exchange.delete", {"exchange": "a\r\nb"}),
    }
)
def line_ends(lab: Lab, method: str, names: dict[str, str]) -> None:
    """Further methods that remove CR and LF from an exchange's name."""
    ch = lab.channel()
    for short in ("a\r\nb", "ab", "other"):
        lab.x(short)
    for short in ("ab", "other"):
        ch.exchange(lab.x(short), "fanout")
    ch.queue(lab.q())
    ch.bind(lab.q(), lab.x("other"))
    if method.endswith("unbind"):
        ch.exchange_bind(lab.x("other"), lab.x("ab"))
    ch.call(method, **{key: lab.q() if key == "queue" else lab.x(short) for key, short in names.items()})
    lab.channel().publish(lab.x("ab"), "", "by way of ab")
    lab.quiet()


@family({"publish": (False,), "passive": (True,)})
def line_ends_used(lab: Lab, passive: bool) -> None:
    """Publishing to, or asking for, a name with CR and LF in it."""
    ch = lab.channel()
    for short in ("a\r\nb", "ab"):
        lab.x(short)
    ch.exchange(lab.x("ab"), "fanout")
    if passive:
        ch.exchange(lab.x("a\r\nb"), passive=True)
    else:
        ch.publish(lab.x("a\r\nb"), "k")
        lab.quiet()


EXCHANGE_TYPES = ("direct", "fanout", "topic", "headers", "x-consistent-hash", "x-random")


@family({kind.removeprefix("x-").replace("-", "_"): (kind,) for kind in EXCHANGE_TYPES})
def redeclared_with_every_type_of_value(lab: Lab, kind: str) -> None:
    """Exchange declared again with an argument of every wire type."""
    lab.channel().exchange(lab.x("bare"), kind)
    lab.channel().exchange(lab.x("full"), kind, arguments={"alternate-exchange": "abc"})
    for argument in ("alternate-exchange", "x-delayed-type", "x-my-own"):
        for value in EVERY_TYPE.values():
            lab.channel().exchange(lab.x("bare"), kind, arguments={argument: value})
            lab.channel().exchange(lab.x("full"), kind, arguments={"alternate-exchange": "abc", argument: value})
            lab.channel().exchange(lab.x("full"), kind, durable=True, arguments={argument: value})


@family({kind.removeprefix("x-").replace("-", "_"): (kind,) for kind in EXCHANGE_TYPES})
def redeclared_as_every_other(lab: Lab, kind: str) -> None:
    """Exchange declared again with another type, and with other flags and arguments as well."""
    lab.channel().exchange(lab.x(), kind)
    for other in (*EXCHANGE_TYPES, "x-local-random"):
        lab.channel().exchange(lab.x(), other)
        lab.channel().exchange(lab.x(), other, durable=True, internal=True)
        lab.channel().exchange(lab.x(), other, arguments={"alternate-exchange": 5})


@family({kind.removeprefix("x-").replace("-", "_"): (kind,) for kind in EXCHANGE_TYPES})
def declared_with_every_type_of_value(lab: Lab, kind: str) -> None:
    """New exchange with an alternate-exchange argument of every wire type."""
    ch = lab.channel()
    for value in EVERY_TYPE.values():
        lab.channel().exchange(lab.x(), kind, arguments={"alternate-exchange": value})
        ch.exchange_delete(lab.x())
