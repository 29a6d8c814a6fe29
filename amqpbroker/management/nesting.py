"""Limit of nesting of values in requests, so that they can be shown, stored and read after a restart."""

from typing import Any

from amqpbroker.wire.values import MAX_DEPTH

#: The most objects and lists inside one another in a body: arguments that are as deep as tables may be fit into it.
MAX_BODY_LEVELS = MAX_DEPTH + 2

#: The same in definitions, which have everything a few levels further down than the body that it came in.
MAX_DEFINITIONS_LEVELS = MAX_BODY_LEVELS + 4

_CONTAINERS = (dict, list)


def too_deep(raw: bytes, decoded: Any, levels: int) -> bool:
    """Return whether the JSON has more levels than `levels`. raw: its text, whose brackets are counted first."""
    if raw.count(b"{") + raw.count(b"[") <= levels:
        return False
    level = [decoded] if isinstance(decoded, _CONTAINERS) else []
    for _ in range(levels):
        level = [
            item
            for container in level
            for item in (container.values() if isinstance(container, dict) else container)
            if isinstance(item, _CONTAINERS)
        ]
        if not level:
            return False
    return bool(level)
