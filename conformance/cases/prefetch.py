"""basic.qos in both modes (2.8)."""

from __future__ import annotations

from conformance.cases.consume import fill
from conformance.channel import Channel
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
    """The lower one of both limits applies."""
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
    """Messages of a cancelled consumer do not count against a new one."""
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


def _one_each(lab: Lab, kind: str, tags: str, prefetch: int) -> tuple[Channel, list[Channel]]:
    """A confirming channel, and consumers on channels of their own that have each been given `prefetch` messages."""
    ch = lab.channel()
    ch.queue(lab.q(), durable=True, arguments={"x-queue-type": kind})
    ch.confirm()
    consumers = [lab.channel() for _ in tags]
    for consumer, tag in zip(consumers, tags, strict=True):
        consumer.qos(prefetch)
        consumer.consume(lab.q(), tag)
    for number in range(len(tags) * prefetch):
        ch.publish_confirmed("", lab.q(), f"first {number}", delivery_mode=2)
    for consumer in consumers:
        consumer.deliveries(prefetch)
    return ch, consumers


@family({f"{kind}_{prefetch}": (kind, prefetch) for kind in ("classic", "quorum") for prefetch in (1, 2)})
def turns_after_settling(lab: Lab, kind: str, prefetch: int) -> None:
    """Consumers that were full settle one message each, the last one first: whose turn is it then?"""
    ch, consumers = _one_each(lab, kind, "abc", prefetch)
    for consumer in reversed(consumers):
        consumer.ack(1)
        consumer.sync()
    lab.quiet()
    for number in range(3):
        ch.publish_confirmed("", lab.q(), f"then {number}", delivery_mode=2)
    lab.quiet()


@family({"classic": ("classic",), "quorum": ("quorum",)})
def turn_of_who_settles_first(lab: Lab, kind: str) -> None:
    """The blocked one of two consumers on one channel settles before the other has received anything."""
    ch, both = lab.channel(), lab.channel()
    ch.queue(lab.q(), durable=True, arguments={"x-queue-type": kind})
    ch.confirm()
    both.qos(1)
    both.consume(lab.q(), "a")
    ch.publish_confirmed("", lab.q(), "1", delivery_mode=2)
    both.deliveries(1)
    both.consume(lab.q(), "b")
    both.ack(1)
    both.sync()
    lab.quiet()
    ch.publish_confirmed("", lab.q(), "2", delivery_mode=2)
    both.deliveries(1)


@family({"classic": ("classic",), "quorum": ("quorum",)})
def turn_of_who_took_the_last(lab: Lab, kind: str) -> None:
    """A consumer settles and takes the last message that waits; then both settle."""
    ch, (first, second) = _one_each(lab, kind, "ab", 1)
    ch.publish_confirmed("", lab.q(), "waits", delivery_mode=2)
    first.ack(1)
    first.deliveries(1)
    for consumer, tag in ((second, 1), (first, 2)):
        consumer.ack(tag)
        consumer.sync()
    lab.quiet()
    for number in range(2):
        ch.publish_confirmed("", lab.q(), f"then {number}", delivery_mode=2)
    lab.quiet()


@family({"classic": ("classic",), "quorum": ("quorum",)})
def turns_after_settling_together(lab: Lab, kind: str) -> None:
    """One ack for what three consumers of one channel hold: whose turn is it then?"""
    ch, all_three = lab.channel(), lab.channel()
    ch.queue(lab.q(), durable=True, arguments={"x-queue-type": kind})
    ch.confirm()
    all_three.qos(1)
    for tag in "bca":
        all_three.consume(lab.q(), tag)
    for number in range(3):
        ch.publish_confirmed("", lab.q(), f"first {number}", delivery_mode=2)
    all_three.deliveries(3)
    all_three.ack(0, multiple=True)
    all_three.sync()
    lab.quiet()
    for number in range(3):
        ch.publish_confirmed("", lab.q(), f"then {number}", delivery_mode=2)
        all_three.deliveries(1)


@case()
def turn_after_what_had_expired(lab: Lab) -> None:
    """A consumer of a quorum queue is filled by the first of two messages, the second of which has expired."""
    ch, both = lab.channel(), lab.channel()
    ch.queue(lab.q(), durable=True, arguments={"x-queue-type": "quorum"})
    ch.confirm()
    ch.publish_confirmed("", lab.q(), "1", delivery_mode=2)
    ch.publish_confirmed("", lab.q(), "2", delivery_mode=2, expiration="30")
    lab.sleep(0.15)
    both.qos(1)
    both.consume(lab.q(), "a")
    both.deliveries(1)
    both.consume(lab.q(), "b")
    both.ack(1)
    both.sync()
    lab.quiet()
    ch.publish_confirmed("", lab.q(), "3", delivery_mode=2)
    both.deliveries(1)


@family({f"{kind}_{how}": (kind, how) for kind in ("classic", "quorum") for how in ("purge", "get", "expire")})
def turn_after_what_waited_is_gone(lab: Lab, kind: str, how: str) -> None:
    """A consumer is full while a message waits, which then goes without it; it settles after another one has come."""
    ch, first, second = lab.channel(), lab.channel(), lab.channel()
    ch.queue(lab.q(), durable=True, arguments={"x-queue-type": kind})
    ch.confirm()
    first.qos(1)
    ch.publish_confirmed("", lab.q(), "1", delivery_mode=2)
    ch.publish_confirmed("", lab.q(), "2", delivery_mode=2, expiration="500" if how == "expire" else "60000")
    first.consume(lab.q(), "a")
    first.deliveries(1)
    if how == "purge":
        ch.purge(lab.q())
    elif how == "get":
        ch.get(lab.q(), no_ack=True)
    else:
        lab.sleep(0.7)
    second.consume(lab.q(), "b")
    first.reject(1)
    lab.quiet()


@family({f"{kind}_{prefetch}": (kind, prefetch) for kind in ("classic", "quorum") for prefetch in (1, 2)})
def tag_taken_up_again(lab: Lab, kind: str, prefetch: int) -> None:
    """A consumer is cancelled while it holds messages, and another one starts under its tag: what each may hold."""
    ch, other = lab.channel(), lab.channel()
    ch.queue(lab.q(), durable=True, arguments={"x-queue-type": kind})
    ch.confirm()
    for number in range(8):
        ch.publish_confirmed("", lab.q(), str(number), delivery_mode=2)
    other.qos(prefetch)
    other.consume(lab.q(), "a")
    other.deliveries(prefetch)
    other.cancel("a")
    other.consume(lab.q(), "a")
    lab.quiet()
    for tag in (1, 2):
        other.ack(tag)
        lab.quiet()
        ch.queue(lab.q(), passive=True)
    other.consume(lab.q(), "b")
    lab.quiet()
    other.cancel("a")
    other.ack(0, multiple=True)
    lab.quiet()


@case()
def tag_taken_up_on_another_queue(lab: Lab) -> None:
    """The tag of a cancelled consumer that holds a message is taken up on another queue."""
    ch, other = lab.channel(), lab.channel()
    ch.confirm()
    for name in ("q1", "q2"):
        ch.queue(lab.q(name))
        for number in range(3):
            ch.publish_confirmed("", lab.q(name), f"{name} {number}")
    other.qos(1)
    other.consume(lab.q("q1"), "a")
    other.deliveries(1)
    other.cancel("a")
    other.consume(lab.q("q2"), "a")
    other.deliveries(1)
    other.ack(1)
    lab.quiet()


@case()
def whole_channel_turn_of_who_comes_when_it_is_full(lab: Lab) -> None:
    """A consumer that starts while its channel is full and a message waits comes after the one that is there."""
    ch, both = lab.channel(), lab.channel()
    ch.queue(lab.q())
    ch.confirm()
    both.qos(1, whole_channel=True)
    both.consume(lab.q(), "a")
    for number in range(3):
        ch.publish_confirmed("", lab.q(), str(number))
    both.deliveries(1)
    both.consume(lab.q(), "b")
    for tag in (1, 2):
        both.ack(tag)
        both.deliveries(1)


@family({f"{when}_{count}": (when, count) for count in (1, 2) for when in ("before", "between", "after")})
def whole_channel_order_of_the_stopped(lab: Lab, when: str, count: int) -> None:
    """Three consumers of a full channel, whose messages were published before they started, after, or in between."""
    ch, holder = lab.channel(), lab.channel()
    ch.queue(lab.q())
    ch.confirm()

    def publish() -> None:
        for number in range(4):
            ch.publish_confirmed("", lab.q(), str(number))

    holder.qos(count, whole_channel=True)
    if when == "before":
        publish()
    holder.consume(lab.q(), "a")
    if when == "between":
        publish()
    holder.consume(lab.q(), "b")
    holder.consume(lab.q(), "c")
    if when == "after":
        publish()
    newest = holder.deliveries(count)[-1].arguments["delivery_tag"]
    for tag in range(newest, 5):
        holder.ack(tag)
        lab.quiet()


@family(
    {
        f"{how}_{who}": (how, who)
        for how in ("nack_one", "nack_all", "recover")
        for who in ("full", "with_room", "two_consumers")
    }
    | {"nack_one_refused": ("nack_one", "refused")}
)
def whole_channel_given_back(lab: Lab, how: str, who: str) -> None:
    """The consumers that get messages which a channel returns: the channel is at its limit, has refused one, or is
    below.
    """
    ch, holder, other = lab.channel(), lab.channel(lab.connect()), lab.channel(lab.connect())
    ch.queue(lab.q())
    ch.confirm()
    holder.qos(3 if who == "with_room" else 2, whole_channel=True)
    holder.consume(lab.q(), "a")
    if who == "two_consumers":
        holder.consume(lab.q(), "b")
    for number in range(3 if who == "refused" else 2):
        ch.publish_confirmed("", lab.q(), str(number))
    holder.deliveries(2)
    other.consume(lab.q(), "c")
    lab.quiet()
    match how:
        case "nack_one":
            holder.nack(1)
        case "nack_all":
            holder.nack(0, multiple=True)
        case _:
            holder.recover()
    lab.quiet()


@family({"ack": ("ack",), "ack_multiple": ("ack_multiple",), "nack": ("nack",), "requeue": ("requeue",)})
def whole_channel_serves_all_queues(lab: Lab, how: str) -> None:
    """Deliveries settled one by one free the channel limit for each queue of the channel, in no defined order."""
    ch = lab.channel()
    for short in ("q1", "q2", "q3"):
        ch.queue(lab.q(short))
        fill(ch, lab.q(short), 99)
        lab.hide(lab.q(short))
    ch.qos(1, whole_channel=True)
    for short in ("q1", "q2", "q3"):
        ch.consume(lab.q(short), short)
    served = dict.fromkeys(("q1", "q2", "q3"), 0)
    for _ in range(99):
        (got,) = ch.deliveries(1)
        if got.name != "basic.deliver":
            return
        served[got.arguments["consumer_tag"]] += 1
        ch.connection.forget(got)
        match how:
            case "ack":
                ch.ack(got.arguments["delivery_tag"])
            case "ack_multiple":
                ch.ack(got.arguments["delivery_tag"], multiple=True)
            case _:
                ch.nack(got.arguments["delivery_tag"], requeue=how == "requeue")
    ch.connection.forget(ch.deliveries(1)[0])
    lab.observe("each has had at least 15 of 99", min(served.values()) >= 15)


@family({"ack": ("ack",), "nack": ("nack",), "requeue": ("requeue",)})
def whole_channel_divides_what_is_settled_at_once(lab: Lab, how: str) -> None:
    """More than one queue of the channel gets a part of the limit when several deliveries are settled at once."""
    ch = lab.channel()
    shorts = ("q1", "q2", "q3")
    for short in shorts:
        ch.queue(lab.q(short))
        fill(ch, lab.q(short), 99)
        lab.hide(lab.q(short))
    ch.qos(6, whole_channel=True)
    for short in shorts:
        ch.consume(lab.q(short), short)
    divided = 0
    for _ in range(10):
        got = ch.deliveries(6)
        if got[-1].name != "basic.deliver":
            return
        for each in got:
            ch.connection.forget(each)
        divided += len({each.arguments["consumer_tag"] for each in got}) > 1
        tag = got[-1].arguments["delivery_tag"]
        if how == "ack":
            ch.ack(tag, multiple=True)
        else:
            ch.nack(tag, multiple=True, requeue=how == "requeue")
    for each in ch.deliveries(6):
        ch.connection.forget(each)
    lab.observe("at least 8 of 10 times", divided >= 8)


@case()
def whole_channel_divides_a_higher_limit(lab: Lab) -> None:
    """More than one queue of the channel gets a part of the difference when the channel-wide limit is raised."""
    ch = lab.channel()
    shorts = ("q1", "q2", "q3")
    for short in shorts:
        ch.queue(lab.q(short))
        fill(ch, lab.q(short), 30)
        lab.hide(lab.q(short))
    ch.qos(1, whole_channel=True)
    for short in shorts:
        ch.consume(lab.q(short), short)
    for each in ch.deliveries(1):
        ch.connection.forget(each)
    ch.qos(10, whole_channel=True)
    got = ch.deliveries(9)
    for each in got:
        ch.connection.forget(each)
    lab.observe("more than one got a part", len({each.arguments["consumer_tag"] for each in got}) > 1)


@case()
def whole_channel_set_after_a_get(lab: Lab) -> None:
    """A limit for the whole channel, set while it holds a message of basic.get, which is acknowledged then."""
    ch, other = lab.channel(), lab.channel()
    ch.queue(lab.q())
    ch.confirm()
    for number in range(4):
        ch.publish_confirmed("", lab.q(), str(number))
    other.get(lab.q())
    other.qos(2, whole_channel=True)
    other.consume(lab.q(), "a")
    other.deliveries(1)
    lab.quiet()
    other.ack(1)
    lab.quiet()


@case()
def whole_channel_set_within_a_transaction(lab: Lab) -> None:
    """A limit for the whole channel, set while an open transaction has settled what the channel holds."""
    ch, other = lab.channel(), lab.channel()
    ch.queue(lab.q())
    ch.confirm()
    ch.publish_confirmed("", lab.q(), "1")
    other.tx()
    other.consume(lab.q(), "a")
    other.deliveries(1)
    other.ack(1)
    other.qos(1, whole_channel=True)
    ch.publish_confirmed("", lab.q(), "2")
    lab.quiet()


@family({"classic": ("classic",), "quorum": ("quorum",)})
def no_ack_is_dealt(lab: Lab, kind: str) -> None:
    """Messages that are returned together go to a consumer without acks, by priority, and with a count of 1."""
    ch, holder, first, second = lab.channel(), lab.channel(), lab.channel(), lab.channel()
    ch.queue(lab.q(), durable=True, arguments={"x-queue-type": kind})
    ch.confirm()
    for number in range(4):
        ch.publish_confirmed("", lab.q(), str(number), delivery_mode=2)
    holder.consume(lab.q(), "holder")
    holder.deliveries(4)
    holder.cancel("holder")
    first.qos(1)
    first.consume(lab.q(), "first", no_ack=True, arguments={"x-priority": 1})
    second.consume(lab.q(), "second")
    holder.nack(0, multiple=True)
    lab.quiet()
