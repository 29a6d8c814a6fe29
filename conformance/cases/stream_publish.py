"""Streams: routing to them, and what they keep of messages."""

from __future__ import annotations

from typing import Any

from conformance.cases.stream import STREAM, fill, read, stream
from conformance.channel import Channel
from conformance.lab import Lab
from conformance.registry import case, family
from conformance.values import Value

UUID = "urn:uuid:f81d4fae-7dec-11d0-a765-00a0c91e6bf6"

PROPERTIES: dict[str, dict[str, Any]] = {
    "none": {},
    "delivery_mode_1": {"delivery_mode": 1},
    "delivery_mode_2": {"delivery_mode": 2},
    "delivery_mode_0": {"delivery_mode": 0},
    "delivery_mode_3": {"delivery_mode": 3},
    "content_type": {"content_type": "application/json"},
    "content_type_empty": {"content_type": ""},
    "content_encoding": {"content_encoding": "gzip"},
    "priority_0": {"priority": 0},
    "priority_9": {"priority": 9},
    "priority_255": {"priority": 255},
    "correlation_id": {"correlation_id": "abc"},
    "correlation_id_empty": {"correlation_id": ""},
    "correlation_id_number": {"correlation_id": "5"},
    "correlation_id_255": {"correlation_id": "c" * 255},
    "correlation_id_not_utf_8": {"correlation_id": b"\xff\xfe"},
    "correlation_id_uuid": {"correlation_id": UUID},
    "reply_to": {"reply_to": "somewhere"},
    "reply_to_not_utf_8": {"reply_to": b"\xff\xfe"},
    "expiration": {"expiration": "60000"},
    "expiration_leading_zero": {"expiration": "0060000"},
    "message_id": {"message_id": "abc"},
    "message_id_empty": {"message_id": ""},
    "message_id_number": {"message_id": "5"},
    "message_id_255": {"message_id": "m" * 255},
    "message_id_not_utf_8": {"message_id": b"\xff\xfe"},
    "message_id_uuid": {"message_id": UUID},
    "message_id_uuid_in_capitals": {"message_id": UUID.upper()},
    "message_id_uuid_capital_digits": {"message_id": "urn:uuid:" + UUID[9:].upper()},
    "message_id_uuid_only": {"message_id": UUID[9:]},
    "message_id_uuid_bad": {"message_id": "urn:uuid:abc"},
    "timestamp": {"timestamp": 1_700_000_000},
    "timestamp_zero": {"timestamp": 0},
    "timestamp_large": {"timestamp": 2**40},
    "type": {"message_type": "kind"},
    "type_empty": {"message_type": ""},
    "user_id": {"user_id": "guest"},
    "app_id": {"app_id": "app"},
    "cluster_id": {"cluster_id": "cluster"},
    "all": {
        "content_type": "text/plain",
        "content_encoding": "identity",
        "headers": {"a": 1},
        "delivery_mode": 2,
        "priority": 3,
        "correlation_id": "cor",
        "reply_to": "somewhere",
        "expiration": "60000",
        "message_id": "id",
        "timestamp": 1_700_000_000,
        "message_type": "type",
        "user_id": "guest",
        "app_id": "app",
        "cluster_id": "cluster",
    },
}


@family({name: (properties,) for name, properties in PROPERTIES.items()})
def kept(lab: Lab, properties: dict[str, Any]) -> None:
    """Properties as published, and as delivered by a stream and by a classic queue."""
    ch = stream(lab)
    ch.queue(lab.q("classic"))
    for short in ("q", "classic"):
        ch.publish_confirmed("", lab.q(short), "body", **properties)
    read(lab, offset="first").deliveries(1)


HEADERS: dict[str, Any] = {
    "empty": {},
    "int8": {"h": Value("b", -5)},
    "uint8": {"h": Value("B", 200)},
    "int16": {"h": Value("s", -5)},
    "uint16": {"h": Value("u", 65535)},
    "int32": {"h": -5},
    "uint32": {"h": Value("i", 2**32 - 1)},
    "int64": {"h": Value("l", -5)},
    "int64_large": {"h": Value("l", 2**62)},
    "float": {"h": Value("f", 1.5)},
    "double": {"h": 1.5},
    "bool": {"h": True, "g": False},
    "void": {"h": None},
    "text": {"h": "abc"},
    "text_empty": {"h": ""},
    "text_utf_8": {"h": "žluť"},
    "text_4096": {"h": "v" * 4096},
    "text_4097": {"h": "v" * 4097},
    "text_not_utf_8": {"h": Value("S", b"\xff\xfe")},
    "text_nul": {"h": "a\0b"},
    "binary": {"h": Value("x", b"\xff\xfe")},
    "binary_of_text": {"h": Value("x", b"abc")},
    "timestamp": {"h": Value("T", 1_700_000_000)},
    "table": {"h": {"a": 1}, "after": 1},
    "table_empty": {"h": {}, "after": 1},
    "array": {"h": [1, "a"], "after": 1},
    "array_empty": {"h": [], "after": 1},
    "x_text": {"x-h": "abc"},
    "x_int": {"x-h": 5},
    "x_void": {"x-h": None},
    "x_table": {"x-h": {"a": 1, "b": [1, {"c": None}]}},
    "x_table_empty": {"x-h": {}},
    "x_array": {"x-h": [1, "a", [True], {"b": 1.5}]},
    "x_array_empty": {"x-h": []},
    "x_array_mixed": {"x-h": [Value("b", 1), Value("l", 2), Value("x", b"z"), Value("T", 5)]},
    "x_bool": {"x-h": True},
    "x_binary": {"x-h": Value("x", b"\xff")},
    "x_double": {"x-h": 1.5},
    "x_timestamp": {"x-h": Value("T", 5)},
    "x_text_not_utf_8": {"x-h": Value("S", b"\xff\xfe")},
    "x_text_4097": {"x-h": "v" * 4097},
    "x_capital": {"X-h": [1]},
    "x_only": {"x-": "abc"},
    "x_name_not_ascii": {"x-ž": "abc"},
    "name_empty": {"": "abc"},
    "name_255": {"n" * 255: "abc"},
    "name_not_ascii": {"ž": "abc"},
    "order": {"b": 1, "x-b": 1, "a": 1, "x-a": 1},
    "twice": [("h", 1), ("h", 2), ("x-h", 1), ("x-h", 2)],
    "cc": {"CC": ["nowhere"]},
    "cc_and_bcc": {"CC": ["nowhere"], "BCC": ["nobody"]},
    "offset": {"x-stream-offset": 99},
    "offset_text": {"x-stream-offset": "first"},
    "delivery_count": {"x-delivery-count": 3},
    "death": {"x-death": [{"count": 1, "reason": "rejected", "queue": "elsewhere"}]},
    "death_text": {"x-death": "abc"},
    "opt": {"x-opt-h": "abc", "x-opt-delivery-time": 5},
    "annotations": {"x-exchange": "abc", "x-routing-key": "abc", "x-basic-type": "abc"},
    "first_death": {"x-first-death-queue": "abc", "x-last-death-reason": "abc"},
}


@family({name: (headers,) for name, headers in HEADERS.items()})
def header(lab: Lab, headers: Any) -> None:
    """Headers as published, and as delivered by a stream."""
    ch = stream(lab)
    ch.publish_confirmed("", lab.q(), "body", headers=headers)
    read(lab, offset="first").deliveries(1)


@family({"plain": ("h",), "x": ("x-h",)})
def header_of_decimal(lab: Lab, name: str) -> None:
    """A decimal in a header."""
    ch = stream(lab)
    ch.publish("", lab.q(), "body", headers={name: Value("D", (1, 5))})
    lab.quiet()


@family(
    {
        "empty": ("",),
        "binary": (bytes(range(256)),),
        "not_utf_8": (b"\xff\xfe",),
        "one_frame": ("b" * 100_000,),
        "two_frames": ("b" * 140_000,),
        "large": ("b" * 2_000_000,),
    }
)
def body(lab: Lab, body: str | bytes) -> None:
    """Bodies."""
    ch = stream(lab)
    ch.publish_confirmed("", lab.q(), body)
    read(lab, offset="first").deliveries(1)


@family({"zero": ("0",), "short": ("50",)})
def expiration_has_no_effect(lab: Lab, expiration: str) -> None:
    """Messages of a stream do not expire."""
    ch = stream(lab)
    ch.publish_confirmed("", lab.q(), "0", expiration=expiration)
    lab.sleep(0.3)
    ch.publish_confirmed("", lab.q(), "1", expiration=expiration)
    read(lab, offset="first").deliveries(2)


@family({"text": ("abc",), "negative": ("-1",), "empty": ("",), "large": ("99999999999",)})
def expiration_bad(lab: Lab, expiration: str) -> None:
    """An expiration that is not valid."""
    ch = stream(lab)
    ch.publish("", lab.q(), "0", expiration=expiration)
    lab.quiet()


@case()
def priority_has_no_effect(lab: Lab) -> None:
    """Messages are delivered in the order in which they were written."""
    ch = stream(lab)
    for number, priority in enumerate((0, 9, 3, 255)):
        ch.publish_confirmed("", lab.q(), str(number), priority=priority)
    read(lab, offset="first").deliveries(4)


# Routing


@case()
def mandatory(lab: Lab) -> None:
    """A message that a stream takes is routed."""
    ch = stream(lab)
    ch.publish_confirmed("", lab.q(), "1", mandatory=True)
    ch.publish_confirmed("", lab.q("none"), "2", mandatory=True)
    read(lab, offset="first").deliveries(1)


@case()
def immediate(lab: Lab) -> None:
    """The flag that RabbitMQ refuses."""
    ch = stream(lab)
    ch.publish("", lab.q(), immediate=True)
    ch.closed()


@case()
def reply_to_direct(lab: Lab) -> None:
    """A request for a direct reply is kept with the address of the reply, which works."""
    ch = stream(lab)
    ch.consume("amq.rabbitmq.reply-to", "replies", no_ack=True)
    ch.publish_confirmed("", lab.q(), "request", reply_to="amq.rabbitmq.reply-to")
    reader = read(lab, offset="first")
    request = reader.deliveries(1)[0]
    reader.publish("", str((request.properties or {})["reply_to"]), "reply")
    ch.deliveries(1)


@case()
def user_id_of_another(lab: Lab) -> None:
    """A user-id that is not the connection's."""
    ch = stream(lab)
    ch.publish("", lab.q(), user_id="nobody")
    ch.closed()


@family(
    {
        "direct": ("direct", "k", {}, "k", {}),
        "fanout": ("fanout", "", {}, "any", {}),
        "topic": ("topic", "a.#", {}, "a.b.c", {}),
        "headers": ("headers", "", {"x-match": "all", "h": 1}, "any", {"headers": {"h": 1}}),
    }
)
def through_an_exchange(
    lab: Lab, kind: str, key: str, arguments: dict[str, Any], routing_key: str, properties: dict[str, Any]
) -> None:
    """Exchange and routing key of a delivery; a classic queue gets the same message."""
    ch = stream(lab)
    ch.exchange(lab.x(), kind)
    ch.queue(lab.q("classic"))
    for short in ("q", "classic"):
        ch.bind(lab.q(short), lab.x(), key, arguments=arguments)
    ch.publish_confirmed(lab.x(), routing_key, "1", **properties)
    read(lab, offset="first").deliveries(1)


@case()
def bound_twice(lab: Lab) -> None:
    """Two bindings bring one message."""
    ch = stream(lab)
    ch.exchange(lab.x(), "topic")
    for key in ("#", "a.*"):
        ch.bind(lab.q(), lab.x(), key)
    ch.publish_confirmed(lab.x(), "a.b", "1")
    ch.publish_confirmed(lab.x(), "c", "2")
    read(lab, offset="first").deliveries(2)


@case()
def two_streams(lab: Lab) -> None:
    """Two streams get a message each, with offsets of their own."""
    ch = stream(lab)
    ch.queue(lab.q("other"), durable=True, arguments=STREAM)
    lab.hide(lab.q("other"))
    ch.exchange(lab.x(), "fanout")
    for short in ("q", "other"):
        ch.bind(lab.q(short), lab.x())
    fill(ch, lab.q("other"), 2)
    ch.publish_confirmed(lab.x(), "", "both")
    read(lab, offset="first").deliveries(1)
    read(lab, queue="other", offset="first").deliveries(3)


@case()
def through_two_exchanges(lab: Lab) -> None:
    """A delivery names the exchange that the client published to."""
    ch = stream(lab)
    ch.exchange(lab.x("outer"), "topic")
    ch.exchange(lab.x("inner"), "fanout")
    ch.exchange_bind(lab.x("inner"), lab.x("outer"), "a.*")
    ch.bind(lab.q(), lab.x("inner"))
    ch.publish_confirmed(lab.x("outer"), "a.b", "1")
    read(lab, offset="first").deliveries(1)


@case()
def through_an_alternate_exchange(lab: Lab) -> None:
    """An alternate exchange leads to a stream."""
    ch = stream(lab)
    ch.exchange(lab.x("alternate"), "fanout")
    ch.exchange(lab.x(), "direct", arguments={"alternate-exchange": lab.x("alternate")})
    ch.bind(lab.q(), lab.x("alternate"))
    ch.publish_confirmed(lab.x(), "nowhere", "1", mandatory=True)
    read(lab, offset="first").deliveries(1)


@family({"cc": ("CC",), "bcc": ("BCC",)})
def copies(lab: Lab, name: str) -> None:
    """CC and BCC lead to a stream; BCC is removed."""
    ch = stream(lab)
    ch.queue(lab.q("classic"))
    ch.publish_confirmed("", lab.q("classic"), "1", headers={name: [lab.q(), lab.q("none")]})
    ch.publish_confirmed("", lab.q(), "2", headers={name: [lab.q("classic")]})
    ch.publish_confirmed("", lab.q(), "3", headers={name: [lab.q()]})
    read(lab, offset="first").deliveries(3)


# Confirms and transactions


@case()
def confirmed(lab: Lab) -> None:
    """Many messages are all confirmed."""
    ch = stream(lab)
    for number in range(300):
        ch.publish("", lab.q(), str(number))
    ch.confirm_all(300)
    lab.wait_ready(lab.q(), 300)


@case()
def confirmed_beside_a_classic_queue(lab: Lab) -> None:
    """A message to several types of queue has one confirm."""
    ch = stream(lab)
    ch.exchange(lab.x(), "fanout")
    ch.queue(lab.q("classic"), durable=True)
    ch.queue(lab.q("quorum"), durable=True, arguments={"x-queue-type": "quorum"})
    for short in ("q", "classic", "quorum"):
        ch.bind(lab.q(short), lab.x())
    for number in range(3):
        ch.publish_confirmed(lab.x(), "", str(number), delivery_mode=2)
    read(lab, offset="first").deliveries(3)


@family({"commit": ("commit",), "rollback": ("rollback",), "close": ("close",)})
def transaction(lab: Lab, end: str) -> None:
    """A transaction writes to the stream at its commit."""
    ch, other = stream(lab), lab.channel()
    reader = read(lab)
    other.tx()
    for number in range(3):
        other.publish("", lab.q(), str(number))
    other.sync()
    getattr(other, end)()
    fill(ch, lab.q(), 1, start=3)
    reader.deliveries(4 if end == "commit" else 1)


@case()
def several_publishers(lab: Lab) -> None:
    """Offsets count the messages of all publishers."""
    first = stream(lab)
    second = lab.channel(lab.connect())
    second.confirm()
    for number in range(3):
        fill(first, lab.q(), 1, start=number)
        fill(second, lab.q(), 1, start=10 + number)
    read(lab, offset="first").deliveries(6)


# Dead letters


def dying(lab: Lab, kind: str = "classic", **arguments: Any) -> Channel:
    """Return a confirming channel, after declaring a stream and the queue work whose dead letters go to it."""
    ch = stream(lab)
    more = {"x-" + key.replace("_", "-"): value for key, value in arguments.items()}
    dead = {"x-dead-letter-exchange": "", "x-dead-letter-routing-key": lab.q()}
    ch.queue(lab.q("work"), durable=True, arguments={"x-queue-type": kind} | dead | more)
    return ch


@family({f"{kind}_{verb}": (kind, verb) for kind in ("classic", "quorum") for verb in ("reject", "nack")})
def dead_letter_rejected(lab: Lab, kind: str, verb: str) -> None:
    """A rejected message goes to a stream."""
    ch = dying(lab, kind)
    properties = {"content_type": "text/plain", "headers": {"own": 1, "table": {"a": 1}}, "delivery_mode": 2}
    ch.publish_confirmed("", lab.q("work"), "body", **properties)
    ch.get_when_there(lab.q("work"))
    (ch.reject if verb == "reject" else ch.nack)(1, requeue=False)
    read(lab, offset="first").deliveries(1)


@family(
    {
        "ttl": ("classic", {"message_ttl": 50}, {}),
        "ttl_quorum": ("quorum", {"message_ttl": 50}, {}),
        "expiration": ("classic", {}, {"expiration": "50"}),
        "expiration_quorum": ("quorum", {}, {"expiration": "50"}),
        "length": ("classic", {"max_length": 0}, {}),
        "length_quorum": ("quorum", {"max_length": 0}, {}),
        "at_least_once": (
            "quorum",
            {"message_ttl": 50, "dead_letter_strategy": "at-least-once", "overflow": "reject-publish"},
            {},
        ),
    }
)
def dead_letter(lab: Lab, kind: str, arguments: dict[str, Any], properties: dict[str, Any]) -> None:
    """Messages die for other reasons."""
    ch = dying(lab, kind, **arguments)
    ch.publish_confirmed("", lab.q("work"), "body", **properties)
    read(lab, offset="first").deliveries(1)


@case()
def dead_letter_of_a_delivery_limit(lab: Lab) -> None:
    """A message that was returned too often."""
    ch = dying(lab, "quorum", delivery_limit=1)
    ch.publish_confirmed("", lab.q("work"), "body")
    for tag in (1, 2):
        ch.get_when_there(lab.q("work"))
        ch.nack(tag)
    read(lab, offset="first").deliveries(1)


@case()
def dead_letter_twice(lab: Lab) -> None:
    """A message that died in two queues."""
    ch = dying(lab)
    first = {"x-message-ttl": 20, "x-dead-letter-exchange": "", "x-dead-letter-routing-key": lab.q("work")}
    ch.queue(lab.q("first"), arguments=first)
    ch.publish_confirmed("", lab.q("first"), "body", headers={"CC": ["a", "b"], "own": [1]})
    ch.get_when_there(lab.q("work"))
    ch.reject(1, requeue=False)
    read(lab, offset="first").deliveries(1)


@case()
def nothing_dies_in_a_stream(lab: Lab) -> None:
    """A message rejected by the reader of a stream goes nowhere."""
    ch = stream(lab)
    reader = read(lab, 1, offset="first")
    fill(ch, lab.q(), 2)
    reader.deliveries(1)
    reader.reject(1, requeue=False)
    reader.deliveries(1)


@case()
def republished(lab: Lab) -> None:
    """A delivery of a stream is published to another with all its headers: the offset is that of the second."""
    ch = stream(lab)
    ch.queue(lab.q("other"), durable=True, arguments=STREAM)
    lab.hide(lab.q("other"))
    fill(ch, lab.q(), 3)
    ch.publish_confirmed("", lab.q("other"), "2", headers={"x-stream-offset": Value("l", 2), "own": 1})
    read(lab, queue="other", offset="first").deliveries(1)
