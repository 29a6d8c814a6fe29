"""Message time to live: per queue, per message, head only, zero (2.10)."""

from __future__ import annotations

from conformance.channel import Channel
from conformance.lab import Lab
from conformance.registry import case, family

KINDS = {"classic": ("classic",), "quorum": ("quorum",)}


def timed(lab: Lab, kind: str = "classic", ttl_ms: int | None = None, *, dead: bool = False) -> Channel:
    """A channel and the queue q, with a TTL and a dead letter queue `dead` where wanted."""
    ch = lab.channel()
    arguments: dict[str, object] = {"x-queue-type": kind}
    if ttl_ms is not None:
        arguments["x-message-ttl"] = ttl_ms
    if dead:
        ch.queue(lab.q("dead"))
        arguments |= {"x-dead-letter-exchange": "", "x-dead-letter-routing-key": lab.q("dead")}
    ch.queue(lab.q(), durable=True, arguments=arguments)
    return ch


@family(KINDS)
def queue_ttl(lab: Lab, kind: str) -> None:
    """Messages of a queue with a TTL are gone after it."""
    ch = timed(lab, kind, 150)
    ch.publish("", lab.q())
    lab.sleep(0.6)
    ch.get(lab.q())


@family(KINDS)
def message_ttl(lab: Lab, kind: str) -> None:
    """A message with an expiration is gone after it, the others stay."""
    ch = timed(lab, kind)
    ch.publish("", lab.q(), "short", expiration="150")
    ch.publish("", lab.q(), "long", expiration="60000")
    ch.publish("", lab.q(), "for ever")
    lab.sleep(0.6)
    ch.queue(lab.q(), passive=True)
    ch.get(lab.q(), no_ack=True)
    ch.get(lab.q(), no_ack=True)
    ch.get(lab.q(), no_ack=True)


@family({"queue_shorter": (150, "60000"), "message_shorter": (60000, "150")})
def shorter_wins(lab: Lab, queue_ttl_ms: int, expiration: str) -> None:
    """The shorter one of both times is used."""
    ch = timed(lab, "classic", queue_ttl_ms)
    ch.publish("", lab.q(), expiration=expiration)
    lab.sleep(0.6)
    ch.get(lab.q())


@family(KINDS)
def behind_a_longer_one(lab: Lab, kind: str) -> None:
    """A message behind one that lives longer stays and is counted, but is never delivered late."""
    ch = timed(lab, kind)
    ch.publish("", lab.q(), "long", expiration="60000")
    ch.publish("", lab.q(), "short", expiration="100")
    ch.publish("", lab.q(), "for ever")
    lab.sleep(0.6)
    ch.queue(lab.q(), passive=True)
    ch.get(lab.q(), no_ack=True)
    ch.get_when_there(lab.q(), no_ack=True)


@case()
def behind_a_longer_one_consumed(lab: Lab) -> None:
    """A consumer does not see it either."""
    ch = timed(lab, "classic", dead=True)
    ch.publish("", lab.q(), "long", expiration="60000")
    ch.publish("", lab.q(), "short", expiration="100")
    ch.publish("", lab.q(), "for ever")
    lab.sleep(0.5)
    ch.consume(lab.q(), "a")
    ch.deliveries(2)
    ch.get_when_there(lab.q("dead"))


@family(KINDS)
def zero_without_consumer(lab: Lab, kind: str) -> None:
    """Expiration 0 without a consumer: gone at once."""
    ch = timed(lab, kind, dead=True)
    ch.publish("", lab.q(), expiration="0")
    ch.get_when_there(lab.q("dead"))
    ch.get(lab.q())


@family(KINDS)
def zero_with_consumer(lab: Lab, kind: str) -> None:
    """Expiration 0 with a consumer that can take it: delivered."""
    ch = timed(lab, kind)
    consumer = lab.channel()
    consumer.consume(lab.q(), "a")
    lab.quiet()
    ch.publish("", lab.q(), expiration="0")
    consumer.deliveries(1)


@case()
def zero_with_full_consumer(lab: Lab) -> None:
    """Expiration 0 with a consumer that is full: gone."""
    ch = timed(lab, "classic", dead=True)
    consumer = lab.channel()
    consumer.qos(1)
    consumer.consume(lab.q(), "a")
    ch.publish("", lab.q(), "taken")
    consumer.deliveries(1)
    ch.publish("", lab.q(), "expires", expiration="0")
    ch.get_when_there(lab.q("dead"))
    consumer.ack(1)
    lab.quiet()


@case()
def zero_of_queue_with_consumer(lab: Lab) -> None:
    """A queue TTL of 0 lets only messages through that a consumer takes at once."""
    ch = timed(lab, "classic", 0)
    ch.publish("", lab.q(), "lost")
    ch.sync()
    consumer = lab.channel()
    consumer.consume(lab.q(), "a")
    ch.publish("", lab.q(), "taken")
    consumer.deliveries(1)


@case()
def zero_requeued(lab: Lab) -> None:
    """A delivered message with expiration 0 that is requeued."""
    ch = timed(lab, "classic", dead=True)
    consumer = lab.channel()
    consumer.qos(1)
    consumer.consume(lab.q(), "a")
    ch.publish("", lab.q(), expiration="0")
    consumer.deliveries(1)
    consumer.cancel("a")
    consumer.reject(1)
    ch.get_when_there(lab.q("dead"))


@family(KINDS)
def unacked_does_not_expire(lab: Lab, kind: str) -> None:
    """A held message does not expire; requeued after its time it does at once."""
    ch = timed(lab, kind, 200, dead=True)
    ch.publish("", lab.q())
    ch.get_when_there(lab.q())
    lab.sleep(0.6)
    ch.get(lab.q("dead"))
    ch.reject(1)
    ch.get_when_there(lab.q("dead"))


@case()
def requeued_in_time(lab: Lab) -> None:
    """A message requeued before its time keeps its deadline."""
    ch = timed(lab, "classic", 500, dead=True)
    ch.publish("", lab.q())
    ch.get_when_there(lab.q())
    lab.sleep(0.3)
    ch.reject(1)
    ch.sync()
    lab.sleep(0.4)
    ch.get(lab.q("dead"))
    ch.get(lab.q())


@family(KINDS)
def several_expire_in_order(lab: Lab, kind: str) -> None:
    """Messages that expire together are dead-lettered in order."""
    ch = timed(lab, kind, 100, dead=True)
    for number in range(5):
        ch.publish("", lab.q(), str(number))
    lab.wait_ready(lab.q("dead"), 5)


@case()
def expired_are_not_counted(lab: Lab) -> None:
    """After the time the queue counts them no more."""
    ch = timed(lab, "classic", 400)
    for number in range(3):
        ch.publish("", lab.q(), str(number))
    lab.wait_ready(lab.q(), 3)
    ch.queue(lab.q(), passive=True)
    lab.sleep(1)
    ch.queue(lab.q(), passive=True)
    ch.delete(lab.q())


@case()
def expired_while_consumer_is_full(lab: Lab) -> None:
    """Messages waiting for a full consumer expire."""
    ch = timed(lab, "classic", 150, dead=True)
    consumer = lab.channel()
    consumer.qos(1)
    consumer.consume(lab.q(), "a")
    ch.publish("", lab.q(), "taken")
    consumer.deliveries(1)
    ch.publish("", lab.q(), "waits")
    ch.get_when_there(lab.q("dead"))
    consumer.ack(1)
    lab.quiet()


@case()
def purge_drops_without_dead_letter(lab: Lab) -> None:
    """A purge does not dead-letter."""
    ch = timed(lab, "classic", 60000, dead=True)
    ch.publish("", lab.q())
    ch.purge(lab.q())
    lab.quiet()


@case()
def expiration_goes_on_dead_letter(lab: Lab) -> None:
    """The expiration property is gone after dead-lettering, and does not expire again."""
    ch = timed(lab, "classic", dead=True)
    ch.publish("", lab.q(), expiration="100", message_id="id")
    ch.get_when_there(lab.q("dead"))


@family(KINDS)
def got_before_an_expired_one(lab: Lab, kind: str) -> None:
    """The count of basic.get-ok, and of a declare after it, when what comes next has expired."""
    ch = timed(lab, kind)
    ch.confirm()
    ch.publish_confirmed("", lab.q(), "first", delivery_mode=2)
    ch.publish_confirmed("", lab.q(), "expired", delivery_mode=2, expiration="0")
    lab.sleep(0.1)
    ch.get(lab.q())
    lab.wait_ready(lab.q(), 0)
    ch.ack(1)
    lab.quiet()


@family(KINDS)
def several_expire_at_once(lab: Lab, kind: str) -> None:
    """Messages that expire behind one that does not, when it goes: the order of their dead letters."""
    ch = timed(lab, kind, dead=True)
    ch.confirm()
    ch.publish_confirmed("", lab.q(), "first", delivery_mode=2)
    for number in range(4):
        ch.publish_confirmed("", lab.q(), str(number), delivery_mode=2, expiration="0")
    lab.sleep(0.1)
    ch.get(lab.q(), no_ack=True)
    lab.wait_ready(lab.q("dead"), 4)


@family(KINDS)
def expired_takes_no_turn(lab: Lab, kind: str) -> None:
    """A message that is given back and has expired takes no consumer's turn."""
    ch = timed(lab, kind)
    ch.confirm()
    holder, other = lab.channel(), lab.channel()
    holder.consume(lab.q(), "holder")
    ch.publish_confirmed("", lab.q(), "1", delivery_mode=2)
    ch.publish_confirmed("", lab.q(), "expires", delivery_mode=2, expiration="0")
    holder.deliveries(2)
    other.consume(lab.q(), "a")
    other.consume(lab.q(), "b")
    lab.sleep(0.1)
    holder.close()
    other.deliveries(1)
    ch.publish_confirmed("", lab.q(), "2", delivery_mode=2)
    ch.publish_confirmed("", lab.q(), "3", delivery_mode=2)
    other.deliveries(2)
