"""Client of the management API of a running broker, which it also finds."""

import json
import os
import sys
from binascii import b2a_base64
from typing import Any
from urllib.parse import quote, unquote, urlsplit

from amqpbroker.cli.ctl.failure import ApiError, CtlError
from amqpbroker.cli.ctl.http import HttpError, Server

DEFAULT_URL = "http://127.0.0.1:15672"

#: Header with the names of brokers that did not answer the one that does.
_MISSING_BROKERS = "x-missing-brokers"


def quoted(name: str) -> str:
    """Return a name as part of a path."""
    return quote(name, safe="")


class Api:
    """Requests to one broker. authorization: value of the Authorization header.

    A warning names other brokers that did not answer, so that the answer lacks what they have.
    """

    def __init__(self, url: str, authorization: str, timeout_s: float, cacertfile: str | None = None) -> None:
        self.url = url.rstrip("/")
        self._authorization = authorization
        parts = urlsplit(self.url)
        self._server = Server(parts.scheme, parts.hostname or "127.0.0.1", parts.port, timeout_s, cacertfile)
        self._prefix = parts.path
        self._missing: set[str] = set()

    def get(self, path: str) -> Any:
        return self.call("GET", path)

    def put(self, path: str, body: Any = None) -> int:
        """Return the status: 201 if the object is new, 204 if it is changed."""
        return self._request("PUT", path, body)[0]

    def post(self, path: str, body: Any = None) -> Any:
        return self.call("POST", path, body)

    def delete(self, path: str, headers: dict[str, str] | None = None) -> None:
        self._request("DELETE", path, None, headers)

    def discard(self, path: str, headers: dict[str, str] | None = None) -> bool:
        """Delete an object. Return whether it existed."""
        try:
            self.delete(path, headers)
        except ApiError as error:
            if error.http_status != 404:
                raise
            return False
        return True

    def leads(self, vhost: str) -> bool:
        """Return whether the broker leads a vhost. Raises ApiError, CtlError."""
        status, answer = self._answered("GET", f"leader/{quoted(vhost)}")
        if status == 503 and "leader" in _object(answer):
            return False
        if status >= 400:
            raise _error(status, answer)
        return True

    def call(self, method: str, path: str, body: Any = None) -> Any:
        """Return the JSON of the answer, None if it has none. Raises ApiError, CtlError."""
        answer = self._request(method, path, body)[1]
        return json.loads(answer) if answer else None

    def _request(
        self, method: str, path: str, body: Any = None, headers: dict[str, str] | None = None
    ) -> tuple[int, bytes]:
        status, answer = self._answered(method, f"api/{path}", body, headers)
        if status >= 400:
            raise _error(status, answer)
        return status, answer

    def _answered(
        self, method: str, path: str, body: Any = None, headers: dict[str, str] | None = None
    ) -> tuple[int, bytes]:
        """Return the status and the body of an answer. path: below that of the URL."""
        sent = {"Authorization": self._authorization, "Content-Type": "application/json", **(headers or {})}
        encoded = None if body is None else json.dumps(body).encode()
        try:
            answer = self._server.request(method, f"{self._prefix}/{path}", encoded, sent)
        except (OSError, HttpError) as error:
            reason = getattr(error, "strerror", None) or error
            raise CtlError(
                f"Error: unable to perform an operation on the broker at {self.url}: {reason}.\n"
                "Check that it is running with its management API, or name another with --url or --data-dir."
            ) from error
        missing = answer.headers.get(_MISSING_BROKERS, "")
        self._warn({unquote(name) for name in missing.split(", ") if name})
        return answer.status, answer.body

    def _warn(self, missing: set[str]) -> None:
        """Print the names of brokers that did not answer, each once."""
        for name in sorted(missing - self._missing):
            # Standard output has only the result.
            print(f"Warning: broker {name} did not answer, so the result lacks what it has", file=sys.stderr)  # noqa: T201
        self._missing |= missing


def _error(status: int, answer: bytes) -> ApiError:
    found = _object(answer)
    return ApiError(status, _reason(status, found), found)


def _object(answer: bytes) -> dict[str, Any]:
    """Return the JSON object in an answer, an empty one if there is none."""
    try:
        found = json.loads(answer)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def _reason(status: int, answer: dict[str, Any]) -> str:
    if "reason" not in answer:
        return f"HTTP status {status}"
    import html  # its table of 2231 characters is for errors only

    # The API escapes the angle brackets of some texts, as RabbitMQ does.
    reason = html.unescape(str(answer["reason"]))
    if reason == "Not_Authorized":
        reason += ": give a user and its password, --url http://USER:PASSWORD@HOST:PORT"
    return reason


def find(options: dict[str, str], timeout_s: float) -> Api:
    """Return the broker of --url, else that of the data directory, else that on the default port of this machine.

    Except for a data directory, user and password are those of --username and --password, of the URL, or of the
    environment. Raises CtlError.
    """
    url = options.get("url") or os.environ.get("AMQPBROKER_URL", "")
    cacertfile = options.get("cacertfile")
    if not url:
        found = _control(options.get("data-dir"))
        if found is not None:
            return Api(found[0], f"Bearer {found[1]}", timeout_s, cacertfile)
    parts = urlsplit(url or DEFAULT_URL)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise CtlError(f"{url} is not a URL of the management API: write http://[USER:PASSWORD@]HOST:PORT")
    user = options.get("username") or unquote(parts.username or "") or os.environ.get("RABBITMQ_DEFAULT_USER", "guest")
    password = (
        options.get("password") or unquote(parts.password or "") or os.environ.get("RABBITMQ_DEFAULT_PASS", "guest")
    )
    host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    default_port = 15671 if parts.scheme == "https" else 15672
    plain = f"{parts.scheme}://{host}:{parts.port or default_port}{parts.path}"
    basic = b2a_base64(f"{user}:{password}".encode(), newline=False).decode()
    return Api(plain, f"Basic {basic}", timeout_s, cacertfile)


def _control(named: str | None) -> tuple[str, str] | None:
    """Return URL and token of the broker that owns the data directory, None if there is none.

    Raises CtlError if a directory was named and has no broker.
    """
    from pathlib import Path

    from amqpbroker.server import control, directories

    directory = Path(named) if named else directories.default_directory()
    try:
        found = control.read(directory)
    except PermissionError as error:
        if named:
            raise CtlError(f"{directory} cannot be read: run this as the user of the broker") from error
        return None
    if named and found is None:
        raise CtlError(f"no broker runs on {directory}")
    return found if found is not None and found[0] else None
