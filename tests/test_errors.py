import pytest

from amqpbroker.errors import REPLY_CODES, AmqpError, no_exchange, not_found
from amqpbroker.wire.values import longstr
from tests.harness import Wire, make_broker


@pytest.mark.parametrize("code", REPLY_CODES)
def test_error_text_begins_with_the_name_of_its_reply_code(code: int) -> None:
    error = AmqpError(code, "because")
    assert error.text == f"{REPLY_CODES[code][0]} - because"
    assert error.scope == ("channel" if code in (311, 312, 313, 403, 404, 405, 406) else "connection")


def test_long_error_text_is_cut_to_a_shortstr_between_characters() -> None:
    exact = not_found("x" * (255 - len("NOT_FOUND - ")))
    assert len(exact.text) == 255
    assert not exact.text.endswith("...")
    for padding in ("", "x"):
        cut = not_found(padding + "é" * 200).text
        assert cut.endswith("é...")
        assert 253 < len(cut.encode()) <= 255


def test_bytes_that_are_not_utf_8_are_shown_as_latin_1() -> None:
    assert no_exchange(b"a\xffb".decode("utf-8", "surrogateescape"), "/").text == (
        "NOT_FOUND - no exchange 'aÿb' in vhost '/'"
    )
    assert no_exchange("žluť", "/").text == "NOT_FOUND - no exchange 'žluť' in vhost '/'"


def test_an_error_text_with_invalid_utf_8_can_be_decoded() -> None:
    client = Wire(make_broker()).log_in()
    client.broker.users.set_permissions("guest", "/", ".*", "^$", ".*")
    client.call(2, "channel.open")
    client.send(2, "queue.declare", queue="q", arguments={"x-dead-letter-exchange": longstr(b"\xff")})
    (closed,) = client.receive()
    assert closed.arguments["reply_text"] == (
        "ACCESS_REFUSED - write access to exchange 'ÿ' in vhost '/' refused for user 'guest'"
    )
