"""The messages that are sent about a batch."""

import hashlib
import json
from typing import Final

from amqpbroker.broker.batches.batch import Batch
from amqpbroker.broker.batches.request import COMPLETE, EVENT, ID, SIZE
from amqpbroker.message.message import Message, encode_address
from amqpbroker.wire.properties import encode_properties
from amqpbroker.wire.values import Field, Table, text

OK: Final = "x-batch-ok"
FAILED: Final = "x-batch-failed"
_PERSISTENT: Final = 2
_ID_BYTES: Final = 255


def event_message(batch: Batch, event: str) -> Message:
    """Return the message about an event of a batch that has a target.

    The one about its completion is a member of the outer batch, if there is one.
    """
    headers: Table = {
        ID: Field("S", batch.id),
        EVENT: Field("S", event.encode()),
        SIZE: Field("l", max(batch.terms.size, batch.total)),
        OK: Field("l", batch.ok),
        FAILED: Field("l", batch.failed),
    }
    outer_event = COMPLETE if batch.requests(COMPLETE) else event
    if event == outer_event:
        headers.update(batch.terms.outer)
    properties = {
        "content_type": b"application/json",
        "headers": {name: headers[name] for name in sorted(headers)},
        "delivery_mode": _PERSISTENT,
        "message_id": _message_id(batch.id, event),
    }
    address = encode_address(*(batch.terms.target or ("", b"")))
    message = Message(address, encode_properties(properties), _body(batch, event))
    message.persistent = True
    message.undecoded = True
    return message


def _message_id(id_: bytes, event: str) -> bytes:
    """Return the id of the message: that of the batch and the event. An id that is too long is a digest."""
    suffix = f":{event}".encode()
    if len(id_) + len(suffix) > _ID_BYTES:
        id_ = hashlib.sha256(id_).hexdigest().encode()
    return id_ + suffix


def _body(batch: Batch, event: str) -> bytes:
    return json.dumps(
        {
            "id": text(batch.id),
            "event": event,
            "size": max(batch.terms.size, batch.total),
            "ok": batch.ok,
            "failed": batch.failed,
            "failures": [
                {"message_id": text(failure.message_id), "queue": failure.queue, "reason": failure.reason}
                for failure in batch.failures.values()
            ],
        }
    ).encode("ascii")
