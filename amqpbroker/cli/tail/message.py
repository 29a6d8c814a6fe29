"""A message of tail, from an answer of the management API."""

import base64
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class TailMessage:
    """One message that was published or delivered.

    what: publish, or deliver of a queue's consumers. by: who did that, "" if nobody knows. queues: where it went, None
    if nobody knows. headers: decoded JSON, as are the properties beside them. size: of the whole body, of which `body`
    may have the beginning only.
    """

    what: str
    exchange: str
    routing_keys: tuple[str, ...]
    queues: tuple[str, ...] | None
    redelivered: bool
    by: str
    properties: dict[str, Any]
    headers: dict[str, Any]
    body: bytes
    size: int


def bound(got: dict[str, Any]) -> TailMessage:
    """Return a message that arrived through a binding."""
    properties, headers = _properties(got["properties"])
    body, size = _body(got)
    keys = (got["routing_key"],)
    return TailMessage("publish", got["exchange"], keys, None, False, "", properties, headers, body, size)


def traced(got: dict[str, Any]) -> TailMessage:
    """Return the message of a trace, see `broker/system_exchanges/firehose.py`."""
    told: dict[str, Any] = got["properties"]["headers"]
    properties, headers = _properties(told.get("properties", {}))
    what, _, name = got["routing_key"].partition(".")
    queues = tuple(told.get("routed_queues", ())) if what == "publish" else (name,)
    body, size = _body(got)
    return TailMessage(
        what,
        told["exchange_name"],
        tuple(told["routing_keys"]),
        queues,
        bool(told.get("redelivered")),
        f"{told['user']} {told['connection']} ({told['channel']})",
        properties,
        headers,
        body,
        size,
    )


def _properties(told: dict[str, Any] | list[Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return properties and headers; the API shows none as an empty list."""
    properties = dict(told)
    headers = properties.pop("headers", {})
    return properties, dict(headers)


def _body(got: dict[str, Any]) -> tuple[bytes, int]:
    payload: str = got["payload"]
    body = base64.b64decode(payload) if got["payload_encoding"] == "base64" else payload.encode()
    return body, got["payload_bytes"]
