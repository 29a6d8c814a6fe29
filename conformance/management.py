"""The HTTP management API, for set-up that AMQP cannot do: vhosts, users, permissions, limits, policies."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from functools import partial
from http.client import HTTPConnection
from typing import Any
from urllib.parse import quote, unquote, urlsplit

from conformance.errors import SetupError


class Management:
    """The API of one target. `undo` removes the objects that a case creates here."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        self.host, self.port = parts.hostname or "127.0.0.1", parts.port or 15672
        login = f"{unquote(parts.username or 'guest')}:{unquote(parts.password or 'guest')}"
        self._authorization = "Basic " + base64.b64encode(login.encode()).decode()
        self._undo: list[Callable[[], object]] = []

    def call(self, method: str, path: str, body: Any = None, headers: dict[str, str] | None = None) -> Any:
        """Send one request below /api; return the decoded JSON. Raises SetupError if the status is 400 or more."""
        status, answer = self._request(method, path, body, headers or {})
        if status >= 400:
            raise SetupError(f"{method} /api/{path}: {status} {answer[:300]!r}")
        return json.loads(answer) if answer else None

    def status(self, method: str, path: str, body: Any = None) -> int:
        """Return the status of one request below /api, also for errors."""
        return self._request(method, path, body, {})[0]

    def answer(self, method: str, path: str, body: Any = None) -> tuple[int, Any]:
        """Send one request below /api. Return status and decoded JSON, also for errors."""
        status, answer = self._request(method, path, body, {})
        return status, json.loads(answer) if answer else None

    def _request(self, method: str, path: str, body: Any, headers: dict[str, str]) -> tuple[int, bytes]:
        connection = HTTPConnection(self.host, self.port, timeout=10)
        try:
            data = None if body is None else json.dumps(body)
            sent = {"Authorization": self._authorization, "Content-Type": "application/json"} | headers
            connection.request(method, f"/api/{path}", data, sent)
            response = connection.getresponse()
            return response.status, response.read()
        except OSError as error:
            raise SetupError(f"management API on {self.host}:{self.port}: {error}") from error
        finally:
            connection.close()

    def _make(self, path: str, body: Any) -> None:
        self._request("DELETE", path, None, {})
        self.call("PUT", path, body)
        self._undo.append(partial(self._request, "DELETE", path, None, {}))

    def vhost(self, name: str, **settings: Any) -> None:
        """Create a vhost; keywords: description, tags, default_queue_type."""
        self._make(f"vhosts/{quote(name, safe='')}", settings)
        self.permissions("guest", name)

    def user(self, name: str, password: str, tags: str = "") -> None:
        """Create a user without permissions."""
        self._make(f"users/{quote(name, safe='')}", {"password": password, "tags": tags})

    def permissions(self, user: str, vhost: str, configure: str = ".*", write: str = ".*", read: str = ".*") -> None:
        """Set a user's permissions in a vhost."""
        rights = {"configure": configure, "write": write, "read": read}
        self.call("PUT", f"permissions/{quote(vhost, safe='')}/{quote(user, safe='')}", rights)

    def topic_permissions(self, user: str, vhost: str, exchange: str, write: str = ".*", read: str = ".*") -> None:
        """Set the routing keys of a topic exchange that a user may write and read."""
        rights = {"exchange": exchange, "write": write, "read": read}
        self.call("PUT", f"topic-permissions/{quote(vhost, safe='')}/{quote(user, safe='')}", rights)

    def vhost_limit(self, vhost: str, name: str, value: int) -> None:
        """Set max-connections or max-queues of a vhost."""
        self._make(f"vhost-limits/{quote(vhost, safe='')}/{name}", {"value": value})

    def user_limit(self, user: str, name: str, value: int) -> None:
        """Set max-connections or max-channels of a user."""
        self._make(f"user-limits/{quote(user, safe='')}/{name}", {"value": value})

    def policy(self, vhost: str, name: str, pattern: str, definition: dict[str, Any], **more: Any) -> None:
        """Set a policy; keywords: priority, apply-to (as `apply_to`)."""
        body = {"pattern": pattern, "definition": definition}
        body |= {key.replace("_", "-"): value for key, value in more.items()}
        self._make(f"policies/{quote(vhost, safe='')}/{quote(name, safe='')}", body)

    def operator_policy(self, vhost: str, name: str, pattern: str, definition: dict[str, Any], **more: Any) -> None:
        """Set an operator policy; keywords as for a policy."""
        body = {"pattern": pattern, "definition": definition}
        body |= {key.replace("_", "-"): value for key, value in more.items()}
        self._make(f"operator-policies/{quote(vhost, safe='')}/{quote(name, safe='')}", body)

    def undo(self) -> None:
        """Remove the created objects, last first."""
        while self._undo:
            self._undo.pop()()
