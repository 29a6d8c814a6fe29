"""Checks of arguments of extensions that have a few possible values."""

from collections.abc import Callable

from amqpbroker.wire.erlang import erlang_characters, erlang_string
from amqpbroker.wire.values import TYPE_NAMES, Field, Table


def choice(*texts: str) -> Callable[[Field, Table], str | None]:
    """Return a check that accepts a long string among `texts`, and names all of them otherwise."""
    values = [each.encode() for each in texts]
    expected = " or ".join(f"'{each}'" for each in texts)

    def check(field: Field, _: Table) -> str | None:
        if field.kind != "S":
            return erlang_string(f"expected {expected} as a string, got {TYPE_NAMES[field.kind]}")
        if field.value not in values:
            return erlang_string(f"expected {expected}, got '{erlang_characters(field.value)}'")
        return None

    return check
