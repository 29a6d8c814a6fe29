"""Values that no handler expects, as JSON and in paths and queries."""

import random
from typing import Any
from urllib.parse import quote

#: Numbers that random JSON contains verbatim: Python would write them differently.
NUMBERS = ("1e999", "-1e999", "NaN", "Infinity", "-0", "1E400", "9" * 400, "0.1e-400", "18446744073709551616")

#: JSON that Python does not write, or only slowly.
TEXTS = (
    '"\\ud800"',
    '"\\udfff\\ud800"',
    '"\\u0000"',
    "[" * 70 + "]" * 70,
    '{"a":' * 70 + "1" + "}" * 70,
    "[" * 3000 + "]" * 3000,
    '{"a":1,"a":2}',
    '{"":""}',
    *NUMBERS,
)

STRINGS = (
    "",
    " ",
    "/",
    "x",
    "\0",
    "\n",
    "\r\nX-A: b",
    "\u00e4\u20ac\U0001f407",
    "\ufeff",
    "%",
    "%2F",
    "..",
    "(",
    "[",
    ".*",
    "(a+)+$",
    "x" * 255,
    "x" * 256,
    "\u20ac" * 100,
    "x" * 5000,
    "amq.default",
    "amq.gen-x",
    "amq.rabbitmq.reply-to",
    "true",
    "null",
    "-1",
    "0",
    "1",
    "1_0",
    "\u0663",
    "1e3",
    "99999999999999999999",
    "-99999999999999999999",
    "9" * 5000,
    "0x10",
    "nan",
    "inf",
    "'; DROP TABLE queues; --",
    "<script>",
    "{}",
    "undefined",
)

INTEGERS = (0, 1, -1, 2, 255, 256, 2**31 - 1, 2**31, 2**32, 2**53, 2**63 - 1, 2**63, 2**64, -(2**63), -(2**63) - 1)


class Written:
    """JSON that is written verbatim."""

    def __init__(self, text: str) -> None:
        self.text = text


def hostile(chance: random.Random, depth: int = 0) -> Any:
    """Return a random value of any type."""
    kind = chance.randrange(9 if depth < 3 else 6)
    if kind == 0:
        return chance.choice((None, True, False))
    if kind == 1:
        return chance.choice(INTEGERS)
    if kind == 2:
        return chance.choice((0.0, 0.5, -1.5, 1e308, 5e-324, 3.0))
    if kind == 3:
        return Written(chance.choice(TEXTS))
    if kind in (4, 5):
        return chance.choice(STRINGS)
    if kind == 6:
        return [hostile(chance, depth + 1) for _ in range(chance.randrange(4))]
    return {chance.choice(STRINGS): hostile(chance, depth + 1) for _ in range(chance.randrange(4))}


def as_json(value: Any) -> str:
    """Return the JSON of a value, with `Written` parts verbatim."""
    import json

    if isinstance(value, Written):
        return value.text
    if isinstance(value, dict):
        return "{" + ",".join([f"{json.dumps(key)}:{as_json(item)}" for key, item in value.items()]) + "}"
    if isinstance(value, list):
        return "[" + ",".join([as_json(item) for item in value]) + "]"
    return json.dumps(value)


def quoted(chance: random.Random, text: str) -> str:
    """Quote the text for a path or a query; occasionally add bytes that are not UTF-8, or quote it twice."""
    written = quote(text, safe="")
    kind = chance.randrange(30)
    if kind == 0:
        return written + chance.choice(("%", "%zz", "%ff", "%c3", "%00", "%ed%a0%80"))
    if kind == 1:
        return written.replace("%", "%25")
    return written
