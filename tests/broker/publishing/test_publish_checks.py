"""Checks of properties, with texts that RabbitMQ 4.0.5 prints."""

import pytest

from amqpbroker.broker.publishing.publish_checks import (
    MAX_EXPIRY_MS,
    check_user_id,
    expiration_ms,
    expiry_problem,
    extra_routing_keys,
    without_bcc,
)
from amqpbroker.errors import AmqpError
from amqpbroker.wire.values import Field, longstr


@pytest.mark.parametrize(
    ("raw", "value"),
    [(b"0", 0), (b"+5", 5), (b"-0", 0), (b"007", 7), (b"60000", 60_000), (b"315360000000", 315_360_000_000)],
)
def test_valid_expiration_property_is_parsed(raw: bytes, value: int) -> None:
    assert expiration_ms(raw) == value


@pytest.mark.parametrize(
    ("raw", "shown", "reason"),
    [
        (b"", "", "no_integer"),
        (b"abc", "abc", "no_integer"),
        (b" 1", " 1", "no_integer"),
        (b"+", "+", "no_integer"),
        (b"--1", "--1", "no_integer"),
        ("５".encode(), "５", "no_integer"),
        (b"\xff", "ÿ", "no_integer"),
        (b"-1", "-1", "{value_negative,-1}"),
        (b"315360000001", "315360000001", "{value_too_large,315360000001}"),
        (b"1.5", "1.5", '{leftover_string,".5"}'),
        (b"-5.5", "-5.5", '{leftover_string,".5"}'),
        (b"1 ", "1 ", '{leftover_string," "}'),
        (b"1e3", "1e3", '{leftover_string,"e3"}'),
        (b"1_000", "1_000", '{leftover_string,"_000"}'),
        (b"99999999999999x", "99999999999999x", '{leftover_string,"x"}'),
        (b"5\n", "5\n", '{leftover_string,"\\n"}'),
        (b'12"q\\', '12"q\\', '{leftover_string,"\\"q\\\\"}'),
        ("5é".encode(), "5é", '{leftover_string,"Ã©"}'),
        ("1日".encode(), "1日", "{leftover_string,[230,151,165]}"),
        (b"1\0", "1\0", "{leftover_string,[0]}"),
    ],
)
def test_invalid_expiration_property_is_refused(raw: bytes, shown: str, reason: str) -> None:
    with pytest.raises(AmqpError) as refused:
        expiration_ms(raw)
    assert refused.value.text == f"PRECONDITION_FAILED - invalid expiration '{shown}': {reason}"


def test_message_without_cc_and_bcc_has_no_extra_routing_keys() -> None:
    assert extra_routing_keys({"cc": longstr("a")}) == ((), 0)


def test_extra_routing_keys_are_those_of_cc_then_of_bcc() -> None:
    headers = {
        "BCC": Field("A", [longstr("c")]),
        "CC": Field("A", [Field("I", 1), longstr("a"), Field("x", b"no"), longstr(b"\xff")]),
    }
    assert extra_routing_keys(headers) == ((b"a", b"\xff", b"c"), 2)


@pytest.mark.parametrize("header", ["CC", "BCC"])
@pytest.mark.parametrize(
    ("field", "name"), [(longstr("a"), "longstr"), (Field("V", None), "void"), (Field("F", {}), "table")]
)
def test_extra_routing_keys_must_be_an_array(header: str, field: Field, name: str) -> None:
    with pytest.raises(AmqpError) as refused:
        extra_routing_keys({header: field})
    assert refused.value.text == (
        f'PRECONDITION_FAILED - invalid message: {{unacceptable_type_in_header,"{header}",{name}}}'
    )


def test_cc_is_checked_before_bcc() -> None:
    with pytest.raises(AmqpError, match='"CC",bool'):
        extra_routing_keys({"BCC": Field("I", 1), "CC": Field("t", True)})


def test_bcc_is_removed_and_cc_is_retained() -> None:
    headers = {"a": longstr("1"), "BCC": Field("A", []), "CC": Field("A", [])}
    assert without_bcc(headers) == {"a": longstr("1"), "CC": Field("A", [])}
    assert "BCC" in headers


def test_user_id_of_the_publisher_is_accepted() -> None:
    check_user_id("guest", "guest", ())
    check_user_id("bob", "guest", ("administrator", "impersonator"))


@pytest.mark.parametrize(("user_id", "shown"), [("", ""), ("bob", "bob"), ("日", "日"), ("bo\udce9", "boé")])
def test_user_id_of_another_user_is_refused_on_publish(user_id: str, shown: str) -> None:
    with pytest.raises(AmqpError) as refused:
        check_user_id(user_id, "guest", ("administrator",))
    assert refused.value.text == (
        f"PRECONDITION_FAILED - user_id property set to '{shown}' but authenticated user was 'guest'"
    )


@pytest.mark.parametrize(
    ("value_ms", "problem"),
    [
        (0, None),
        (MAX_EXPIRY_MS, None),
        (-1, "{value_negative,-1}"),
        (MAX_EXPIRY_MS + 1, "{value_too_large,315360000001}"),
    ],
)
def test_time_to_live_must_be_between_zero_and_ten_years(value_ms: int, problem: str | None) -> None:
    assert expiry_problem(value_ms) == problem
