"""Field values in the format of RabbitMQ's error texts: Erlang terms (io_lib's ~tp, on one line)."""

from collections.abc import Mapping
from decimal import Decimal

from amqpbroker.wire.values import TYPE_NAMES, Field

_ESCAPES = {"\n": "\\n", "\r": "\\r", "\t": "\\t", "\v": "\\v", "\b": "\\b", "\f": "\\f", "\x1b": "\\e"}
_ESCAPES |= {'"': '\\"', "\\": "\\\\"}


def erlang_binary(value: bytes) -> str:
    """Return `<<"abc">>`, `<<"hé"/utf8>>`, or `<<1,2>>` for bytes that are not printable text."""
    try:
        characters, suffix = value.decode("utf-8"), "" if value.isascii() else "/utf8"
    except UnicodeDecodeError:
        characters, suffix = value.decode("latin-1"), ""
    if not characters:
        return "<<>>"
    if all(character.isprintable() or character in _ESCAPES or character == "\xa0" for character in characters):
        escaped = "".join([_ESCAPES.get(character, character) for character in characters])
        return f'<<"{escaped}"{suffix}>>'
    return erlang_octets(value)


def erlang_octets(value: bytes) -> str:
    """Return bytes as ~w prints them, even if they are printable: `<<97,98,99>>`."""
    return f"<<{','.join(map(str, value))}>>"


def erlang_string(characters: str) -> str:
    """Return a string as ~p prints it: `"abc"`, or `[97,1]` if not all of it is printable Latin-1; `[]` if empty."""
    if characters and all(_is_printable_latin_1(character) for character in characters):
        return f'"{"".join([_ESCAPES.get(character, character) for character in characters])}"'
    return f"[{','.join([str(ord(character)) for character in characters])}]"


def _is_printable_latin_1(character: str) -> bool:
    return " " <= character <= "~" or "\xa0" <= character <= "\xff" or character in _ESCAPES


def erlang_characters(value: bytes) -> str:
    """Return bytes as ~ts prints them: as UTF-8, or as Latin-1 if they are not UTF-8."""
    try:
        return value.decode()
    except UnicodeDecodeError:
        return value.decode("latin-1")


def erlang_float(value: float) -> str:
    """Return the shortest digits, in the shorter of the two notations: 100.0, 1.0e3, 1.2e-4."""
    exact = Decimal(repr(value))
    sign, digits, exponent = exact.normalize().as_tuple()
    significant = "".join(map(str, digits))
    scale = len(digits) - 1 + int(exponent)
    scientific = f"{'-' if sign else ''}{significant[0]}.{significant[1:] or '0'}e{scale}"
    plain = f"{exact:f}"
    if "." not in plain:
        plain += ".0"
    return plain if len(plain) <= len(scientific) and abs(value) < 2**53 else scientific


def erlang_term(field: Field) -> str:
    """Return a value of a field table, such as 1, true, undefined, <<"text">>, {1,15}, [{<<"key">>,byte,1}]."""
    kind, value = field
    if kind in "Sx":
        return erlang_binary(value)
    if kind == "t":
        return "true" if value else "false"
    if kind == "V":
        return "undefined"
    if kind == "D":
        scale, unscaled = value
        return f"{{{scale},{unscaled % 2**32}}}"
    if kind in "fd":
        return erlang_float(value)
    if kind == "A":
        return f"[{','.join([f'{{{TYPE_NAMES[item.kind]},{erlang_term(item)}}}' for item in value])}]"
    if kind == "F":
        entries = [
            f"{{{erlang_binary(name.encode('utf-8', 'surrogateescape'))},{TYPE_NAMES[item.kind]},{erlang_term(item)}}}"
            for name, item in value.items()
        ]
        return f"[{','.join(entries)}]"
    return str(value)


def erlang_json(value: object) -> str:
    """Return a decoded JSON value as RabbitMQ holds it: null, 1.5, <<"text">>, [1,2], #{<<"key">> => 1}."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return erlang_binary(value.encode("utf-8", "surrogateescape"))
    if isinstance(value, float):
        return erlang_float(value)
    if isinstance(value, list):
        return f"[{','.join([erlang_json(item) for item in value])}]"
    if isinstance(value, dict):
        return f"#{{{','.join([f'{erlang_json(key)} => {erlang_json(item)}' for key, item in value.items()])}}}"
    return str(value)


def erlang_entries(mapping: Mapping[str, object]) -> str:
    """Return a decoded JSON object as a list: [{<<"key">>,1}]."""
    return f"[{','.join([f'{{{erlang_json(key)},{erlang_json(mapping[key])}}}' for key in sorted(mapping)])}]"
