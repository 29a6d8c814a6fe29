from typing import Any

import pytest

from amqpbroker.amqp.sasl import Credentials, amqplain, external, plain
from amqpbroker.config import Config
from amqpbroker.wire.certificate import Certificate
from amqpbroker.wire.values import Field, MalformedError, Table, encode_table, longstr


def without_length(table: Table) -> bytes:
    return encode_table(table)[4:]


def test_plain() -> None:
    assert plain(b"\0guest\0s3cret") == Credentials("guest", b"s3cret")
    assert plain("\0jürgen\0€".encode()) == Credentials("jürgen", "€".encode())
    assert plain(b"\0\0") == Credentials("", b"")


@pytest.mark.parametrize("response", [b"", b"guest", b"\0guest", b"x\0guest\0guest", b"\0guest\0guest\0"])
def test_invalid_plain_responses_are_refused(response: bytes) -> None:
    with pytest.raises(MalformedError, match="PLAIN"):
        plain(response)


@pytest.mark.parametrize("kind", ["S", "x"])
def test_amqplain_credentials_are_parsed(kind: str) -> None:
    fields = {"x": longstr("1"), "PASSWORD": Field(kind, b"s3cret"), "LOGIN": Field(kind, b"guest")}
    assert amqplain(without_length(fields)) == Credentials("guest", b"s3cret")


@pytest.mark.parametrize(
    "response",
    [
        b"",
        b"\xffxx",
        without_length({"LOGIN": longstr("guest")}),
        without_length({"PASSWORD": longstr("guest")}),
        without_length({"LOGIN": Field("I", 1), "PASSWORD": longstr("guest")}),
        without_length({"LOGIN": longstr("guest"), "PASSWORD": Field("V", None)}),
        encode_table({"LOGIN": longstr("guest"), "PASSWORD": longstr("guest")}),
    ],
)
def test_invalid_amqplain_responses_are_refused(response: bytes) -> None:
    with pytest.raises(MalformedError):
        amqplain(response)


def test_a_password_is_never_shown() -> None:
    credentials = plain(b"\0guest\0s3cret")
    assert "s3cret" not in repr(credentials)
    assert "s3cret" not in str(credentials)
    assert "guest" in repr(credentials)


def test_a_malformed_response_is_not_shown() -> None:
    with pytest.raises(MalformedError) as malformed:
        plain(b"\0guest\0s3cret\0")
    assert "s3cret" not in str(malformed.value)


# --- EXTERNAL ---------------------------------------------------------------------------------------------------------

CERTIFICATE = Certificate(
    subject="CN=second,CN=first,O=x",
    issuer="CN=authority",
    validity="",
    common_names=("first", "second"),
    alternative_names=(("dns", "a.example"), ("email", "m@example"), ("dns", "b.example")),
)


@pytest.mark.parametrize(
    ("settings", "name"),
    [
        ({}, "CN=second,CN=first,O=x"),
        ({"from": "common_name"}, "first,second"),
        ({"from": "subject_alternative_name"}, "a.example"),
        ({"from": "subject_alt_name", "san_index": 1}, "b.example"),
        ({"from": "subject_alternative_name", "san_index": 2}, ""),
        ({"from": "subject_alternative_name", "san_type": "email"}, "m@example"),
        ({"from": "subject_alternative_name", "san_type": "uri"}, ""),
    ],
)
def test_user_name_is_extracted_from_a_certificate(settings: dict[str, Any], name: str) -> None:
    config = Config(**{f"ssl_cert_login_{key}": value for key, value in settings.items()})
    assert external(CERTIFICATE, config) == name


def test_no_certificate_has_no_user_name() -> None:
    assert external(None, Config()) == ""
