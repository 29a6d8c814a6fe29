"""The HTTP API for a soak, which sends requests as guest over one connection."""

import http.client
import json
import time
from base64 import b64encode
from typing import Any

TIMEOUT_S = 60
#: Idle seconds after which a request opens a new connection; the broker closes idle connections after a minute.
IDLE_S = 30


class Management:
    """Requests to the HTTP API at a port of this machine."""

    def __init__(self, port: int) -> None:
        self.port = port
        self._used = time.monotonic()
        self._connection = http.client.HTTPConnection("127.0.0.1", port, timeout=TIMEOUT_S)

    def request(
        self, method: str, path: str, body: Any = None, user: str = "guest", password: str = "guest"
    ) -> tuple[int, Any]:
        """Return status and JSON of the answer; None instead of JSON if the answer is not JSON."""
        if time.monotonic() - self._used > IDLE_S:
            self._connection.close()
        login = b64encode(f"{user}:{password}".encode()).decode()
        data = None if body is None else json.dumps(body)
        head = {"Authorization": f"Basic {login}", "Content-Type": "application/json"}
        self._connection.request(method, "/api" + path, data, head)
        answer = self._connection.getresponse()
        text = answer.read()
        self._used = time.monotonic()
        is_json = answer.headers.get_content_type() == "application/json"
        return answer.status, json.loads(text) if is_json and text else None

    def call(self, method: str, path: str, body: Any = None) -> Any:
        """Return the JSON of the answer. Raises AssertionError if the request fails."""
        status, value = self.request(method, path, body)
        assert status < 300, f"{method} {path}: {status} {value}"
        return value

    def start(self, method: str, path: str) -> None:
        """Send the head of a request and half of its body."""
        self._connection.putrequest(method, "/api" + path)
        self._connection.putheader("Authorization", "Basic " + b64encode(b"guest:guest").decode())
        self._connection.putheader("Content-Length", "20")
        self._connection.endheaders(b'{"password":')

    def close(self) -> None:
        self._connection.close()
