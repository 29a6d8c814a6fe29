"""Any bytes result in an AMQP error or a close: never in a traceback, a hang, or leftovers. See invariants.py."""

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from amqpbroker.wire.frames import BODY, HEADER, HEARTBEAT_FRAME, METHOD, frame
from amqpbroker.wire.methods import encode
from amqpbroker.wire.values import Field, longstr
from tests.fuzz import scripts
from tests.fuzz.effort import effort
from tests.fuzz.invariants import check
from tests.harness import published

PROTOCOL_HEADER = b"AMQP\0\0\x09\x01"


@given(data=st.binary(max_size=60))
@effort(60)
def test_broker_survives_arbitrary_bytes(data: bytes) -> None:
    check([data], logged_in=False)


@given(data=st.binary(max_size=60))
@effort(100)
def test_broker_survives_arbitrary_bytes_after_the_protocol_header(data: bytes) -> None:
    check([PROTOCOL_HEADER + data], logged_in=False)


@given(data=st.lists(st.binary(max_size=60) | scripts.good, max_size=4))
@effort(100)
def test_broker_survives_arbitrary_bytes_on_an_open_connection(data: list[bytes]) -> None:
    check(data)


def _method(name: str, channel: int = 1, **arguments: object) -> bytes:
    return frame(METHOD, channel, encode(name, **arguments))


HANDSHAKE = [
    PROTOCOL_HEADER,
    _method("connection.start-ok", 0, mechanism="PLAIN", response="\0guest\0guest", locale="en_US"),
    _method("connection.tune-ok", 0, channel_max=3, frame_max=4096, heartbeat=10),
    _method("connection.open", 0, virtual_host="/"),
]

#: A connection that uses every feature.
LIFE = [
    *HANDSHAKE,
    _method("channel.open"),
    _method("exchange.declare", exchange="x", exchange_type="topic", arguments={"alternate-exchange": longstr("y")}),
    _method("exchange.declare", exchange="y", exchange_type="fanout", auto_delete=True),
    _method("exchange.bind", source="x", destination="y", routing_key="#"),
    _method("queue.declare", queue="a", exclusive=True, arguments={"x-max-length": Field("I", 3)}),
    _method("queue.declare", queue="b", arguments={"x-message-ttl": Field("I", 50), "x-expires": Field("I", 500)}),
    _method("queue.bind", queue="a", exchange="y"),
    _method("queue.bind", queue="b", exchange="amq.headers", arguments={"x-match": longstr("any"), "k": longstr("v")}),
    _method("confirm.select"),
    _method("basic.qos", prefetch_count=2),
    published("k", b"one", "x"),
    published("k", b"two", "x", priority=3, headers={"k": longstr("v"), "f": Field("d", 1.5)}),
    published("k", b"three", "amq.headers", headers={"k": longstr("v")}, expiration="20"),
    published("nowhere", b"four", mandatory=True),
    _method("basic.consume", queue="a", consumer_tag="t"),
    _method("basic.ack", delivery_tag=1),
    _method("basic.nack", delivery_tag=2, requeue=True),
    _method("channel.open", 2),
    _method("basic.publish", 2, routing_key="a"),
    frame(HEADER, 2, b"\0\x3c\0\0" + (6).to_bytes(8, "big") + b"\x10\0\2"),
    frame(BODY, 2, b"abc"),
    HEARTBEAT_FRAME,
    _method("basic.get", queue="b"),
    frame(BODY, 2, b"def"),
    _method("tx.select", 2),
    published("a", b"five", channel=2),
    _method("tx.commit", 2),
    _method("basic.cancel", consumer_tag="t"),
    _method("basic.recover", requeue=True),
    _method("queue.purge", queue="a"),
    _method("queue.delete", queue="b"),
    _method("channel.close", 2),
    _method("connection.close", 0),
]


@st.composite
def mutations(draw: st.DrawFn) -> list[bytes]:
    """Return the script of a connection with up to three errors in it."""
    life = list(LIFE)
    for _ in range(draw(st.integers(1, 3))):
        place = draw(st.integers(0, len(life) - 1))
        data = life[place]
        what = draw(st.integers(0, 9))
        if what == 0:
            del life[place]
        elif what == 1:
            life.insert(draw(st.integers(0, len(life) - 1)), data)
        elif what == 2:
            other = draw(st.integers(0, len(life) - 1))
            life[place], life[other] = life[other], data
        elif what == 3:
            life[place] = data[: draw(st.integers(0, len(data)))]
        elif what == 4:
            at = draw(st.integers(0, max(0, len(data) - 1)))
            life[place] = data[:at] + bytes((draw(st.integers(0, 255)),)) + data[at + 1 :]
        elif what == 5:
            at = draw(st.integers(0, len(data)))
            life[place] = data[:at] + draw(st.binary(min_size=1, max_size=9)) + data[at:]
        elif what == 6:
            life[place] = data[:1] + struct.pack(">H", draw(scripts.channels)) + data[3:]
        elif what == 7:
            life[place] = bytes((draw(st.sampled_from([0, 1, 2, 3, 4, 8, 255])),)) + data[1:]
        elif what == 8:
            size = draw(st.sampled_from([0, 1, 4, 4088, 4096, 4097, 2**31, 2**32 - 1]))
            life[place] = data[:3] + struct.pack(">I", size) + data[7:]
        else:
            life.insert(place, draw(scripts.odd_frames))
        if not life:
            break
    return life


def test_unmodified_client_script_passes_the_fuzz_checks() -> None:
    check(LIFE, logged_in=False)
    check([step for data in LIFE for step in (data, 0)], logged_in=False)


@given(life=mutations(), pause=st.booleans())
@effort(250)
def test_broker_survives_a_client_script_with_errors(life: list[bytes], pause: bool) -> None:
    check([step for data in life for step in ((data, 5) if pause else (data,))], logged_in=False)


@given(script=scripts.scripts)
@effort(350)
def test_broker_survives_methods_in_any_order_with_any_arguments(script: list[bytes | int]) -> None:
    check(script)


@given(script=scripts.sane_scripts())
@effort(200)
def test_broker_survives_long_mostly_valid_scripts(script: list[bytes | int]) -> None:
    check(script, reopens=True)


@pytest.mark.parametrize(
    "script",
    [
        [_method("exchange.declare", exchange="x", exchange_type="headers", arguments={"x-match": Field("d", 1e300)})],
        [
            _method(
                "queue.bind", queue="", exchange="amq.headers", arguments={"x-match": Field("F", {"a": longstr("b")})}
            )
        ],
        [_method("basic.ack", delivery_tag=0, multiple=True) * 3, 0, _method("basic.ack")],
        [_method("queue.declare", queue="\ud7ff" * 85), _method("queue.declare", queue="x" * 255, passive=True)],
    ],
)
def test_scripts_that_once_broke_the_broker_pass(script: list[bytes | int]) -> None:
    check(script)
