"""Checks of arguments of extensions: one of a few values, the name of a header."""

from collections.abc import Callable
from typing import Final

from amqpbroker.wire.erlang import erlang_characters, erlang_string
from amqpbroker.wire.values import TYPE_NAMES, Field, Table

#: Maximum length of the name of a header, in bytes.
MAX_NAME_BYTES: Final = 255


def header_name(field: Field, _: Table) -> str | None:
    """Check that the value is a long string that can be the name of a header."""
    if field.kind != "S":
        return erlang_string(f"expected the name of a header as a string, got {TYPE_NAMES[field.kind]}")
    if not 0 < len(field.value) <= MAX_NAME_BYTES:
        return erlang_string(f"expected the name of a header, 1 to {MAX_NAME_BYTES} bytes")
    return None


def choice(*texts: str) -> Callable[[Field, Table], str | None]:
    """Return a check that accepts a long string among `texts`, and names all of them otherwise."""
    values = [each.encode() for each in texts]
    *first, last = [f"'{each}'" for each in texts]
    expected = f"{', '.join(first)} or {last}" if first else last

    def check(field: Field, _: Table) -> str | None:
        if field.kind != "S":
            return erlang_string(f"expected {expected} as a string, got {TYPE_NAMES[field.kind]}")
        if field.value not in values:
            return erlang_string(f"expected {expected}, got '{erlang_characters(field.value)}'")
        return None

    return check
