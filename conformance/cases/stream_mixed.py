"""Streams beside other queues: one channel reads both, and settles both at once."""

from __future__ import annotations

from conformance.cases.stream import fill, read, stream
from conformance.channel import Channel
from conformance.lab import Lab
from conformance.registry import case, family

KINDS = ("classic", "quorum")


def mixed(lab: Lab, kind: str, *, tx: bool = False) -> tuple[Channel, Channel]:
    """Return a publisher and a channel that holds two messages of a stream (1, 2) and two of another queue (3, 4)."""
    ch = stream(lab)
    dead = {"x-dead-letter-exchange": "", "x-dead-letter-routing-key": lab.q("dead")}
    ch.queue(lab.q("dead"))
    ch.queue(lab.q("other"), durable=True, arguments={"x-queue-type": kind} | dead)
    fill(ch, lab.q(), 8)
    fill(ch, lab.q("other"), 3, start=10, delivery_mode=2)
    reader = lab.channel()
    if tx:
        reader.tx()
    read(lab, 2, "stream", offset="first", ch=reader)
    reader.deliveries(2)
    reader.qos(2)
    reader.consume(lab.q("other"), "other")
    reader.deliveries(2)
    reader.cancel("other")
    return ch, reader


@family({f"{kind}_{how}": (kind, how) for kind in KINDS for how in ("ack", "nack", "nack_requeue", "recover_async")})
def settled_together(lab: Lab, kind: str, how: str) -> None:
    """Messages of a stream and of another queue are settled at once: only the others return or die."""
    _, reader = mixed(lab, kind)
    match how:
        case "ack":
            reader.ack(4, multiple=True)
        case "nack":
            reader.nack(4, multiple=True, requeue=False)
        case "nack_requeue":
            reader.nack(0, multiple=True)
        case _:
            reader.recover_async()
    reader.deliveries(2)
    lab.wait_ready(lab.q("other"), 1 if how in ("ack", "nack") else 3)
    lab.wait_ready(lab.q("dead"), 2 if how == "nack" else 0)
    lab.quiet()


@family({f"{kind}_{how}": (kind, how) for kind in KINDS for how in ("ack", "nack", "nack_requeue")})
def settled_up_to_the_third(lab: Lab, kind: str, how: str) -> None:
    """Both messages of a stream and one of another queue are settled at once."""
    _, reader = mixed(lab, kind)
    if how == "ack":
        reader.ack(3, multiple=True)
    else:
        reader.nack(3, multiple=True, requeue=how == "nack_requeue")
    reader.deliveries(2)
    lab.wait_ready(lab.q("other"), 2 if how == "nack_requeue" else 1)
    reader.ack(4)
    reader.ack(6, multiple=True)
    reader.deliveries(2)


@family({f"{kind}_{end}": (kind, end) for kind in KINDS for end in ("commit", "rollback")})
def settled_in_a_transaction(lab: Lab, kind: str, end: str) -> None:
    """A transaction settles messages of both and publishes to both."""
    ch, reader = mixed(lab, kind, tx=True)
    reader.ack(1)
    reader.reject(3, requeue=False)
    reader.nack(4)
    reader.publish("", lab.q(), "20")
    reader.publish("", lab.q("other"), "21", delivery_mode=2)
    getattr(reader, end)()
    lab.wait_ready(lab.q("other"), 3 if end == "commit" else 1)
    watch = read(lab, tag="watch", offset=8)
    fill(ch, lab.q(), 1, start=30)
    watch.deliveries(2 if end == "commit" else 1)
    lab.quiet()


@family({f"{kind}_{end}": (kind, end) for kind in KINDS for end in ("close", "error", "drop")})
def ended(lab: Lab, kind: str, end: str) -> None:
    """A channel ends that holds messages of both: those of the other queue return."""
    ch = stream(lab)
    ch.queue(lab.q("other"), durable=True, arguments={"x-queue-type": kind})
    fill(ch, lab.q(), 2)
    fill(ch, lab.q("other"), 2, start=10, delivery_mode=2)
    reader = read(lab, 2, "stream", offset="first", ch=lab.channel(lab.connect()))
    reader.deliveries(2)
    reader.consume(lab.q("other"), "other")
    reader.deliveries(2)
    match end:
        case "close":
            reader.close()
        case "error":
            reader.publish(lab.x("none"), "k")
            reader.closed()
        case _:
            reader.connection.drop()
    lab.wait_ready(lab.q("other"), 2)
    read(lab, offset="first").deliveries(2)


@case()
def get_of_another_queue(lab: Lab) -> None:
    """Messages that were fetched from another queue take no credit of the stream's consumer."""
    ch = stream(lab)
    ch.queue(lab.q("other"))
    fill(ch, lab.q(), 4)
    fill(ch, lab.q("other"), 2, start=10)
    reader = read(lab, 1, offset="first")
    reader.deliveries(1)
    reader.get(lab.q("other"))
    reader.get(lab.q("other"))
    reader.ack(1)
    reader.deliveries(1)
    reader.ack(4, multiple=True)
    reader.deliveries(1)


@family({"one": ([1],), "two": ([1, 2],), "all": ([1, 2, 3],), "later": ([1, 4, 5],)})
def global_limit_of_another_queue(lab: Lab, tags: list[int]) -> None:
    """A limit of the whole channel does not stop the stream, but each of its settled messages lets a classic one go."""
    ch = stream(lab)
    ch.queue(lab.q("other"))
    fill(ch, lab.q(), 9)
    reader = read(lab, 3, "stream", offset="first")
    reader.deliveries(3)
    reader.qos(2, whole_channel=True)
    reader.consume(lab.q("other"), "other")
    fill(ch, lab.q("other"), 6, start=10)
    lab.quiet()
    for tag in tags:
        reader.ack(tag)
        lab.quiet()
    lab.hide(lab.q("other"))


@case()
def reader_that_writes(lab: Lab) -> None:
    """A consumer writes to the stream that it reads."""
    stream(lab)
    both = read(lab, 1)
    both.publish("", lab.q(), "0")
    for number in range(1, 4):
        tag = both.deliveries(1)[0].arguments["delivery_tag"]
        both.publish("", lab.q(), str(number))
        both.ack(tag)
    both.deliveries(1)


@case()
def reader_that_moves(lab: Lab) -> None:
    """A consumer moves messages of a stream to a classic queue, in a transaction."""
    ch = stream(lab)
    ch.queue(lab.q("other"), durable=True)
    fill(ch, lab.q(), 3)
    reader = lab.channel()
    reader.tx()
    read(lab, 1, offset="first", ch=reader)
    for number in range(3):
        tag = reader.deliveries(1)[0].arguments["delivery_tag"]
        reader.publish("", lab.q("other"), str(number), delivery_mode=2)
        reader.ack(tag)
        reader.commit()
    lab.wait_ready(lab.q("other"), 3)


@case()
def tags_of_both(lab: Lab) -> None:
    """Delivery tags of a channel count deliveries of streams, of other queues, and fetched messages."""
    ch = stream(lab)
    ch.queue(lab.q("other"))
    fill(ch, lab.q(), 1)
    fill(ch, lab.q("other"), 2, start=10)
    reader = lab.channel()
    reader.get(lab.q("other"))
    read(lab, 5, "stream", offset="first", ch=reader)
    reader.deliveries(1)
    reader.consume(lab.q("other"), "other")
    reader.deliveries(1)
    fill(ch, lab.q(), 1, start=1)
    reader.deliveries(1)
    reader.ack(4, multiple=True)
    reader.sync()
    reader.ack(4)
    reader.closed()
