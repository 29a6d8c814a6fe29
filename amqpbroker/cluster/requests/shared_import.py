"""Import at the start of a broker that shares vhosts, over its own API, which passes each part on to its broker."""

import asyncio
import json
import logging
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, Final, final
from urllib.parse import quote

from amqpbroker.broker.broker import Broker
from amqpbroker.config import Definitions
from amqpbroker.management.definitions.failure import DefinitionsError
from amqpbroker.management.definitions.importing import is_imported, read_documents, vhost_of
from amqpbroker.management.definitions.plan import IMPORTED_HASH
from amqpbroker.management.streamed import encoded

log = logging.getLogger(__name__)

#: Interval between two attempts to import a document, which need leaders of all its vhosts.
PAUSE_S: Final = 1.0

_Message = MutableMapping[str, Any]
_App = Callable[[_Message, Callable[[], Awaitable[_Message]], Callable[[_Message], Awaitable[None]]], Awaitable[None]]


@final
class SharedImport:
    """Imports documents again and again until each is imported, as vhosts may have no leader for a while."""

    def __init__(self, app: _App, broker: Broker, token: str) -> None:
        """app: the management API of this broker. token: of its node."""
        self._app = app
        self._broker = broker
        self._token = token
        self._prefix = broker.config.management.path_prefix.rstrip("/")

    async def run(self, definitions: Definitions) -> None:
        """Import the documents in their order. Raises DefinitionsError, with the name of the file."""
        documents, digest = read_documents(definitions.paths)
        if definitions.skip_if_unchanged and is_imported(self._broker, digest):
            return
        for path, document in documents:
            log.info("importing definitions from %s", path)
            vhost = vhost_of(document)
            target = "definitions" if vhost is None else f"definitions/{quote(vhost, safe='')}"
            await self._request("POST", target, document, f"definitions {path}")
        if definitions.skip_if_unchanged:
            await self._request("PUT", f"global-parameters/{IMPORTED_HASH}", {"value": digest}, "definitions")

    async def _request(self, method: str, path: str, body: dict[str, Any], what: str) -> None:
        """Send a request until a broker answers. what: subject of errors. Raises DefinitionsError."""
        told = ""
        while True:
            status, reason = await self._answer(method, f"{self._prefix}/api/{path}", encoded(body))
            if status < 400:
                return
            if status < 500:
                raise DefinitionsError(f"{what}: {reason}")
            if reason != told:
                told = reason
                log.warning("%s cannot be imported yet: %s", what, reason)
            await asyncio.sleep(PAUSE_S)

    async def _answer(self, method: str, path: str, body: bytes) -> tuple[int, str]:
        """Return the status of an answer, and its reason if it is an error."""
        parts: list[_Message] = []

        async def receive() -> _Message:
            return {"type": "http.request", "body": body, "more_body": False}

        async def send(message: _Message) -> None:
            parts.append(message)

        headers = {
            "host": "localhost",
            "authorization": f"Bearer {self._token}",
            "content-type": "application/json",
            "content-length": str(len(body)),
        }
        scope: _Message = {
            "type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "method": method, "scheme": "http",
            "path": path, "raw_path": path.encode(), "query_string": b"", "root_path": "", "server": None,
            "client": ("127.0.0.1", 0),
            "headers": [(name.encode(), value.encode()) for name, value in headers.items()],
        }  # fmt: skip
        await self._app(scope, receive, send)
        status: int = parts[0]["status"]
        answer = b"".join(part.get("body", b"") for part in parts[1:])
        return status, "" if status < 400 else _reason(answer)


def _reason(answer: bytes) -> str:
    try:
        return str(json.loads(answer)["reason"])
    except (ValueError, KeyError, TypeError):
        return "the broker has not said why"
