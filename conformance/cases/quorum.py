"""Quorum queues: delivery count and delivery limit (2.9, 2.12)."""

from __future__ import annotations

from typing import Any

from conformance.channel import Channel
from conformance.decoder import Event
from conformance.errors import CaseStoppedError
from conformance.lab import Lab
from conformance.registry import case, family


def limited(lab: Lab, **arguments: Any) -> Channel:
    """A channel and a quorum queue with one message in it; what dies there goes to the queue dead."""
    ch = lab.channel()
    ch.queue(lab.q("dead"))
    more = {"x-" + key.replace("_", "-"): value for key, value in arguments.items()}
    dead = {"x-dead-letter-exchange": "", "x-dead-letter-routing-key": lab.q("dead")}
    ch.queue(lab.q(), durable=True, arguments={"x-queue-type": "quorum"} | dead | more)
    ch.confirm()
    ch.publish_confirmed("", lab.q(), headers={"own": 1}, delivery_mode=2)
    return ch


def return_until_gone(lab: Lab, ch: Channel, most: int) -> None:
    """Take the message and give it back until it dies, at most so often; only the last delivery is kept."""
    ch.consume(lab.q(), "a")
    last = ch.deliveries(1)[0]
    count = 1
    while True:
        ch.reject(last.arguments["delivery_tag"])
        following = _delivered_or_dead(lab, ch)
        if following is None:
            break
        ch.connection.forget(last)
        last = following
        count += 1
        if count == most:
            break
    lab.observe("deliveries", count)


def _delivered_or_dead(lab: Lab, ch: Channel) -> Event | None:
    for _ in range(500):
        ch.connection.pump(0.02)
        for event in ch.connection.events:
            if event.name == "basic.deliver" and not event.taken:
                event.taken = True
                return event
        if lab.ready(lab.q("dead")) == 1:
            return None
    raise CaseStoppedError("the message is neither delivered nor dead")


@family({"0": (0,), "1": (1,), "3": (3,)})
def delivery_limit(lab: Lab, limit: int) -> None:
    """A message is delivered limit + 1 times, then it is gone."""
    return_until_gone(lab, limited(lab, delivery_limit=limit), 10)


@family({"none": ({},), "minus_1": ({"delivery_limit": -1},)})
def delivery_limit_default(lab: Lab, arguments: dict[str, Any]) -> None:
    """Without a limit of its own, and with the limit turned off."""
    return_until_gone(lab, limited(lab, **arguments), 25)


@family({"reject": ("reject",), "nack": ("nack",), "recover": ("recover",), "channel_close": ("channel_close",)})
def delivery_count(lab: Lab, how: str) -> None:
    """Which ways of giving a message back count."""
    first = limited(lab)
    for _ in range(2):
        ch = lab.channel()
        tag = ch.get_when_there(lab.q()).arguments["delivery_tag"]
        if how == "reject":
            ch.reject(tag)
        elif how == "nack":
            ch.nack(tag)
        elif how == "recover":
            ch.recover()
        else:
            ch.close()
    first.get_when_there(lab.q())


@case()
def delivery_count_connection_lost(lab: Lab) -> None:
    """A lost connection counts too."""
    first = limited(lab)
    ch = lab.channel(lab.connect())
    ch.get_when_there(lab.q())
    ch.connection.drop()
    first.get_when_there(lab.q())


@case()
def delivery_count_sent_by_client(lab: Lab) -> None:
    """A client's own x-delivery-count header."""
    ch = lab.channel()
    ch.queue(lab.q(), durable=True, arguments={"x-queue-type": "quorum"})
    ch.publish("", lab.q(), headers={"x-delivery-count": 7})
    ch.get_when_there(lab.q())
    ch.reject(1)
    ch.get_when_there(lab.q())


@case()
def delivery_limit_dead_letters_per_message(lab: Lab) -> None:
    """Only the message that reached the limit goes."""
    ch = lab.channel()
    ch.queue(lab.q("dead"))
    arguments = {
        "x-queue-type": "quorum",
        "x-delivery-limit": 1,
        "x-dead-letter-exchange": "",
        "x-dead-letter-routing-key": lab.q("dead"),
    }
    ch.queue(lab.q(), durable=True, arguments=arguments)
    ch.confirm()
    ch.publish_confirmed("", lab.q(), "1")
    ch.publish_confirmed("", lab.q(), "2")
    for tag in (1, 2):
        ch.get_when_there(lab.q())
        ch.reject(tag)
    lab.wait_ready(lab.q("dead"), 1)


@case()
def transient_messages_are_kept(lab: Lab) -> None:
    """A transient message shows its delivery mode as it was sent."""
    ch = lab.channel()
    ch.queue(lab.q(), durable=True, arguments={"x-queue-type": "quorum"})
    ch.publish("", lab.q(), "1", delivery_mode=1)
    ch.get_when_there(lab.q())


@case()
def consumers_take_turns(lab: Lab) -> None:
    """Consumers of a quorum queue take turns."""
    ch = lab.channel()
    ch.queue(lab.q(), durable=True, arguments={"x-queue-type": "quorum"})
    ch.confirm()
    consumers = [lab.channel() for _ in range(2)]
    for consumer, tag in zip(consumers, "ab", strict=True):
        consumer.qos(10)
        consumer.consume(lab.q(), tag)
    for number in range(4):
        ch.publish_confirmed("", lab.q(), str(number))
    for consumer in consumers:
        consumer.deliveries(2)


@case()
def single_active(lab: Lab) -> None:
    """Only the first consumer is active; its held messages go to the next when its channel closes."""
    ch = lab.channel()
    arguments = {"x-queue-type": "quorum", "x-single-active-consumer": True}
    ch.queue(lab.q(), durable=True, arguments=arguments)
    lab.hide(lab.q())
    ch.confirm()
    first, second = lab.channel(), lab.channel()
    first.qos(10)
    second.qos(10)
    first.consume(lab.q(), "a")
    second.consume(lab.q(), "b")
    for number in range(3):
        ch.publish_confirmed("", lab.q(), str(number))
    first.deliveries(3)
    first.close()
    second.deliveries(3)


@family({how: (how,) for how in ("nack", "reject")})
def single_active_taken_over_after(lab: Lab, how: str) -> None:
    """The active one returns the last that it holds while one of higher priority waits for that: who gets it?"""
    ch, first, second = lab.channel(), lab.channel(), lab.channel()
    ch.queue(lab.q(), durable=True, arguments={"x-queue-type": "quorum", "x-single-active-consumer": True})
    ch.confirm()
    ch.publish_confirmed("", lab.q(), "held")
    first.consume(lab.q(), "a")
    first.deliveries(1)
    second.consume(lab.q(), "b", arguments={"x-priority": 1})
    lab.quiet()
    getattr(first, how)(1)
    lab.quiet()
    ch.queue(lab.q(), passive=True)


@case()
def single_active_that_ends_while_taken_over(lab: Lab) -> None:
    """One of higher priority waits for what the active one holds, and both end: who is a consumer then?"""
    ch, ending = lab.channel(), lab.channel(lab.connect())
    arguments = {"x-queue-type": "quorum", "x-single-active-consumer": True, "x-delivery-limit": 0}
    ch.queue(lab.q(), durable=True, arguments=arguments)
    ch.confirm()
    ch.publish_confirmed("", lab.q(), "held")
    ending.consume(lab.q(), "a")
    ending.deliveries(1)
    ending.consume(lab.q(), "b", arguments={"x-priority": 1})
    lab.quiet()
    ending.connection.close()
    lab.quiet()
    ch.queue(lab.q(), passive=True)


@case()
def cancel_keeps_held(lab: Lab) -> None:
    """A cancelled consumer may still ack."""
    ch = limited(lab)
    ch.consume(lab.q(), "a")
    ch.deliveries(1)
    ch.cancel("a")
    ch.ack(1)
    ch.sync()


@family({"consumers": ("consumers",), "get_first": ("get_first",), "get_last": ("get_last",)})
def channel_gives_back_several(lab: Lab, how: str) -> None:
    """The order in which messages come back that several consumers of one channel held."""
    ch, other = lab.channel(), lab.channel()
    ch.queue(lab.q(), durable=True, arguments={"x-queue-type": "quorum"})
    ch.confirm()
    for number in range(6):
        ch.publish_confirmed("", lab.q(), str(number), delivery_mode=2)
    other.qos(1)
    if how == "get_first":
        other.get(lab.q())
    for tag in ("c", "a", "b"):
        other.consume(lab.q(), tag)
        other.deliveries(1)
    if how == "get_last":
        other.get(lab.q())
    other.close()
    lab.wait_ready(lab.q(), 6)


@family(
    {
        f"{how}_{order}": (how, order)
        for how in ("nack", "recover", "close", "close_consuming", "tx_nack")
        for order in ("ab", "ba")
    }
)
def several_give_back(lab: Lab, how: str, order: str) -> None:
    """The order in which messages come back that two consumers of one channel, started in this order, were given."""
    ch, other = lab.channel(), lab.channel()
    ch.queue(lab.q(), durable=True, arguments={"x-queue-type": "quorum"})
    ch.confirm()
    if how == "tx_nack":
        other.tx()
    for tag in order:
        other.consume(lab.q(), tag)
    for number in range(5):
        ch.publish_confirmed("", lab.q(), str(number), delivery_mode=2)
    other.deliveries(5)
    if how != "close_consuming":
        other.cancel("a")
        other.cancel("b")
    match how:
        case "nack":
            other.nack(0, multiple=True)
        case "tx_nack":
            other.nack(0, multiple=True)
            other.commit()
        case "recover":
            other.recover()
        case _:
            other.close()
    lab.wait_ready(lab.q(), 5)


@family({"ab": ("ab",), "ba": ("ba",)})
def given_to_several_at_once(lab: Lab, order: str) -> None:
    """Messages that come back together go to two consumers of one channel in turn: the order of the deliveries."""
    ch, holder, both = lab.channel(), lab.channel(), lab.channel()
    ch.queue(lab.q(), durable=True, arguments={"x-queue-type": "quorum"})
    holder.consume(lab.q(), "holder")
    ch.confirm()
    for number in range(5):
        ch.publish_confirmed("", lab.q(), str(number), delivery_mode=2)
    holder.deliveries(5)
    for tag in order:
        both.consume(lab.q(), tag)
    holder.close()
    both.deliveries(5)


@family({"nack": ("nack",), "reject": ("reject",)})
def delivery_limit_without_dead_letters(lab: Lab, verb: str) -> None:
    """Without a dead letter exchange a message at its limit is dropped, and the one behind it is next."""
    ch = lab.channel()
    ch.queue(lab.q(), durable=True, arguments={"x-queue-type": "quorum", "x-delivery-limit": 1})
    for body in ("first", "second"):
        ch.publish("", lab.q(), body, delivery_mode=2)
    lab.wait_ready(lab.q(), 2)
    for tag in (1, 2):
        ch.get_when_there(lab.q())
        (ch.nack if verb == "nack" else ch.reject)(tag)
    ch.get_when_there(lab.q())


def unlimited(lab: Lab, **arguments: Any) -> Channel:
    """A confirming channel and a quorum queue without a delivery limit; what dies there goes to the queue dead."""
    ch = lab.channel()
    ch.queue(lab.q("dead"))
    every = {"x-queue-type": "quorum", "x-delivery-limit": -1, "x-dead-letter-exchange": ""} | arguments
    ch.queue(lab.q(), durable=True, arguments=every | {"x-dead-letter-routing-key": lab.q("dead")})
    ch.confirm()
    return ch


def numbered(lab: Lab, ch: Channel, count: int, start: int = 1, **properties: Any) -> None:
    """Publish numbered messages, each confirmed before the next."""
    for number in range(start, start + count):
        ch.publish_confirmed("", lab.q(), str(number), delivery_mode=2, **properties)


@family(
    {
        how: (how,)
        for how in ("nack", "nack_newest_first", "reject", "recover", "tx", "get", "cancelled", "channel", "connection")
    }
)
def returned_without_limit(lab: Lab, how: str) -> None:
    """Without a delivery limit: where what a client returns goes, and what a channel held that ends."""
    ch = unlimited(lab)
    holder = lab.channel(lab.connect())
    numbered(lab, ch, 5)
    if how == "tx":
        holder.tx()
    if how == "get":
        for _ in range(3):
            holder.get(lab.q())
    else:
        holder.qos(3)
        holder.consume(lab.q(), "a")
        holder.deliveries(3)
        holder.cancel("a")
    match how:
        case "nack_newest_first":
            for tag in (3, 2, 1):
                holder.nack(tag)
        case "reject":
            for tag in (1, 2, 3):
                holder.reject(tag)
        case "recover":
            holder.recover()
        case "channel":
            holder.close()
        case "connection":
            holder.connection.close()
        case _:
            holder.nack(0, multiple=True)
    if how == "tx":
        holder.commit()
    lab.wait_ready(lab.q(), 5)


@family({"1": (1,), "2": (2,), "3": (3,)})
def returned_without_limit_by_a_full_consumer(lab: Lab, prefetch: int) -> None:
    """Without a delivery limit: what a consumer gets next that returns all that it has room for."""
    ch, holder = unlimited(lab), lab.channel()
    numbered(lab, ch, 4)
    holder.qos(prefetch)
    holder.consume(lab.q(), "a")
    for _ in range(2):
        holder.deliveries(prefetch)
        holder.nack(0, multiple=True)
    holder.deliveries(prefetch)


@case()
def returned_without_limit_to_several(lab: Lab) -> None:
    """Without a delivery limit: several messages are returned while other consumers have room."""
    ch, holder, other = unlimited(lab), lab.channel(), lab.channel()
    holder.consume(lab.q(), "a")
    numbered(lab, ch, 5)
    holder.deliveries(5)
    other.qos(1)
    for tag in "bc":
        other.consume(lab.q(), tag)
    holder.nack(4, multiple=True)
    other.deliveries(2)
    holder.deliveries(2)


@family({"low": (0, 9), "high": (9, 0)})
def returned_without_limit_priority(lab: Lab, own: int, others: int) -> None:
    """Without a delivery limit: a message is returned to a queue with messages of another priority, and its own."""
    ch = unlimited(lab)
    numbered(lab, ch, 1, priority=own)
    ch.get(lab.q())
    numbered(lab, ch, 2, 2, priority=others)
    numbered(lab, ch, 2, 4, priority=own)
    ch.nack(1)
    ch.sync()
    numbered(lab, ch, 2, 6)
    lab.wait_ready(lab.q(), 7)


@case()
def returned_without_limit_too_many(lab: Lab) -> None:
    """Without a delivery limit: messages are returned, one of which has expired, to a queue with room for two."""
    ch, holder = unlimited(lab, **{"x-max-length": 2}), lab.channel()
    holder.consume(lab.q(), "a")
    numbered(lab, ch, 2)
    ch.publish_confirmed("", lab.q(), "3", delivery_mode=2, expiration="0")
    numbered(lab, ch, 2, 4)
    holder.deliveries(5)
    holder.cancel("a")
    numbered(lab, ch, 2, 6)
    lab.sleep(0.1)
    holder.nack(0, multiple=True)
    lab.wait_ready(lab.q("dead"), 5)


@case()
def returned_without_limit_counts(lab: Lab) -> None:
    """Without a delivery limit: what a message says of how often it was returned, by clients and by the end of one."""
    ch = unlimited(lab)
    numbered(lab, ch, 1)
    for tag in (1, 2):
        ch.get_when_there(lab.q())
        ch.nack(tag)
    other = lab.channel()
    other.get_when_there(lab.q())
    other.close()
    ch.get_when_there(lab.q())
    ch.nack(3)
    lab.wait_ready(lab.q(), 1)


@case()
def automatic_after_connection(lab: Lab) -> None:
    """Messages of a connection that ends go to a consumer with automatic acknowledgements, and are removed."""
    ch = lab.channel()
    ch.queue(lab.q(), durable=True, arguments={"x-queue-type": "quorum"})
    ch.confirm()
    holder = lab.channel(lab.connect())
    holder.consume(lab.q(), "held")
    ch.publish_confirmed("", lab.q(), "m")
    holder.deliveries(1)
    ch.consume(lab.q(), "automatic", no_ack=True)
    holder.connection.close()
    ch.deliveries(1)


@family({"acked": (False,), "no_ack": (True,)})
def turns_after_a_purge(lab: Lab, no_ack: bool) -> None:
    """A message went straight to a consumer before a purge: does it take a turn of those of normal priority?"""
    ch, consumer = lab.channel(), lab.channel()
    ch.queue(lab.q(), durable=True, arguments={"x-queue-type": "quorum"})
    ch.confirm()
    consumer.consume(lab.q(), "c", no_ack=no_ack)
    for body in ("1", "2"):
        ch.publish_confirmed("", lab.q(), body)
        consumer.deliveries(1)
    if not no_ack:
        consumer.ack(2, multiple=True)
    consumer.cancel("c")
    ch.purge(lab.q())
    ch.publish_confirmed("", lab.q(), "normal")
    for body in ("high 1", "high 2"):
        ch.publish_confirmed("", lab.q(), body, priority=5)
    for _ in range(3):
        ch.get(lab.q(), no_ack=True)
