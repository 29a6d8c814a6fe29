"""basic.qos in both modes (2.8)."""

from __future__ import annotations

from conformance.cases.consume import fill
from conformance.lab import Lab
from conformance.registry import case, family


@family({"classic": ("classic",), "quorum": ("quorum",)})
def per_consumer(lab: Lab, kind: str) -> None:
    """Each consumer may hold so many; an ack makes room for one more."""
    ch = lab.channel()
    ch.queue(lab.q(), durable=True, arguments={"x-queue-type": kind})
    ch.qos(2)
    ch.consume(lab.q(), "a")
    for number in range(1, 6):
        ch.publish("", lab.q(), str(number))
    ch.deliveries(2)
    lab.quiet()
    ch.ack(1)
    ch.deliveries(1)
    ch.ack(3, multiple=True)
    ch.deliveries(2)


@case()
def per_consumer_two_on_a_channel(lab: Lab) -> None:
    """Two consumers of a channel each have their own count."""
    ch = lab.channel()
    ch.queue(lab.q("q1"))
    ch.queue(lab.q("q2"))
    fill(ch, lab.q("q1"), 3)
    fill(ch, lab.q("q2"), 3)
    ch.qos(1)
    ch.consume(lab.q("q1"), "a")
    ch.deliveries(1)
    ch.consume(lab.q("q2"), "b")
    ch.deliveries(1)
    lab.quiet()


@case()
def later_consumers_only(lab: Lab) -> None:
    """A consumer keeps the count that held when it began."""
    ch = lab.channel()
    ch.queue(lab.q("q1"))
    ch.queue(lab.q("q2"))
    fill(ch, lab.q("q1"), 4)
    fill(ch, lab.q("q2"), 4)
    ch.qos(1)
    ch.consume(lab.q("q1"), "a")
    ch.deliveries(1)
    ch.qos(2)
    ch.consume(lab.q("q2"), "b")
    ch.deliveries(2)
    lab.quiet()


@case()
def zero_is_unlimited(lab: Lab) -> None:
    """A count of 0 is no limit."""
    ch = lab.channel()
    ch.queue(lab.q())
    fill(ch, lab.q(), 20)
    ch.qos(1)
    ch.qos(0)
    ch.consume(lab.q(), "a")
    ch.deliveries(20)


@case()
def no_ack_is_outside(lab: Lab) -> None:
    """A consumer that does not ack is not limited."""
    ch = lab.channel()
    ch.queue(lab.q())
    fill(ch, lab.q(), 5)
    ch.qos(1)
    ch.consume(lab.q(), "a", no_ack=True)
    ch.deliveries(5)


@case()
def whole_channel(lab: Lab) -> None:
    """global makes one limit for all consumers of the channel."""
    ch = lab.channel()
    ch.queue(lab.q("q1"))
    ch.queue(lab.q("q2"))
    fill(ch, lab.q("q1"), 3)
    fill(ch, lab.q("q2"), 3)
    ch.qos(2, whole_channel=True)
    ch.consume(lab.q("q1"), "a")
    ch.deliveries(2)
    ch.consume(lab.q("q2"), "b")
    lab.quiet()


@case()
def whole_channel_applies_at_once(lab: Lab) -> None:
    """A global limit holds for consumers that are there already."""
    ch = lab.channel()
    ch.queue(lab.q())
    ch.qos(1, whole_channel=True)
    ch.consume(lab.q(), "a")
    fill(ch, lab.q(), 5)
    ch.deliveries(1)
    lab.quiet()
    ch.qos(3, whole_channel=True)
    ch.deliveries(2)
    lab.quiet()


@case()
def whole_channel_lifted(lab: Lab) -> None:
    """A global count of 0 lifts the limit."""
    ch = lab.channel()
    ch.queue(lab.q())
    fill(ch, lab.q(), 5)
    ch.qos(1, whole_channel=True)
    ch.consume(lab.q(), "a")
    ch.deliveries(1)
    ch.qos(0, whole_channel=True)
    ch.deliveries(4)


@case()
def whole_channel_and_per_consumer(lab: Lab) -> None:
    """With both, the narrower one holds."""
    ch = lab.channel()
    ch.queue(lab.q())
    fill(ch, lab.q(), 6)
    ch.qos(2)
    ch.qos(3, whole_channel=True)
    ch.consume(lab.q(), "a")
    ch.deliveries(2)
    ch.consume(lab.q(), "b")
    ch.deliveries(1)
    lab.quiet()


@case()
def whole_channel_ack_makes_room(lab: Lab) -> None:
    """An ack makes room in the channel's limit."""
    ch = lab.channel()
    ch.queue(lab.q())
    fill(ch, lab.q(), 4)
    ch.qos(1, whole_channel=True)
    ch.consume(lab.q(), "a")
    ch.deliveries(1)
    ch.ack(1)
    ch.deliveries(1)
    ch.nack(2, requeue=False)
    ch.deliveries(1)


@case()
def whole_channel_quorum(lab: Lab) -> None:
    """A global limit and a quorum queue."""
    ch = lab.channel()
    ch.queue(lab.q(), durable=True, arguments={"x-queue-type": "quorum"})
    ch.qos(1, whole_channel=True)
    ch.consume(lab.q(), "a")


@case()
def whole_channel_counts_what_is_held(lab: Lab) -> None:
    """Setting a global limit below what is already unacked."""
    ch = lab.channel()
    ch.queue(lab.q())
    fill(ch, lab.q(), 5)
    ch.consume(lab.q(), "a")
    ch.deliveries(5)
    ch.qos(2, whole_channel=True)
    fill(ch, lab.q(), 2)
    lab.quiet()
    ch.ack(4, multiple=True)
    lab.quiet()


@family({"per_consumer": (False,), "whole_channel": (True,)})
def size(lab: Lab, whole: bool) -> None:
    """A prefetch size is not implemented."""
    lab.channel().qos(1, size=10, whole_channel=whole)


@case()
def count_highest(lab: Lab) -> None:
    """The highest count there is."""
    ch = lab.channel()
    ch.queue(lab.q())
    ch.qos(65535)
    ch.consume(lab.q(), "a")
    fill(ch, lab.q(), 1)
    ch.deliveries(1)


@case()
def requeue_makes_room(lab: Lab) -> None:
    """A requeue makes room, and the same message may come again."""
    ch = lab.channel()
    ch.queue(lab.q())
    fill(ch, lab.q(), 2)
    ch.qos(1)
    ch.consume(lab.q(), "a")
    ch.deliveries(1)
    ch.reject(1)
    ch.deliveries(1)
    ch.ack(2)
    ch.deliveries(1)


@case()
def cancel_keeps_the_held(lab: Lab) -> None:
    """What a cancelled consumer holds does not count against a new one."""
    ch = lab.channel()
    ch.queue(lab.q())
    fill(ch, lab.q(), 3)
    ch.qos(1)
    ch.consume(lab.q(), "a")
    ch.deliveries(1)
    ch.cancel("a")
    ch.consume(lab.q(), "b")
    ch.deliveries(1)
    lab.quiet()


@family({"before": (True,), "after": (False,)})
def whole_channel_stops_no_ack(lab: Lab, before: bool) -> None:
    """A limit for the whole channel that is reached stops consumers that do not ack as well, and an ack starts them."""
    ch, publisher = lab.channel(), lab.channel()
    publisher.confirm()
    for name in ("acked", "not_acked"):
        ch.queue(lab.q(name))
    ch.qos(1, whole_channel=True)
    if before:
        ch.consume(lab.q("not_acked"), "n", no_ack=True)
        publisher.publish_confirmed("", lab.q("not_acked"), "0")
        ch.deliveries(1)
    ch.consume(lab.q("acked"), "a")
    publisher.publish_confirmed("", lab.q("acked"), "1")
    held = ch.deliveries(1)[0]
    if not before:
        ch.consume(lab.q("not_acked"), "n", no_ack=True)
    publisher.publish_confirmed("", lab.q("not_acked"), "2")
    publisher.publish_confirmed("", lab.q("not_acked"), "3")
    lab.quiet()
    publisher.queue(lab.q("not_acked"), passive=True)
    ch.ack(held.arguments["delivery_tag"])
    ch.deliveries(2)


@family({"classic": ("classic",), "quorum": ("quorum",)})
def full_consumer_goes_last(lab: Lab, kind: str) -> None:
    """A consumer that was full while a message waited comes after the others when it gives one back."""
    ch, small, large = lab.channel(), lab.channel(), lab.channel()
    ch.queue(lab.q(), durable=True, arguments={"x-queue-type": kind})
    ch.confirm()
    ch.publish_confirmed("", lab.q(), "1", delivery_mode=2)
    ch.publish_confirmed("", lab.q(), "2", delivery_mode=2)
    small.qos(1)
    small.consume(lab.q(), "small")
    small.deliveries(1)
    large.consume(lab.q(), "large")
    large.deliveries(1)
    small.nack(1)
    lab.quiet()


@case()
def per_consumer_lifts_whole_channel(lab: Lab) -> None:
    """basic.qos without global takes back the limit for the whole channel."""
    ch, publisher = lab.channel(), lab.channel()
    ch.queue(lab.q())
    publisher.confirm()
    ch.qos(1, whole_channel=True)
    ch.consume(lab.q(), "a")
    for number in range(4):
        publisher.publish_confirmed("", lab.q(), str(number))
    ch.deliveries(1)
    ch.qos(2)
    ch.deliveries(3)


@case()
def whole_channel_after_quorum(lab: Lab) -> None:
    """A limit for the whole channel, set when a quorum queue is consumed already."""
    ch, publisher = lab.channel(), lab.channel()
    ch.queue(lab.q(), durable=True, arguments={"x-queue-type": "quorum"})
    publisher.confirm()
    ch.consume(lab.q(), "a")
    ch.qos(1, whole_channel=True)
    for number in range(3):
        publisher.publish_confirmed("", lab.q(), str(number), delivery_mode=2)
    lab.quiet()
