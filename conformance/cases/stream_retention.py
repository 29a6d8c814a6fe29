"""Streams: retention. Segments are small, since only whole segments go."""

from __future__ import annotations

from typing import Any

from conformance.cases.policy import operator_policy, policy
from conformance.cases.stream import fill, read, stream
from conformance.channel import Channel
from conformance.lab import Lab
from conformance.registry import MANAGEMENT, case, family

NEEDS = (MANAGEMENT,)


@case()
def kept_in_one_segment(lab: Lab) -> None:
    """A stream that has one segment keeps everything, whatever its limits."""
    ch = stream(lab, max_length_bytes=10, max_age="1s")
    fill(ch, lab.q(), 5)
    lab.sleep(1.5)
    fill(ch, lab.q(), 1, start=5)
    read(lab, offset="first").deliveries(6)


def write(ch: Channel, queue: str, count: int, start: int = 0) -> None:
    """Publish numbers of 100 bytes, whose confirms are not recorded."""
    for number in range(start, start + count):
        ch.connection.forget(ch.publish_confirmed("", queue, str(number).ljust(100)))


def numbers(lab: Lab, last: int) -> list[int]:
    """Return the numbers that a stream has, up to the last, without a recording.

    On RabbitMQ each further segment takes an offset for itself, so that offsets say nothing of the number.
    """
    connection = lab.connect()
    reader = read(lab, 65535, offset="first", ch=lab.channel(connection))
    found: list[int] = []
    while not found or found[-1] != last:
        found.append(int(reader.deliveries(1)[0].body or b"-1"))
    connection.close()
    connection.events.clear()
    return found


def numbers_after_retention(lab: Lab, last: int) -> list[int]:
    """Return the numbers of a stream once no more go, which happens in the background.

    A pause comes before each reading, since readers of RabbitMQ get stuck when their segment goes.
    """
    deadline = lab.network.now_s() + 8
    before: list[int] = []
    while True:
        lab.sleep(0.7)
        left = numbers(lab, last)
        if (left == before and left[0] > 0) or lab.network.now_s() > deadline:
            return left
        before = left


def observe_newest(lab: Lab, left: list[int], last: int) -> None:
    """Observe that the oldest numbers are gone, and that all newer ones are there."""
    lab.observe("oldest are gone", left[0] > 0)
    lab.observe("newer are complete", left == list(range(left[0], last + 1)))


@case()
def limited_by_length(lab: Lab) -> None:
    """The oldest messages go, a small segment at a time; the newest stay."""
    ch = stream(lab, max_length_bytes=3000, stream_max_segment_size_bytes=1000)
    write(ch, lab.q(), 200)
    left = numbers_after_retention(lab, 199)
    observe_newest(lab, left, 199)
    lab.observe("at most a quarter is left", len(left) <= 50)


@case()
def limited_by_length_that_is_not_reached(lab: Lab) -> None:
    """Below the limit all messages stay, in however many segments."""
    ch = stream(lab, max_length_bytes=1_000_000, stream_max_segment_size_bytes=1000)
    write(ch, lab.q(), 50)
    lab.observe("complete", numbers(lab, 49) == list(range(50)))


@case()
def limited_by_age(lab: Lab) -> None:
    """Segments whose messages are all too old go when a segment is full."""
    ch = stream(lab, max_age="1s", stream_max_segment_size_bytes=1000)
    write(ch, lab.q(), 50)
    lab.sleep(2.5)
    write(ch, lab.q(), 50, start=50)
    observe_newest(lab, numbers_after_retention(lab, 99), 99)


@case()
def limited_by_age_that_is_not_reached(lab: Lab) -> None:
    """Within the age all messages stay, in however many segments."""
    ch = stream(lab, max_age="1h", stream_max_segment_size_bytes=1000)
    write(ch, lab.q(), 50)
    lab.observe("complete", numbers(lab, 49) == list(range(50)))


@case()
def limited_by_both(lab: Lab) -> None:
    """A limit of the length applies although the age is not reached."""
    ch = stream(lab, max_age="1h", max_length_bytes=3000, stream_max_segment_size_bytes=1000)
    write(ch, lab.q(), 200)
    observe_newest(lab, numbers_after_retention(lab, 199), 199)


@case()
def removed_before_it_was_read(lab: Lab) -> None:
    """A reader that asks for a removed offset begins with the first message that is left."""
    ch = stream(lab, max_length_bytes=3000, stream_max_segment_size_bytes=1000)
    write(ch, lab.q(), 200)
    first = numbers_after_retention(lab, 199)[0]
    reader = read(lab, 1, offset=5)
    event = reader.connection.forget(reader.deliveries(1)[0])
    lab.observe("begins with the first", int(event.body or b"-1") == first)


# Policies

SMALL = {"max-length-bytes": 3000}
LARGE = {"max-length-bytes": 1_000_000}


@family(
    {
        "alone": ({}, SMALL, {}, True),
        "above_a_larger_argument": ({"max_length_bytes": 1_000_000}, SMALL, {}, True),
        "above_a_smaller_argument": ({"max_length_bytes": 3000}, LARGE, {}, False),
        "of_age_above_an_argument": ({"max_age": "1h"}, {"max-age": "1s"} | SMALL, {}, True),
        "beside_an_argument": ({"max_length_bytes": 3000}, {"max-age": "1h"}, {}, True),
        "with_a_key_of_other_queues": ({}, SMALL | {"message-ttl": 60000}, {}, False),
        "with_a_length": ({}, SMALL | {"max-length": 5}, {}, False),
        "with_a_key_of_exchanges": ({}, SMALL | {"alternate-exchange": "x"}, {}, True),
        "for_streams": ({}, SMALL, {"apply_to": "streams"}, True),
        "for_queues": ({}, SMALL, {"apply_to": "queues"}, True),
        "for_classic_queues": ({}, SMALL, {"apply_to": "classic_queues"}, False),
        "for_quorum_queues": ({}, SMALL, {"apply_to": "quorum_queues"}, False),
    },
    requires=NEEDS,
)
def policy_limit(
    lab: Lab, arguments: dict[str, Any], definition: dict[str, Any], more: dict[str, Any], limited: bool
) -> None:
    """A policy that applies wins over arguments; with a key that streams do not support it does not apply."""
    policy(lab, definition, **more)
    ch = stream(lab, stream_max_segment_size_bytes=1000, **arguments)
    write(ch, lab.q(), 200)
    left = numbers_after_retention(lab, 199) if limited else numbers(lab, 199)
    observe_newest(lab, left, 199)


@case(requires=NEEDS)
def policy_limit_later(lab: Lab) -> None:
    """A policy that comes later limits what is there."""
    ch = stream(lab, stream_max_segment_size_bytes=1000)
    write(ch, lab.q(), 200)
    policy(lab, SMALL)
    observe_newest(lab, numbers_after_retention(lab, 199), 199)


@case(requires=NEEDS)
def policy_of_segments(lab: Lab) -> None:
    """The size of segments comes from the policy at the declaration."""
    policy(lab, {"stream-max-segment-size-bytes": 1000} | SMALL)
    ch = stream(lab)
    write(ch, lab.q(), 200)
    observe_newest(lab, numbers_after_retention(lab, 199), 199)


@case(requires=NEEDS)
def policy_of_segments_later(lab: Lab) -> None:
    """A size of segments that comes after the declaration has no effect."""
    ch = stream(lab)
    policy(lab, {"stream-max-segment-size-bytes": 1000} | SMALL)
    write(ch, lab.q(), 200)
    observe_newest(lab, numbers(lab, 199), 199)


@case(requires=NEEDS)
def operator_limit(lab: Lab) -> None:
    """An operator policy limits a stream, also with a larger limit in its policy."""
    policy(lab, LARGE)
    operator_policy(lab, SMALL)
    ch = stream(lab, stream_max_segment_size_bytes=1000)
    write(ch, lab.q(), 200)
    observe_newest(lab, numbers_after_retention(lab, 199), 199)
