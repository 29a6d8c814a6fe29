"""Frames are split from the bytes of a connection."""

import pytest

from amqpbroker.testing.faults.frames import GREETING, OPAQUE, Splitter
from amqpbroker.wire.frames import BODY, HEADER, HEARTBEAT_FRAME, METHOD
from tests.testing.faults.raw import HEADER as PROTOCOL
from tests.testing.faults.raw import method, publish


def split(data, cut, **options):
    splitter = Splitter(**({"greets": False, "passing": 0, "largest": 131072} | options))
    frames = []
    for start in range(0, len(data), cut):
        splitter.add(data[start : start + cut])
        frames += splitter.split()
    assert b"".join(frame.data for frame in frames) == data
    return frames


@pytest.mark.parametrize("cut", [1, 7, 8, 1000])
def test_frames_are_parsed_from_input_split_anywhere(cut):
    data = PROTOCOL + publish(b"body") + HEARTBEAT_FRAME + method(2, "channel.open")
    frames = split(data, cut, greets=True)
    assert [frame.kind for frame in frames] == [GREETING, METHOD, HEADER, BODY, 8, METHOD]
    assert [frame.name for frame in frames] == ["", "basic.publish", "", "", "", "channel.open"]
    assert [frame.counts for frame in frames] == [False, True, True, True, False, True]
    assert [frame.channel for frame in frames] == [0, 1, 1, 1, 0, 2]
    assert frames[1].arguments()["routing_key"] == "q"


def test_rest_of_a_frame_handled_before_is_passed_through_unparsed():
    frames = split(b"rest\xce" + HEARTBEAT_FRAME, 3, passing=5)
    assert {frame.kind for frame in frames[:-1]} == {OPAQUE}
    assert frames[-1].data == HEARTBEAT_FRAME


def test_nothing_is_parsed_after_an_oversized_frame():
    frames = split(b"\1\0\1\xff\xff\xff\xff" + method(1, "channel.open"), 5)
    assert {frame.kind for frame in frames} == {OPAQUE}


def test_method_with_truncated_fields_is_shown_without_arguments():
    (frame,) = split(b"\1\0\1\0\0\0\x05\0\x3c\0\x28\0\xce", 100)
    assert (frame.name, frame.arguments()) == ("basic.publish", {})
    (frame,) = split(b"\1\0\1\0\0\0\x04\x63\x3c\0\x28\xce", 100)
    assert frame.name == ""


def test_a_routing_key_that_is_not_utf_8_leaves_the_other_arguments():
    (frame,) = split(method(1, "basic.get-ok", routing_key=b"k\xff", exchange="e"), 100)
    assert frame.arguments()["exchange"] == "e"


@pytest.mark.parametrize("wrong", [b"\x04\0\1\0\0\0\0\xce", b"\1\0\1\0\0\0\0\xcd"])
@pytest.mark.parametrize("cut", [1, 8, 100])
def test_frame_with_unknown_type_or_no_frame_end_is_passed_on_unparsed(wrong, cut):
    frames = split(HEARTBEAT_FRAME + wrong + method(1, "channel.open"), cut)
    assert frames[0].data == HEARTBEAT_FRAME
    assert {frame.kind for frame in frames[1:]} == {OPAQUE}
