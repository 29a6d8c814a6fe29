"""Streams: offsets at which reading begins, prefetch as credit, and settling."""

from __future__ import annotations

from typing import Any

from conformance.cases.queue_arguments import EVERY_TYPE
from conformance.cases.stream import STREAM, fill, read, stream, until
from conformance.channel import Channel
from conformance.lab import Lab
from conformance.registry import case, family
from conformance.values import Value

#: 2100-01-01, in seconds.
FAR_FUTURE = 4_102_444_800

OFFSETS: dict[str, Any] = {
    "next": "next",
    "first": "first",
    "last": "last",
    "next_binary": Value("x", b"next"),
    "first_binary": Value("x", b"first"),
    "last_binary": Value("x", b"last"),
    "int8": Value("b", 2),
    "uint8": Value("B", 2),
    "int16": Value("s", 2),
    "uint16": Value("u", 2),
    "int32": 2,
    "uint32": Value("i", 2),
    "int64": Value("l", 2),
    "int64_capital": Value("L", 2),
    "zero": 0,
    "last_number": 4,
    "end": 5,
    "negative": -3,
    "negative_int8": Value("b", -1),
    "least": Value("l", -(2**63)),
    "timestamp_zero": Value("T", 0),
    "timestamp_old": Value("T", 1_600_000_000),
    "timestamp_future": Value("T", FAR_FUTURE),
    "timestamp_in_milliseconds": Value("T", 1_600_000_000_000),
    "year": "1Y",
    "month": "1M",
    "day": "1D",
    "hour": "1h",
    "minutes": "10m",
    "seconds": "600s",
    "zero_seconds": "0s",
    "no_unit": "5",
    "other_unit": "1x",
    "two_units": "1h30m",
    "lower_case_day": "1d",
    "space_after": "1h ",
    "number_and_text": "1st",
}
#: Values that crash RabbitMQ's channel.
CRASHING: dict[str, Any] = {
    "text": "abc",
    "empty": "",
    "capital": "First",
    "space_before": " first",
    "negative_text": "-1h",
    "unit_only": "h",
    "offset_text": "offset",
    "bool": True,
    "void": None,
    "float": Value("f", 2.0),
    "double": 2.0,
    "binary": Value("x", b"abc"),
    "table": {"a": 1},
    "array": [1],
}


@family({name: (value,) for name, value in {**OFFSETS, **CRASHING}.items()})
def offset(lab: Lab, value: Any) -> None:
    """Values of x-stream-offset: where reading of five messages begins, and that it continues to the end."""
    ch = stream(lab)
    fill(ch, lab.q(), 5)
    reader = read(lab, offset=value, ch=lab.channel(lab.connect()))
    if reader.connection.is_open(reader.number):
        ch.publish_confirmed("", lab.q(), "end")
        until(reader, "end")


@family(
    {
        "by_one": (6, 2),
        "by_two": (7, 1),
        "by_two_as_int64": (Value("l", 7), 1),
        "by_more": (100, 0),
        "most": (Value("l", 2**63 - 1), 0),
    }
)
def offset_beyond_the_end(lab: Lab, value: Any, count: int) -> None:
    """An offset that five messages do not reach: of three more, those below it are not delivered."""
    ch = stream(lab)
    fill(ch, lab.q(), 5)
    reader = read(lab, 1, offset=value)
    fill(ch, lab.q(), 3, start=5)
    for tag in range(1, count + 1):
        reader.deliveries(1)
        reader.ack(tag)
    lab.quiet()


@case()
def offset_beyond_the_end_of_an_empty_stream(lab: Lab) -> None:
    """An offset in an empty stream: messages below it are not delivered."""
    ch = stream(lab)
    reader = read(lab, 2, offset=6)
    fill(ch, lab.q(), 10)
    reader.deliveries(2)
    reader.ack(1)
    reader.deliveries(1)
    lab.quiet()


@case()
def offset_absent(lab: Lab) -> None:
    """Without x-stream-offset, reading begins with what is written next."""
    ch = stream(lab)
    fill(ch, lab.q(), 5)
    reader = read(lab)
    ch.publish_confirmed("", lab.q(), "end")
    until(reader, "end")


@family(
    {
        "absent": ({},),
        **{
            name: ({"offset": OFFSETS[name]},)
            for name in (
                "next",
                "first",
                "last",
                "zero",
                "negative",
                "timestamp_old",
                "timestamp_future",
                "hour",
            )
        },
    }
)
def offset_in_an_empty_stream(lab: Lab, arguments: dict[str, Any]) -> None:
    """Reading of an empty stream begins with its first message, whatever the offset."""
    ch = stream(lab)
    reader = read(lab, **arguments)
    fill(ch, lab.q(), 8)
    reader.deliveries(8)


@case()
def offset_of_a_time(lab: Lab) -> None:
    """A timestamp between messages: reading begins with the first that was written later."""
    ch = stream(lab)
    fill(ch, lab.q(), 3)
    began = int(lab.network.wall_s()) + 1
    lab.sleep(1.5 + began - lab.network.wall_s())
    fill(ch, lab.q(), 3, start=3)
    reader = read(lab, offset=Value("T", began))
    ch.publish_confirmed("", lab.q(), "end")
    until(reader, "end")


@case()
def offset_of_an_age(lab: Lab) -> None:
    """An age: reading begins with what is at most so old."""
    ch = stream(lab)
    fill(ch, lab.q(), 3)
    lab.sleep(3.5)
    fill(ch, lab.q(), 3, start=3)
    reader = read(lab, offset="2s")
    ch.publish_confirmed("", lab.q(), "end")
    until(reader, "end")


@case()
def offset_of_an_age_without_messages(lab: Lab) -> None:
    """All messages are older than the age: reading begins with what is written next."""
    ch = stream(lab)
    fill(ch, lab.q(), 3)
    lab.sleep(2.5)
    reader = read(lab, offset="1s")
    ch.publish_confirmed("", lab.q(), "end")
    until(reader, "end")


@case()
def offset_last_follows(lab: Lab) -> None:
    """Reading from the last message, once more after each further message."""
    ch = stream(lab)
    for number in range(3):
        fill(ch, lab.q(), 1, start=number)
        reader = read(lab, tag=str(number), offset="last")
        reader.deliveries(1)
        reader.close()


@case()
def offset_crash_elsewhere(lab: Lab) -> None:
    """A bad offset closes only the reader's channel; others continue."""
    ch = stream(lab)
    fill(ch, lab.q(), 2)
    other = read(lab, offset="first")
    read(lab, offset="1x")
    fill(ch, lab.q(), 1, start=2)
    other.deliveries(3)


@case()
def offset_of_every_type_in_order(lab: Lab) -> None:
    """Integers and timestamps of every wire type are offsets, each on a channel of its own."""
    ch = stream(lab)
    fill(ch, lab.q(), 7)
    for name, value in EVERY_TYPE.items():
        if name in ("int8", "uint8", "int16", "uint16", "int32", "uint32", "int64", "zero", "negative"):
            reader = read(lab, tag=name, offset=value)
            until(reader, "6")
            reader.close()


@case()
def offset_twice(lab: Lab) -> None:
    """Two consumers of one channel read from different offsets, each everything."""
    ch = stream(lab)
    fill(ch, lab.q(), 4)
    reader = read(lab, tag="a", offset="first")
    reader.deliveries(4)
    read(lab, tag="b", offset=2, ch=reader)
    reader.deliveries(2)


@case()
def offset_is_not_stored(lab: Lab) -> None:
    """A consumer that returns with the same tag begins where its arguments say."""
    ch = stream(lab)
    fill(ch, lab.q(), 3)
    reader = read(lab, tag="mine", offset="first")
    reader.deliveries(3)
    reader.ack(3, multiple=True)
    reader.cancel("mine")
    read(lab, tag="mine", offset="first", ch=reader)
    reader.deliveries(3)
    reader.cancel("mine")
    read(lab, tag="mine", ch=reader)
    fill(ch, lab.q(), 1, start=3)
    reader.deliveries(1)


# Credit

SETTLING: dict[str, tuple[str, dict[str, Any]]] = {
    "ack": ("ack", {"tag": 1}),
    "ack_second": ("ack", {"tag": 2}),
    "ack_last": ("ack", {"tag": 3}),
    "ack_multiple_first": ("ack", {"tag": 1, "multiple": True}),
    "ack_multiple_two": ("ack", {"tag": 2, "multiple": True}),
    "ack_multiple_all": ("ack", {"tag": 3, "multiple": True}),
    "ack_multiple_zero": ("ack", {"tag": 0, "multiple": True}),
    "ack_zero": ("ack", {"tag": 0}),
    "ack_unknown": ("ack", {"tag": 4}),
    "ack_multiple_unknown": ("ack", {"tag": 9, "multiple": True}),
    "nack": ("nack", {"tag": 1, "requeue": False}),
    "nack_requeue": ("nack", {"tag": 1, "requeue": True}),
    "nack_second": ("nack", {"tag": 2, "requeue": True}),
    "nack_multiple_two": ("nack", {"tag": 2, "multiple": True, "requeue": False}),
    "nack_multiple_two_requeue": ("nack", {"tag": 2, "multiple": True, "requeue": True}),
    "nack_multiple_zero": ("nack", {"tag": 0, "multiple": True, "requeue": False}),
    "nack_multiple_zero_requeue": ("nack", {"tag": 0, "multiple": True, "requeue": True}),
    "nack_unknown": ("nack", {"tag": 4}),
    "reject": ("reject", {"tag": 1, "requeue": False}),
    "reject_requeue": ("reject", {"tag": 1, "requeue": True}),
    "reject_last": ("reject", {"tag": 3, "requeue": True}),
    "reject_unknown": ("reject", {"tag": 4}),
    "recover": ("recover", {"requeue": True}),
    "recover_without_requeue": ("recover", {"requeue": False}),
    "recover_async": ("recover_async", {"requeue": True}),
    "recover_async_without_requeue": ("recover_async", {"requeue": False}),
}


def settle(ch: Channel, how: str) -> None:
    """Settle in one of the ways above."""
    method, arguments = SETTLING[how]
    getattr(ch, method)(**arguments)


@family({how: (how,) for how in SETTLING})
def credit(lab: Lab, how: str) -> None:
    """Three messages are outstanding, as many as the prefetch allows: how many follow after settling."""
    ch = stream(lab)
    fill(ch, lab.q(), 12)
    reader = read(lab, 3, offset="first")
    reader.deliveries(3)
    settle(reader, how)
    lab.quiet()


@family({how: (how,) for how in SETTLING if not how.endswith(("unknown", "zero", "without_requeue"))})
def credit_twice(lab: Lab, how: str) -> None:
    """Deliveries that were settled cannot be settled again; recover settles the newer ones."""
    ch = stream(lab)
    fill(ch, lab.q(), 12)
    reader = read(lab, 3, offset="first")
    reader.deliveries(3)
    settle(reader, how)
    lab.quiet()
    settle(reader, how)
    lab.quiet()


@family({"1": (1,), "2": (2,), "4": (4,), "5": (5,), "100": (100,), "65535": (65535,)})
def credit_of_prefetch(lab: Lab, prefetch: int) -> None:
    """As many messages are delivered as the prefetch allows."""
    ch = stream(lab)
    fill(ch, lab.q(), 5)
    reader = read(lab, prefetch, offset="first")
    reader.deliveries(min(prefetch, 5))
    lab.quiet()


@case()
def credit_one_by_one(lab: Lab) -> None:
    """Each acknowledgement brings the next message to a consumer with a prefetch of 1."""
    ch = stream(lab)
    fill(ch, lab.q(), 5)
    reader = read(lab, 1, offset="first")
    for tag in range(1, 6):
        reader.deliveries(1)
        reader.ack(tag)
    fill(ch, lab.q(), 1, start=5)
    reader.deliveries(1)


@case()
def credit_backwards(lab: Lab) -> None:
    """Acknowledgements in the reverse order bring one message each."""
    ch = stream(lab)
    fill(ch, lab.q(), 8)
    reader = read(lab, 3, offset="first")
    reader.deliveries(3)
    for tag in (3, 2, 1):
        reader.ack(tag)
        reader.deliveries(1)
    lab.quiet()


@case()
def credit_multiple_after_gaps(lab: Lab) -> None:
    """A multiple acknowledgement brings as many messages as it settles."""
    ch = stream(lab)
    fill(ch, lab.q(), 12)
    reader = read(lab, 4, offset="first")
    reader.deliveries(4)
    reader.ack(2)
    reader.deliveries(1)
    reader.ack(4, multiple=True)
    reader.deliveries(3)
    lab.quiet()


@case()
def credit_saved_up(lab: Lab) -> None:
    """Credit that returns while there is nothing to read is used for later messages."""
    ch = stream(lab)
    fill(ch, lab.q(), 2)
    reader = read(lab, 2, offset="first")
    reader.deliveries(2)
    reader.ack(2, multiple=True)
    reader.sync()
    fill(ch, lab.q(), 4, start=2)
    reader.deliveries(2)
    lab.quiet()


@case()
def credit_of_its_consumer(lab: Lab) -> None:
    """Settling returns credit to the consumer of the message, not to another of the channel."""
    ch = stream(lab)
    fill(ch, lab.q(), 6)
    reader = read(lab, 2, "a", offset="first")
    reader.deliveries(2)
    read(lab, 1, "b", offset="first", ch=reader)
    reader.deliveries(1)
    reader.ack(3)
    reader.deliveries(1)
    reader.ack(1)
    reader.deliveries(1)
    lab.quiet()


@case()
def credit_multiple_of_two_consumers(lab: Lab) -> None:
    """A multiple acknowledgement of messages of two consumers returns credit to both."""
    ch = stream(lab)
    fill(ch, lab.q(), 6)
    reader = read(lab, 2, "a", offset="first")
    reader.deliveries(2)
    read(lab, 1, "b", offset=5, ch=reader)
    reader.deliveries(1)
    reader.cancel("b")
    reader.ack(3, multiple=True)
    reader.deliveries(2)
    lab.quiet()


@case()
def credit_unchanged_by_later_prefetch(lab: Lab) -> None:
    """A later basic.qos is for later consumers."""
    ch = stream(lab)
    fill(ch, lab.q(), 6)
    reader = read(lab, 1, "a", offset="first")
    reader.deliveries(1)
    reader.qos(3)
    reader.ack(1)
    reader.deliveries(1)
    lab.quiet()
    read(lab, 3, "b", offset="first", ch=reader)
    reader.deliveries(3)
    lab.quiet()


@family({"1": (1,), "10": (10,)})
def credit_beside_a_later_global_limit(lab: Lab, limit: int) -> None:
    """A limit of the whole channel that comes later does not stop a stream's consumer."""
    ch = stream(lab)
    fill(ch, lab.q(), 6)
    reader = read(lab, 2, "a", offset="first")
    reader.deliveries(2)
    reader.qos(limit, whole_channel=True)
    reader.ack(1)
    lab.quiet()


@case()
def credit_beside_a_classic_consumer(lab: Lab) -> None:
    """A channel reads a stream and a classic queue, each with a prefetch of its own."""
    ch = stream(lab)
    ch.queue(lab.q("classic"))
    fill(ch, lab.q(), 4)
    fill(ch, lab.q("classic"), 4, start=10)
    reader = read(lab, 2, "stream", offset="first")
    reader.deliveries(2)
    reader.qos(1)
    reader.consume(lab.q("classic"), "classic")
    reader.deliveries(1)
    reader.ack(3)
    reader.deliveries(1)
    reader.ack(2)
    reader.deliveries(1)
    reader.nack(4)
    reader.deliveries(1)
    lab.hide(lab.q("classic"))


@family(
    {
        f"{end}_{how}": (end, how)
        for end in ("commit", "rollback")
        for how in ("ack", "ack_multiple_two", "nack_requeue", "reject", "recover")
    }
)
def credit_in_a_transaction(lab: Lab, end: str, how: str) -> None:
    """In a transaction, settling returns credit at the commit."""
    ch = stream(lab)
    fill(ch, lab.q(), 12)
    reader = lab.channel()
    reader.tx()
    read(lab, 3, offset="first", ch=reader)
    reader.deliveries(3)
    settle(reader, how)
    lab.quiet()
    if end == "commit":
        reader.commit()
    else:
        reader.rollback()
    lab.quiet()


@case()
def settled_after_a_rollback(lab: Lab) -> None:
    """After a rollback the messages are outstanding, and can be settled."""
    ch = stream(lab)
    fill(ch, lab.q(), 6)
    reader = lab.channel()
    reader.tx()
    read(lab, 2, offset="first", ch=reader)
    reader.deliveries(2)
    reader.ack(1)
    reader.rollback()
    reader.ack(2, multiple=True)
    reader.commit()
    reader.deliveries(2)


# Ends of consumers


@family({how: (how,) for how in ("ack", "ack_multiple_all", "nack_requeue", "reject", "recover", "ack_unknown")})
def cancelled(lab: Lab, how: str) -> None:
    """After a cancel, outstanding messages can be settled; nothing more is delivered."""
    ch = stream(lab)
    fill(ch, lab.q(), 6)
    reader = read(lab, 3, offset="first")
    reader.deliveries(3)
    reader.cancel("a")
    settle(reader, how)
    fill(ch, lab.q(), 1, start=6)
    lab.quiet()


@case()
def cancelled_nowait(lab: Lab) -> None:
    """A cancel without a reply."""
    ch = stream(lab)
    reader = read(lab)
    reader.cancel("a", nowait=True)
    reader.sync()
    fill(ch, lab.q(), 1)
    lab.quiet()


@case()
def cancelled_and_again(lab: Lab) -> None:
    """A consumer after a cancelled one has its whole prefetch, whatever is outstanding."""
    ch = stream(lab)
    fill(ch, lab.q(), 6)
    reader = read(lab, 3, offset="first")
    reader.deliveries(3)
    reader.cancel("a")
    read(lab, 3, offset="first", ch=reader)
    reader.deliveries(3)
    reader.ack(1)
    lab.quiet()
    reader.ack(4)
    lab.quiet()


@family({how: (how,) for how in ("close", "error", "connection", "drop")})
def ended(lab: Lab, how: str) -> None:
    """The end of a channel or connection returns nothing to the stream; another reader gets everything as new."""
    ch = stream(lab)
    fill(ch, lab.q(), 3)
    reader = read(lab, 2, offset="first", ch=lab.channel(lab.connect()))
    reader.deliveries(2)
    match how:
        case "close":
            reader.close()
        case "error":
            reader.publish(lab.x("none"), "k")
            reader.closed()
        case "connection":
            reader.connection.close()
        case _:
            reader.connection.drop()
    read(lab, offset="first").deliveries(3)


@case()
def nothing_comes_back(lab: Lab) -> None:
    """A consumer that waits for new messages gets none that another returned."""
    ch = stream(lab)
    fill(ch, lab.q(), 3)
    waiting = read(lab, tag="waiting", offset="next")
    reader = read(lab, offset="first")
    reader.deliveries(3)
    reader.nack(2, multiple=True)
    reader.reject(3)
    reader.sync()
    fill(ch, lab.q(), 1, start=3)
    waiting.deliveries(1)
    reader.deliveries(1)


# Several consumers


@case()
def consumers_get_everything(lab: Lab) -> None:
    """Each consumer gets every message."""
    ch = stream(lab)
    readers = [read(lab, tag=tag) for tag in "abc"]
    fill(ch, lab.q(), 3)
    for reader in readers:
        reader.deliveries(3)


@case()
def consumers_of_several_connections(lab: Lab) -> None:
    """A slow consumer does not hold up others."""
    ch = stream(lab)
    fast = read(lab, 100, ch=lab.channel(lab.connect()))
    slow = read(lab, 1, ch=lab.channel(lab.connect()))
    fill(ch, lab.q(), 4)
    fast.deliveries(4)
    slow.deliveries(1)
    slow.ack(1)
    slow.deliveries(1)


@case()
def consumers_on_one_channel(lab: Lab) -> None:
    """Two consumers of one channel get each message; delivery tags count for both."""
    ch = stream(lab)
    reader = read(lab, tag="a")
    fill(ch, lab.q(), 2)
    reader.deliveries(2)
    read(lab, tag="b", ch=reader, offset="first")
    reader.deliveries(2)
    reader.ack(4, multiple=True)
    reader.cancel("b")
    fill(ch, lab.q(), 1, start=2)
    reader.deliveries(1)


@family({"both": (True, True), "first": (True, False), "second": (False, True)})
def exclusive(lab: Lab, first: bool, second: bool) -> None:
    """Exclusive consumers are not exclusive."""
    ch = stream(lab)
    readers = []
    for tag, flag in (("a", first), ("b", second)):
        reader = lab.channel()
        reader.qos(5)
        reader.consume(lab.q(), tag, exclusive=flag)
        reader.sync()
        readers.append(reader)
    fill(ch, lab.q(), 1)
    for reader in readers:
        reader.deliveries(1)


@case()
def streams_of_one_channel(lab: Lab) -> None:
    """One channel reads two streams, whose offsets are independent."""
    ch = stream(lab, "q1")
    ch.queue(lab.q("q2"), durable=True, arguments=STREAM)
    lab.hide(lab.q("q2"))
    fill(ch, lab.q("q1"), 2)
    fill(ch, lab.q("q2"), 3)
    reader = read(lab, tag="a", queue="q1", offset="first")
    reader.deliveries(2)
    read(lab, tag="b", queue="q2", offset="first", ch=reader)
    reader.deliveries(3)


@case()
def consumed_while_written(lab: Lab) -> None:
    """A consumer that begins behind the newest message gets the old and the new ones in order."""
    ch = stream(lab)
    fill(ch, lab.q(), 3)
    reader = read(lab, 2, offset="first")
    reader.deliveries(2)
    fill(ch, lab.q(), 3, start=3)
    for tag in range(1, 5):
        reader.ack(tag)
        reader.deliveries(1)


@case()
def unconfirmed(lab: Lab) -> None:
    """Messages without confirms come in order."""
    ch = stream(lab)
    publisher = lab.channel()
    for number in range(20):
        publisher.publish("", lab.q(), str(number))
    reader = read(lab, offset="first")
    reader.deliveries(20)
    ch.sync()


@family({"10": (10,), "100": (100,)})
def backlog(lab: Lab, prefetch: int) -> None:
    """A backlog of many messages is read in order, as credit returns."""
    ch = stream(lab)
    for number in range(150):
        ch.publish("", lab.q(), str(number))
    ch.confirm_all(150)
    reader = read(lab, prefetch, offset="first")
    got = []
    while len(got) < 150:
        event = reader.connection.forget(reader.deliveries(1)[0])
        got.append(event.body)
        if len(got) % 5 == 0:
            reader.ack(event.arguments["delivery_tag"], multiple=True)
    lab.observe("in order", got == [str(number).encode() for number in range(150)])


@case()
def backlog_at_once(lab: Lab) -> None:
    """Messages that were written together: an offset and a prefetch count single messages."""
    ch = stream(lab)
    with ch.connection.in_one_write():
        for number in range(20):
            ch.publish("", lab.q(), str(number))
    ch.confirm_all(20)
    reader = read(lab, 3, offset=7)
    reader.deliveries(3)
    lab.quiet()
    reader.ack(2, multiple=True)
    reader.deliveries(2)
    lab.quiet()


@case()
def large_messages(lab: Lab) -> None:
    """Messages of several frames."""
    ch = stream(lab)
    for number in range(3):
        ch.publish_confirmed("", lab.q(), str(number) * 200_000)
    reader = read(lab, 1, offset=1)
    reader.deliveries(1)
    reader.ack(1)
    reader.deliveries(1)


@case()
def confirmed_after_it_was_delivered_or_before(lab: Lab) -> None:
    """Publisher and consumer on one channel: the confirm and the delivery both come."""
    ch = stream(lab)
    read(lab, ch=ch)
    seen = {ch.publish_confirmed("", lab.q()).name, ch.deliveries(1)[0].name}
    ch.connection.events[:] = [event for event in ch.connection.events if event.name not in seen]
    lab.observe("received", sorted(seen))
