"""HTTP requests of a script: sends them, and reports the answers and the created objects."""

from __future__ import annotations

import re
from typing import Any
from urllib.parse import unquote

from conformance.fuzz.step import Step
from conformance.management import Management

#: Keys of RabbitMQ's answers that are not compared: the key of a binding depends on Erlang's hash.
_LEFT_OUT = ("properties_key",)

_MADE = re.compile(r"(queues|exchanges)/%2F/([^/?]+)$")
_UNDONE = re.compile(r"(users|vhosts|policies/%2F)/[^/?]+$")


class HttpAnswers:
    """The requests of one run. `undo` deletes the created users, vhosts and policies."""

    def __init__(self, management_url: str) -> None:
        self._management = Management(management_url)
        self._made: dict[str, None] = {}

    def ask(self, step: Step) -> tuple[dict[str, Any], list[tuple[str, str]]]:
        """Send the request. Return status and JSON of the answer, and (queue or exchange, name) of created objects."""
        method, path, body = (step.arguments.get(key) for key in ("method", "path", "body"))
        assert isinstance(method, str)
        assert isinstance(path, str)
        if method == "PUT" and _UNDONE.match(path):
            self._made[path] = None
        status, answer = self._management.answer(method, path, body)
        shown = {"status": status} | ({} if answer is None else {"json": _shown(answer)})
        return shown, _made(method, path, body) if status < 300 else []

    def undo(self) -> None:
        """Delete the created objects, last first."""
        for path in reversed(self._made):
            self._management.status("DELETE", path)


def _made(method: str, path: str, body: Any) -> list[tuple[str, str]]:
    if method == "PUT" and (found := _MADE.match(path)):
        return [(found[1][:-1], unquote(found[2]))]
    if path.startswith("definitions/"):
        return [(kind[:-1], one["name"]) for kind in ("queues", "exchanges") for one in body.get(kind, ())]
    return []


def _shown(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _shown(one) for key, one in sorted(value.items()) if key not in _LEFT_OUT}
    if isinstance(value, list):
        shown = [_shown(one) for one in value]
        # Lists of bindings have no order; lists of messages are ordered by their count of remaining messages.
        return shown if any(isinstance(one, dict) and "payload" in one for one in shown) else sorted(shown, key=str)
    return value
