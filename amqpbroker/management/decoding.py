"""JSON of requests and of definitions, as values."""

from typing import Any

import orjson

from amqpbroker.management.nesting import too_deep

#: orjson's text for a number that no float can hold.
_TOO_LARGE = "number is infinity when parsed as double"


class DecodingError(ValueError):
    """JSON that is not accepted. The text says why."""


def decoded(raw: bytes, levels: int, not_json: str) -> Any:
    """Return the value of a JSON text. An integer of more than 64 bits becomes a float.

    levels: the most objects and lists inside one another. not_json: text of the error if `raw` is not JSON. Raises
    DecodingError.
    """
    try:
        value = orjson.loads(raw)
    except orjson.JSONDecodeError as error:
        if error.msg != _TOO_LARGE:
            raise DecodingError(not_json) from None
        place = f"line {error.lineno}, column {error.colno}"
        raise DecodingError(f"the number at {place} is too large: write one between -1.8e308 and 1.8e308") from None
    if too_deep(raw, value, levels):
        raise DecodingError(f"nested too deeply: there may be {levels} objects and lists inside one another")
    return value
