"""JSON encoding of answers."""

import json
from typing import Any

import orjson


def encoded(value: Any) -> bytes:
    """Return the JSON of a value. Supports numbers of more than 64 bits and lone surrogates, which orjson refuses."""
    try:
        return orjson.dumps(value)
    except orjson.JSONEncodeError:
        return json.dumps(value, separators=(",", ":"), allow_nan=False).encode()
