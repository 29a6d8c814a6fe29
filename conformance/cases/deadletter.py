"""Dead-lettering: reasons, keys, headers, repeated deaths, cycles (2.12)."""

from __future__ import annotations

from typing import Any

from conformance.channel import Channel
from conformance.lab import Lab
from conformance.registry import case, family

KINDS = {"classic": ("classic",), "quorum": ("quorum",)}


def pair(lab: Lab, kind: str = "classic", *, key: bool = True, **arguments: Any) -> Channel:
    """A channel, the queue q and the queue dead; q dead-letters to it through the default exchange."""
    ch = lab.channel()
    ch.queue(lab.q("dead"))
    all_arguments = {"x-queue-type": kind, "x-dead-letter-exchange": ""}
    if key:
        all_arguments["x-dead-letter-routing-key"] = lab.q("dead")
    all_arguments |= {"x-" + name.replace("_", "-"): value for name, value in arguments.items()}
    ch.queue(lab.q(), durable=True, arguments=all_arguments)
    return ch


@family({f"{verb}_{kind}": (kind, verb) for kind in ("classic", "quorum") for verb in ("reject", "nack")})
def rejected(lab: Lab, kind: str, verb: str) -> None:
    """reject and nack without requeue."""
    ch = pair(lab, kind)
    ch.publish("", lab.q(), "body", content_type="text/plain", headers={"own": 1}, delivery_mode=2)
    ch.get_when_there(lab.q())
    (ch.reject if verb == "reject" else ch.nack)(1, requeue=False)
    ch.get_when_there(lab.q("dead"))


@family(KINDS)
def expired(lab: Lab, kind: str) -> None:
    """The queue's TTL."""
    ch = pair(lab, kind, message_ttl=100)
    ch.publish("", lab.q())
    ch.get_when_there(lab.q("dead"))


@family(KINDS)
def expired_by_message(lab: Lab, kind: str) -> None:
    """The message's own expiration is moved into x-death."""
    ch = pair(lab, kind)
    ch.publish("", lab.q(), expiration="100", delivery_mode=2)
    ch.get_when_there(lab.q("dead"))


@family(KINDS)
def maxlen(lab: Lab, kind: str) -> None:
    """Overflow."""
    ch = pair(lab, kind, max_length=1)
    ch.publish("", lab.q(), "1")
    ch.publish("", lab.q(), "2")
    ch.get_when_there(lab.q("dead"))


@case()
def delivery_limit(lab: Lab) -> None:
    """A quorum queue's delivery limit."""
    ch = pair(lab, "quorum", delivery_limit=1)
    ch.publish("", lab.q())
    for tag in (1, 2):
        ch.get_when_there(lab.q())
        ch.reject(tag)
    ch.get_when_there(lab.q("dead"))


@family(KINDS)
def several_rejected_at_once(lab: Lab, kind: str) -> None:
    """nack of several keeps their order."""
    ch = pair(lab, kind)
    ch.confirm()
    for number in range(1, 5):
        ch.publish_confirmed("", lab.q(), str(number))
    for _ in range(4):
        ch.get(lab.q())
    ch.nack(3, multiple=True, requeue=False)
    lab.wait_ready(lab.q("dead"), 3)


@family({how: (how,) for how in ("nack", "one_by_one", "tx")})
def several_rejected_by_priority(lab: Lab, how: str) -> None:
    """Several messages of a priority queue are rejected: the order of their dead letters."""
    ch = pair(lab, max_priority=5)
    ch.confirm()
    holder = lab.channel()
    if how == "tx":
        holder.tx()
    holder.consume(lab.q(), "a")
    for number, priority in enumerate((0, 9, 3, 5, 0)):
        ch.publish_confirmed("", lab.q(), str(number), priority=priority)
    holder.deliveries(5)
    if how == "one_by_one":
        for tag in range(1, 6):
            holder.reject(tag, requeue=False)
    else:
        holder.nack(0, multiple=True, requeue=False)
    if how == "tx":
        holder.commit()
    lab.wait_ready(lab.q("dead"), 5)


@case()
def purge_delete_do_not(lab: Lab) -> None:
    """Purging and deleting do not dead-letter."""
    ch = pair(lab)
    ch.publish("", lab.q(), "1")
    ch.purge(lab.q())
    ch.publish("", lab.q(), "2")
    ch.delete(lab.q())
    lab.quiet()


@case()
def key_kept(lab: Lab) -> None:
    """Without x-dead-letter-routing-key the message keeps its key."""
    ch = lab.channel()
    ch.exchange(lab.x("dlx"), "topic")
    ch.exchange(lab.x(), "topic")
    ch.queue(lab.q("dead"))
    ch.bind(lab.q("dead"), lab.x("dlx"), "a.*")
    ch.queue(lab.q(), arguments={"x-dead-letter-exchange": lab.x("dlx")})
    ch.bind(lab.q(), lab.x(), "#")
    for key in ("a.b", "b.a"):
        ch.publish(lab.x(), key, key)
        ch.get_when_there(lab.q())
    ch.nack(0, multiple=True, requeue=False)
    ch.get_when_there(lab.q("dead"))


@case()
def key_kept_loops_to_default(lab: Lab) -> None:
    """DLX "" and no key: the message goes back to the queue it came from."""
    ch = pair(lab, key=False)
    ch.publish("", lab.q())
    ch.get_when_there(lab.q())
    ch.reject(1, requeue=False)
    ch.get_when_there(lab.q())
    ch.reject(2, requeue=False)
    ch.get_when_there(lab.q())


@family({"empty": ("",), "other": ("k2",)})
def key_set(lab: Lab, key: str) -> None:
    """x-dead-letter-routing-key replaces the key."""
    ch = lab.channel()
    ch.exchange(lab.x("dlx"), "direct")
    ch.queue(lab.q("dead"))
    ch.bind(lab.q("dead"), lab.x("dlx"), key)
    arguments = {"x-dead-letter-exchange": lab.x("dlx"), "x-dead-letter-routing-key": key}
    ch.queue(lab.q(), arguments=arguments)
    ch.publish("", lab.q())
    ch.get_when_there(lab.q())
    ch.reject(1, requeue=False)
    ch.get_when_there(lab.q("dead"))


@case()
def exchange_missing(lab: Lab) -> None:
    """A DLX that is not there: the message is gone."""
    ch = lab.channel()
    ch.queue(lab.q(), arguments={"x-dead-letter-exchange": lab.x("gone")})
    ch.publish("", lab.q())
    ch.get_when_there(lab.q())
    ch.reject(1, requeue=False)
    ch.sync()


@case()
def exchange_made_later(lab: Lab) -> None:
    """A DLX declared after the queue."""
    ch = lab.channel()
    ch.queue(lab.q(), arguments={"x-dead-letter-exchange": lab.x("later")})
    ch.exchange(lab.x("later"), "fanout")
    ch.queue(lab.q("dead"))
    ch.bind(lab.q("dead"), lab.x("later"))
    ch.publish("", lab.q())
    ch.get_when_there(lab.q())
    ch.reject(1, requeue=False)
    ch.get_when_there(lab.q("dead"))


@case()
def exchange_internal(lab: Lab) -> None:
    """A DLX may be internal."""
    ch = lab.channel()
    ch.exchange(lab.x("dlx"), "fanout", internal=True)
    ch.queue(lab.q("dead"))
    ch.bind(lab.q("dead"), lab.x("dlx"))
    ch.queue(lab.q(), arguments={"x-dead-letter-exchange": lab.x("dlx")})
    ch.publish("", lab.q())
    ch.get_when_there(lab.q())
    ch.reject(1, requeue=False)
    ch.get_when_there(lab.q("dead"))


@case()
def exchange_with_alternate(lab: Lab) -> None:
    """A DLX that finds no queue uses its alternate."""
    ch = lab.channel()
    ch.exchange(lab.x("alt"), "fanout")
    ch.exchange(lab.x("dlx"), "direct", arguments={"alternate-exchange": lab.x("alt")})
    ch.queue(lab.q("dead"))
    ch.bind(lab.q("dead"), lab.x("alt"))
    ch.queue(lab.q(), arguments={"x-dead-letter-exchange": lab.x("dlx")})
    ch.publish("", lab.q())
    ch.get_when_there(lab.q())
    ch.reject(1, requeue=False)
    ch.get_when_there(lab.q("dead"))


@case()
def to_several_queues(lab: Lab) -> None:
    """A fanout DLX makes several copies."""
    ch = lab.channel()
    ch.exchange(lab.x("dlx"), "fanout")
    for short in ("dead1", "dead2"):
        ch.queue(lab.q(short))
        ch.bind(lab.q(short), lab.x("dlx"))
    ch.queue(lab.q(), arguments={"x-dead-letter-exchange": lab.x("dlx")})
    ch.publish("", lab.q())
    ch.get_when_there(lab.q())
    ch.reject(1, requeue=False)
    ch.get_when_there(lab.q("dead1"))
    ch.get_when_there(lab.q("dead2"))


def with_copies(lab: Lab, arguments: dict[str, Any], headers: dict[str, Any]) -> None:
    """A message with CC or BCC is rejected from q; the DLX has a queue for each key."""
    ch = lab.channel()
    ch.exchange(lab.x("dlx"), "direct")
    for short in ("main", "cc", "bcc", "set"):
        ch.queue(lab.q(short))
        ch.bind(lab.q(short), lab.x("dlx"), short)
    ch.exchange(lab.x(), "direct")
    ch.queue(lab.q(), arguments={"x-dead-letter-exchange": lab.x("dlx")} | arguments)
    ch.bind(lab.q(), lab.x(), "main")
    ch.publish(lab.x(), "main", headers=headers)
    ch.get_when_there(lab.q())
    ch.reject(1, requeue=False)
    lab.quiet()


@family(
    {
        "cc": ({}, {"CC": ["cc"]}),
        "bcc": ({}, {"BCC": ["bcc"]}),
        "both": ({}, {"CC": ["cc"], "BCC": ["bcc"]}),
        "cc_key_set": ({"x-dead-letter-routing-key": "set"}, {"CC": ["cc"]}),
        "bcc_key_set": ({"x-dead-letter-routing-key": "set"}, {"BCC": ["bcc"]}),
    }
)
def copies(lab: Lab, arguments: dict[str, Any], headers: dict[str, Any]) -> None:
    """CC and BCC on dead-lettering."""
    with_copies(lab, arguments, headers)


@case()
def back_ahead_of_others(lab: Lab) -> None:
    """A rejected message returns to its queue, ahead of others by priority, but behind those that replaced it."""
    ch, other = lab.channel(), lab.channel()
    ch.queue(lab.q(), arguments={"x-max-priority": 1, "x-dead-letter-exchange": ""})
    other.publish("", lab.q(), "high", priority=1)
    for number in range(3):
        other.publish("", lab.q(), f"low {number}")
    other.sync()
    ch.qos(1)
    ch.consume(lab.q(), "c")
    ch.deliveries()
    ch.reject(1, requeue=False)
    ch.deliveries()
    lab.quiet()


@case()
def key_set_is_a_bcc_key(lab: Lab) -> None:
    """A dead letter whose new routing key was one of BCC dies again: which keys x-death has."""
    ch = lab.channel()
    for short, other in (("q", "two"), ("two", "three")):
        dead = {"x-dead-letter-exchange": "", "x-dead-letter-routing-key": lab.q(other), "x-max-length": 0}
        ch.queue(lab.q(short), arguments=dead)
    ch.queue(lab.q("three"))
    ch.publish("", lab.q(), headers={"BCC": [lab.q("two"), "none"]})
    ch.get_when_there(lab.q("three"))
    lab.quiet()


@case()
def repeated(lab: Lab) -> None:
    """The same death of the same queue counts up, and first-death stays."""
    ch = pair(lab)
    ch.publish("", lab.q())
    for number in range(3):
        ch.get_when_there(lab.q())
        ch.reject(2 * number + 1, requeue=False)
        ch.get_when_there(lab.q("dead"))
        ch.reject(2 * number + 2, requeue=number == 2)
        if number < 2:
            # dead has no DLX: the message is gone, the next round starts anew
            ch.publish("", lab.q())


def ring(lab: Lab, first: dict[str, Any], second: dict[str, Any]) -> Channel:
    """Queues one and two that dead-letter to each other."""
    ch = lab.channel()
    for short, other, arguments in (("one", "two", first), ("two", "one", second)):
        dead = {"x-dead-letter-exchange": "", "x-dead-letter-routing-key": lab.q(other)}
        ch.queue(lab.q(short), durable=True, arguments=dead | arguments)
    return ch


@family(KINDS)
def retry_ring(lab: Lab, kind: str) -> None:
    """Work queue, reject, wait queue with a TTL, back: the counts grow and the newest death comes first."""
    ch = ring(lab, {"x-queue-type": kind}, {"x-message-ttl": 50, "x-queue-type": kind})
    ch.publish("", lab.q("one"), headers={"own": 1}, delivery_mode=2)
    for tag in range(1, 5):
        ch.get_when_there(lab.q("one"))
        ch.reject(tag, requeue=False)
    lab.wait_ready(lab.q("one"), 1)


@case()
def retry_ring_with_expiration(lab: Lab) -> None:
    """The same with the message's own expiration at first."""
    ch = ring(lab, {}, {"x-message-ttl": 50})
    ch.publish("", lab.q("two"), expiration="20")
    for tag in range(1, 4):
        ch.get_when_there(lab.q("one"))
        ch.reject(tag, requeue=False)
    lab.wait_ready(lab.q("one"), 1)


@family(KINDS)
def cycle_of_expiry(lab: Lab, kind: str) -> None:
    """Two TTL queues that dead-letter to each other: the message is dropped when it would come round."""
    first = {"x-message-ttl": 50, "x-queue-type": kind}
    ch = ring(lab, first, first)
    ch.publish("", lab.q("one"))
    lab.sleep(0.6)


@family(KINDS)
def cycle_of_one(lab: Lab, kind: str) -> None:
    """A TTL queue that dead-letters to itself."""
    ch = lab.channel()
    arguments = {"x-message-ttl": 50, "x-dead-letter-exchange": "", "x-queue-type": kind}
    ch.queue(lab.q(), durable=True, arguments=arguments)
    ch.publish("", lab.q())
    lab.sleep(0.5)


@case()
def cycle_of_maxlen(lab: Lab) -> None:
    """A full queue that dead-letters to itself."""
    ch = lab.channel()
    ch.queue(lab.q(), arguments={"x-max-length": 1, "x-dead-letter-exchange": ""})
    ch.publish("", lab.q(), "1")
    ch.publish("", lab.q(), "2")
    lab.quiet()


@case()
def cycle_with_a_rejection(lab: Lab) -> None:
    """A rejection anywhere in the cycle keeps the message alive."""
    ch = ring(lab, {"x-message-ttl": 50}, {})
    ch.publish("", lab.q("one"))
    for tag in range(1, 4):
        ch.get_when_there(lab.q("two"))
        ch.reject(tag, requeue=False)
    ch.get_when_there(lab.q("two"))


@case()
def cycle_broken_by_consumer(lab: Lab) -> None:
    """A message rejected once, then going round on its own."""
    ch = lab.channel()
    dead = {"x-dead-letter-exchange": "", "x-message-ttl": 50}
    ch.queue(lab.q("work"), arguments={"x-dead-letter-exchange": "", "x-dead-letter-routing-key": lab.q("a")})
    ch.queue(lab.q("a"), arguments=dead | {"x-dead-letter-routing-key": lab.q("b")})
    ch.queue(lab.q("b"), arguments=dead | {"x-dead-letter-routing-key": lab.q("a")})
    ch.publish("", lab.q("work"))
    ch.get_when_there(lab.q("work"))
    ch.reject(1, requeue=False)
    lab.sleep(0.6)


@case()
def chain_of_reasons(lab: Lab) -> None:
    """expired, then maxlen, then rejected, in three queues."""
    ch = lab.channel()
    ch.queue(lab.q("last"))
    steps = {
        "third": ({}, "last"),
        "second": ({"x-max-length": 0}, "third"),
        "first": ({"x-message-ttl": 30}, "second"),
    }
    for short, (arguments, following) in steps.items():
        dead = {"x-dead-letter-exchange": "", "x-dead-letter-routing-key": lab.q(following)}
        ch.queue(lab.q(short), arguments=dead | arguments)
    ch.exchange(lab.x(), "topic")
    ch.bind(lab.q("first"), lab.x(), "#")
    ch.publish(lab.x(), "some.key")
    ch.get_when_there(lab.q("third"))
    ch.reject(1, requeue=False)
    ch.get_when_there(lab.q("last"))


X_DEATH = [
    {
        "count": 7,
        "reason": "rejected",
        "queue": "elsewhere",
        "exchange": "ex",
        "routing-keys": ["rk"],
    }
]


@family(
    {
        "plain": ({"x-death": X_DEATH},),
        "with_first_death": (
            {"x-death": X_DEATH, "x-first-death-queue": "elsewhere", "x-first-death-reason": "expired"},
        ),
        "no_array": ({"x-death": "text"},),
        "empty": ({"x-death": []},),
        "of_text": ({"x-death": ["text"]},),
    }
)
def sent_by_client(lab: Lab, headers: dict[str, Any]) -> None:
    """A client publishes x-death headers: as delivered, and after the broker's own dead-lettering."""
    ch = pair(lab)
    ch.publish("", lab.q(), headers=headers)
    ch.get_when_there(lab.q())
    ch.reject(1, requeue=False)
    ch.get_when_there(lab.q("dead"))


@case()
def republished_by_client(lab: Lab) -> None:
    """A client takes a dead message with its headers and publishes it again to the queue it died in."""
    ch = pair(lab)
    ch.publish("", lab.q())
    ch.get_when_there(lab.q())
    ch.reject(1, requeue=False)
    ch.get_when_there(lab.q("dead"))
    death = {"count": 1, "reason": "rejected", "queue": lab.q(), "exchange": "", "routing-keys": [lab.q()]}
    ch.publish("", lab.q(), "again", headers={"x-death": [death], "x-first-death-queue": lab.q()})
    ch.get_when_there(lab.q())
    ch.reject(3, requeue=False)
    ch.get_when_there(lab.q("dead"))


@case()
def returned_as_consumed(lab: Lab) -> None:
    """Dead messages delivered to a consumer show the DLX and the new key."""
    ch = lab.channel()
    ch.exchange(lab.x("dlx"), "fanout")
    ch.queue(lab.q("dead"))
    ch.bind(lab.q("dead"), lab.x("dlx"))
    ch.queue(lab.q(), arguments={"x-dead-letter-exchange": lab.x("dlx"), "x-dead-letter-routing-key": "new"})
    consumer = lab.channel()
    consumer.consume(lab.q("dead"), "a")
    ch.publish("", lab.q(), headers={"z": 1, "a": 2}, priority=4, message_id="id")
    ch.get_when_there(lab.q())
    ch.reject(1, requeue=False)
    consumer.deliveries(1)


@case()
def dead_queue_full(lab: Lab) -> None:
    """A dead letter queue that rejects: the message is lost."""
    ch = lab.channel()
    ch.queue(lab.q("dead"), arguments={"x-max-length": 1, "x-overflow": "reject-publish"})
    arguments = {"x-dead-letter-exchange": "", "x-dead-letter-routing-key": lab.q("dead")}
    ch.queue(lab.q(), arguments=arguments)
    for number in ("1", "2"):
        ch.publish("", lab.q(), number)
        ch.get_when_there(lab.q())
    ch.nack(0, multiple=True, requeue=False)
    lab.quiet()


@case()
def at_least_once(lab: Lab) -> None:
    """The quorum strategy at-least-once."""
    ch = pair(lab, "quorum", dead_letter_strategy="at-least-once", overflow="reject-publish")
    ch.publish("", lab.q(), headers={"own": 1}, delivery_mode=2)
    ch.get_when_there(lab.q())
    ch.reject(1, requeue=False)
    ch.get_when_there(lab.q("dead"))


@case()
def at_least_once_with_drop_head(lab: Lab) -> None:
    """at-least-once without reject-publish falls back to at-most-once."""
    ch = pair(lab, "quorum", dead_letter_strategy="at-least-once")
    ch.publish("", lab.q(), delivery_mode=2)
    ch.get_when_there(lab.q())
    ch.reject(1, requeue=False)
    ch.get_when_there(lab.q("dead"))


@case()
def redelivered_is_reset(lab: Lab) -> None:
    """A dead message is not marked redelivered, and its delivery count starts anew."""
    ch = lab.channel()
    ch.queue(lab.q("dead"), durable=True, arguments={"x-queue-type": "quorum"})
    arguments = {
        "x-queue-type": "quorum",
        "x-dead-letter-exchange": "",
        "x-dead-letter-routing-key": lab.q("dead"),
    }
    ch.queue(lab.q(), durable=True, arguments=arguments)
    ch.publish("", lab.q())
    ch.get_when_there(lab.q())
    ch.reject(1)
    ch.get_when_there(lab.q())
    ch.reject(2, requeue=False)
    ch.get_when_there(lab.q("dead"))
    ch.reject(3)
    ch.get_when_there(lab.q("dead"))


@case()
def into_priority_queue(lab: Lab) -> None:
    """The priority travels with a dead message."""
    ch = lab.channel()
    ch.queue(lab.q("dead"), arguments={"x-max-priority": 10})
    arguments = {"x-dead-letter-exchange": "", "x-dead-letter-routing-key": lab.q("dead")}
    ch.queue(lab.q(), arguments=arguments)
    for priority in (1, 9, 5):
        ch.publish("", lab.q(), str(priority), priority=priority)
        ch.get_when_there(lab.q())
    ch.nack(0, multiple=True, requeue=False)
    lab.wait_ready(lab.q("dead"), 3)


@case()
def confirm_does_not_wait(lab: Lab) -> None:
    """A publish that is dead-lettered at once is acked."""
    ch = pair(lab, max_length=0)
    ch.confirm()
    ch.publish_confirmed("", lab.q())
    ch.get_when_there(lab.q("dead"))


@family({"drop_head": ("drop-head",), "expired": ("expired",), "reject_publish_dlx": ("reject-publish-dlx",)})
def beside_the_message_itself(lab: Lab, reason: str) -> None:
    """A message that makes a dead letter in one queue reaches its other queues before the dead letter does."""
    ch = lab.channel()
    ch.exchange(lab.x(), "fanout")
    limit = {} if reason == "expired" else {"x-max-length": 1, "x-overflow": reason}
    dead = {"x-dead-letter-exchange": "", "x-dead-letter-routing-key": lab.q("both")}
    ch.queue(lab.q(), arguments=limit | dead)
    ch.queue(lab.q("both"))
    ch.bind(lab.q(), lab.x())
    ch.bind(lab.q("both"), lab.x())
    ch.publish("", lab.q(), "1")
    lab.wait_ready(lab.q(), 1)
    if reason == "expired":
        ch.purge(lab.q())
    ch.publish(lab.x(), "", "2", expiration="0" if reason == "expired" else "60000")
    lab.quiet()


@case()
def after_what_is_got(lab: Lab) -> None:
    """basic.get lets a message expire behind the one it takes: its dead letter comes after get-ok."""
    ch, publisher = lab.channel(), lab.channel()
    dead = {"x-dead-letter-exchange": "", "x-dead-letter-routing-key": lab.q("dead")}
    ch.queue(lab.q("dead"))
    ch.queue(lab.q(), arguments=dead)
    publisher.confirm()
    publisher.publish_confirmed("", lab.q(), "first")
    publisher.publish_confirmed("", lab.q(), "expired", expiration="0")
    ch.consume(lab.q("dead"), "a", no_ack=True)
    lab.sleep(0.1)
    ch.get(lab.q(), no_ack=True)
    ch.deliveries(1)


@family(KINDS)
def time_of_first_death(lab: Lab, kind: str) -> None:
    """The time in x-death is that of the first death of its kind, and a later one of the same does not change it."""
    ch = lab.channel()
    wait = {"x-message-ttl": 1500, "x-dead-letter-exchange": "", "x-dead-letter-routing-key": lab.q()}
    back = {"x-queue-type": kind, "x-dead-letter-exchange": "", "x-dead-letter-routing-key": lab.q("wait")}
    ch.queue(lab.q("wait"), arguments=wait)
    ch.queue(lab.q(), durable=True, arguments=back)
    ch.publish("", lab.q())
    died: list[dict[str, int]] = []
    began = int(lab.network.wall_s())
    for _ in range(3):
        got = ch.get_when_there(lab.q())
        headers = (got.properties or {}).get("headers", {})
        died.append({one["reason"]: int(one["time"].partition(":")[2]) for one in headers.get("x-death", [])})
        ch.reject(got.arguments["delivery_tag"], requeue=False)
    lab.observe("rejected at the same time", died[1]["S:rejected"] == died[2]["S:rejected"])
    lab.observe("expired at the same time", died[1]["S:expired"] == died[2]["S:expired"])
    lab.observe("expired after it was rejected", died[2]["S:expired"] > died[2]["S:rejected"])
    lab.observe("seconds since 1970", abs(died[1]["S:rejected"] - began) < 3)
    lab.wait_ready(lab.q("wait"), 1)


@family(KINDS)
def sent_by_client_dies_twice(lab: Lab, kind: str) -> None:
    """A client's own x-death, in queues of each type: after the first and the second death."""
    ch = lab.channel()
    for short, target in (("one", "two"), ("two", "three"), ("three", "")):
        dead = {"x-dead-letter-exchange": "", "x-dead-letter-routing-key": lab.q(target)} if target else {}
        ch.queue(lab.q(short), durable=True, arguments={"x-queue-type": kind if target == "two" else "classic"} | dead)
    ch.publish("", lab.q("one"), headers={"x-death": X_DEATH, "x-last-death-queue": "elsewhere"})
    for tag, short in ((1, "one"), (2, "two")):
        ch.get_when_there(lab.q(short))
        ch.reject(tag, requeue=False)
    ch.get_when_there(lab.q("three"))


@family({"cc": ({"CC": ["cc"]},), "bcc": ({"BCC": ["cc"]},)})
def copies_on_second_death(lab: Lab, headers: dict[str, Any]) -> None:
    """The first queue sets the key of its dead letters, the second does not: which keys does the second death use?"""
    ch = lab.channel()
    ch.exchange(lab.x(), "direct")
    ch.exchange(lab.x("last"), "direct")
    first = {"x-dead-letter-exchange": lab.x(), "x-dead-letter-routing-key": "set"}
    ch.queue(lab.q("first"), arguments=first)
    ch.queue(lab.q("second"), arguments={"x-dead-letter-exchange": lab.x("last")})
    ch.bind(lab.q("first"), lab.x(), "key")
    ch.bind(lab.q("second"), lab.x(), "set")
    for key in ("key", "cc", "set"):
        ch.queue(lab.q("last-" + key))
        ch.bind(lab.q("last-" + key), lab.x("last"), key)
    ch.publish(lab.x(), "key", headers=headers)
    ch.get_when_there(lab.q("first"))
    ch.reject(1, requeue=False)
    ch.get_when_there(lab.q("second"))
    ch.reject(2, requeue=False)
    lab.wait_ready(lab.q("last-set"), 1)
    lab.quiet()
