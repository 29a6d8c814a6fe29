"""Policies and operator policies as clients notice them (2.10, 2.11, 2.12)."""

from __future__ import annotations

from typing import Any

from conformance.channel import Channel
from conformance.lab import Lab
from conformance.registry import MANAGEMENT, case, family

NEEDS = (MANAGEMENT,)


def policy(lab: Lab, definition: dict[str, Any], short: str = "p", pattern: str = "q$", **more: Any) -> None:
    """A policy for this case's queues or exchanges only."""
    full = "^" + lab.name("").replace(".", "\\.") + pattern
    lab.management.policy("/", lab.name(short), full, definition, **more)


def operator_policy(lab: Lab, definition: dict[str, Any], pattern: str = "q$") -> None:
    """An operator policy for this case's queues only."""
    full = "^" + lab.name("").replace(".", "\\.") + pattern
    lab.management.operator_policy("/", lab.name("op"), full, definition)


def publish(ch: Channel, queue: str, count: int, start: int = 1) -> None:
    """Numbered, confirmed messages."""
    for number in range(start, start + count):
        ch.publish_confirmed("", queue, str(number))


def confirming(lab: Lab, **arguments: Any) -> Channel:
    """A confirming channel and the queue q."""
    ch = lab.channel()
    more = {"x-" + key.replace("_", "-"): value for key, value in arguments.items()}
    ch.queue(lab.q(), durable=True, arguments=more)
    ch.confirm()
    return ch


@family({"classic": ("classic",), "quorum": ("quorum",)}, requires=NEEDS)
def max_length(lab: Lab, kind: str) -> None:
    """A length limit by policy."""
    policy(lab, {"max-length": 2})
    publish(confirming(lab, queue_type=kind), lab.q(), 4)


@case(requires=NEEDS)
def max_length_later(lab: Lab) -> None:
    """A limit that comes later trims at once."""
    ch = confirming(lab)
    publish(ch, lab.q(), 5)
    policy(lab, {"max-length": 2})
    lab.wait_ready(lab.q(), 2)


@case(requires=NEEDS)
def max_length_smaller_argument_wins(lab: Lab) -> None:
    """The smaller limit of a policy and an argument is used."""
    policy(lab, {"max-length": 3})
    publish(confirming(lab, max_length=2), lab.q(), 5)


@case(requires=NEEDS)
def max_length_smaller_policy_wins(lab: Lab) -> None:
    """The other way round."""
    policy(lab, {"max-length": 2})
    publish(confirming(lab, max_length=4), lab.q(), 5)


@case(requires=NEEDS)
def overflow(lab: Lab) -> None:
    """Overflow behaviour by policy."""
    policy(lab, {"max-length": 1, "overflow": "reject-publish"})
    publish(confirming(lab), lab.q(), 2)


@case(requires=NEEDS)
def message_ttl(lab: Lab) -> None:
    """A TTL by policy."""
    policy(lab, {"message-ttl": 150})
    ch = confirming(lab)
    publish(ch, lab.q(), 1)
    lab.sleep(0.6)
    ch.get(lab.q())


@case(requires=NEEDS)
def message_ttl_later(lab: Lab) -> None:
    """A TTL that comes later is for later messages."""
    ch = confirming(lab)
    publish(ch, lab.q(), 1)
    policy(lab, {"message-ttl": 150})
    lab.sleep(0.3)
    publish(ch, lab.q(), 1, start=2)
    lab.sleep(0.6)
    ch.get_all(lab.q())


@case(requires=NEEDS)
def expires(lab: Lab) -> None:
    """Queue expiry by policy."""
    policy(lab, {"expires": 150})
    ch = confirming(lab)
    lab.sleep(0.6)
    ch.queue(lab.q(), passive=True)


@case(requires=NEEDS)
def dead_letter(lab: Lab) -> None:
    """Dead-lettering by policy."""
    lab.channel().queue(lab.q("dead"))
    policy(lab, {"dead-letter-exchange": "", "dead-letter-routing-key": lab.q("dead")})
    ch = confirming(lab)
    publish(ch, lab.q(), 1)
    ch.get(lab.q())
    ch.reject(1, requeue=False)
    ch.get_when_there(lab.q("dead"))


@case(requires=NEEDS)
def dead_letter_argument_wins(lab: Lab) -> None:
    """A queue's own dead letter exchange wins over the policy's."""
    for short in ("dead1", "dead2"):
        lab.channel().queue(lab.q(short))
    policy(lab, {"dead-letter-exchange": "", "dead-letter-routing-key": lab.q("dead2")})
    ch = confirming(lab, dead_letter_exchange="", dead_letter_routing_key=lab.q("dead1"))
    publish(ch, lab.q(), 1)
    ch.get(lab.q())
    ch.reject(1, requeue=False)
    lab.quiet()


@case(requires=NEEDS)
def delivery_limit(lab: Lab) -> None:
    """A delivery limit by policy."""
    policy(lab, {"delivery-limit": 1})
    ch = confirming(lab, queue_type="quorum")
    publish(ch, lab.q(), 1)
    for tag in (1, 2):
        ch.get_when_there(lab.q())
        ch.reject(tag)
    lab.wait_ready(lab.q(), 0)


@case(requires=NEEDS)
def delivery_limit_taken_away(lab: Lab) -> None:
    """No delivery limit by policy: what is returned goes to the end, as where the argument says so."""
    policy(lab, {"delivery-limit": -1})
    ch = confirming(lab, queue_type="quorum")
    publish(ch, lab.q(), 2)
    ch.get_when_there(lab.q())
    ch.nack(1)
    lab.wait_ready(lab.q(), 2)


@case(requires=NEEDS)
def alternate_exchange(lab: Lab) -> None:
    """An alternate exchange by policy."""
    policy(lab, {"alternate-exchange": "amq.fanout"}, pattern="x$", apply_to="exchanges")
    ch = lab.channel()
    ch.exchange(lab.x("alt"), "fanout")
    ch.queue(lab.q())
    ch.bind(lab.q(), lab.x("alt"))
    policy(lab, {"alternate-exchange": lab.x("alt")}, pattern="x$", apply_to="exchanges")
    ch.exchange(lab.x(), "direct")
    ch.publish(lab.x(), "k", mandatory=True)
    ch.sync()


@case(requires=NEEDS)
def alternate_exchange_argument_wins(lab: Lab) -> None:
    """An exchange's own alternate wins."""
    ch = lab.channel()
    for short in ("alt1", "alt2"):
        ch.exchange(lab.x(short), "fanout")
        ch.queue(lab.q(short))
        ch.bind(lab.q(short), lab.x(short))
    policy(lab, {"alternate-exchange": lab.x("alt2")}, pattern="x$", apply_to="exchanges")
    ch.exchange(lab.x(), "direct", arguments={"alternate-exchange": lab.x("alt1")})
    ch.publish(lab.x(), "k")
    ch.sync()


@case(requires=NEEDS)
def highest_priority_only(lab: Lab) -> None:
    """One policy applies, that of highest priority, whole."""
    policy(lab, {"max-length": 1}, short="p1", priority=1)
    policy(lab, {"max-length-bytes": 1000}, short="p2", priority=5)
    publish(confirming(lab), lab.q(), 3)


@case(requires=NEEDS)
def operator_smaller_wins(lab: Lab) -> None:
    """The smaller number of a policy and an operator policy is used."""
    policy(lab, {"max-length": 4})
    operator_policy(lab, {"max-length": 2})
    publish(confirming(lab), lab.q(), 5)


@case(requires=NEEDS)
def operator_larger_loses(lab: Lab) -> None:
    """The other way round."""
    policy(lab, {"max-length": 2})
    operator_policy(lab, {"max-length": 4})
    publish(confirming(lab), lab.q(), 5)


@case(requires=NEEDS)
def removed(lab: Lab) -> None:
    """A policy that is taken away."""
    policy(lab, {"max-length": 1})
    ch = confirming(lab)
    publish(ch, lab.q(), 2)
    lab.management.undo()
    lab.sleep(0.3)
    publish(ch, lab.q(), 2, start=3)


@case(requires=NEEDS)
def redeclare_ignores_policy(lab: Lab) -> None:
    """Redeclaring a queue does not look at its policy."""
    policy(lab, {"max-length": 3})
    ch = confirming(lab)
    ch.queue(lab.q(), durable=True)
    ch.queue(lab.q(), durable=True, arguments={"x-max-length": 3})


@family(
    {
        "queues": ("queues",),
        "exchanges": ("exchanges",),
        "quorum_queues": ("quorum_queues",),
        "classic_queues": ("classic_queues",),
    },
    requires=NEEDS,
)
def apply_to(lab: Lab, what: str) -> None:
    """A policy for one kind of things leaves the others alone."""
    policy(lab, {"max-length": 1} if what != "exchanges" else {"alternate-exchange": "x"}, apply_to=what)
    publish(confirming(lab), lab.q(), 2)


@family({"alone": ({},), "above_the_argument": ({"x-consumer-timeout": 1000},)}, requires=NEEDS)
def consumer_timeout(lab: Lab, arguments: dict[str, Any]) -> None:
    """A consumer timeout by policy; of it and of the queue's own the smaller counts."""
    policy(lab, {"consumer-timeout": 2_000_000 if arguments else 1000})
    ch, other = lab.channel(), lab.channel()
    ch.queue(lab.q(), durable=True, arguments=arguments)
    ch.publish("", lab.q())
    other.consume(lab.q(), "a")
    other.deliveries(1)
    other.connection.wait(other.number, "channel.close", within_s=130)
    lab.wait_ready(lab.q(), 1)
