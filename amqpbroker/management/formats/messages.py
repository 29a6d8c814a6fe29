"""Messages as JSON, and JSON as messages (rabbit_mgmt_wm_queue_get.erl, rabbit_mgmt_wm_exchange_publish.erl)."""

import base64
import binascii
from typing import Any

from amqpbroker.management import failure
from amqpbroker.management.formats.tables import plain, shown_bytes, typed
from amqpbroker.management.values import MAX_NAME_BYTES, check_name
from amqpbroker.message.message import Message, encode_address
from amqpbroker.wire.properties import PROPERTIES, decode_properties, encode_properties

#: The one property that has another name here.
_SHOWN = {"message_type": "type"}
#: Names of the properties here.
PROPERTY_NAMES = tuple([_SHOWN.get(name, name) for name, _, _ in PROPERTIES])


def got(message: Message, redelivered: bool, left: int, encoding: str, truncate: int | None) -> dict[str, Any]:
    """A message that was taken out of a queue where `left` are ready still."""
    payload, payload_encoding = shown_payload(message.body[:truncate], encoding)
    return {
        "payload_bytes": message.size,
        "redelivered": redelivered,
        "exchange": shown_bytes(message.exchange.encode("utf-8", "surrogateescape")),
        "routing_key": shown_bytes(message.routing_key),
        "message_count": left,
        "properties": shown_properties(message.properties),
        "payload": payload,
        "payload_encoding": payload_encoding,
    }


def shown_payload(body: bytes, encoding: str) -> tuple[str, str]:
    """In base64 if that is wanted, or if it is no text."""
    if encoding == "auto":
        try:
            return body.decode(), "string"
        except UnicodeDecodeError:
            pass
    return base64.b64encode(body).decode(), "base64"


def shown_properties(raw: bytes) -> dict[str, Any] | list[Any]:
    """Return the properties that are set; an empty list if none is, as in RabbitMQ."""
    values = decode_properties(raw)
    if not values:
        return []
    shown = {}
    for name, _, kind in PROPERTIES:
        if name in values:
            value = values[name]
            if kind == "shortstr":
                value = shown_bytes(value)
            elif kind == "table":
                value = plain(value)
            shown[_SHOWN.get(name, name)] = value
    return shown


def published(exchange: str, body: dict[str, Any]) -> Message:
    """The message that a body of a request is. Raises ApiError 400."""
    routing_key, payload, encoding = body["routing_key"], body["payload"], body["payload_encoding"]
    if not isinstance(payload, str):
        raise failure.bad_request("payload_not_string")
    if not isinstance(routing_key, str):
        raise failure.bad_request("routing_key_not_string")
    check_name("routing_key", routing_key)
    properties = _encoded(body["properties"])  # checked before the payload, as in RabbitMQ
    return Message(encode_address(exchange, routing_key.encode()), properties, _payload(payload, encoding))


def _payload(payload: str, encoding: Any) -> bytes:
    if encoding == "string":
        return payload.encode()
    if encoding != "base64":
        raise failure.bad_request(["unsupported_encoding", encoding])
    try:
        return base64.b64decode(payload, validate=True)
    except binascii.Error:
        raise failure.bad_request(["not_base64", payload]) from None


def _encoded(properties: Any) -> bytes:
    """Return the properties in JSON as properties of AMQP, without unknown names."""
    if properties == []:
        properties = {}
    if not isinstance(properties, dict):
        raise failure.bad_request("properties are to be an object")
    values: dict[str, Any] = {}
    for name, _, kind in PROPERTIES:
        shown = _SHOWN.get(name, name)
        if shown in properties:
            values[name] = _value(shown, kind, properties[shown])
    return encode_properties(values)


def _value(name: str, kind: str, value: Any) -> Any:
    if kind == "table":
        return typed(value)
    if kind == "shortstr":
        if not isinstance(value, str):
            raise failure.bad_request(["not_string", name])
        encoded = value.encode()
        if len(encoded) > MAX_NAME_BYTES:
            raise failure.bad_request(f"{name} should be less than 255 bytes, actually was {len(encoded)}\n")
        return encoded
    if not isinstance(value, int) or isinstance(value, bool):
        raise failure.bad_request(["not_int", name])
    return value % (1 << (64 if kind == "timestamp" else 8))
