"""Declaring, inspecting, purging and deleting queues; names and the last declared queue (2.4)."""

from __future__ import annotations

from typing import Any

from conformance.lab import Lab
from conformance.registry import case, family

QUORUM = {"x-queue-type": "quorum"}


@case()
def declare(lab: Lab) -> None:
    """A plain declare, and the same again."""
    ch = lab.channel()
    ch.queue(lab.q())
    ch.queue(lab.q())


@case()
def declare_counts(lab: Lab) -> None:
    """The reply counts ready messages and consumers, not unacked ones."""
    ch = lab.channel()
    ch.queue(lab.q())
    for number in range(3):
        ch.publish("", lab.q(), str(number))
    ch.get(lab.q())
    ch.queue(lab.q())
    other = lab.channel()
    other.qos(1)
    other.consume(lab.q(), "a")
    other.deliveries(1)
    ch.queue(lab.q(), passive=True)


@case()
def declare_counts_quorum(lab: Lab) -> None:
    """The same counts of a quorum queue."""
    ch = lab.channel()
    ch.queue(lab.q(), durable=True, arguments=QUORUM)
    ch.confirm()
    for number in range(3):
        ch.publish_confirmed("", lab.q(), str(number))
    ch.get(lab.q())
    ch.queue(lab.q(), durable=True, arguments=QUORUM)
    other = lab.channel()
    other.qos(1)
    other.consume(lab.q(), "a")
    other.deliveries(1)
    ch.queue(lab.q(), passive=True)


@case()
def declare_nowait(lab: Lab) -> None:
    """A declaration with nowait has no reply."""
    ch = lab.channel()
    ch.queue(lab.q(), nowait=True)
    ch.queue(lab.q(), passive=True)


@case()
def declare_nowait_error(lab: Lab) -> None:
    """A declaration with nowait reports an error."""
    ch = lab.channel()
    ch.queue(lab.q())
    ch.queue(lab.q(), durable=True, nowait=True)
    ch.closed()


@case()
def passive_missing(lab: Lab) -> None:
    """A passive declare of a queue that is not there closes the channel."""
    lab.channel().queue(lab.q(), passive=True)


@case()
def passive_ignores_the_rest(lab: Lab) -> None:
    """A passive declare compares nothing but the name."""
    ch = lab.channel()
    ch.queue(lab.q())
    ch.queue(lab.q(), passive=True, durable=True, auto_delete=True, exclusive=True, arguments={"x-max-length": 3})


@case()
def passive_server_named(lab: Lab) -> None:
    """A passive declare of no name, before and after a declare."""
    ch = lab.channel()
    ch.queue(lab.q())
    ch.queue("", passive=True)
    fresh = lab.channel()
    fresh.queue("", passive=True)


@case()
def server_named(lab: Lab) -> None:
    """An empty name makes the server choose one."""
    ch = lab.channel()
    name = ch.queue("", exclusive=True).arguments["queue"]
    lab.observe("length of the name", len(name))
    ch.publish("", name, "hi")
    ch.consume(name)
    ch.deliveries(1)


@case()
def server_named_twice(lab: Lab) -> None:
    """Each empty name is a new queue."""
    ch = lab.channel()
    ch.queue("", exclusive=True)
    ch.queue("", exclusive=True)
    ch.queue("", auto_delete=True)


@case()
def server_named_redeclared(lab: Lab) -> None:
    """The name the server chose can be declared again."""
    ch = lab.channel()
    name = ch.queue("", exclusive=True).arguments["queue"]
    ch.queue(name, exclusive=True)


@family(
    {
        "amq": ("amq.foo",),
        "amq_dot": ("amq.",),
        "amq_gen": ("amq.gen-aaaaaaaaaaaaaaaaaaaaaa",),
        "reply_to": ("amq.rabbitmq.reply-to",),
        "reply_to_token": ("amq.rabbitmq.reply-to.abc",),
    }
)
def reserved(lab: Lab, name: str) -> None:
    """A queue name that clients may not declare."""
    lab.channel().queue(name)


@family(
    {
        "amq": ("amq.foo",),
        "reply_to": ("amq.rabbitmq.reply-to",),
    }
)
def reserved_passive(lab: Lab, name: str) -> None:
    """A passive declare of a reserved name."""
    lab.channel().queue(name, passive=True)


@family(
    {
        "amq_without_dot": ("amqfoo",),
        "space": ("a b",),
        "dots": ("..",),
        "slash": ("a/b",),
        "unicode": ("fronta-žluť-🐇",),
        "quote": ("it's",),
        "percent": ("50%~p",),
        "longest": ("n" * 150,),
        "tab": ("a\tb",),
    }
)
def name(lab: Lab, short: str) -> None:
    """Names that are fine."""
    ch = lab.channel()
    ch.queue(lab.q(short))
    ch.publish("", lab.q(short))
    ch.sync()
    ch.queue(lab.q(short), durable=True)


@case()
def name_of_255_bytes(lab: Lab) -> None:
    """The longest name there can be, and what the error text makes of it."""
    ch = lab.channel()
    long = lab.q("n" * (255 - len(lab.q(""))))
    ch.queue(long)
    ch.queue(long, durable=True)


@case()
def name_with_line_ends(lab: Lab) -> None:
    """CR and LF are taken out of a name."""
    ch = lab.channel()
    for short in ("a\r\nb", "a\nb", "a\rb", "ab"):
        lab.q(short)
    ch.queue(lab.q("a\r\nb"))
    ch.queue(lab.q("ab"), passive=True)
    ch.queue(lab.q("a\nb"), passive=True)
    ch.publish("", lab.q("ab"))
    ch.purge(lab.q("a\rb"))


@case()
def last_declared(lab: Lab) -> None:
    """An empty queue name means the queue last declared on the channel."""
    ch = lab.channel()
    ch.queue(lab.q("q1"))
    ch.queue(lab.q("q2"))
    ch.bind("", "amq.direct", "")
    ch.publish("amq.direct", lab.q("q2"), "by its own name")
    ch.publish("amq.direct", "", "by no name")
    ch.sync()
    ch.get("", no_ack=True)
    ch.consume("", "a")
    ch.cancel("a")
    ch.purge("")
    ch.unbind("", "amq.direct", lab.q("q2"))
    ch.delete("")


@case()
def last_declared_passive_counts(lab: Lab) -> None:
    """A passive declare makes a queue the last declared."""
    ch = lab.channel()
    ch.queue(lab.q("q1"))
    ch.queue(lab.q("q2"))
    ch.queue(lab.q("q1"), passive=True)
    ch.delete("")
    ch.delete("")


@case()
def last_declared_bind_with_key(lab: Lab) -> None:
    """An empty queue name with a routing key keeps the key."""
    ch = lab.channel()
    ch.queue(lab.q())
    ch.bind("", "amq.direct", lab.q() + ".key")
    ch.publish("amq.direct", lab.q() + ".key", "key")
    ch.publish("amq.direct", lab.q(), "name", mandatory=True)
    ch.wait("basic.return")


@case()
def last_declared_not_on_other_channel(lab: Lab) -> None:
    """The last declared queue belongs to the channel."""
    lab.channel().queue(lab.q())
    lab.channel().purge("")


@family(
    {
        "bind": ("queue.bind", {"exchange": "amq.direct", "routing_key": "k"}),
        "unbind": ("queue.unbind", {"exchange": "amq.direct", "routing_key": "k"}),
        "consume": ("basic.consume", {}),
        "get": ("basic.get", {}),
        "purge": ("queue.purge", {}),
        "delete": ("queue.delete", {}),
    }
)
def none_declared(lab: Lab, method: str, arguments: dict[str, Any]) -> None:
    """An empty queue name on a channel that has declared none."""
    lab.channel().call(method, **arguments)


@family(
    {
        "bind": ("queue.bind", {"exchange": "amq.direct", "routing_key": "k"}),
        "unbind": ("queue.unbind", {"exchange": "amq.direct", "routing_key": "k"}),
        "consume": ("basic.consume", {}),
        "get": ("basic.get", {}),
        "purge": ("queue.purge", {}),
        "delete": ("queue.delete", {}),
    }
)
def missing(lab: Lab, method: str, arguments: dict[str, Any]) -> None:
    """An operation on a queue that is not there."""
    lab.channel().call(method, queue=lab.q(), **arguments)


@family(
    {
        "durable_wanted": ({}, {"durable": True}),
        "durable_not_wanted": ({"durable": True}, {}),
        "auto_delete_wanted": ({}, {"auto_delete": True}),
        "auto_delete_not_wanted": ({"auto_delete": True}, {}),
        "exclusive_wanted": ({}, {"exclusive": True}),
        "exclusive_not_wanted": ({"exclusive": True}, {}),
        "all_wanted": ({}, {"durable": True, "auto_delete": True, "exclusive": True}),
    }
)
def redeclare(lab: Lab, first: dict[str, Any], second: dict[str, Any]) -> None:
    """A second declare with other flags."""
    ch = lab.channel()
    ch.queue(lab.q(), **first)
    ch.queue(lab.q(), **second)


@case()
def purge(lab: Lab) -> None:
    """A purge counts and drops ready messages, not unacked ones."""
    ch = lab.channel()
    ch.queue(lab.q())
    for number in range(4):
        ch.publish("", lab.q(), str(number))
    ch.get(lab.q())
    ch.purge(lab.q())
    ch.purge(lab.q())
    ch.nack(1)
    ch.sync()


@case()
def purge_quorum(lab: Lab) -> None:
    """A purge of a quorum queue."""
    ch = lab.channel()
    ch.queue(lab.q(), durable=True, arguments=QUORUM)
    ch.confirm()
    for number in range(4):
        ch.publish_confirmed("", lab.q(), str(number))
    ch.get(lab.q())
    ch.purge(lab.q())
    ch.nack(1)
    lab.wait_ready(lab.q(), 1)


@case()
def purge_nowait(lab: Lab) -> None:
    """A purge without a reply."""
    ch = lab.channel()
    ch.queue(lab.q())
    ch.publish("", lab.q())
    ch.purge(lab.q(), nowait=True)
    ch.queue(lab.q(), passive=True)


@case()
def delete(lab: Lab) -> None:
    """The reply to a delete counts the ready messages that went with the queue."""
    ch = lab.channel()
    ch.queue(lab.q())
    for number in range(3):
        ch.publish("", lab.q(), str(number))
    ch.get(lab.q())
    ch.delete(lab.q())
    ch.delete(lab.q())
    ch.ack(1)
    ch.sync()
    ch.queue(lab.q(), passive=True)


@case()
def delete_quorum(lab: Lab) -> None:
    """The same of a quorum queue."""
    ch = lab.channel()
    ch.queue(lab.q(), durable=True, arguments=QUORUM)
    ch.confirm()
    for number in range(3):
        ch.publish_confirmed("", lab.q(), str(number))
    ch.delete(lab.q())
    ch.queue(lab.q(), passive=True)


@case()
def delete_nowait(lab: Lab) -> None:
    """A delete without a reply."""
    ch = lab.channel()
    ch.queue(lab.q())
    ch.delete(lab.q(), nowait=True)
    ch.queue(lab.q(), passive=True)


@case()
def delete_if_unused(lab: Lab) -> None:
    """if-unused refuses while there is a consumer."""
    ch = lab.channel()
    ch.queue(lab.q())
    other = lab.channel()
    other.consume(lab.q(), "a")
    ch.delete(lab.q(), if_unused=True)
    other.cancel("a")
    other.delete(lab.q(), if_unused=True)


@case()
def delete_if_empty(lab: Lab) -> None:
    """if-empty refuses while there is a ready message."""
    ch = lab.channel()
    ch.queue(lab.q())
    ch.publish("", lab.q())
    ch.delete(lab.q(), if_empty=True)


@case()
def delete_if_empty_with_unacked(lab: Lab) -> None:
    """if-empty does not look at unacked messages."""
    ch = lab.channel()
    ch.queue(lab.q())
    ch.publish("", lab.q())
    ch.get(lab.q())
    ch.delete(lab.q(), if_empty=True)


@case()
def delete_if_both(lab: Lab) -> None:
    """if-unused and if-empty together, when both are against it."""
    ch = lab.channel()
    ch.queue(lab.q())
    ch.qos(1)
    ch.consume(lab.q(), "a")
    ch.publish("", lab.q(), "1")
    ch.publish("", lab.q(), "2")
    ch.deliveries(1)
    ch.delete(lab.q(), if_empty=True, if_unused=True)


@family({"if_unused": ({"if_unused": True},), "if_empty": ({"if_empty": True},)})
def delete_quorum_refused(lab: Lab, flags: dict[str, bool]) -> None:
    """Quorum queues do not know conditional deletion."""
    ch = lab.channel()
    ch.queue(lab.q(), durable=True, arguments=QUORUM)
    ch.delete(lab.q(), **flags)


@case()
def delete_cancels_consumers(lab: Lab) -> None:
    """Consumers of a deleted queue are told."""
    ch, other = lab.channel(), lab.channel()
    ch.queue(lab.q())
    other.consume(lab.q(), "a")
    other.consume(lab.q(), "b")
    ch.delete(lab.q())
    other.wait("basic.cancel", 2)
    other.cancel("a")


@case()
def delete_does_not_tell_old_clients(lab: Lab) -> None:
    """A client that did not announce consumer_cancel_notify is not told."""
    ch = lab.channel()
    ch.queue(lab.q())
    old = lab.channel(lab.connect(capabilities={}))
    old.consume(lab.q(), "a")
    ch.delete(lab.q())
    lab.quiet()


@case()
def delete_recreate(lab: Lab) -> None:
    """A deleted queue's bindings are gone when it is made anew."""
    ch = lab.channel()
    ch.queue(lab.q())
    ch.bind(lab.q(), "amq.direct", lab.q())
    ch.delete(lab.q())
    ch.queue(lab.q())
    ch.publish("amq.direct", lab.q(), mandatory=True)
    ch.wait("basic.return")


@case()
def transient_and_durable(lab: Lab) -> None:
    """A transient queue that is not exclusive is still allowed."""
    ch = lab.channel()
    ch.queue(lab.q("transient"))
    ch.queue(lab.q("durable"), durable=True)


@case()
def delete_own_consumed(lab: Lab) -> None:
    """A channel that deletes the queue it consumes has the reply before its consumer is cancelled."""
    ch = lab.channel()
    ch.queue(lab.q())
    ch.consume(lab.q(), "a")
    ch.delete(lab.q())
    ch.wait("basic.cancel")


@case()
def delete_cancels_consumers_by_tag(lab: Lab) -> None:
    """The consumers of one channel are cancelled in the order of their tags, not in that of their start."""
    ch, other = lab.channel(), lab.channel()
    ch.queue(lab.q())
    for tag in ("c", "a", "d", "b", "B", "10", "9"):
        other.consume(lab.q(), tag)
    ch.delete(lab.q())
    other.wait("basic.cancel", 7)


@case()
def delete_cancels_consumers_quorum(lab: Lab) -> None:
    """The same for a quorum queue."""
    ch, other = lab.channel(), lab.channel()
    ch.queue(lab.q(), durable=True, arguments=QUORUM)
    for tag in ("c", "a", "d", "b", "B", "10", "9"):
        other.consume(lab.q(), tag)
    ch.delete(lab.q())
    other.wait("basic.cancel", 7)


@case()
def delete_own_consumed_quorum(lab: Lab) -> None:
    """Reply and cancel when a channel deletes the quorum queue it consumes."""
    ch = lab.channel()
    ch.queue(lab.q(), durable=True, arguments=QUORUM)
    ch.consume(lab.q(), "a")
    ch.delete(lab.q())
    ch.wait("basic.cancel")


@family({"two_bytes": ("é",), "three_bytes": ("中",)})
def missing_with_wide_letters(lab: Lab, letter: str) -> None:
    """An error text with letters of several bytes."""
    lab.channel().queue(lab.q(letter), passive=True)


@family({"two_bytes": ("é",), "three_bytes": ("中",)})
def missing_with_many_wide_letters(lab: Lab, letter: str) -> None:
    """An error text that is too long, with letters of several bytes."""
    lab.channel().queue((letter * 255).encode()[:255].decode(errors="ignore"), passive=True)


@family({verb: (verb,) for verb in ("bind", "unbind", "consume", "get", "delete", "publish")})
def line_ends(lab: Lab, verb: str) -> None:
    """Further methods that remove CR and LF from a queue's name."""
    ch = lab.channel()
    for short in ("a\r\nb", "ab"):
        lab.q(short)
    ch.queue(lab.q("ab"))
    name = lab.q("a\r\nb")
    if verb == "bind":
        ch.bind(name, "amq.direct", lab.q("ab"))
    elif verb == "unbind":
        ch.bind(lab.q("ab"), "amq.direct", lab.q("ab"))
        ch.unbind(name, "amq.direct", lab.q("ab"))
        ch.publish("amq.direct", lab.q("ab"))
        ch.sync()
    elif verb == "consume":
        ch.consume(name, "tag")
    elif verb == "get":
        ch.get(name)
    elif verb == "publish":
        ch.publish("", name, mandatory=True)
        ch.wait("basic.return")
    else:
        ch.delete(name)


@case()
def declare_nowait_server_named(lab: Lab) -> None:
    """A declaration with nowait does not report the generated name, but it is the last declared queue."""
    ch = lab.channel()
    ch.call("queue.declare", queue="", exclusive=True, nowait=True)
    ch.bind("", "amq.fanout", "")
    ch.consume("", "tag", no_ack=True)
    ch.publish("amq.direct", lab.q(), "nobody")
    ch.sync()
