"""Frames that are wrong, in the wrong place or of the wrong size; channels and their numbers (2.2)."""

from __future__ import annotations

import struct

from conformance import methods
from conformance.channel import Channel
from conformance.lab import Lab
from conformance.registry import case, family

HEADER = methods.encode_header(1, {})


def ending(ch: Channel) -> None:
    """Take in the error and the end of the connection."""
    ch.connection.wait(0, "connection.close", "connection lost")
    ch.connection.wait_lost()


@family(
    {
        "heartbeat_on_channel_1": (8, 1, b""),
        "heartbeat_on_channel_0_with_payload": (8, 0, b"x"),
        "type_9": (9, 1, b""),
        "type_0": (0, 0, b""),
        "type_4_payload": (4, 1, b"abc"),
        "type_255": (255, 1, b"ab"),
        "type_4_of_16_bytes": (4, 1, bytes(range(1, 17))),
        "type_4_of_17_bytes": (4, 1, bytes(range(1, 18))),
        "type_4_of_17_letters": (4, 1, b"abcdefghijklmnopq"),
        "header_empty_without_method": (2, 1, b""),
        "header_cut_without_method": (2, 1, HEADER[:11]),
        "header_on_channel_0": (2, 0, HEADER),
        "body_on_channel_0": (3, 0, b"x"),
        "header_without_method": (2, 1, HEADER),
        "body_without_method": (3, 1, b"x"),
        "body_empty_without_method": (3, 1, b""),
        "method_empty": (1, 1, b""),
        "method_three_bytes": (1, 1, b"\x00\x14\x00"),
    }
)
def lone(lab: Lab, kind: int, number: int, payload: bytes) -> None:
    """One odd frame on a connection with channel 1 open."""
    ch = lab.channel()
    ch.connection.send_frame(kind, number, payload)
    ending(ch)


@family(
    {
        "method": (1, methods.encode_method("channel.open", {})),
        "type_3": (3, b"body"),
        "heartbeat": (8, b""),
        "type_9": (9, b""),
    }
)
def end_byte(lab: Lab, kind: int, payload: bytes) -> None:
    """A frame that does not end with 0xCE."""
    ch = lab.channel()
    number = 0 if kind == 8 else 1
    ch.connection.send(struct.pack(">BHI", kind, number, len(payload)) + payload + b"\xcd")
    ending(ch)


@family({"one_more": (131073,), "much": (1 << 31,)})
def too_large(lab: Lab, size: int) -> None:
    """A frame that announces more than frame_max allows."""
    ch = lab.channel()
    ch.connection.send(struct.pack(">BHI", 3, 1, size) + b"x" * 20)
    ending(ch)


@family({"1": (1,), "8": (8,)})
def too_large_tolerated(lab: Lab, more: int) -> None:
    """A frame up to eight bytes above the limit is let through."""
    ch = lab.channel()
    ch.queue(lab.q())
    size = 131072 - 8 + more
    ch.cast("basic.publish", routing_key=lab.q())
    ch.connection.send_frame(2, ch.number, methods.encode_header(size, {}))
    ch.connection.send_frame(3, ch.number, b"x" * size)
    ch.sync()


@case()
def too_large_negotiated(lab: Lab) -> None:
    """The limit is the negotiated one."""
    ch = lab.channel(lab.connect(frame_max=8192))
    ch.connection.send(struct.pack(">BHI", 3, 1, 9000) + b"x" * 9000)
    ending(ch)


@case()
def largest_frame(lab: Lab) -> None:
    """A body frame of exactly frame_max bytes, and one that comes back in frames of at most that."""
    ch = lab.channel()
    ch.queue(lab.q())
    ch.publish("", lab.q(), b"x" * (131072 - 8))
    ch.publish("", lab.q(), b"y" * (131072 - 7))
    ch.sync()
    ch.get(lab.q(), no_ack=True)
    ch.get(lab.q(), no_ack=True)


@case()
def small_frame_max(lab: Lab) -> None:
    """A message published by a client with large frames reaches one with small frames in several."""
    ch = lab.channel()
    ch.queue(lab.q())
    ch.publish("", lab.q(), b"x" * 20000)
    ch.sync()
    small = lab.channel(lab.connect(frame_max=4096))
    small.get(lab.q(), no_ack=True)


@case()
def method_for_header(lab: Lab) -> None:
    """A method where the content header of basic.publish should come."""
    ch = lab.channel()
    ch.cast("basic.publish", routing_key=lab.q())
    ch.cast("queue.declare", queue=lab.q())
    ending(ch)


@case()
def body_for_header(lab: Lab) -> None:
    """A body where the content header should come."""
    ch = lab.channel()
    ch.cast("basic.publish", routing_key=lab.q())
    ch.connection.send_frame(3, ch.number, b"x")
    ending(ch)


@case()
def method_for_body(lab: Lab) -> None:
    """A method where the body should come."""
    ch = lab.channel()
    ch.cast("basic.publish", routing_key=lab.q())
    ch.connection.send_frame(2, ch.number, methods.encode_header(5, {}))
    ch.cast("queue.declare", queue=lab.q())
    ending(ch)


@case()
def header_for_body(lab: Lab) -> None:
    """A second header where the body should come."""
    ch = lab.channel()
    ch.cast("basic.publish", routing_key=lab.q())
    ch.connection.send_frame(2, ch.number, methods.encode_header(5, {}))
    ch.connection.send_frame(2, ch.number, methods.encode_header(5, {}))
    ending(ch)


@case()
def header_of_other_class(lab: Lab) -> None:
    """A content header that names class 50."""
    ch = lab.channel()
    ch.cast("basic.publish", routing_key=lab.q())
    ch.connection.send_frame(2, ch.number, methods.encode_header(1, {}, class_id=50))
    ending(ch)


@case()
def header_with_weight(lab: Lab) -> None:
    """A content header whose weight is not zero."""
    ch = lab.channel()
    ch.queue(lab.q())
    ch.cast("basic.publish", routing_key=lab.q())
    ch.connection.send_frame(2, ch.number, struct.pack(">HHQH", 60, 1, 1, 0))
    ch.connection.send_frame(3, ch.number, b"x")
    lab.quiet()


@case()
def header_flags_without_values(lab: Lab) -> None:
    """Property flags that promise more than the header holds."""
    ch = lab.channel()
    ch.queue(lab.q())
    ch.cast("basic.publish", routing_key=lab.q())
    ch.connection.send_frame(2, ch.number, struct.pack(">HHQH", 60, 0, 1, 0x8000))
    ch.connection.send_frame(3, ch.number, b"x")
    lab.quiet()


@case()
def header_trailing_bytes(lab: Lab) -> None:
    """A content header with bytes behind its properties."""
    ch = lab.channel()
    ch.queue(lab.q())
    ch.cast("basic.publish", routing_key=lab.q())
    ch.connection.send_frame(2, ch.number, methods.encode_header(1, {"delivery_mode": 1}) + b"zz")
    ch.connection.send_frame(3, ch.number, b"x")
    lab.quiet()


@case()
def header_continued_flags(lab: Lab) -> None:
    """A content header whose flags announce another word of flags."""
    ch = lab.channel()
    ch.queue(lab.q())
    ch.cast("basic.publish", routing_key=lab.q())
    ch.connection.send_frame(2, ch.number, struct.pack(">HHQHHB", 60, 0, 1, 0x1001, 0, 2))
    ch.connection.send_frame(3, ch.number, b"x")
    lab.quiet()


@case()
def body_too_long(lab: Lab) -> None:
    """More body than the header announced."""
    ch = lab.channel()
    ch.queue(lab.q())
    ch.cast("basic.publish", routing_key=lab.q())
    ch.connection.send_frame(2, ch.number, methods.encode_header(3, {}))
    ch.connection.send_frame(3, ch.number, b"abcdef")
    lab.quiet()


@case()
def body_too_long_then_method(lab: Lab) -> None:
    """A method after more body than the header announced."""
    ch = lab.channel()
    ch.queue(lab.q())
    ch.cast("basic.publish", routing_key=lab.q())
    ch.connection.send_frame(2, ch.number, methods.encode_header(3, {}))
    ch.connection.send_frame(3, ch.number, b"abcdef")
    ch.cast("queue.declare", queue=lab.q(), passive=True)
    lab.quiet()


@case()
def body_in_pieces(lab: Lab) -> None:
    """A body in one-byte frames, with an empty one among them."""
    ch = lab.channel()
    ch.queue(lab.q())
    ch.cast("basic.publish", routing_key=lab.q())
    ch.connection.send_frame(2, ch.number, methods.encode_header(3, {}))
    for piece in (b"a", b"", b"b", b"c"):
        ch.connection.send_frame(3, ch.number, piece)
    ch.sync()
    ch.get(lab.q(), no_ack=True)


@case()
def body_empty(lab: Lab) -> None:
    """A message without a body has no body frame."""
    ch = lab.channel()
    ch.queue(lab.q())
    ch.publish("", lab.q(), b"")
    ch.sync()
    ch.get(lab.q(), no_ack=True)


@case()
def body_empty_with_frame(lab: Lab) -> None:
    """An empty body frame behind a header that announces no body."""
    ch = lab.channel()
    ch.queue(lab.q())
    ch.publish("", lab.q(), b"")
    ch.connection.send_frame(3, ch.number, b"")
    ending(ch)


@case()
def interleaved_channels(lab: Lab) -> None:
    """Two channels whose content frames alternate."""
    first, second = lab.channel(), lab.channel()
    first.queue(lab.q("q1"))
    second.queue(lab.q("q2"))
    first.cast("basic.publish", routing_key=lab.q("q1"))
    second.cast("basic.publish", routing_key=lab.q("q2"))
    for ch in (first, second):
        ch.connection.send_frame(2, ch.number, methods.encode_header(2, {}))
    for ch in (first, second):
        ch.connection.send_frame(3, ch.number, b"1")
    for ch in (first, second):
        ch.connection.send_frame(3, ch.number, b"2")
    first.sync()
    second.sync()


@case()
def heartbeat_within_content(lab: Lab) -> None:
    """A heartbeat between the frames of a content."""
    ch = lab.channel()
    ch.queue(lab.q())
    ch.cast("basic.publish", routing_key=lab.q())
    ch.connection.send_frame(8, 0)
    ch.connection.send_frame(2, ch.number, methods.encode_header(1, {}))
    ch.connection.send_frame(8, 0)
    ch.connection.send_frame(3, ch.number, b"x")
    ch.sync()


@family(
    {
        "class_99": (struct.pack(">HH", 99, 10),),
        "class_0": (struct.pack(">HH", 0, 0),),
        "class_32768": (struct.pack(">HH", 0x8000, 10),),
        "class_65535": (struct.pack(">HH", 0xFFFF, 0xFFFF),),
        "method_32768": (struct.pack(">HH", 60, 0x8000),),
        "method_99": (struct.pack(">HH", 60, 99),),
        "access_class_method_99": (struct.pack(">HH", 30, 99),),
        "arguments_missing": (struct.pack(">HH", 50, 10),),
        "arguments_cut": (methods.encode_method("queue.declare", {"queue": "abc"})[:-3],),
        "arguments_too_many": (methods.encode_method("basic.qos", {}) + b"xx",),
        "shortstr_not_utf8": (methods.encode_method("queue.declare", {"queue": b"\xff\xfe"}),),
        "exchange_not_utf8": (
            methods.encode_method("exchange.declare", {"exchange": b"a\xff", "exchange_type": "direct"}),
        ),
        "routing_key_not_utf8": (
            methods.encode_method("queue.bind", {"exchange": "amq.direct", "routing_key": b"\xc3\x28"}),
        ),
        "table_too_short": (methods.encode_method("queue.declare", {"queue": "x"})[:-4] + b"\x00\x00\x00\x09\x01at",),
        "server_method_declare_ok": (methods.encode_method("queue.declare-ok", {"queue": "x"}),),
        "server_method_get_empty": (methods.encode_method("basic.get-empty", {}),),
        "connection_method_on_channel": (methods.encode_method("connection.open", {"virtual_host": "/"}),),
        "connection_close_on_channel": (methods.encode_method("connection.close", {}),),
    }
)
def method(lab: Lab, payload: bytes) -> None:
    """A method frame that cannot be handled."""
    ch = lab.channel()
    ch.connection.send_frame(1, ch.number, payload)
    ending(ch)


def misfits(*names: str) -> dict[str, tuple[bytes]]:
    """Return methods whose arguments are empty, truncated, or longer by one or by many bytes."""
    rows = {}
    for name in names:
        payload = methods.encode_method(name, {})
        row = name.replace(".", "_").replace("-", "_")
        if len(payload) > 4:
            rows |= {f"{row}_empty": (payload[:4],), f"{row}_cut": (payload[:-1],)}
        rows |= {f"{row}_longer": (payload + b"z",), f"{row}_much_longer": (payload + b"z" * 300,)}
    return rows


@family(
    misfits(
        "basic.publish",
        "basic.ack",
        "basic.nack",
        "basic.reject",
        "basic.get",
        "basic.recover-async",
        "basic.deliver",
        "channel.open",
        "channel.close",
        "channel.close-ok",
        "connection.close",
        "tx.select",
    )
    | {"basic_publish_one_byte": (methods.encode_method("basic.publish", {})[:5],)}
)
def misfit(lab: Lab, payload: bytes) -> None:
    """A method with arguments of a wrong length."""
    ch = lab.channel()
    ch.connection.send_frame(1, ch.number, payload)
    ending(ch)


@family(misfits("basic.publish", "basic.ack", "queue.declare", "channel.open", "channel.close"))
def misfit_on_unopened_channel(lab: Lab, payload: bytes) -> None:
    """A method with arguments of a wrong length on a channel that was not opened."""
    ch = lab.unopened_channel()
    ch.connection.send_frame(1, ch.number, payload)
    ending(ch)


@family(misfits("connection.close"))
def misfit_on_channel_0(lab: Lab, payload: bytes) -> None:
    """A method with arguments of a wrong length on channel 0."""
    ch = lab.channel()
    ch.connection.send_frame(1, 0, payload)
    ending(ch)


@case()
def misfit_behind_which_content_comes(lab: Lab) -> None:
    """A basic.publish of one byte is refused before its content."""
    ch = lab.channel()
    ch.connection.send_frame(1, ch.number, methods.encode_method("basic.publish", {})[:5])
    ch.connection.send_content(ch.number, b"x", {})
    ending(ch)


@family({"empty": (0,), "class": (2,), "weight": (4,), "size_cut": (11,)})
def header_cut(lab: Lab, size: int) -> None:
    """A content header that ends before its properties."""
    ch = lab.channel()
    ch.cast("basic.publish", routing_key=lab.q())
    ch.connection.send_frame(2, ch.number, HEADER[:size])
    ending(ch)


@family({"flags_missing": (b"",), "flags_cut": (b"\x00",)})
def header_without(lab: Lab, properties: bytes) -> None:
    """A content header without its property flags, or with half of them."""
    ch = lab.channel()
    ch.cast("basic.publish", routing_key=lab.q())
    ch.connection.send_frame(2, ch.number, struct.pack(">HHQ", 60, 0, 0) + properties)
    ending(ch)


@family({"class_32768": (0x8000, 0), "class_65535": (0xFFFF, 0), "weight_32768": (60, 0x8000)})
def header_with(lab: Lab, class_id: int, weight: int) -> None:
    """A content header with a large class or weight."""
    ch = lab.channel()
    ch.cast("basic.publish", routing_key=lab.q())
    ch.connection.send_frame(2, ch.number, struct.pack(">HHQH", class_id, weight, 1, 0))
    ending(ch)


@family(
    {
        f"{verb}_{name}": (f"basic.{verb}", tag)
        for verb in ("ack", "nack", "reject")
        for name, tag in (("2_to_the_63", 2**63), ("highest", 2**64 - 1))
    }
)
def large_tag(lab: Lab, verb: str, tag: int) -> None:
    """A delivery tag of 2^63 or more is a number like any other."""
    ch = lab.channel()
    ch.cast(verb, delivery_tag=tag)
    ch.closed()


@case()
def method_with_content_of_the_server(lab: Lab) -> None:
    """basic.deliver sent by a client with its content."""
    ch = lab.channel()
    ch.cast("basic.deliver", consumer_tag="t", delivery_tag=1)
    ch.connection.send_content(ch.number, b"x", {})
    ending(ch)


@family(
    {
        "key_not_utf8": (b"\x01\xfft\x01",),
        "key_empty": (b"\x00t\x01",),
        "bool_2": (b"\x01at\x02",),
        "key_twice": (b"\x01at\x01\x01at\x00",),
    }
)
def table(lab: Lab, entries: bytes) -> None:
    """Arguments that are odd and yet a field table."""
    ch = lab.channel()
    plain = methods.encode_method("queue.declare", {"queue": lab.q()})[:-4]
    ch.connection.send_frame(1, ch.number, plain + struct.pack(">I", len(entries)) + entries)
    ch.wait("queue.declare-ok")
    ch.delete(lab.q())


@family(
    {
        "unknown_type": (b"\x01a?\x01",),
        "array_bad_length": (b"\x01aA\x00\x00\x00\x09t\x01",),
        "key_only": (b"\x01a",),
    }
)
def table_bad(lab: Lab, entries: bytes) -> None:
    """Arguments that are no field table."""
    ch = lab.channel()
    plain = methods.encode_method("queue.declare", {"queue": "never"})[:-4]
    ch.connection.send_frame(1, ch.number, plain + struct.pack(">I", len(entries)) + entries)
    ending(ch)


@family(
    {
        "queue_declare": ("queue.declare",),
        "basic_publish": ("basic.publish",),
        "channel_close": ("channel.close",),
        "channel_open": ("channel.open",),
        "channel_close_ok": ("channel.close-ok",),
    }
)
def on_channel_0(lab: Lab, name: str) -> None:
    """A channel's method on channel 0."""
    ch = lab.channel()
    ch.connection.send_method(0, name)
    ending(ch)


@family(
    {
        "queue_declare": ("queue.declare",),
        "basic_ack": ("basic.ack",),
        "channel_close": ("channel.close",),
        "channel_close_ok": ("channel.close-ok",),
        "channel_flow": ("channel.flow",),
    }
)
def on_unopened_channel(lab: Lab, name: str) -> None:
    """A method on a channel that was not opened."""
    ch = lab.unopened_channel()
    ch.cast(name)
    lab.quiet()


@case()
def content_on_unopened_channel(lab: Lab) -> None:
    """A content header on a channel that was not opened."""
    ch = lab.unopened_channel()
    ch.connection.send_frame(2, ch.number, HEADER)
    ending(ch)


@case()
def open_twice(lab: Lab) -> None:
    """channel.open on an open channel."""
    ch = lab.channel()
    ch.cast("channel.open")
    ending(ch)


@case()
def reopen(lab: Lab) -> None:
    """A closed channel number can be used again, and starts afresh."""
    ch = lab.channel()
    ch.confirm()
    ch.close()
    ch.open()
    ch.queue(lab.q())
    ch.publish("", lab.q())
    ch.sync()


@case()
def reopen_after_error(lab: Lab) -> None:
    """A channel number that an error closed can be used again."""
    ch = lab.channel()
    ch.queue(lab.q(), passive=True)
    ch.open()
    ch.queue(lab.q())


@case()
def closing_channel_ignores(lab: Lab) -> None:
    """Between the server's channel.close and the client's close-ok everything on the channel is discarded."""
    ch = lab.channel()
    ch.connection.answer_close = False
    ch.queue(lab.q(), passive=True)
    ch.cast("queue.declare", queue=lab.q())
    ch.cast("basic.publish", routing_key=lab.q())
    ch.connection.send_content(ch.number, b"x", {})
    lab.quiet()
    ch.cast("channel.close-ok")
    ch.connection.answer_close = True
    ch.open()
    ch.queue(lab.q(), passive=True)


@case()
def closing_channel_open(lab: Lab) -> None:
    """channel.open on a channel whose channel.close the client has not answered."""
    ch = lab.channel()
    ch.connection.answer_close = False
    ch.queue(lab.q(), passive=True)
    ch.cast("channel.open")
    lab.quiet()
    ch.connection.send_method(0, "connection.close-ok")


@case()
def closing_channel_crossed(lab: Lab) -> None:
    """The client's channel.close crosses the server's."""
    ch = lab.channel()
    ch.connection.answer_close = False
    ch.queue(lab.q(), passive=True)
    ch.cast("channel.close", reply_code=200)
    ch.connection.wait(ch.number, "channel.close-ok")
    ch.cast("channel.close-ok")
    ch.connection.answer_close = True
    ch.open()


@case()
def close_ok_unasked(lab: Lab) -> None:
    """channel.close-ok on an open channel that nobody closes."""
    ch = lab.channel()
    ch.cast("channel.close-ok")
    lab.quiet()
    ch.cast("queue.declare", queue=lab.q())
    lab.quiet()


@case()
def other_channels_live_on(lab: Lab) -> None:
    """A channel error leaves the other channels alone."""
    first, second = lab.channel(), lab.channel()
    first.queue(lab.q(), passive=True)
    second.queue(lab.q())


@case()
def channel_count_limit(lab: Lab) -> None:
    """channel_max counts open channels."""
    connection = lab.connect(channel_max=2)
    lab.channel(connection)
    lab.channel(connection).close()
    lab.channel(connection)
    lab.unopened_channel(connection).cast("channel.open")
    connection.wait_lost()


@case()
def channel_number_above_limit(lab: Lab) -> None:
    """A channel number above channel_max, while few are open."""
    connection = lab.connect(channel_max=2)
    lab.channel(connection, number=500).queue(lab.q())


@case()
def channel_number_highest(lab: Lab) -> None:
    """Channel number 65535."""
    lab.channel(number=65535).queue(lab.q())


@case()
def flow_active(lab: Lab) -> None:
    """channel.flow with active set is answered."""
    ch = lab.channel()
    ch.flow(True)


@case()
def flow_inactive(lab: Lab) -> None:
    """A client may not stop the flow."""
    ch = lab.channel()
    ch.cast("channel.flow", active=False)
    ending(ch)


@case()
def flow_ok_unasked(lab: Lab) -> None:
    """channel.flow-ok that nobody asked for."""
    ch = lab.channel()
    ch.cast("channel.flow-ok", active=True)
    ending(ch)


@case()
def access_request(lab: Lab) -> None:
    """Old clients ask for access; they get a ticket."""
    ch = lab.channel()
    ch.call("access.request", realm="/data", active=True, write=True, read=True)


@case()
def ticket_is_ignored(lab: Lab) -> None:
    """The reserved ticket argument may hold anything."""
    ch = lab.channel()
    ch.call("queue.declare", queue=lab.q(), ticket=7)


@case()
def sudden_death(lab: Lab) -> None:
    """A client that closes its socket in the middle of a content leaves no message."""
    ch = lab.channel()
    other = lab.channel(lab.connect())
    other.queue(lab.q())
    ch.cast("basic.publish", routing_key=lab.q())
    ch.connection.send_frame(2, ch.number, methods.encode_header(3, {}))
    ch.connection.drop()
    lab.quiet()
    other.queue(lab.q(), passive=True)


@family({verb: (verb,) for verb in ("flow", "ack", "recover_async")})
def behind_a_channel_error(lab: Lab, verb: str) -> None:
    """Methods that a client sent after its error, before it knew of it, have no answer; the next channel works."""
    connection = lab.connection
    connection.answer_close = False
    ch = lab.channel(connection)
    ch.queue(lab.q())
    ch.cast("queue.declare", queue=lab.q("missing"), passive=True)
    if verb == "flow":
        ch.cast("channel.flow", active=True)
    elif verb == "ack":
        ch.ack(7)
    else:
        ch.recover_async()
    ch.closed()
    lab.quiet()
    connection.send_method(ch.number, "channel.close-ok")
    ch.open()
    ch.queue(lab.q(), passive=True)
