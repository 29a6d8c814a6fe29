"""The values that random scripts are made of: small pools, so that names, keys and headers meet."""

from __future__ import annotations

import random
from typing import Any

from conformance.values import Value

KINDS = ("direct", "fanout", "topic", "headers")
ROUTING_KEYS = ("", "a", "b", "a.b", "b.a", "a.b.c", "a..c", ".")
PATTERNS = ("#", "*", "a", "a.*", "*.b", "a.#", "#.b", "a.#.c", "*.*", "", "b.#.#")
HEADERS: tuple[dict[str, Any], ...] = (
    {},
    {"h": 1},
    {"h": "1"},
    {"h": True},
    {"h": 1, "k": "v"},
    {"k": "v", "x-h": "w"},
    {"h": Value("l", 1)},
    {"h": Value("d", 1.0)},
    {"k": ["v", 1, {"deep": True}]},
    {"h": None},
    {"x-h": "w"},
)
#: Further headers that a message may have, which the broker itself writes.
BROKER_HEADERS: tuple[dict[str, Any], ...] = (
    {"x-death": [{"queue": "elsewhere", "reason": "rejected", "count": Value("l", 3)}]},
    {"x-death": "no list"},
    {"x-first-death-queue": "elsewhere", "x-last-death-reason": "expired"},
    {"x-delivery-count": 7},
)
_OF_BROKER = frozenset(name for headers in BROKER_HEADERS for name in headers)
MATCHES: tuple[Any, ...] = (None, "all", "any", "all-with-x", "any-with-x")
LONG_MS = 600_000

_INTEGER_TYPES = ("I", "l", "s", "b", "u", "i", "B")
_WRONG_ARGUMENTS: tuple[dict[str, Any], ...] = (
    {"x-message-ttl": -1},
    {"x-message-ttl": "1000"},
    {"x-expires": 0},
    {"x-max-length": -1},
    {"x-max-length": Value("d", 1.0)},
    {"x-max-length-bytes": "1"},
    {"x-max-priority": 256},
    {"x-max-priority": -1},
    {"x-overflow": "drop-tail"},
    {"x-overflow": 1},
    {"x-dead-letter-routing-key": "a"},
    {"x-dead-letter-exchange": 1},
    {"x-single-active-consumer": "yes"},
    {"x-queue-type": "nonsense"},
    {"x-queue-type": 1},
    {"x-queue-mode": "fast"},
    {"x-queue-version": 3},
    {"x-delivery-limit": 1},
)
_WRONG_PROPERTIES: tuple[dict[str, Any], ...] = (
    {"expiration": "soon"},
    {"expiration": "-1"},
    {"expiration": "1.5"},
    {"user_id": "nobody"},
    {"headers": {"CC": "a"}},
    {"headers": {"BCC": [1]}},
)
_PROPERTIES: tuple[dict[str, Any], ...] = (
    {"content_type": "text/plain"},
    {"content_encoding": "utf-8"},
    {"delivery_mode": 1},
    {"delivery_mode": 2},
    {"delivery_mode": 2},
    {"priority": 0},
    {"priority": 1},
    {"priority": 3},
    {"priority": 5},
    {"priority": 200},
    {"correlation_id": "c"},
    {"reply_to": "someone"},
    {"message_id": "id"},
    {"timestamp": 1_700_000_000},
    {"message_type": "t"},
    {"user_id": "guest"},
    {"app_id": "app"},
    {"cluster_id": "cl"},
)


def integer(rng: random.Random, value: int) -> Any:
    """The number in a wire type that can hold it: which one makes no difference, or should not."""
    if rng.random() < 0.8:
        return value
    kinds = [kind for kind in _INTEGER_TYPES if value < 100 or kind in "Ili"]
    return Value(rng.choice([kind for kind in kinds if value >= 0 or kind in "Ilsb"]), value)


def wrong_queue_arguments(rng: random.Random) -> dict[str, Any]:
    """Arguments that some kind of queue refuses."""
    return dict(rng.choice(_WRONG_ARGUMENTS))


def wrong_properties(rng: random.Random) -> dict[str, Any]:
    """Properties of a message that is refused."""
    return dict(rng.choice(_WRONG_PROPERTIES))


def properties(rng: random.Random) -> dict[str, Any]:
    """Properties of a message, mostly few."""
    found: dict[str, Any] = {}
    for _ in range(rng.choice((0, 0, 1, 1, 2, 4))):
        found |= rng.choice(_PROPERTIES)
    if rng.random() < 0.3:
        found["headers"] = dict(rng.choice(HEADERS))
    if rng.random() < 0.04:
        found["headers"] = found.get("headers", {}) | rng.choice(BROKER_HEADERS)
    return found


def stream_arguments(rng: random.Random) -> dict[str, Any]:
    """Arguments of a stream. Its limits remove nothing: the size of a segment differs."""
    found: dict[str, Any] = {"x-queue-type": "stream"}
    if rng.random() < 0.3:
        found["x-max-age"] = rng.choice(("1Y", "7D", "12h"))
    if rng.random() < 0.3:
        found["x-max-length-bytes"] = integer(rng, 1_000_000_000)
    if rng.random() < 0.2:
        found["x-stream-max-segment-size-bytes"] = 500_000_000
    return found


def stream_consumer_arguments(rng: random.Random) -> dict[str, Any]:
    """Arguments of a consumer of a stream: a place that does not depend on how the broker divides messages."""
    found: dict[str, Any] = {}
    offset = rng.choice((None, "first", "first", "next", 0, 1, 2, 5, -1, 30))
    if offset is not None:
        found["x-stream-offset"] = integer(rng, offset) if isinstance(offset, int) else offset
    return found


def for_streams(found: dict[str, Any]) -> dict[str, Any]:
    """Properties, without those that RabbitMQ changes when a stream stores them."""
    kept = {name: value for name, value in found.items() if name != "cluster_id"}
    if "headers" in kept:
        plain = {name: value for name, value in kept["headers"].items() if not isinstance(value, dict | list)}
        kept["headers"] = {name: value for name, value in plain.items() if name not in _OF_BROKER}
    return kept


def headers_match(rng: random.Random) -> dict[str, Any]:
    """Arguments of a binding to a headers exchange."""
    arguments = dict(rng.choice(HEADERS))
    match = rng.choice(MATCHES)
    return arguments if match is None else arguments | {"x-match": match}


def wrong_headers_match(rng: random.Random) -> dict[str, Any]:
    """Arguments that a headers exchange refuses."""
    return {"h": 1, "x-match": rng.choice(("some", 1, True, None))}


def is_plain(arguments: dict[str, Any]) -> bool:
    """Return whether JSON can express the arguments: no explicit wire types, and integers only."""
    return not any(isinstance(one, Value | float | dict | list) for one in arguments.values())
