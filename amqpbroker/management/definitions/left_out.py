"""Definitions of RabbitMQ that this broker does not support: an import leaves each out with a warning."""

import json
import logging
from collections.abc import Callable
from functools import partial
from typing import final

log = logging.getLogger(__name__)


@final
class LeftOut:
    """The queues and exchanges that are left out of the documents of one import, so that their bindings are too."""

    def __init__(self) -> None:
        self._ends: set[tuple[str, str, str]] = set()

    def add(self, kind: str, vhost: str, name: str, why: str) -> Callable[[], object]:
        """The step in its place. kind: queue or exchange."""
        self._ends.add((kind, vhost, name))
        return warning(f"{kind} {quoted(name)} in vhost {quoted(vhost)}", why)

    def has(self, kind: str, vhost: str, name: str) -> bool:
        """Exchanges whose names are reserved are in no document; one that is not there belongs to a plugin."""
        return (kind, vhost, name) in self._ends or (kind == "exchange" and name.startswith("amq."))


def quoted(name: str) -> str:
    return json.dumps(name, ensure_ascii=False)


def warning(what: str, why: str) -> Callable[[], object]:
    """The step that says it: when the import is made, not when it is refused after all."""
    return partial(log.warning, "left out of the definitions: %s: %s", what, why)
