"""Priority queues (2.13)."""

from __future__ import annotations

from conformance.channel import Channel
from conformance.lab import Lab
from conformance.registry import case, family


def ranked(lab: Lab, highest: int, **arguments: object) -> Channel:
    """A confirming channel and the priority queue q."""
    ch = lab.channel()
    more = {"x-" + key.replace("_", "-"): value for key, value in arguments.items()}
    ch.queue(lab.q(), arguments={"x-max-priority": highest} | more)
    ch.confirm()
    return ch


def publish(ch: Channel, queue: str, *priorities: int | None) -> None:
    """One message of each priority, its body naming it and its turn."""
    for turn, priority in enumerate(priorities, 1):
        properties = {} if priority is None else {"priority": priority}
        ch.publish_confirmed("", queue, f"{priority} {turn}", **properties)


@family({"10": (10,), "1": (1,), "0": (0,), "255": (255,), "3": (3,)})
def order(lab: Lab, highest: int) -> None:
    """Highest first, in order of arrival inside; none is 0, too high is the highest."""
    ch = ranked(lab, highest)
    publish(ch, lab.q(), 0, 5, None, 1, 255, 5, 3, 0, 10)


@case()
def consumed(lab: Lab) -> None:
    """A consumer gets the highest there is each time it has room."""
    ch = ranked(lab, 10)
    publish(ch, lab.q(), 1, 2, 3)
    consumer = lab.channel()
    consumer.qos(1)
    consumer.consume(lab.q(), "a")
    consumer.deliveries(1)
    publish(ch, lab.q(), 9)
    consumer.ack(1)
    consumer.deliveries(1)
    consumer.ack(2)
    consumer.deliveries(1)


@case()
def prefetched_stay(lab: Lab) -> None:
    """Prefetched messages are not reordered."""
    ch = ranked(lab, 10)
    consumer = lab.channel()
    consumer.qos(2)
    consumer.consume(lab.q(), "a")
    publish(ch, lab.q(), 1, 2, 9, 5)
    consumer.deliveries(2)
    consumer.ack(2, multiple=True)
    consumer.deliveries(2)


@case()
def requeued(lab: Lab) -> None:
    """A requeued message goes back to its place in its priority."""
    ch = ranked(lab, 10)
    publish(ch, lab.q(), 5, 5, 5, 1, 1)
    for _ in range(4):
        ch.get(lab.q())
    ch.reject(4)
    ch.reject(2)
    ch.reject(1)
    ch.sync()


@case()
def drop_head(lab: Lab) -> None:
    """A length limit drops the head, which is the highest priority."""
    ch = ranked(lab, 10, max_length=2)
    publish(ch, lab.q(), 1, 9, 5, 0)


@case()
def drop_head_dead_letters(lab: Lab) -> None:
    """Which message is dead-lettered by overflow."""
    dead = lab.q("dead")
    lab.channel().queue(dead)
    ch = ranked(lab, 10, max_length=2, dead_letter_exchange="", dead_letter_routing_key=dead)
    publish(ch, lab.q(), 1, 1, 9, 0)
    lab.wait_ready(dead, 2)


@case()
def reject_publish(lab: Lab) -> None:
    """reject-publish does not look at priorities."""
    ch = ranked(lab, 10, max_length=2, overflow="reject-publish")
    publish(ch, lab.q(), 1, 1, 9)


@case()
def max_bytes(lab: Lab) -> None:
    """The byte limit counts over all priorities."""
    ch = ranked(lab, 10, max_length_bytes=8)
    publish(ch, lab.q(), 1, 9, 5)


@case()
def ttl(lab: Lab) -> None:
    """Each priority expires at its own head."""
    ch = ranked(lab, 10)
    ch.publish_confirmed("", lab.q(), "high long", priority=9, expiration="60000")
    ch.publish_confirmed("", lab.q(), "low short", priority=1, expiration="100")
    ch.publish_confirmed("", lab.q(), "low long", priority=1, expiration="60000")
    ch.publish_confirmed("", lab.q(), "high short", priority=9, expiration="100")
    lab.sleep(0.6)
    ch.queue(lab.q(), passive=True)


@case()
def ttl_of_queue(lab: Lab) -> None:
    """A queue TTL in a priority queue dead-letters all."""
    dead = lab.q("dead")
    lab.channel().queue(dead)
    ch = ranked(lab, 10, message_ttl=200, dead_letter_exchange="", dead_letter_routing_key=dead)
    lab.hide(dead)
    publish(ch, lab.q(), 1, 9, 5)
    lab.wait_ready(dead, 3)


@case()
def purge(lab: Lab) -> None:
    """A purge counts all priorities."""
    ch = ranked(lab, 5)
    publish(ch, lab.q(), 1, 2, 3)
    ch.get(lab.q())
    ch.queue(lab.q(), passive=True)
    ch.purge(lab.q())


@case()
def no_priority_queue(lab: Lab) -> None:
    """A queue without x-max-priority ignores priorities."""
    ch = lab.channel()
    ch.queue(lab.q())
    ch.confirm()
    publish(ch, lab.q(), 1, 9, 5)


@case()
def zero_ttl_with_consumer(lab: Lab) -> None:
    """Expiration 0 reaches a waiting consumer."""
    ch = ranked(lab, 10)
    consumer = lab.channel()
    consumer.consume(lab.q(), "a")
    ch.publish_confirmed("", lab.q(), "now", priority=3, expiration="0")
    consumer.deliveries(1)


@case()
def quorum_two_classes(lab: Lab) -> None:
    """A quorum queue: above 4 is high, two high for one normal."""
    ch = lab.channel()
    ch.queue(lab.q(), durable=True, arguments={"x-queue-type": "quorum"})
    ch.confirm()
    publish(ch, lab.q(), 0, 1, None, 4, 5, 9, 10, 255, 3, 6)


@case()
def quorum_requeued(lab: Lab) -> None:
    """Returned messages of a quorum queue come before both classes."""
    ch = lab.channel()
    ch.queue(lab.q(), durable=True, arguments={"x-queue-type": "quorum"})
    ch.confirm()
    publish(ch, lab.q(), 1, 1, 9, 9)
    for _ in range(3):
        ch.get(lab.q())
    ch.nack(3, multiple=True)
    lab.wait_ready(lab.q(), 4)


@case()
def expires_ahead_of_others(lab: Lab) -> None:
    """A message that comes ahead of others by its priority, with a TTL, is gone after it."""
    ch = lab.channel()
    ch.queue(lab.q(), arguments={"x-max-priority": 2})
    ch.publish("", lab.q(), "low")
    ch.publish("", lab.q(), "high", priority=1, expiration="50")
    lab.sleep(0.4)
    ch.queue(lab.q(), passive=True)
    ch.get(lab.q())


@family({"high_first": ("hhhhnhn",), "normal_first": ("nhhhhnn",), "between": ("hhnhhnn",), "two": ("nnhhhhhh",)})
def quorum_turns(lab: Lab, order: str) -> None:
    """Every third message is a normal one, unless a high one is older."""
    ch = lab.channel()
    ch.queue(lab.q(), durable=True, arguments={"x-queue-type": "quorum"})
    ch.confirm()
    for number, which in enumerate(order):
        ch.publish_confirmed("", lab.q(), f"{which}{number}", priority=5 if which == "h" else 4, delivery_mode=2)
    ch.get_all(lab.q())


@family(
    {
        "get": ("get", "nhhn"),
        "get_twice": ("get", "nnhhhnnh"),
        "consumer": ("consumer", "nhhn"),
        "consumer_closed": ("closed", "nhhn"),
        "no_ack": ("no_ack", "nhhnhhnn"),
        "no_ack_consumer": ("no_ack_consumer", "nhhnhhnn"),
        "no_ack_purged": ("purged", "nhhnhhnn"),
    }
)
def quorum_turn_goes_on(lab: Lab, how: str, order: str) -> None:
    """Earlier deliveries count for the order of priorities: one message was consumed (and returned), then these."""
    ch, other = lab.channel(), lab.channel()
    ch.queue(lab.q(), durable=True, arguments={"x-queue-type": "quorum"})
    ch.confirm()
    if how in ("consumer", "closed"):
        other.consume(lab.q(), "a")
    elif how == "no_ack_consumer":
        other.consume(lab.q(), "a", no_ack=True)
    ch.publish_confirmed("", lab.q(), "first", delivery_mode=2)
    match how:
        case "get":
            other.get(lab.q())
            other.nack(1)
        case "no_ack":
            other.get(lab.q(), no_ack=True)
        case "no_ack_consumer":
            other.deliveries(1)
            other.cancel("a")
        case "purged":
            other.get(lab.q(), no_ack=True)
            ch.publish_confirmed("", lab.q(), "second", delivery_mode=2)
            ch.purge(lab.q())
        case "consumer":
            other.deliveries(1)
            other.cancel("a")
            other.nack(1)
        case _:
            other.deliveries(1)
            other.close()
    lab.wait_ready(lab.q(), how in ("get", "consumer", "closed"))
    for number, which in enumerate(order):
        ch.publish_confirmed("", lab.q(), f"{which}{number}", priority=5 if which == "h" else 4, delivery_mode=2)
    ch.get_all(lab.q())
