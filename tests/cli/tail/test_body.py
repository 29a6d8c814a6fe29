"""Bodies in readable form."""

import pytest

from amqpbroker.cli.tail.body import shown_body, visible
from amqpbroker.cli.tail.message import TailMessage


def lines(body: bytes, content_type: str | None = None, max_bytes: int | None = None) -> list[str]:
    properties = {} if content_type is None else {"content_type": content_type}
    return list(
        shown_body(TailMessage("publish", "", ("k",), None, False, "", properties, {}, body, len(body)), max_bytes)
    )


@pytest.mark.parametrize("kind", ["application/json", "application/vnd.api+json; charset=utf-8", None])
def test_tail_indents_json_bodies(kind: str | None) -> None:
    assert lines('{"a":[1,"é"]}'.encode(), kind) == ["{", '  "a": [', "    1,", '    "é"', "  ]", "}"]


@pytest.mark.parametrize("body", [b"{not json", b"[" * 100_000])
def test_invalid_json_is_shown_as_text(body: bytes) -> None:
    assert lines(body, "application/json") == [body.decode()]


def test_text_is_shown_as_it_is() -> None:
    assert lines("é\n\tb\r\nc".encode()) == ["é", "\tb", "c"]


def test_tail_shows_binary_bodies_as_a_hex_dump() -> None:
    assert lines(bytes(range(60, 70)) + b"\xff" * 8) == [
        "00000000  3c 3d 3e 3f 40 41 42 43  44 45 ff ff ff ff ff ff  |<=>?@ABCDE......|",
        "00000010  ff ff                                             |..|",
    ]
    assert lines(b"\x00\x01\x02")[0].startswith("00000000  00 01 02")
    assert lines(b"\xff", "text/plain") == ["00000000  ff                                                |.|"]


def test_bodies_are_shown_without_control_characters() -> None:
    assert lines(b"a\x1b[31mb\x00\x9bc".replace(b"\x9b", b"\xc2\x9b"), "text/plain") == [r"a\x1b[31mb\x00\x9bc"]
    assert visible("a\u202eb\u2066") == r"a\u202eb\u2066"
    assert lines(b'"\\u001b[31m\\u009b"', "application/json") == ['"\\u001b[31m\\x9b"']


def test_long_bodies_are_cut() -> None:
    assert lines(b"x" * 3000, None, 10) == ["xxxxxxxxxx", "... 2,990 B more"]
    assert lines("é".encode() * 10, None, 3) == ["é", "... 17 B more"]
    assert lines(b"[1, 2, 3]", None, 5) == ["[", "  1", "... 12 characters more"]
    assert lines(b"\xff" * 20, None, 4)[-1] == "... 16 B more"


def test_an_empty_body_is_not_shown() -> None:
    assert not lines(b"")
    assert not lines(b"", "application/json")
