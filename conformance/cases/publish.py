"""Messages that basic.publish refuses, and messages that are returned (2.7)."""

from __future__ import annotations

import struct
from typing import Any

from conformance import methods
from conformance.channel import Channel
from conformance.lab import Lab
from conformance.registry import case, family


@family(
    {
        "zero": ("0",),
        "one_minute": ("60000",),
        "text": ("abc",),
        "empty": ("",),
        "negative": ("-1",),
        "float": ("1.5",),
        "leading_space": (" 1",),
        "trailing_space": ("1 ",),
        "trailing_text": ("10ms",),
        "plus": ("+5000",),
        "leading_zeros": ("0060000",),
        "ten_years": ("315360000000",),
        "more_than_ten_years": ("315360000001",),
        "14_digits": ("99999999999999",),
        "hexadecimal": ("0x10",),
        "exponent": ("1e3",),
    }
)
def expiration(lab: Lab, value: str) -> None:
    """The expiration property is a whole number of milliseconds, written out."""
    ch = lab.channel()
    ch.queue(lab.q())
    ch.publish("", lab.q(), expiration=value)
    lab.quiet()


@case()
def expiration_invalid_unroutable(lab: Lab) -> None:
    """It is looked at even when the message goes nowhere."""
    ch = lab.channel()
    ch.publish("", lab.q(), expiration="abc", mandatory=True)
    ch.closed()


@family({"immediate": (False,), "immediate_and_mandatory": (True,)})
def not_implemented(lab: Lab, mandatory: bool) -> None:
    """The immediate flag costs the connection."""
    ch = lab.channel()
    ch.queue(lab.q())
    ch.publish("", lab.q(), immediate=True, mandatory=mandatory)
    ch.closed()


@case()
def immediate_to_missing_exchange(lab: Lab) -> None:
    """immediate is looked at before the exchange."""
    ch = lab.channel()
    ch.publish(lab.x(), "k", immediate=True)
    ch.closed()


@family({"other": ("bob",), "empty": ("",), "own": ("guest",), "in_capitals": ("Guest",)})
def user_id(lab: Lab, user: str) -> None:
    """The user_id property must name the user who publishes."""
    ch = lab.channel()
    ch.queue(lab.q())
    ch.publish("", lab.q(), user_id=user)
    lab.quiet()


@family(
    {
        "exchange_before_expiration": ({"expiration": "abc"}, True, ""),
        "expiration_before_cc": ({"expiration": "abc", "headers": {"CC": "text"}}, False, ""),
        "cc_before_user": ({"headers": {"CC": "text"}, "user_id": "bob"}, False, ""),
        "expiration_before_user": ({"expiration": "abc", "user_id": "bob"}, False, ""),
        "reply_to_before_expiration": ({"reply_to": "amq.rabbitmq.reply-to", "expiration": "abc"}, False, ""),
    }
)
def order_of_checks(lab: Lab, properties: dict[str, Any], missing: bool, _: str) -> None:
    """Two things wrong at once: which one is told."""
    ch = lab.channel()
    ch.publish(lab.x() if missing else "", lab.q(), **properties)
    ch.closed()


@family({"reply_to": ({"reply_to": "amq.rabbitmq.reply-to"},), "expiration": ({"expiration": "abc"},)})
def order_of_checks_internal_before(lab: Lab, properties: dict[str, Any]) -> None:
    """The error for an internal exchange precedes errors in the properties."""
    ch = lab.channel()
    ch.exchange(lab.x(), internal=True)
    ch.publish(lab.x(), "k", **properties)
    ch.closed()


@case()
def after_error_further_publishes_are_ignored(lab: Lab) -> None:
    """Methods sent after a publish that closed the channel are ignored."""
    ch = lab.channel()
    ch.queue(lab.q())
    ch.connection.answer_close = False
    for exchange in ("", lab.x(), "", ""):
        ch.cast("basic.publish", exchange=exchange, routing_key=lab.q())
        ch.connection.send_content(ch.number, b"m", {})
    ch.closed()
    ch.cast("channel.close-ok")
    lab.channel().sync()


@case()
def too_large(lab: Lab) -> None:
    """A body above max_message_size."""
    ch = lab.channel()
    ch.queue(lab.q())
    ch.publish("", lab.q(), b"x" * 16777217)
    ch.closed()


@case()
def largest(lab: Lab) -> None:
    """A body of exactly max_message_size."""
    ch = lab.channel()
    ch.queue(lab.q())
    ch.publish("", lab.q(), b"x" * 16777216)
    ch.get_when_there(lab.q(), no_ack=True).body_frames.clear()


@case()
def too_large_announced(lab: Lab) -> None:
    """A header that announces far too much, and no body yet."""
    ch = lab.channel()
    ch.cast("basic.publish", routing_key=lab.q())
    ch.connection.send_frame(2, ch.number, methods.encode_header(2**40, {}))
    lab.quiet()


def send_too_large(ch: Channel, *, last: bool = True, properties: bytes = b"\x00\x00") -> None:
    """Send header and body of a message one byte above max_message_size, with or without the last byte."""
    size = 16777217
    ch.connection.send_frame(2, ch.number, struct.pack(">HHQ", 60, 0, size) + properties)
    for at in range(0, size - 1, 131064):
        ch.connection.send_frame(3, ch.number, b"x" * min(131064, size - 1 - at))
    if last:
        ch.connection.send_frame(3, ch.number, b"x")


@case()
def too_large_until_its_last_byte(lab: Lab) -> None:
    """A too large message is refused after the last byte of its body, and later frames of the channel are dropped."""
    ch, other = lab.channel(), lab.channel()
    ch.queue(lab.q())
    ch.cast("basic.publish", routing_key=lab.q())
    send_too_large(ch, last=False)
    lab.quiet()
    lab.observe("open before the last byte", ch.connection.is_open(ch.number))
    other.publish("", lab.q(), "of another channel")
    other.sync()
    ch.connection.send_frame(3, ch.number, b"x")
    ch.cast("basic.publish", routing_key=lab.q())
    ch.connection.send_content(ch.number, b"behind it", {})
    ch.closed()
    lab.quiet()


@case()
def too_large_behind_a_confirmed(lab: Lab) -> None:
    """Messages published before a too large one are confirmed."""
    ch = lab.channel()
    ch.queue(lab.q())
    ch.confirm()
    ch.publish_confirmed("", lab.q())
    ch.cast("basic.publish", routing_key=lab.q())
    send_too_large(ch)
    ch.closed()


@case()
def too_large_within_a_transaction(lab: Lab) -> None:
    """A too large message in a transaction is refused before the commit."""
    ch = lab.channel()
    ch.tx()
    ch.cast("basic.publish", routing_key=lab.q())
    send_too_large(ch)
    ch.closed()


@case()
def too_large_and_immediate(lab: Lab) -> None:
    """The error for immediate takes precedence over the size, and also comes after the body."""
    ch = lab.channel()
    ch.cast("basic.publish", routing_key=lab.q(), immediate=True)
    send_too_large(ch, last=False)
    lab.quiet()
    lab.observe("open before the last byte", ch.connection.is_open(ch.number))
    ch.connection.send_frame(3, ch.number, b"x")
    ch.closed()
    ch.connection.wait_lost()


@case()
def too_large_and_malformed(lab: Lab) -> None:
    """The properties of a too large message are not checked."""
    ch = lab.channel()
    ch.cast("basic.publish", exchange=lab.x(), routing_key=lab.q())
    send_too_large(ch, properties=b"\x80\x00")
    ch.closed()


@case()
def too_large_interrupted(lab: Lab) -> None:
    """A method in the middle of the body of a too large message."""
    ch = lab.channel()
    ch.cast("basic.publish", routing_key=lab.q())
    send_too_large(ch, last=False)
    ch.cast("basic.qos")
    ch.closed()
    ch.connection.wait_lost()


@case()
def too_large_unroutable(lab: Lab) -> None:
    """The size is looked at before the exchange."""
    ch = lab.channel()
    ch.publish(lab.x(), "k", b"x" * 16777217)
    ch.closed()


@case()
def mandatory_returned(lab: Lab) -> None:
    """An unroutable mandatory message comes back whole."""
    ch = lab.channel()
    headers = {"z": 1, "a": "two"}
    ch.publish("amq.direct", lab.q(), "body", mandatory=True, headers=headers, content_type="text/plain", priority=3)
    ch.wait("basic.return")


@case()
def mandatory_returned_large(lab: Lab) -> None:
    """A returned body of several frames, and one of none."""
    ch = lab.channel()
    ch.publish("amq.direct", lab.q(), b"x" * 200000, mandatory=True)
    ch.publish("amq.direct", lab.q(), b"", mandatory=True)
    ch.wait("basic.return", 2)


@case()
def mandatory_routed(lab: Lab) -> None:
    """A routed mandatory message does not come back."""
    ch = lab.channel()
    ch.queue(lab.q())
    ch.publish("", lab.q(), mandatory=True)
    ch.sync()


@case()
def mandatory_expired_at_once(lab: Lab) -> None:
    """Routed is routed, even if it expires at once."""
    ch = lab.channel()
    ch.queue(lab.q())
    ch.publish("", lab.q(), mandatory=True, expiration="0")
    ch.sync()


@case()
def unroutable_without_mandatory(lab: Lab) -> None:
    """Without mandatory it is dropped in silence."""
    ch = lab.channel()
    ch.publish("amq.direct", lab.q())
    ch.publish("", lab.q())
    ch.sync()


@case()
def headers_exchange_without_headers(lab: Lab) -> None:
    """A message without headers at a headers exchange."""
    ch = lab.channel()
    ch.exchange(lab.x(), "headers")
    ch.publish(lab.x(), "", mandatory=True)
    ch.wait("basic.return")


@case()
def delivery_shows_publish(lab: Lab) -> None:
    """A delivery names the exchange and key of the publish."""
    ch = lab.channel()
    ch.exchange(lab.x(), "topic")
    ch.queue(lab.q())
    ch.bind(lab.q(), lab.x(), "#")
    ch.consume(lab.q(), "tag", no_ack=True)
    ch.publish(lab.x(), "a.b.c", "body", content_type="text/plain")
    ch.deliveries(1)
