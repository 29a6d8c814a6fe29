"""JSON of answers."""

import json
from typing import Any

import orjson


def encoded(value: Any) -> bytes:
    """The JSON of a value, also with what orjson does not write: numbers of more than 64 bits, and lone surrogates."""
    try:
        return orjson.dumps(value)
    except orjson.JSONEncodeError:
        return json.dumps(value, separators=(",", ":"), allow_nan=False).encode()
