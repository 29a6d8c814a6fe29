"""A consumer under the tag of a cancelled one that holds messages (2.8): it has them from then on."""

from __future__ import annotations

from conformance.channel import Channel
from conformance.lab import Lab
from conformance.registry import case, family

KINDS = {"classic": ("classic",), "quorum": ("quorum",)}


def _holding(lab: Lab, kind: str, held: int, *, single_active: bool = False) -> tuple[Channel, Channel]:
    """A confirming channel, and one whose consumer "a" is cancelled while it holds `held` messages."""
    ch, other = lab.channel(), lab.channel()
    arguments = {"x-queue-type": kind, **({"x-single-active-consumer": True} if single_active else {})}
    ch.queue(lab.q(), durable=True, arguments=arguments)
    ch.confirm()
    other.consume(lab.q(), "a")
    _publish(lab, ch, 1, held)
    other.deliveries(held)
    other.cancel("a")
    return ch, other


def _publish(lab: Lab, ch: Channel, first: int, last: int) -> None:
    for number in range(first, last + 1):
        ch.publish_confirmed("", lab.q(), str(number), delivery_mode=2)


def _see(lab: Lab, ch: Channel) -> None:
    """Record the results of the step before."""
    lab.quiet()
    ch.queue(lab.q(), passive=True)


@family(
    {
        f"{kind}_{prefetch}_{how}": (kind, prefetch, how)
        for kind in ("classic", "quorum")
        for prefetch in (1, 2)
        for how in ("ack", "requeue", "reject", "all", "all_but_one", "recover")
    }
)
def with_fewer(lab: Lab, kind: str, prefetch: int, how: str) -> None:
    """The held messages exceed the new consumer's prefetch, and are settled: one message, several or all."""
    ch, other = _holding(lab, kind, 4)
    other.qos(prefetch)
    other.consume(lab.q(), "a")
    _publish(lab, ch, 5, 10)
    _see(lab, ch)
    if how == "ack":
        other.ack(1)
        _see(lab, ch)
        other.ack(2)
    elif how in ("requeue", "reject"):
        other.reject(1, requeue=how == "requeue")
    elif how == "all":
        other.ack(4, multiple=True)
    elif how == "all_but_one":
        other.ack(3, multiple=True)
    else:
        other.recover()
    _see(lab, ch)
    other.ack(0, multiple=True)
    _see(lab, ch)


@family({f"{kind}_{prefetch}": (kind, prefetch) for kind in ("classic", "quorum") for prefetch in (0, 3)})
def with_more(lab: Lab, kind: str, prefetch: int) -> None:
    """The held messages are fewer than the new consumer's prefetch (0 is no limit)."""
    ch, other = _holding(lab, kind, 2)
    other.qos(prefetch)
    other.consume(lab.q(), "a")
    _publish(lab, ch, 3, 8)
    _see(lab, ch)
    other.ack(1)
    _see(lab, ch)


@family(KINDS)
def twice(lab: Lab, kind: str) -> None:
    """The tag is taken up again a second time, with another prefetch."""
    ch, other = _holding(lab, kind, 4)
    other.qos(1)
    other.consume(lab.q(), "a")
    _publish(lab, ch, 5, 12)
    other.ack(1)
    _see(lab, ch)
    other.cancel("a")
    other.qos(3)
    other.consume(lab.q(), "a")
    _see(lab, ch)
    for tag in (2, 3):
        other.ack(tag)
        _see(lab, ch)
    other.ack(0, multiple=True)
    _see(lab, ch)


@family({f"{kind}_{prefetch}": (kind, prefetch) for kind in ("classic", "quorum") for prefetch in (0, 1, 3)})
def without_acks(lab: Lab, kind: str, prefetch: int) -> None:
    """The new one does not acknowledge; what its predecessor holds is acknowledged."""
    ch, other = _holding(lab, kind, 2)
    other.qos(prefetch)
    other.consume(lab.q(), "a", no_ack=True)
    for number in (3, 4):
        _publish(lab, ch, number, number)
        _see(lab, ch)
    for tag in (1, 2):
        other.ack(tag)
        _see(lab, ch)
    _publish(lab, ch, 5, 5)
    _see(lab, ch)


@family(KINDS)
def of_one_without_acks(lab: Lab, kind: str) -> None:
    """The new one acknowledges, its predecessor did not, but took over what the first one holds."""
    ch, other = _holding(lab, kind, 2)
    other.consume(lab.q(), "a", no_ack=True)
    _publish(lab, ch, 3, 4)
    other.deliveries(2)
    other.cancel("a")
    other.qos(1)
    other.consume(lab.q(), "a")
    _publish(lab, ch, 5, 7)
    _see(lab, ch)
    for tag in (1, 2):
        other.ack(tag)
        _see(lab, ch)


@family(KINDS)
def turns(lab: Lab, kind: str) -> None:
    """Another consumer is there as well: who is given what, when the held messages are settled."""
    ch, other = _holding(lab, kind, 3)
    third = lab.channel()
    third.qos(1)
    third.consume(lab.q(), "b")
    other.qos(1)
    other.consume(lab.q(), "a")
    _publish(lab, ch, 4, 4)
    third.deliveries(1)
    other.ack(1)
    other.sync()
    lab.quiet()
    third.ack(1)
    third.sync()
    for number in range(5, 9):
        _publish(lab, ch, number, number)
        _see(lab, ch)


@family(
    {
        f"{kind}_{prefetch}_{end}": (kind, prefetch, end)
        for kind in ("classic", "quorum")
        for prefetch in (1, 2)
        for end in ("commit", "rollback")
    }
)
def within_a_transaction(lab: Lab, kind: str, prefetch: int, end: str) -> None:
    """One of the held messages is acknowledged in a transaction that ends after the tag has been taken up again."""
    ch, other = lab.channel(), lab.channel()
    ch.queue(lab.q(), durable=True, arguments={"x-queue-type": kind})
    ch.confirm()
    other.tx()
    other.consume(lab.q(), "a")
    _publish(lab, ch, 1, 2)
    other.deliveries(2)
    other.ack(1)
    other.cancel("a")
    other.qos(prefetch)
    other.consume(lab.q(), "a")
    if end == "commit":
        # Nothing waits that might overtake the answer.
        other.commit()
    else:
        _publish(lab, ch, 3, 5)
        _see(lab, ch)
        other.rollback()
    _publish(lab, ch, 6, 8)
    _see(lab, ch)


@family(KINDS)
def by_way_of_another_queue(lab: Lab, kind: str) -> None:
    """The tag is used for another queue before it is taken up again on the first."""
    ch, other = _holding(lab, kind, 1)
    ch.queue(lab.q("q2"), durable=True, arguments={"x-queue-type": kind})
    other.consume(lab.q("q2"), "a")
    other.cancel("a")
    other.qos(1)
    other.consume(lab.q(), "a")
    _publish(lab, ch, 2, 3)
    _see(lab, ch)
    other.ack(1)
    _see(lab, ch)


@family(KINDS)
def single_active_alone(lab: Lab, kind: str) -> None:
    """A queue with a single active consumer has only that consumer."""
    ch, other = _holding(lab, kind, 3, single_active=True)
    other.qos(1)
    other.consume(lab.q(), "a")
    _publish(lab, ch, 4, 8)
    _see(lab, ch)
    other.ack(1)
    _see(lab, ch)
    other.ack(0, multiple=True)
    _see(lab, ch)


@family({f"{kind}_{when}": (kind, when) for kind in ("classic", "quorum") for when in ("held", "settled", "higher")})
def single_active_waiting(lab: Lab, kind: str, when: str) -> None:
    """Another one has become active meanwhile, and ends, or is of lower priority, while messages are still held."""
    ch, other = _holding(lab, kind, 2, single_active=True)
    third = lab.channel()
    third.consume(lab.q(), "b")
    other.qos(2)
    other.consume(lab.q(), "a", arguments={"x-priority": 1 if when == "higher" else 0})
    _publish(lab, ch, 3, 3)
    _see(lab, ch)
    if when == "settled":
        other.ack(0, multiple=True)
        _see(lab, ch)
    if when != "higher":
        third.cancel("b")
    third.ack(0, multiple=True)
    third.sync()
    _see(lab, ch)
    _publish(lab, ch, 4, 8)
    _see(lab, ch)
    other.close()
    lab.quiet()
    ch.consume(lab.q(), "c")
    lab.quiet()


@case()
def single_active_that_waits(lab: Lab) -> None:
    """A consumer of a quorum queue that waits to be active is cancelled, and its tag taken up again."""
    ch, other = lab.channel(), lab.channel()
    ch.queue(lab.q(), durable=True, arguments={"x-queue-type": "quorum", "x-single-active-consumer": True})
    ch.confirm()
    ch.consume(lab.q(), "b")
    other.consume(lab.q(), "a")
    other.cancel("a")
    other.qos(1)
    other.consume(lab.q(), "a")
    ch.cancel("b")
    _publish(lab, ch, 1, 2)
    _see(lab, ch)


@family(
    {
        f"{kind}_{before}_{after}": (kind, before, after)
        for kind in ("classic", "quorum")
        for before, after in ((0, 0), (1, 0), (0, 1))
    }
)
def place(lab: Lab, kind: str, before: int, after: int) -> None:
    """The place of the new consumer among others, with and without another priority."""
    ch, other, third = lab.channel(), lab.channel(), lab.channel()
    ch.queue(lab.q(), durable=True, arguments={"x-queue-type": kind})
    ch.confirm()
    other.consume(lab.q(), "a", arguments={"x-priority": before})
    _publish(lab, ch, 1, 1)
    other.deliveries(1)
    third.consume(lab.q(), "b")
    lab.quiet()
    other.cancel("a")
    other.consume(lab.q(), "a", arguments={"x-priority": after})
    lab.quiet()
    for number in range(2, 7):
        _publish(lab, ch, number, number)
        lab.quiet()
