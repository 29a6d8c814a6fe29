"""The table of settings, and look-up of keys."""

import re

from amqpbroker.config.rows import (
    connections,
    definitions,
    listeners,
    log,
    management,
    node,
    queues,
    resources,
    shovels,
    users,
)
from amqpbroker.config.setting import ConfigError, Setting

SETTINGS: tuple[Setting, ...] = (
    *listeners.ROWS,
    *connections.ROWS,
    *users.ROWS,
    *queues.ROWS,
    *resources.ROWS,
    *management.ROWS,
    *definitions.ROWS,
    *shovels.ROWS,
    *log.ROWS,
    *node.ROWS,
)


def find(key: str) -> tuple[Setting, str]:
    """Return the row of a key, and the word in place of the row's `$`, or "". Raises ConfigError if unknown."""
    words = [word.replace("\\.", ".") for word in re.split(r"(?<!\\)\.", key)]
    for setting in SETTINGS:
        for pattern in (setting.key, *setting.aliases):
            parts = pattern.split(".")
            if len(parts) == len(words) and all(
                p == w or (p[0] == "$" and w) for p, w in zip(parts, words, strict=True)
            ):
                return setting, next((w for p, w in zip(parts, words, strict=True) if p[0] == "$"), "")
    import difflib

    nearest = difflib.get_close_matches(key, [setting.key for setting in SETTINGS], 1, 0.0)[0]
    raise ConfigError(f"there is no setting {key}; did you mean {nearest}?")
