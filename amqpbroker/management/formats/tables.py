"""Field tables as JSON, and JSON as field tables (rabbit_mgmt_format:amqp_table/1, rabbit_misc:to_amqp_table/1)."""

import base64
from typing import Any

from amqpbroker.management import failure
from amqpbroker.management.values import check_name
from amqpbroker.wire.values import MAX_DEPTH, Field, Table


def plain(table: Table) -> dict[str, Any]:
    """The table's values without their types."""
    return {shown_name(name): plain_value(field) for name, field in table.items()}


def shown_name(name: str) -> str:
    """As text, if it may have come from the wire as something else."""
    return name if name.isascii() else shown_bytes(name.encode("utf-8", "surrogateescape"))


def plain_value(field: Field) -> Any:
    kind, value = field
    if kind in "Sx":
        return shown_bytes(value)
    if kind == "F":
        return plain(value)
    if kind == "A":
        return [plain_value(item) for item in value]
    if kind == "D":
        scale, unscaled = value
        return unscaled / 10**scale
    return "undefined" if kind == "V" else value


def shown_bytes(value: bytes) -> str:
    """As text, or in base64 if it is none (rabbit_mgmt_format:escape_bytes/1)."""
    try:
        return value.decode()
    except UnicodeDecodeError:
        return f"Not UTF-8, base64 is: {base64.b64encode(value).decode()}"


def typed(values: Any, depth: int = 0) -> Table:
    """A JSON object as a table: whole numbers are longs, others doubles.

    Raises ApiError 400 for what is no object, and for what could be written but not be read again. depth: how many
    tables and arrays it is in.
    """
    if values in (None, [], ""):
        return {}
    if not isinstance(values, dict):
        raise failure.bad_request("arguments are to be an object")
    _check_depth(depth)
    for name in values:
        check_name("the name of an argument", name)
    return {name: typed_value(value, depth) for name, value in values.items()}


def _check_depth(depth: int) -> None:
    if depth > MAX_DEPTH:
        raise failure.bad_request(f"arguments are nested too deeply: there may be {MAX_DEPTH} levels below the first")


def typed_value(value: Any, depth: int = 0) -> Field:
    match value:
        case None:
            raise failure.bad_request("null_not_allowed")
        case bool():
            return Field("t", value)
        case int():
            if not -(2**63) <= value < 2**63:
                raise failure.bad_request(f"{value} does not fit a long")
            return Field("l", value)
        case float():
            return Field("d", value)
        case str():
            return Field("S", value.encode())
        case list():
            _check_depth(depth + 1)
            return Field("A", [typed_value(item, depth + 1) for item in value])
        case _:
            return Field("F", typed(value, depth + 1))
