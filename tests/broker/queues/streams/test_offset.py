"""The place where a consumer of a stream begins to read."""

import pytest

from amqpbroker.broker.queues.streams.offset import FIRST, LAST, NEXT, Start, start_of
from amqpbroker.wire.values import Field, longstr
from tests.store.streams.logs import START_MS, Node, message


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (None, Start(NEXT)),
        (longstr("first"), Start(FIRST)),
        (Field("x", b"last"), Start(LAST)),
        (longstr("next"), Start(NEXT)),
        (Field("l", 2**62), Start(offset=2**62)),
        (Field("b", -1), Start(offset=-1)),
        (Field("T", 7), Start(written_ms=7000)),
        (longstr("2m"), Start(age_ms=120_000)),
    ],
)
def test_offset_is_a_place_a_number_or_a_time(value, expected):
    assert start_of({} if value is None else {"x-stream-offset": value}) == expected


@pytest.mark.parametrize(
    ("value", "term"),
    [
        (longstr("1x"), '{longstr,<<"1x">>}'),
        (longstr("First"), '{longstr,<<"First">>}'),
        (Field("t", True), "{bool,true}"),
        (Field("V", None), "{void,undefined}"),
        (Field("d", 1.0), "{double,1.0}"),
    ],
)
def test_other_values_are_refused(value, term):
    with pytest.raises(ValueError, match="invalid_stream_offset_arg") as refused:
        start_of({"x-stream-offset": value})
    assert str(refused.value) == f"{{invalid_stream_offset_arg,{term}}}"


def test_places_of_a_stream():
    node = Node(segment_bytes=1)
    for body in "abcd":
        node.publish(body)
        node.clock.advance(1000)
    node.log.limit(400, -1)
    node.log.append(message("unwritten"))
    first = node.log.first
    assert 0 < first < 3

    def place(start: Start, counts_back: bool = True) -> int:
        return start.offset_in(node.log, node.clock, counts_back)

    assert place(Start(FIRST)) == first
    assert place(Start(LAST)) == 3
    assert place(Start(NEXT)) == 5
    assert place(Start(offset=0)) == first
    assert place(Start(offset=3)) == 3
    assert place(Start(offset=99)) == 99
    assert place(Start(offset=-1)) == 3
    assert place(Start(offset=-99)) == first
    assert place(Start(offset=-1), counts_back=False) == first
    assert place(Start(written_ms=START_MS + 3000)) == 3
    assert place(Start(written_ms=START_MS + 9000)) == 4
    assert place(Start(age_ms=1500)) == 3
