"""ack, nack, reject, recover; where requeued messages go (2.8, 2.9)."""

from __future__ import annotations

from conformance.cases.consume import fill
from conformance.channel import Channel
from conformance.lab import Lab
from conformance.registry import case, family

KINDS = {"classic": ("classic",), "quorum": ("quorum",)}


def holding(lab: Lab, count: int, kind: str = "classic") -> Channel:
    """A channel holding the messages 1 to count of the queue q, all unacked."""
    ch = lab.channel()
    ch.queue(lab.q(), durable=True, arguments={"x-queue-type": kind})
    ch.consume(lab.q(), "a")
    for number in range(1, count + 1):
        ch.publish("", lab.q(), str(number))
    ch.deliveries(count)
    ch.cancel("a")
    return ch


@family(KINDS)
def ack(lab: Lab, kind: str) -> None:
    """Acked messages are gone, the others come back."""
    ch = holding(lab, 3, kind)
    ch.ack(2)
    ch.close()
    lab.wait_ready(lab.q(), 2)


@family(KINDS)
def ack_multiple(lab: Lab, kind: str) -> None:
    """multiple acks all up to the tag."""
    ch = holding(lab, 4, kind)
    ch.ack(3, multiple=True)
    ch.close()
    lab.wait_ready(lab.q(), 1)


@case()
def ack_multiple_zero(lab: Lab) -> None:
    """multiple with tag 0 acks everything."""
    ch = holding(lab, 3)
    ch.ack(0, multiple=True)
    ch.sync()
    ch.close()


@case()
def ack_multiple_zero_nothing_held(lab: Lab) -> None:
    """multiple with tag 0 and nothing unacked is fine."""
    ch = lab.channel()
    ch.ack(0, multiple=True)
    ch.sync()


@case()
def ack_zero(lab: Lab) -> None:
    """Tag 0 without multiple."""
    ch = holding(lab, 1)
    ch.ack(0)
    ch.closed()


@case()
def ack_unknown(lab: Lab) -> None:
    """A tag never given."""
    ch = holding(lab, 1)
    ch.ack(99)
    ch.closed()


@case()
def ack_unknown_multiple(lab: Lab) -> None:
    """multiple up to a tag never given."""
    ch = holding(lab, 2)
    ch.ack(99, multiple=True)
    ch.closed()


@case()
def ack_unknown_multiple_nothing_held(lab: Lab) -> None:
    """multiple up to a tag, with nothing unacked."""
    ch = lab.channel()
    ch.ack(1, multiple=True)
    ch.closed()


@case()
def ack_twice(lab: Lab) -> None:
    """A tag acked twice."""
    ch = holding(lab, 2)
    ch.ack(1)
    ch.ack(1)
    ch.closed()


@case()
def ack_multiple_below_acked(lab: Lab) -> None:
    """multiple up to a tag that is already acked."""
    ch = holding(lab, 3)
    ch.ack(2)
    ch.ack(2, multiple=True)
    lab.quiet()


@case()
def ack_multiple_up_to_acked_all(lab: Lab) -> None:
    """multiple twice up to the same tag."""
    ch = holding(lab, 3)
    ch.ack(2, multiple=True)
    ch.ack(2, multiple=True)
    lab.quiet()


@case()
def ack_of_no_ack(lab: Lab) -> None:
    """Acking a message that needed none."""
    ch = lab.channel()
    ch.queue(lab.q())
    ch.publish("", lab.q())
    ch.get(lab.q(), no_ack=True)
    ch.ack(1)
    ch.closed()


@case()
def ack_on_other_channel(lab: Lab) -> None:
    """Tags belong to their channel."""
    holding(lab, 1)
    other = lab.channel()
    other.ack(1)
    other.closed()


@case()
def ack_deleted_queue(lab: Lab) -> None:
    """Acking a message of a deleted queue."""
    ch = holding(lab, 1)
    ch.delete(lab.q())
    ch.ack(1)
    ch.sync()


@case()
def ack_out_of_order(lab: Lab) -> None:
    """Tags may be acked in any order."""
    ch = holding(lab, 5)
    for tag in (5, 1, 3, 2, 4):
        ch.ack(tag)
    ch.sync()


@family(
    {
        "nack": ("basic.nack", 99),
        "reject": ("basic.reject", 99),
        "nack_0": ("basic.nack", 0),
        "reject_0": ("basic.reject", 0),
    }
)
def unknown(lab: Lab, method: str, tag: int) -> None:
    """nack and reject of a tag never given."""
    ch = holding(lab, 1)
    ch.cast(method, delivery_tag=tag, requeue=True)
    ch.closed()


@family(KINDS)
def nack_drop(lab: Lab, kind: str) -> None:
    """Without requeue the message is dropped."""
    ch = holding(lab, 3, kind)
    ch.nack(2, requeue=False)
    ch.close()
    lab.wait_ready(lab.q(), 2)


@family(KINDS)
def nack_drop_multiple(lab: Lab, kind: str) -> None:
    """Several are dropped at once."""
    ch = holding(lab, 3, kind)
    ch.nack(2, multiple=True, requeue=False)
    ch.close()
    lab.wait_ready(lab.q(), 1)


@case()
def nack_multiple_zero(lab: Lab) -> None:
    """multiple with tag 0 requeues everything."""
    ch = holding(lab, 3)
    ch.nack(0, multiple=True)
    ch.sync()


@family(KINDS)
def reject_drop(lab: Lab, kind: str) -> None:
    """reject without requeue drops one."""
    ch = holding(lab, 2, kind)
    ch.reject(1, requeue=False)
    ch.close()
    lab.wait_ready(lab.q(), 1)


REQUEUES = {
    "first": ([1],),
    "last": ([3],),
    "middle": ([2],),
    "in_order": ([1, 2, 3],),
    "backwards": ([3, 2, 1],),
    "mixed": ([2, 3, 1],),
    "two_backwards": ([3, 1],),
}


@family({f"{kind}_{name}": (kind, tags) for kind in ("classic", "quorum") for name, (tags,) in REQUEUES.items()})
def requeue_position(lab: Lab, kind: str, tags: list[int]) -> None:
    """Three of five messages are held; those rejected find their place among the two that were never delivered."""
    ch = lab.channel()
    ch.queue(lab.q(), durable=True, arguments={"x-queue-type": kind})
    ch.confirm()
    for number in range(1, 6):
        ch.publish_confirmed("", lab.q(), str(number))
    for _ in range(3):
        ch.get(lab.q())
    for tag in tags:
        ch.reject(tag)
    ch.sync()
    lab.wait_ready(lab.q(), 2 + len(tags))


@family(KINDS)
def requeue_multiple(lab: Lab, kind: str) -> None:
    """nack of several at once."""
    ch = lab.channel()
    ch.queue(lab.q(), durable=True, arguments={"x-queue-type": kind})
    ch.confirm()
    for number in range(1, 6):
        ch.publish_confirmed("", lab.q(), str(number))
    for _ in range(3):
        ch.get(lab.q())
    ch.nack(2, multiple=True)
    lab.wait_ready(lab.q(), 4)


@family(KINDS)
def requeue_of_two_holders(lab: Lab, kind: str) -> None:
    """Messages come back from two channels, the later ones first."""
    ch = lab.channel()
    ch.queue(lab.q(), durable=True, arguments={"x-queue-type": kind})
    ch.confirm()
    for number in range(1, 6):
        ch.publish_confirmed("", lab.q(), str(number))
    first, second = lab.channel(), lab.channel()
    for holder in (first, first, second, second):
        holder.get(lab.q())
    second.close()
    lab.wait_ready(lab.q(), 3)
    first.close()
    lab.wait_ready(lab.q(), 5)


@family(KINDS)
def requeue_to_the_same_consumer(lab: Lab, kind: str) -> None:
    """A rejected message comes back to the only consumer, redelivered."""
    ch = lab.channel()
    ch.queue(lab.q(), durable=True, arguments={"x-queue-type": kind})
    ch.consume(lab.q(), "a")
    ch.publish("", lab.q())
    ch.deliveries(1)
    ch.reject(1)
    ch.deliveries(1)
    ch.reject(2)
    ch.deliveries(1)


@case()
def requeue_goes_to_another_consumer(lab: Lab) -> None:
    """A rejected message goes to the consumer whose turn it is."""
    ch = lab.channel()
    ch.queue(lab.q())
    first, second = lab.channel(), lab.channel()
    first.consume(lab.q(), "a")
    second.consume(lab.q(), "b")
    ch.publish("", lab.q(), "1")
    first.deliveries(1)
    first.reject(1)
    second.deliveries(1)


@case()
def requeue_keeps_content(lab: Lab) -> None:
    """A requeued message keeps properties, exchange and key."""
    ch = lab.channel()
    ch.exchange(lab.x(), "fanout")
    ch.queue(lab.q())
    ch.bind(lab.q(), lab.x())
    ch.publish(lab.x(), "key", "body", headers={"a": 1}, priority=3, content_type="text/plain", delivery_mode=2)
    ch.get_when_there(lab.q())
    ch.reject(1)
    ch.get_when_there(lab.q())


@family(KINDS)
def recover(lab: Lab, kind: str) -> None:
    """recover with requeue gives everything back to the queue."""
    ch = holding(lab, 3, kind)
    ch.recover()
    lab.wait_ready(lab.q(), 3)


@case()
def recover_to_consumer(lab: Lab) -> None:
    """Recovered messages are delivered again, with new tags."""
    ch = lab.channel()
    ch.queue(lab.q())
    ch.consume(lab.q(), "a")
    fill(ch, lab.q(), 2)
    ch.deliveries(2)
    ch.recover()
    ch.deliveries(2)
    ch.ack(1)
    ch.closed()


@case()
def recover_nothing(lab: Lab) -> None:
    """recover with nothing held."""
    lab.channel().recover()


@family({"recover": ("basic.recover",), "recover_async": ("basic.recover-async",)})
def recover_without_requeue(lab: Lab, method: str) -> None:
    """recover without requeue is not implemented."""
    ch = holding(lab, 1)
    ch.cast(method, requeue=False)
    ch.closed()


@case()
def recover_async(lab: Lab) -> None:
    """recover-async has no reply."""
    ch = holding(lab, 2)
    ch.cast("basic.recover-async", requeue=True)
    ch.sync()
    lab.wait_ready(lab.q(), 2)


@case()
def recover_only_own_channel(lab: Lab) -> None:
    """recover touches the messages of its channel only."""
    ch = lab.channel()
    ch.queue(lab.q())
    fill(ch, lab.q(), 2)
    other = lab.channel()
    other.get(lab.q())
    ch.get(lab.q())
    ch.recover()


@family(KINDS)
def redelivered_after_prefetch(lab: Lab, kind: str) -> None:
    """Messages that were only prefetched come back marked redelivered."""
    ch = lab.channel()
    ch.queue(lab.q(), durable=True, arguments={"x-queue-type": kind})
    for number in range(1, 5):
        ch.publish("", lab.q(), str(number))
    consumer = lab.channel()
    consumer.qos(3)
    consumer.consume(lab.q(), "a")
    consumer.deliveries(3)
    consumer.close()
    lab.wait_ready(lab.q(), 4)


@family(KINDS)
def redelivered_stays(lab: Lab, kind: str) -> None:
    """The mark stays on every further delivery."""
    ch = lab.channel()
    ch.queue(lab.q(), durable=True, arguments={"x-queue-type": kind})
    ch.publish("", lab.q())
    for tag in range(1, 4):
        ch.get_when_there(lab.q())
        ch.reject(tag)
    ch.get_when_there(lab.q())


@family(
    {
        f"{how}_{order}": (how, order)
        for how in ("nack", "reject_dead", "recover", "tx_nack")
        for order in ("ab", "ba", "ab_consuming", "ba_consuming")
        if (how, order[2:]) != ("tx_nack", "_consuming")  # commit-ok and the deliveries are a race
    }
)
def several_consumers(lab: Lab, how: str, order: str) -> None:
    """Messages of two consumers of one channel are settled at once, in the order of the consumers' tags."""
    ch, other = lab.channel(), lab.channel()
    ch.queue(lab.q("dead"))
    dead = {"x-dead-letter-exchange": "", "x-dead-letter-routing-key": lab.q("dead")}
    ch.queue(lab.q(), arguments=dead)
    if how == "tx_nack":
        other.tx()
    for tag in order[:2]:
        other.consume(lab.q(), tag)
    ch.confirm()
    for number in range(5):
        ch.publish_confirmed("", lab.q(), str(number))
    other.deliveries(5)
    if "consuming" not in order:
        other.cancel("a")
        other.cancel("b")
    if how == "recover":
        other.recover()
    else:
        other.nack(0, multiple=True, requeue=how != "reject_dead")
    if how == "tx_nack":
        other.commit()
    lab.quiet()


@family({f"{kind}_{tags}": (kind, tags) for kind in KINDS for tags in ("123", "213", "312")})
def several_consumers_tx(lab: Lab, kind: str, tags: str) -> None:
    """Messages that a transaction rejects one by one are rejected at once at its commit, in the order of consumers'
    tags.
    """
    ch, other = lab.channel(), lab.channel()
    dead = {"x-dead-letter-exchange": "", "x-dead-letter-routing-key": lab.q("dead")}
    ch.queue(lab.q("dead"))
    ch.queue(lab.q(), durable=True, arguments={"x-queue-type": kind, **dead})
    other.tx()
    for tag in "ab":
        other.consume(lab.q(), tag)
    ch.confirm()
    for number in range(4):
        ch.publish_confirmed("", lab.q(), str(number), delivery_mode=2)
    other.deliveries(4)
    for tag in tags:
        other.nack(int(tag), requeue=False)
    other.commit()
    lab.wait_ready(lab.q("dead"), 3)


@family({f"{kind}_{order}": (kind, order) for kind in KINDS for order in ("ab", "ba")})
def several_consumers_acked(lab: Lab, kind: str, order: str) -> None:
    """Messages of two consumers of one channel are acknowledged at once: the order in which they get waiting
    messages.
    """
    ch, other = lab.channel(), lab.channel()
    ch.queue(lab.q(), durable=True, arguments={"x-queue-type": kind})
    other.qos(2)
    for tag in order:
        other.consume(lab.q(), tag)
    ch.confirm()
    for number in range(8):
        ch.publish_confirmed("", lab.q(), str(number), delivery_mode=2)
    other.deliveries(4)
    other.ack(0, multiple=True)
    other.deliveries(4)


@family({"classic": ("classic",), "quorum": ("quorum",)})
def holders_that_count_as_consumers(lab: Lab, kind: str) -> None:
    """The consumer count of a queue while channels hold messages of basic.get and of a cancelled consumer."""
    ch, one, two = lab.channel(), lab.channel(), lab.channel()
    ch.queue(lab.q(), durable=True, arguments={"x-queue-type": kind})
    ch.confirm()

    def count() -> None:
        lab.quiet()
        ch.queue(lab.q(), passive=True)

    for number in range(8):
        ch.publish_confirmed("", lab.q(), str(number), delivery_mode=2)
    for _ in range(3):
        one.get(lab.q())
    two.get(lab.q())
    two.get(lab.q(), no_ack=True)
    count()
    one.ack(1)
    two.reject(1)
    count()
    one.ack(3, multiple=True)
    count()
    one.qos(1)
    one.consume(lab.q(), "a")
    one.deliveries(1)
    one.cancel("a")
    count()
    one.nack(4)
    count()
