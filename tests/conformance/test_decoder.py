import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from conformance import methods
from conformance.decoder import Decoder
from conformance.errors import MalformedFrameError


def method(channel, name, **arguments):
    return methods.frame(methods.METHOD, channel, methods.encode_method(name, arguments))


def content(channel, *pieces, **properties):
    size = sum(len(piece) for piece in pieces)
    header = methods.frame(methods.HEADER, channel, methods.encode_header(size, properties))
    return header + b"".join(methods.frame(methods.BODY, channel, piece) for piece in pieces)


STREAM = (
    method(1, "basic.consume-ok", consumer_tag="a")
    + method(1, "basic.deliver", consumer_tag="a", delivery_tag=1)
    + methods.frame(methods.HEARTBEAT, 0, b"")
    + content(1, b"abc", b"d", priority=4)
    + method(2, "basic.get-ok", delivery_tag=9)
    + content(2)
)


def shown(events):
    return [(event.channel, event.name, event.properties, event.body, event.body_frames) for event in events]


def test_decoder_joins_a_method_and_its_content_into_one_event():
    assert shown(Decoder().feed(STREAM)) == [
        (1, "basic.consume-ok", None, None, []),
        (0, "heartbeat", None, None, []),
        (1, "basic.deliver", {"priority": 4}, b"abcd", [3, 1]),
        (2, "basic.get-ok", {}, b"", []),
    ]


@given(st.lists(st.integers(0, len(STREAM)), max_size=8).map(sorted))
def test_decoder_result_does_not_depend_on_how_input_is_split(cuts):
    decoder = Decoder()
    edges = [0, *cuts, len(STREAM)]
    events = [event for start, end in itertools.pairwise(edges) for event in decoder.feed(STREAM[start:end])]
    assert shown(events) == shown(Decoder().feed(STREAM))


def test_decoder_accepts_a_protocol_header_as_the_first_frame():
    [event] = Decoder().feed(b"AMQP\0\0\x09\x01")
    assert event.shown() == {"method": "protocol header", "bytes": [0, 0, 9, 1]}


@pytest.mark.parametrize(
    "data",
    [
        STREAM[:-1] + b"\0",
        methods.frame(9, 0, b""),
        content(1, b"a"),
        method(1, "basic.get-ok") + methods.frame(methods.HEADER, 1, methods.encode_header(1, {}, class_id=50)),
    ],
)
def test_frames_out_of_place_are_malformed(data):
    with pytest.raises(MalformedFrameError):
        Decoder().feed(data)
