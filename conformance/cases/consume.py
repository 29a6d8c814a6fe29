"""Consumers: tags, cancelling, exclusive, priorities, single active consumer, basic.get (2.8)."""

from __future__ import annotations

from typing import Any

from conformance.cases.queue_arguments import EVERY_TYPE, short
from conformance.channel import Channel
from conformance.lab import Lab
from conformance.registry import case, family
from conformance.values import Value

QUORUM = {"x-queue-type": "quorum"}


def fill(ch: Channel, queue: str, count: int) -> None:
    """Publish 1, 2, 3... to a queue."""
    for number in range(1, count + 1):
        ch.publish("", queue, str(number))
    ch.sync()


@case()
def deliver(lab: Lab) -> None:
    """Deliveries come in order, numbered per channel."""
    ch = lab.channel()
    ch.queue(lab.q())
    fill(ch, lab.q(), 3)
    ch.consume(lab.q(), "a")
    ch.deliveries(3)


@case()
def deliver_numbers_are_the_channels(lab: Lab) -> None:
    """Delivery tags run through all consumers and gets of a channel."""
    ch = lab.channel()
    ch.queue(lab.q())
    fill(ch, lab.q(), 1)
    ch.get(lab.q())
    ch.consume(lab.q(), "a")
    fill(ch, lab.q(), 1)
    ch.deliveries(1)
    ch.cancel("a")
    fill(ch, lab.q(), 1)
    ch.get(lab.q())


@case()
def server_made_tag(lab: Lab) -> None:
    """An empty tag makes the server choose."""
    ch = lab.channel()
    ch.queue(lab.q())
    tag = ch.consume(lab.q()).arguments["consumer_tag"]
    lab.observe("length of the tag", len(tag))
    ch.consume(lab.q())
    ch.cancel(tag)


@case()
def tag_reused(lab: Lab) -> None:
    """A tag in use costs the connection."""
    ch = lab.channel()
    ch.queue(lab.q())
    ch.consume(lab.q(), "a")
    ch.consume(lab.q(), "a")


@case()
def tag_reused_other_queue(lab: Lab) -> None:
    """Also for another queue."""
    ch = lab.channel()
    ch.queue(lab.q("q1"))
    ch.queue(lab.q("q2"))
    ch.consume(lab.q("q1"), "a")
    ch.consume(lab.q("q2"), "a")


@case()
def tag_reused_other_channel(lab: Lab) -> None:
    """Another channel may use the same tag."""
    lab.channel().queue(lab.q())
    for _ in range(2):
        lab.channel().consume(lab.q(), "a")


@case()
def tag_reused_after_cancel(lab: Lab) -> None:
    """A cancelled tag is free again."""
    ch = lab.channel()
    ch.queue(lab.q())
    ch.consume(lab.q(), "a")
    ch.cancel("a")
    ch.consume(lab.q(), "a")


@case()
def tag_odd(lab: Lab) -> None:
    """Tags are free text."""
    ch = lab.channel()
    ch.queue(lab.q())
    for tag in ("žluť", "amq.mine", "t" * 255, "a b", "it's"):
        ch.consume(lab.q(), tag)


@case()
def nowait(lab: Lab) -> None:
    """A consume without a reply."""
    ch = lab.channel()
    ch.queue(lab.q())
    ch.consume(lab.q(), "a", nowait=True)
    ch.publish("", lab.q())
    ch.deliveries(1)


@case()
def consume_ok_before_deliveries(lab: Lab) -> None:
    """consume-ok comes before the first delivery of a full queue."""
    ch = lab.channel()
    ch.queue(lab.q())
    fill(ch, lab.q(), 5)
    ch.consume(lab.q(), "a", no_ack=True)
    ch.deliveries(5)


@case()
def cancel(lab: Lab) -> None:
    """After a cancel nothing is delivered; what was stays unacked."""
    ch = lab.channel()
    ch.queue(lab.q())
    ch.consume(lab.q(), "a")
    ch.publish("", lab.q(), "1")
    ch.deliveries(1)
    ch.cancel("a")
    ch.publish("", lab.q(), "2")
    lab.quiet()
    ch.ack(1)
    ch.sync()


@case()
def cancel_unknown(lab: Lab) -> None:
    """An unknown tag is confirmed."""
    lab.channel().cancel("nobody")


@case()
def cancel_nowait(lab: Lab) -> None:
    """A cancel without a reply."""
    ch = lab.channel()
    ch.queue(lab.q())
    ch.consume(lab.q(), "a")
    ch.cancel("a", nowait=True)
    ch.queue(lab.q(), passive=True)


@case()
def cancel_on_other_channel(lab: Lab) -> None:
    """A tag of another channel is unknown."""
    ch = lab.channel()
    ch.queue(lab.q())
    ch.consume(lab.q(), "a")
    lab.channel().cancel("a")


@case()
def channel_closed_requeues(lab: Lab) -> None:
    """Closing a channel requeues its unacked messages in order."""
    ch = lab.channel()
    ch.queue(lab.q())
    fill(ch, lab.q(), 4)
    ch.qos(3)
    ch.consume(lab.q(), "a")
    ch.deliveries(3)
    ch.ack(2)
    ch.close()
    lab.wait_ready(lab.q(), 3)


@case()
def connection_lost_requeues(lab: Lab) -> None:
    """So does losing a connection."""
    ch = lab.channel(lab.connect())
    ch.queue(lab.q())
    fill(ch, lab.q(), 4)
    ch.qos(3)
    ch.consume(lab.q(), "a")
    ch.deliveries(3)
    ch.connection.drop()
    lab.wait_ready(lab.q(), 4)


@case()
def exclusive_second(lab: Lab) -> None:
    """No exclusive consumer beside another."""
    ch = lab.channel()
    ch.queue(lab.q())
    ch.consume(lab.q(), "a")
    lab.channel().consume(lab.q(), "b", exclusive=True)


@case()
def exclusive_first(lab: Lab) -> None:
    """No other consumer beside an exclusive one."""
    ch = lab.channel()
    ch.queue(lab.q())
    ch.consume(lab.q(), "a", exclusive=True)
    lab.channel().consume(lab.q(), "b")
    lab.channel().consume(lab.q(), "c", exclusive=True)


@case()
def exclusive_get(lab: Lab) -> None:
    """basic.get beside an exclusive consumer."""
    ch = lab.channel()
    ch.queue(lab.q())
    ch.consume(lab.q(), "a", exclusive=True)
    lab.channel().get(lab.q())


@case()
def exclusive_after_cancel(lab: Lab) -> None:
    """A cancelled exclusive consumer makes room."""
    ch = lab.channel()
    ch.queue(lab.q())
    ch.consume(lab.q(), "a", exclusive=True)
    ch.cancel("a")
    ch.consume(lab.q(), "b", exclusive=True)


@family({"second": (False, True), "first": (True, False)})
def exclusive_quorum(lab: Lab, first: bool, second: bool) -> None:
    """Exclusive consumers of a quorum queue."""
    ch = lab.channel()
    ch.queue(lab.q(), durable=True, arguments=QUORUM)
    ch.consume(lab.q(), "a", exclusive=first)
    lab.channel().consume(lab.q(), "b", exclusive=second)


@case()
def no_local_is_ignored(lab: Lab) -> None:
    """no-local has no effect."""
    ch = lab.channel()
    ch.queue(lab.q())
    ch.consume(lab.q(), "a", no_local=True)
    ch.publish("", lab.q())
    ch.deliveries(1)


@case()
def round_robin(lab: Lab) -> None:
    """Consumers take turns."""
    ch = lab.channel()
    ch.queue(lab.q())
    consumers = [lab.channel() for _ in range(3)]
    for consumer, tag in zip(consumers, "abc", strict=True):
        consumer.consume(lab.q(), tag)
    fill(ch, lab.q(), 7)
    for consumer, count in zip(consumers, (3, 2, 2), strict=True):
        consumer.deliveries(count)


@case()
def round_robin_skips_full(lab: Lab) -> None:
    """A consumer without credit is skipped."""
    ch = lab.channel()
    ch.queue(lab.q())
    first, second = lab.channel(), lab.channel()
    first.qos(1)
    first.consume(lab.q(), "a")
    second.consume(lab.q(), "b")
    fill(ch, lab.q(), 5)
    first.deliveries(1)
    second.deliveries(4)


@family(
    {
        "int": (5,),
        "negative": (-5,),
        "int64": (Value("l", 2**40),),
        "int8": (Value("b", 1),),
        "text": ("5",),
        "float": (1.5,),
        "void": (None,),
        "bool": (True,),
    }
)
def priority_value(lab: Lab, value: Any) -> None:
    """Valid values of x-priority."""
    ch = lab.channel()
    ch.queue(lab.q())
    ch.consume(lab.q(), "a", arguments={"x-priority": value})


@family(
    {
        "unknown": ({"x-my-own": 1},),
        "timeout": ({"x-consumer-timeout": 60000},),
        "stream_offset": ({"x-stream-offset": "first"},),
        "cancel_on_ha_failover": ({"x-cancel-on-ha-failover": True},),
    }
)
def argument(lab: Lab, arguments: dict[str, Any]) -> None:
    """Other consumer arguments on a classic queue."""
    ch = lab.channel()
    ch.queue(lab.q())
    ch.consume(lab.q(), "a", arguments=arguments)


@family({"classic": ("classic",), "quorum": ("quorum",)})
def priority(lab: Lab, kind: str) -> None:
    """The highest priority with credit gets the message; a full one lets the next have it."""
    ch = lab.channel()
    ch.queue(lab.q(), durable=True, arguments={"x-queue-type": kind})
    consumers = {}
    for tag, value in {"low": -1, "none": 0, "high": 10}.items():
        consumer = consumers[tag] = lab.channel()
        consumer.qos(2)
        consumer.consume(lab.q(), tag, arguments={"x-priority": value} if value else None)
    for number in range(6):
        ch.publish("", lab.q(), str(number), delivery_mode=2)
    for consumer in consumers.values():
        consumer.deliveries(2)


@case()
def priority_round_robin_inside(lab: Lab) -> None:
    """Equal priorities take turns."""
    ch = lab.channel()
    ch.queue(lab.q())
    consumers = [lab.channel() for _ in range(3)]
    for consumer, value in zip(consumers, (5, 5, 1), strict=True):
        consumer.consume(lab.q(), "a", arguments={"x-priority": value})
    fill(ch, lab.q(), 4)
    for consumer in consumers[:2]:
        consumer.deliveries(2)


@case()
def single_active(lab: Lab) -> None:
    """Only the first consumer gets messages; when it leaves, the next takes over."""
    ch = lab.channel()
    ch.queue(lab.q(), arguments={"x-single-active-consumer": True})
    first, second, third = lab.channel(), lab.channel(), lab.channel()
    for consumer, tag in ((first, "a"), (second, "b"), (third, "c")):
        consumer.consume(lab.q(), tag)
    fill(ch, lab.q(), 2)
    first.deliveries(2)
    first.ack(2, multiple=True)
    first.sync()
    first.cancel("a")
    fill(ch, lab.q(), 1)
    second.deliveries(1)
    second.close()
    third.deliveries(1)


@case()
def single_active_prefetch_full(lab: Lab) -> None:
    """A full active consumer does not let the others have any."""
    ch = lab.channel()
    ch.queue(lab.q(), arguments={"x-single-active-consumer": True})
    first, second = lab.channel(), lab.channel()
    first.qos(1)
    first.consume(lab.q(), "a")
    second.consume(lab.q(), "b")
    fill(ch, lab.q(), 3)
    first.deliveries(1)
    lab.quiet()


@case()
def single_active_exclusive(lab: Lab) -> None:
    """No exclusive consumer on such a queue."""
    ch = lab.channel()
    ch.queue(lab.q(), arguments={"x-single-active-consumer": True})
    ch.consume(lab.q(), "a", exclusive=True)


@case()
def single_active_get(lab: Lab) -> None:
    """basic.get works on a classic one."""
    ch = lab.channel()
    ch.queue(lab.q(), arguments={"x-single-active-consumer": True})
    fill(ch, lab.q(), 1)
    ch.get(lab.q())


@case()
def single_active_get_quorum(lab: Lab) -> None:
    """basic.get is refused on a quorum one."""
    ch = lab.channel()
    ch.queue(lab.q(), durable=True, arguments=QUORUM | {"x-single-active-consumer": True})
    lab.hide(lab.q())
    ch.get(lab.q())


@case()
def single_active_exclusive_quorum(lab: Lab) -> None:
    """No exclusive consumer on a quorum one."""
    ch = lab.channel()
    ch.queue(lab.q(), durable=True, arguments=QUORUM | {"x-single-active-consumer": True})
    lab.hide(lab.q())
    ch.consume(lab.q(), "a", exclusive=True)


@family({"classic": ("classic",), "quorum": ("quorum",)})
def single_active_priority(lab: Lab, kind: str) -> None:
    """A consumer of higher priority arrives at a queue with an active one that has nothing unacked."""
    ch = lab.channel()
    arguments = {"x-queue-type": kind, "x-single-active-consumer": True}
    ch.queue(lab.q(), durable=True, arguments=arguments)
    lab.hide(lab.q())
    low, high = lab.channel(), lab.channel()
    low.consume(lab.q(), "low", arguments={"x-priority": 1})
    high.consume(lab.q(), "high", arguments={"x-priority": 5})
    lab.quiet()
    ch.publish("", lab.q(), "1", delivery_mode=2)
    lab.quiet()


@case()
def single_active_priority_quorum_drains(lab: Lab) -> None:
    """On a quorum queue the newcomer waits until the active one has acked what it holds."""
    ch = lab.channel()
    ch.queue(lab.q(), durable=True, arguments=QUORUM | {"x-single-active-consumer": True})
    lab.hide(lab.q())
    low, high = lab.channel(), lab.channel()
    low.qos(1)
    low.consume(lab.q(), "low", arguments={"x-priority": 1})
    ch.publish("", lab.q(), "1", delivery_mode=2)
    low.deliveries(1)
    high.consume(lab.q(), "high", arguments={"x-priority": 5})
    ch.publish("", lab.q(), "2", delivery_mode=2)
    lab.quiet()
    low.ack(1)
    high.deliveries(1)


@case()
def single_active_next_by_priority(lab: Lab) -> None:
    """On a classic queue the next active one is that of highest priority."""
    ch = lab.channel()
    ch.queue(lab.q(), arguments={"x-single-active-consumer": True})
    channels = {}
    for tag, value in {"first": 0, "low": 1, "high": 9}.items():
        channels[tag] = lab.channel()
        channels[tag].consume(lab.q(), tag, arguments={"x-priority": value})
    fill(ch, lab.q(), 1)
    channels["first"].deliveries(1)
    channels["first"].close()
    channels["high"].deliveries(1)


@case()
def get(lab: Lab) -> None:
    """basic.get takes the head and tells how many remain."""
    ch = lab.channel()
    ch.queue(lab.q())
    fill(ch, lab.q(), 3)
    ch.get(lab.q())
    ch.get(lab.q(), no_ack=True)
    ch.get(lab.q())
    ch.get(lab.q())


@case()
def get_quorum(lab: Lab) -> None:
    """basic.get on a quorum queue."""
    ch = lab.channel()
    ch.queue(lab.q(), durable=True, arguments=QUORUM)
    ch.get(lab.q())
    ch.confirm()
    ch.publish_confirmed("", lab.q(), "1", delivery_mode=2)
    ch.publish_confirmed("", lab.q(), "2", delivery_mode=2)
    ch.get(lab.q())
    ch.get(lab.q(), no_ack=True)
    ch.get(lab.q())
    ch.ack(1)
    ch.sync()


@case()
def get_is_outside_prefetch(lab: Lab) -> None:
    """A prefetch count does not bind basic.get."""
    ch = lab.channel()
    ch.queue(lab.q())
    fill(ch, lab.q(), 3)
    ch.qos(1)
    ch.qos(1, whole_channel=True)
    for _ in range(3):
        ch.get(lab.q())


@family({"consume": ("basic.consume",), "get": ("basic.get",), "purge": ("queue.purge",)})
def stream_refuses(lab: Lab, method: str) -> None:
    """Methods that a stream refuses."""
    ch = lab.channel()
    ch.queue(lab.q(), durable=True, arguments={"x-queue-type": "stream"})
    lab.hide(lab.q())
    ch.call(method, method + "-ok", queue=lab.q())


@case()
def stream_no_ack(lab: Lab) -> None:
    """A stream's consumer must ack."""
    ch = lab.channel()
    ch.queue(lab.q(), durable=True, arguments={"x-queue-type": "stream"})
    lab.hide(lab.q())
    ch.qos(10)
    ch.consume(lab.q(), "a", no_ack=True)


@family({f"{kind}_{how}": (kind, how) for kind in ("classic", "quorum") for how in ("close", "error")})
def single_active_after_a_closed_channel(lab: Lab, kind: str, how: str) -> None:
    """A single active consumer goes with its channel: the next one gets what comes back before what waited."""
    ch, first, second = lab.channel(), lab.channel(), lab.channel()
    ch.queue(lab.q(), durable=True, arguments={"x-single-active-consumer": True, "x-queue-type": kind})
    ch.confirm()
    first.qos(2)
    first.consume(lab.q(), "a")
    second.consume(lab.q(), "b")
    for number in range(3):
        ch.publish_confirmed("", lab.q(), str(number), delivery_mode=2)
    first.deliveries(2)
    if how == "close":
        first.close()
    else:
        first.publish(lab.x(), "k")
        first.closed()
    second.deliveries(3)


@family({"close": ("close",), "error": ("error",)})
def single_active_on_a_closing_channel(lab: Lab, how: str) -> None:
    """Both consumers of a single-active-consumer queue are on a channel that closes: the second is given nothing."""
    ch, both = lab.channel(), lab.channel()
    ch.queue(lab.q(), arguments={"x-single-active-consumer": True})
    ch.confirm()
    both.qos(1)
    both.consume(lab.q(), "a")
    both.consume(lab.q(), "b")
    ch.publish_confirmed("", lab.q(), "1")
    ch.publish_confirmed("", lab.q(), "2")
    both.deliveries(1)
    if how == "close":
        both.close()
    else:
        both.publish(lab.x(), "k")
        both.closed()
    lab.wait_ready(lab.q(), 2)


@family({"classic": ("classic",), "quorum": ("quorum",)})
def single_active_count(lab: Lab, kind: str) -> None:
    """The consumer count of a queue with a single active consumer, also after that is cancelled and holds a message."""
    ch, one = lab.channel(), lab.channel()
    arguments = {"x-queue-type": kind, "x-single-active-consumer": True}
    ch.queue(lab.q(), durable=True, arguments=arguments)
    for tag in "abc":
        one.consume(lab.q(), tag)
    fill(ch, lab.q(), 1)
    one.deliveries(1)
    ch.queue(lab.q(), passive=True)
    one.cancel("a")
    lab.quiet()
    ch.queue(lab.q(), passive=True)
    one.ack(1)
    one.sync()
    lab.quiet()
    ch.queue(lab.q(), passive=True)


@family({"classic": ("classic",), "quorum": ("quorum",)})
def timeout_of_a_queue(lab: Lab, kind: str) -> None:
    """A queue's own consumer timeout: the channel is looked at once a minute, and only its oldest delivery."""
    ch, other = lab.channel(), lab.channel()
    ch.queue(lab.q(), durable=True, arguments={"x-queue-type": kind, "x-consumer-timeout": 1000})
    fill(ch, lab.q(), 2)
    other.consume(lab.q(), "a")
    other.deliveries(2)
    other.ack(2)
    other.connection.wait(other.number, "channel.close", within_s=130)
    lab.wait_ready(lab.q(), 1)


@case()
def large_messages_at_once(lab: Lab) -> None:
    """Large messages come back at once to two consumers with room for all of them: what the higher priority gets."""
    ch, holder, low, high = (lab.channel(), *(lab.channel(lab.connect()) for _ in range(3)))
    ch.queue(lab.q())
    ch.confirm()
    holder.consume(lab.q(), "holder")
    for number in range(5):
        ch.publish_confirmed("", lab.q(), str(number) * 150_000)
    holder.deliveries(5)
    low.consume(lab.q(), "low")
    high.consume(lab.q(), "high", arguments={"x-priority": 1})
    lab.quiet()
    holder.close()
    lab.quiet()


@family(
    {
        f"{kind}_{short(argument)}": (kind, argument)
        for kind in ("classic", "quorum")
        for argument in ("x-priority", "x-stream-offset", "x-stream-filter", "x-stream-match-unfiltered", "x-my-own")
    }
)
def argument_of_every_type(lab: Lab, kind: str, argument: str) -> None:
    """Consumer argument of every wire type, alone and with a wrong priority or an argument that only streams have."""
    lab.channel().queue(lab.q(), durable=True, arguments={"x-queue-type": kind})
    for value in EVERY_TYPE.values():
        for others in ({}, {"x-priority": "wrong"}, {"x-stream-offset": 1}):
            lab.channel().consume(lab.q(), arguments={argument: value} | others)
    lab.hide(lab.q())
