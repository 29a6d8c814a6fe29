"""Times in headers."""

import pytest

from amqpbroker.message.delivery_time import DELIVERY_TIME, delivery_time_ms, time_ms
from amqpbroker.wire.properties import encode_properties
from amqpbroker.wire.values import Field, longstr

AT_MS = 1_795_892_400_500  # 2026-11-28 19:00:00.5 UTC


@pytest.mark.parametrize(
    "field",
    [
        Field("l", AT_MS),
        Field("d", float(AT_MS)),
        longstr(str(AT_MS)),
        longstr("2026-11-28T19:00:00.500000+00:00"),
        longstr("2026-11-28T19:00:00.500Z"),
        longstr("2026-11-28T20:00:00.5+01:00"),
        longstr("2026-11-28 19:00:00.500"),
        longstr("2026-11-28T19:00:00.500"),
    ],
    ids=str,
)
def test_time_is_read_from_numbers_and_text(field: Field) -> None:
    assert time_ms(field) == AT_MS


@pytest.mark.parametrize("text", ["19:00:00.499001Z", "19:00:00.499999", "20:00:00.4995+01:00"])
def test_time_with_microseconds_is_rounded_up(text: str) -> None:
    assert time_ms(longstr(f"2026-11-28T{text}")) == AT_MS


def test_timestamp_is_in_seconds() -> None:
    assert time_ms(Field("T", AT_MS // 1000)) == AT_MS - 500


@pytest.mark.parametrize(
    "field",
    [
        Field("V", None),
        Field("t", True),
        Field("l", -5),
        longstr(""),
        longstr("tomorrow"),
        longstr("12:00"),
        longstr("0001-01-01T00:00:00"),
        longstr("2026-13-01T00:00:00"),
        Field("S", b"\xff"),
        Field("S", "２０２６".encode()),
    ],
    ids=str,
)
def test_a_value_that_is_no_time_names_none(field: Field) -> None:
    assert time_ms(field) == 0


@pytest.mark.parametrize("field", [Field("l", 2**63 - 1), longstr("9" * 15), Field("T", 2**60), Field("d", 1e300)])
def test_a_time_after_the_year_9999_is_reduced_to_it(field: Field) -> None:
    assert time_ms(field) == 253_402_300_799_000


def test_header_of_a_message_is_found_by_its_name() -> None:
    properties = encode_properties({"headers": {"eta": longstr("2026-11-28T19:00:00.5Z"), "x": Field("I", 1)}})
    assert delivery_time_ms(properties, b"eta") == AT_MS
    assert delivery_time_ms(properties, DELIVERY_TIME) == 0
