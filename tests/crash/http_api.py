"""Requests to the HTTP API of a broker that may be killed at any time."""

import base64
import http.client
import json
from typing import Any
from urllib.parse import quote

TIMEOUT_S = 60.0
HEADERS = {"Authorization": "Basic " + base64.b64encode(b"guest:guest").decode(), "Content-Type": "application/json"}


def queue_path(vhost: str, queue: str, *parts: str) -> str:
    """Return the path of a resource of a queue."""
    return "/api/queues/" + "/".join(quote(part, safe="") for part in (vhost, queue, *parts))


def call(port: int, method: str, path: str, body: object = None) -> Any:
    """Send a request as guest, and return the JSON value of its answer. Raises ConnectionError if the broker ends."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=TIMEOUT_S)
    try:
        data = None if body is None else json.dumps(body)
        connection.request(method, path, data, HEADERS)
        answer = connection.getresponse()
        text = answer.read()
    except http.client.HTTPException as error:
        raise ConnectionError("the broker has ended") from error
    finally:
        connection.close()
    assert answer.status < 300, (method, path, answer.status, text)
    return json.loads(text) if text else None
