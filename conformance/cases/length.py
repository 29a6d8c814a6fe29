"""Length limits and what happens to what is too much (2.11)."""

from __future__ import annotations

from typing import Any

from conformance.channel import Channel
from conformance.lab import Lab
from conformance.registry import case, family

KINDS = {"classic": ("classic",), "quorum": ("quorum",)}


def limited(lab: Lab, kind: str = "classic", *, dead: bool = False, **limits: Any) -> Channel:
    """A confirming channel and the queue q with limits; keywords are the arguments without their x-."""
    ch = lab.channel()
    arguments = {"x-queue-type": kind}
    arguments |= {"x-" + key.replace("_", "-"): value for key, value in limits.items()}
    if dead:
        ch.queue(lab.q("dead"))
        arguments |= {"x-dead-letter-exchange": "", "x-dead-letter-routing-key": lab.q("dead")}
    ch.queue(lab.q(), durable=True, arguments=arguments)
    ch.confirm()
    return ch


def publish(ch: Channel, queue: str, count: int, start: int = 1) -> None:
    """Publish numbered messages, each confirmed before the next."""
    for number in range(start, start + count):
        ch.publish_confirmed("", queue, str(number), delivery_mode=2)


@family(KINDS)
def drop_head(lab: Lab, kind: str) -> None:
    """The oldest make room."""
    ch = limited(lab, kind, max_length=3)
    publish(ch, lab.q(), 5)


@family(KINDS)
def drop_head_dead_letters(lab: Lab, kind: str) -> None:
    """The dropped are dead-lettered with reason maxlen."""
    ch = limited(lab, kind, dead=True, max_length=2, overflow="drop-head")
    publish(ch, lab.q(), 4)
    lab.wait_ready(lab.q("dead"), 2)


@family(KINDS)
def reject_publish(lab: Lab, kind: str) -> None:
    """New ones are refused: a quorum queue refuses once it is above its limit, not before."""
    ch = limited(lab, kind, max_length=3, overflow="reject-publish")
    publish(ch, lab.q(), 6)


@family({f"{kind}_{limit}": (kind, limit) for kind in ("classic", "quorum") for limit in (0, 1, 2, 5, 10)})
def reject_publish_reopens(lab: Lab, kind: str, limit: int) -> None:
    """Messages are taken out of a full queue, one by one, until it takes new ones again; these fill it once more."""
    ch = limited(lab, kind, max_length=limit, overflow="reject-publish")
    publish(ch, lab.q(), limit + 3)
    other = lab.channel()
    for number in range(limit + 1):
        other.get(lab.q(), no_ack=True)
        other.sync()
        if ch.publish_confirmed("", lab.q(), f"again {number}", delivery_mode=2).name == "basic.ack":
            break
    publish(ch, lab.q(), 3, 100)


@family({f"{kind}_{when}": (kind, when) for kind in ("classic", "quorum") for when in ("full", "below", "above")})
def reject_publish_and_requeue(lab: Lab, kind: str, when: str) -> None:
    """Messages of a consumer return to a queue that is full, has been full, or exceeds its limit by them."""
    ch = limited(lab, kind, max_length=5, overflow="reject-publish")
    other = lab.channel()
    publish(ch, lab.q(), 5)
    other.get(lab.q())
    other.get(lab.q())
    publish(ch, lab.q(), {"full": 4, "below": 1, "above": 2}[when], 6)
    if when == "below":
        other.get(lab.q(), no_ack=True)
    other.nack(0, multiple=True)
    other.sync()
    lab.quiet()
    publish(ch, lab.q(), 2, 100)
    for _ in range(3):
        other.get(lab.q(), no_ack=True)
    publish(ch, lab.q(), 3, 200)


@family(KINDS)
def reject_publish_purged(lab: Lab, kind: str) -> None:
    """A purge opens the queue again."""
    ch = limited(lab, kind, max_length=2, overflow="reject-publish")
    publish(ch, lab.q(), 4)
    ch.purge(lab.q())
    publish(ch, lab.q(), 4, 10)


@family(KINDS)
def reject_publish_by_bytes(lab: Lab, kind: str) -> None:
    """A limit of octets, with messages of two of them."""
    ch = limited(lab, kind, max_length_bytes=10, overflow="reject-publish")
    publish(ch, lab.q(), 8, 10)
    other = lab.channel()
    for number in range(4):
        other.get(lab.q(), no_ack=True)
        other.sync()
        ch.publish_confirmed("", lab.q(), f"a{number}", delivery_mode=2)


@case()
def reject_publish_quorum_other_channel(lab: Lab) -> None:
    """A channel that has not published yet, when another one was refused and some room has been made since."""
    ch = limited(lab, "quorum", max_length=10, overflow="reject-publish")
    publish(ch, lab.q(), 12)
    other = lab.channel()
    other.get(lab.q(), no_ack=True)
    other.get(lab.q(), no_ack=True)
    other.sync()
    publish(ch, lab.q(), 1, 100)
    other.confirm()
    publish(other, lab.q(), 3, 200)


@case()
def reject_publish_without_confirms(lab: Lab) -> None:
    """Without confirms the refusal is silent."""
    lab.channel().queue(lab.q(), arguments={"x-max-length": 1, "x-overflow": "reject-publish"})
    ch = lab.channel()
    ch.publish("", lab.q(), "1")
    ch.publish("", lab.q(), "2", mandatory=True)
    ch.sync()


@case()
def reject_publish_does_not_dead_letter(lab: Lab) -> None:
    """Refused messages are not dead-lettered."""
    ch = limited(lab, dead=True, max_length=1, overflow="reject-publish")
    publish(ch, lab.q(), 2)
    lab.quiet()


@case()
def reject_publish_dlx(lab: Lab) -> None:
    """Messages refused by reject-publish-dlx are dead-lettered."""
    ch = limited(lab, dead=True, max_length=1, overflow="reject-publish-dlx")
    publish(ch, lab.q(), 3)
    lab.wait_ready(lab.q("dead"), 2)


@case()
def reject_publish_dlx_quorum(lab: Lab) -> None:
    """A quorum queue takes reject-publish-dlx for drop-head."""
    ch = limited(lab, "quorum", dead=True, max_length=1, overflow="reject-publish-dlx")
    publish(ch, lab.q(), 3)
    lab.wait_ready(lab.q("dead"), 2)


@case()
def reject_publish_room_again(lab: Lab) -> None:
    """Room made by a get is used."""
    ch = limited(lab, max_length=1, overflow="reject-publish")
    publish(ch, lab.q(), 2)
    ch.get(lab.q())
    publish(ch, lab.q(), 1, start=3)


@family({"drop_head": ("drop-head",), "reject_publish": ("reject-publish",)})
def unacked_do_not_count(lab: Lab, overflow: str) -> None:
    """Held messages do not count."""
    ch = limited(lab, max_length=1, overflow=overflow)
    publish(ch, lab.q(), 1)
    ch.get(lab.q())
    publish(ch, lab.q(), 2, start=2)


@case()
def requeue_above_the_limit(lab: Lab) -> None:
    """A requeue that goes above the limit."""
    ch = limited(lab, dead=True, max_length=2)
    publish(ch, lab.q(), 2)
    ch.get(lab.q())
    ch.get(lab.q())
    publish(ch, lab.q(), 2, start=3)
    ch.nack(0, multiple=True)
    lab.quiet()
    ch.queue(lab.q(), passive=True)


@case()
def requeue_above_the_limit_reject(lab: Lab) -> None:
    """A requeue is never refused."""
    ch = limited(lab, max_length=1, overflow="reject-publish")
    publish(ch, lab.q(), 1)
    ch.get(lab.q())
    publish(ch, lab.q(), 1, start=2)
    ch.nack(1)
    lab.quiet()
    publish(ch, lab.q(), 1, start=3)


@family(KINDS)
def zero(lab: Lab, kind: str) -> None:
    """A limit of 0 keeps nothing."""
    ch = limited(lab, kind, dead=True, max_length=0)
    publish(ch, lab.q(), 2)
    lab.wait_ready(lab.q("dead"), 2)


@case()
def zero_with_consumer(lab: Lab) -> None:
    """A queue with a limit of 0 delivers messages to a ready consumer."""
    ch = limited(lab, max_length=0)
    consumer = lab.channel()
    consumer.consume(lab.q(), "a")
    publish(ch, lab.q(), 2)
    lab.quiet()


@case()
def zero_reject(lab: Lab) -> None:
    """A limit of 0 that rejects."""
    ch = limited(lab, max_length=0, overflow="reject-publish")
    publish(ch, lab.q(), 1)
    consumer = lab.channel()
    consumer.consume(lab.q(), "a")
    publish(ch, lab.q(), 1, start=2)
    lab.quiet()


@family(KINDS)
def max_bytes(lab: Lab, kind: str) -> None:
    """Bytes are those of the bodies."""
    ch = limited(lab, kind, max_length_bytes=10)
    for body in ("aaaa", "bbbb", "cc", "dddd"):
        ch.publish_confirmed("", lab.q(), body, headers={"long": "x" * 50})
        ch.queue(lab.q(), passive=True)


@case()
def bytes_one_too_large(lab: Lab) -> None:
    """A body that is larger than the limit by itself."""
    ch = limited(lab, dead=True, max_length_bytes=5)
    ch.publish_confirmed("", lab.q(), "1234")
    ch.publish_confirmed("", lab.q(), "too long for it")
    lab.quiet()


@case()
def bytes_reject(lab: Lab) -> None:
    """Refusing by bytes."""
    ch = limited(lab, max_length_bytes=5, overflow="reject-publish")
    for body in ("1234", "56", "789"):
        ch.publish_confirmed("", lab.q(), body)


@case()
def bytes_empty_bodies(lab: Lab) -> None:
    """Empty bodies weigh nothing."""
    ch = limited(lab, max_length_bytes=1)
    for _ in range(4):
        ch.publish_confirmed("", lab.q(), b"")


@case()
def both(lab: Lab) -> None:
    """Both limits at once."""
    ch = limited(lab, max_length=3, max_length_bytes=10)
    for body in ("aaaa", "bbbb", "c", "d", "e", "ffffffff"):
        ch.publish_confirmed("", lab.q(), body)
        ch.queue(lab.q(), passive=True)


@case()
def drop_head_with_full_consumer(lab: Lab) -> None:
    """The consumer's prefetch does not count."""
    ch = limited(lab, max_length=2)
    consumer = lab.channel()
    consumer.qos(2)
    consumer.consume(lab.q(), "a")
    publish(ch, lab.q(), 7)
    consumer.deliveries(2)


@case()
def ttl_and_length(lab: Lab) -> None:
    """An expired message behind a longer-lived one counts against the limit."""
    ch = limited(lab, dead=True, max_length=2)
    ch.publish_confirmed("", lab.q(), "long", expiration="60000")
    ch.publish_confirmed("", lab.q(), "short", expiration="50")
    lab.sleep(0.3)
    ch.publish_confirmed("", lab.q(), "new")
    lab.wait_ready(lab.q("dead"), 2)


@family(
    {
        f"{name}_{kind}": (*numbers, kind)
        for name, numbers in {"empty_0": (0, 0), "full_1": (1, 1), "full_2": (2, 2), "room": (2, 1)}.items()
        for kind in KINDS
    }
)
def ttl_zero(lab: Lab, limit: int, before: int, kind: str) -> None:
    """A message of TTL 0 first makes the oldest go, if the queue is full, and then expires itself."""
    ch = limited(lab, kind, dead=True, max_length=limit)
    publish(ch, lab.q(), before)
    ch.publish_confirmed("", lab.q(), "at once", expiration="0")
    lab.quiet()


@case()
def ttl_zero_reject(lab: Lab) -> None:
    """A message of TTL 0 is refused by a full queue."""
    ch = limited(lab, dead=True, max_length=1, overflow="reject-publish")
    publish(ch, lab.q(), 1)
    ch.publish_confirmed("", lab.q(), "at once", expiration="0")


@family(KINDS)
def zero_requeued(lab: Lab, kind: str) -> None:
    """A message given back to a queue of length 0 with a consumer."""
    ch, consumer = limited(lab, kind, dead=True, max_length=0), lab.channel()
    consumer.consume(lab.q(), "a")
    ch.publish("", lab.q(), delivery_mode=2)
    consumer.deliveries(1)
    consumer.nack(1)
    lab.quiet()


@family(KINDS)
def requeued_above_the_limit_with_room(lab: Lab, kind: str) -> None:
    """A message given back to a full queue whose consumer could take one."""
    ch, consumer = limited(lab, kind, dead=True, max_length=1), lab.channel()
    consumer.qos(1)
    consumer.consume(lab.q(), "a")
    publish(ch, lab.q(), 2)
    consumer.deliveries(1)
    consumer.nack(1)
    lab.quiet()


@family(KINDS)
def several_dropped_at_once(lab: Lab, kind: str) -> None:
    """One large message makes several small ones go: the order of their dead letters."""
    ch = limited(lab, kind, dead=True, max_length_bytes=10)
    publish(ch, lab.q(), 4)
    ch.publish_confirmed("", lab.q(), "0123456789", delivery_mode=2)
    lab.wait_ready(lab.q("dead"), 4)


@family(KINDS)
def several_dropped_when_given_back(lab: Lab, kind: str) -> None:
    """Messages that are given back to a queue with room for one: the order of their dead letters."""
    ch = limited(lab, kind, dead=True, max_length=1)
    holder = lab.channel()
    holder.consume(lab.q(), "a")
    publish(ch, lab.q(), 4)
    holder.deliveries(4)
    holder.close()
    lab.wait_ready(lab.q("dead"), 3)


@case()
def given_back_expired(lab: Lab) -> None:
    """Messages of TTL 0 that are given back to a queue with room for one: what is too much first, then the rest."""
    ch = limited(lab, dead=True, max_length=1, message_ttl=0)
    holder = lab.channel()
    holder.consume(lab.q(), "a")
    publish(ch, lab.q(), 3)
    holder.deliveries(3)
    holder.close()
    lab.wait_ready(lab.q("dead"), 3)


@family(KINDS)
def given_back_expired_and_too_many(lab: Lab, kind: str) -> None:
    """One returned message has expired and the others exceed the limit: the order of the dead letters."""
    ch = limited(lab, kind, dead=True, max_length=0)
    holder = lab.channel()
    holder.consume(lab.q(), "a")
    ch.publish_confirmed("", lab.q(), "expired", delivery_mode=2, expiration="0")
    publish(ch, lab.q(), 2)
    holder.deliveries(3)
    lab.sleep(0.1)
    holder.close()
    lab.wait_ready(lab.q("dead"), 3)


@family({how: (how,) for how in ("nack", "reject", "recover", "channel", "connection")})
def given_back_dies_of_everything(lab: Lab, how: str) -> None:
    """Returned messages exceed the delivery limit, the TTL and the length limit: the order of the dead letters."""
    ch = limited(lab, "quorum", dead=True, max_length=1, delivery_limit=1)
    holder = lab.channel(lab.connect())
    holder.consume(lab.q(), "a")
    publish(ch, lab.q(), 2)
    holder.deliveries(2)
    holder.nack(0, multiple=True)
    holder.deliveries(2)
    ch.publish_confirmed("", lab.q(), "3", delivery_mode=2, expiration="0")
    publish(ch, lab.q(), 3, start=4)
    holder.deliveries(4)
    holder.cancel("a")
    lab.sleep(0.1)
    match how:
        case "nack":
            holder.nack(0, multiple=True)
        case "reject":
            for tag in range(3, 9):
                holder.reject(tag)
        case "recover":
            holder.recover()
        case "channel":
            holder.close()
        case _:
            holder.connection.close()
    lab.wait_ready(lab.q("dead"), 5)
