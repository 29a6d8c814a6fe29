"""Bindings of queues and exchanges (2.5)."""

from __future__ import annotations

from typing import Any

from conformance.channel import Channel
from conformance.lab import Lab
from conformance.registry import case, family
from conformance.values import Value


def bound(lab: Lab, kind: str = "direct") -> Channel:
    """A channel, an exchange x and a queue q, not yet bound."""
    ch = lab.channel()
    ch.exchange(lab.x(), kind)
    ch.queue(lab.q())
    return ch


@case()
def bind_twice(lab: Lab) -> None:
    """The same binding twice is one binding."""
    ch = bound(lab)
    ch.bind(lab.q(), lab.x(), "k")
    ch.bind(lab.q(), lab.x(), "k")
    ch.publish(lab.x(), "k", "one")
    ch.unbind(lab.q(), lab.x(), "k")
    ch.publish(lab.x(), "k", "none", mandatory=True)
    ch.wait("basic.return")


@case()
def bind_with_other_arguments(lab: Lab) -> None:
    """Arguments are part of a binding's identity."""
    ch = bound(lab)
    ch.bind(lab.q(), lab.x(), "k", arguments={"a": 1})
    ch.bind(lab.q(), lab.x(), "k", arguments={"a": 2})
    ch.unbind(lab.q(), lab.x(), "k")
    ch.unbind(lab.q(), lab.x(), "k", arguments={"a": 1})
    ch.publish(lab.x(), "k", "still bound")
    ch.unbind(lab.q(), lab.x(), "k", arguments={"a": 2})
    ch.publish(lab.x(), "k", "no more", mandatory=True)
    ch.wait("basic.return")


@family(
    {
        "integer_width": ({"a": 1}, {"a": Value("l", 1)}),
        "order": ({"a": 1, "b": 2}, {"b": 2, "a": 1}),
        "text_or_int": ({"a": "1"}, {"a": 1}),
    }
)
def unbind_arguments(lab: Lab, bind: dict[str, Any], unbind: dict[str, Any]) -> None:
    """The arguments that unbind must repeat."""
    ch = bound(lab)
    ch.bind(lab.q(), lab.x(), "k", arguments=bind)
    ch.unbind(lab.q(), lab.x(), "k", arguments=unbind)
    ch.publish(lab.x(), "k", "bound?")
    ch.sync()


@family(
    {
        "queue": ("q-missing", "amq.direct"),
        "exchange": ("q", "missing"),
        "both": ("q-missing", "missing"),
    }
)
def bind_missing(lab: Lab, queue: str, exchange: str) -> None:
    """Binding what is not there."""
    ch = lab.channel()
    ch.queue(lab.q())
    ch.bind(lab.q(queue), exchange if exchange.startswith("amq") else lab.x(exchange), "k")


@family(
    {
        "queue": ("q-missing", "amq.direct"),
        "exchange": ("q", "missing"),
        "binding": ("q", "amq.direct"),
    }
)
def unbind_missing(lab: Lab, queue: str, exchange: str) -> None:
    """Unbinding what is not there."""
    ch = lab.channel()
    ch.queue(lab.q())
    ch.unbind(lab.q(queue), exchange if exchange.startswith("amq") else lab.x(exchange), "k")


@case()
def bind_default(lab: Lab) -> None:
    """The default exchange cannot be bound."""
    ch = lab.channel()
    ch.queue(lab.q())
    ch.bind(lab.q(), "", "k")


@case()
def unbind_default(lab: Lab) -> None:
    """A queue cannot be unbound from the default exchange."""
    ch = lab.channel()
    ch.queue(lab.q())
    ch.unbind(lab.q(), "", lab.q())


@case()
def bind_nowait(lab: Lab) -> None:
    """A bind without a reply."""
    ch = bound(lab)
    ch.bind(lab.q(), lab.x(), "k", nowait=True)
    ch.publish(lab.x(), "k")
    ch.sync()


@case()
def bind_internal(lab: Lab) -> None:
    """A queue may be bound to an internal exchange."""
    ch = lab.channel()
    ch.exchange(lab.x(), internal=True)
    ch.queue(lab.q())
    ch.bind(lab.q(), lab.x(), "k")


@case()
def bind_durable_exchange_transient_queue(lab: Lab) -> None:
    """A durable exchange takes a transient queue."""
    ch = lab.channel()
    ch.exchange(lab.x(), durable=True)
    ch.queue(lab.q())
    ch.bind(lab.q(), lab.x(), "k")
    ch.publish(lab.x(), "k")
    ch.sync()


@case()
def several_keys_one_copy(lab: Lab) -> None:
    """A queue bound several times over gets one copy."""
    ch = bound(lab, "topic")
    for key in ("a.*", "a.#", "*.b", "a.b", "#"):
        ch.bind(lab.q(), lab.x(), key)
    ch.publish(lab.x(), "a.b")
    ch.sync()


@case()
def several_queues(lab: Lab) -> None:
    """Each bound queue gets a copy."""
    ch = bound(lab)
    for short in ("q1", "q2", "q3"):
        ch.queue(lab.q(short))
        ch.bind(lab.q(short), lab.x(), "k" if short != "q3" else "other")
    ch.publish(lab.x(), "k")
    ch.sync()


@family({"queue_missing": (False,), "exchange_missing": (True,)})
def e2e_missing(lab: Lab, source_there: bool) -> None:
    """exchange.bind of what is not there."""
    ch = lab.channel()
    ch.exchange(lab.x("there"))
    pair = (lab.x("gone"), lab.x("there")) if source_there else (lab.x("there"), lab.x("gone"))
    ch.exchange_bind(*pair, "k")


@family({"as_source": (True,), "as_destination": (False,)})
def e2e_default(lab: Lab, as_source: bool) -> None:
    """The default exchange in exchange.bind."""
    ch = lab.channel()
    ch.exchange(lab.x())
    pair = (lab.x(), "") if as_source else ("", lab.x())
    ch.exchange_bind(*pair, "k")


@case()
def e2e_unbind_missing(lab: Lab) -> None:
    """exchange.unbind of what is not there."""
    ch = lab.channel()
    ch.exchange(lab.x())
    ch.exchange_unbind(lab.x(), "amq.direct", "k")
    ch.exchange_unbind(lab.x("gone"), "amq.direct", "k")
    ch.exchange_unbind("amq.direct", lab.x("gone"), "k")


@case()
def e2e_chain(lab: Lab) -> None:
    """A message passes through three exchanges and keeps its exchange and routing key."""
    ch = lab.channel()
    ch.exchange(lab.x("a"), "topic")
    ch.exchange(lab.x("b"), "fanout")
    ch.exchange(lab.x("c"), "direct")
    ch.queue(lab.q())
    ch.exchange_bind(lab.x("b"), lab.x("a"), "k.#")
    ch.exchange_bind(lab.x("c"), lab.x("b"), "ignored")
    ch.bind(lab.q(), lab.x("c"), "k.1")
    ch.publish(lab.x("a"), "k.1", "there")
    ch.publish(lab.x("a"), "k.2", "not there", mandatory=True)
    ch.wait("basic.return")


@case()
def e2e_loop(lab: Lab) -> None:
    """Exchanges bound in a loop give each queue one copy."""
    ch = lab.channel()
    for short in ("a", "b"):
        ch.exchange(lab.x(short), "fanout")
        ch.queue(lab.q(short))
        ch.bind(lab.q(short), lab.x(short))
    ch.exchange_bind(lab.x("a"), lab.x("b"))
    ch.exchange_bind(lab.x("b"), lab.x("a"))
    ch.publish(lab.x("a"), "1")
    ch.publish(lab.x("b"), "2")
    ch.sync()


@case()
def e2e_to_itself(lab: Lab) -> None:
    """An exchange bound to itself."""
    ch = bound(lab, "fanout")
    ch.exchange_bind(lab.x(), lab.x())
    ch.bind(lab.q(), lab.x())
    ch.publish(lab.x(), "1")
    ch.sync()


@case()
def e2e_loop_unroutable(lab: Lab) -> None:
    """A loop without a queue is unroutable."""
    ch = lab.channel()
    ch.exchange(lab.x("a"), "fanout")
    ch.exchange(lab.x("b"), "fanout")
    ch.exchange_bind(lab.x("a"), lab.x("b"))
    ch.exchange_bind(lab.x("b"), lab.x("a"))
    ch.publish(lab.x("a"), "1", mandatory=True)
    ch.wait("basic.return")


@case()
def e2e_source_deleted(lab: Lab) -> None:
    """The binding goes with its source or its destination."""
    ch = bound(lab, "fanout")
    ch.exchange(lab.x("source"), "fanout")
    ch.bind(lab.q(), lab.x())
    ch.exchange_bind(lab.x(), lab.x("source"))
    ch.exchange_delete(lab.x("source"))
    ch.exchange(lab.x("source"), "fanout")
    ch.publish(lab.x("source"), "1", mandatory=True)
    ch.wait("basic.return")


@case()
def e2e_diamond(lab: Lab) -> None:
    """Two ways to a queue give one copy."""
    ch = lab.channel()
    for short in ("top", "left", "right", "bottom"):
        ch.exchange(lab.x(short), "fanout")
    ch.queue(lab.q())
    ch.exchange_bind(lab.x("left"), lab.x("top"))
    ch.exchange_bind(lab.x("right"), lab.x("top"))
    ch.exchange_bind(lab.x("bottom"), lab.x("left"))
    ch.exchange_bind(lab.x("bottom"), lab.x("right"))
    ch.bind(lab.q(), lab.x("bottom"))
    ch.publish(lab.x("top"), "1")
    ch.sync()


@case()
def direct_exact(lab: Lab) -> None:
    """Direct exchanges compare whole keys, byte for byte."""
    ch = bound(lab)
    for key in ("k", "", "a.*", "#"):
        ch.bind(lab.q(), lab.x(), key)
    for key in ("k", "", "a.*", "a.b", "K", "k ", "#", "anything"):
        ch.publish(lab.x(), key, key or "empty", mandatory=True)
    ch.sync()


@case()
def fanout_ignores_key(lab: Lab) -> None:
    """Fanout exchanges ignore keys and arguments."""
    ch = bound(lab, "fanout")
    ch.bind(lab.q(), lab.x(), "some", arguments={"x-match": "all", "a": 1})
    ch.publish(lab.x(), "other")
    ch.sync()


@case()
def default_exchange(lab: Lab) -> None:
    """The default exchange reaches each queue by its name, and no other way."""
    ch = lab.channel()
    ch.queue(lab.q())
    ch.publish("", lab.q(), "1")
    ch.publish("", lab.q() + "x", "2", mandatory=True)
    ch.publish("", "", "3", mandatory=True)
    ch.wait("basic.return", 2)


@case()
def e2e_nowait(lab: Lab) -> None:
    """exchange.bind and exchange.unbind without a reply."""
    ch = lab.channel()
    for short in ("x", "y"):
        ch.exchange(lab.x(short), "fanout")
    ch.queue(lab.q())
    ch.bind(lab.q(), lab.x("y"))
    ch.exchange_bind(lab.x("y"), lab.x("x"), nowait=True)
    ch.publish(lab.x("x"), "k", "1")
    ch.call("exchange.unbind", destination=lab.x("y"), source=lab.x("x"), nowait=True)
    ch.publish(lab.x("x"), "k", "2", mandatory=True)
    ch.wait("basic.return")


@case()
def semi_durable_goes_with_its_queue(lab: Lab) -> None:
    """A binding of a durable exchange to a transient queue goes with the queue and does not come back with its name."""
    ch = lab.channel()
    ch.exchange(lab.x(), "direct", durable=True)
    ch.queue(lab.q())
    ch.bind(lab.q(), lab.x(), "k")
    ch.delete(lab.q())
    ch.queue(lab.q())
    ch.publish(lab.x(), "k", mandatory=True)
    ch.wait("basic.return")
