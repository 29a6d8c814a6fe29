"""Batches as the API's JSON."""

from typing import Any

from amqpbroker.broker.batches.batch import Batch
from amqpbroker.broker.batches.request import ALL_EVENTS
from amqpbroker.management.formats.shared import iso
from amqpbroker.management.formats.tables import shown_bytes, shown_name


def batch_row(batch: Batch) -> dict[str, Any]:
    """Return a batch as a list shows it. size: null while it is unknown."""
    terms, target = batch.terms, batch.terms.target
    return {
        "id": shown_bytes(batch.id),
        "vhost": batch.vhost,
        "state": batch.state,
        "user": shown_name(batch.user),
        "size": None if terms.size < 0 else max(terms.size, batch.total),
        "members": batch.total,
        "ok": batch.ok,
        "failed": batch.failed,
        "open": batch.open,
        "exchange": None if target is None else shown_name(target[0]),
        "routing_key": None if target is None else shown_bytes(target[1]),
        "events": [event for event in ALL_EVENTS if batch.requests(event)],
        "created_at": iso(batch.created_ms),
        "expires_at": iso(batch.expires_ms),
    }


def batch(batch: Batch) -> dict[str, Any]:
    """Return a batch with some of its failed members."""
    return {
        **batch_row(batch),
        "failures": [
            {
                "message_id": shown_bytes(failure.message_id),
                "queue": shown_name(failure.queue),
                "reason": failure.reason,
            }
            for failure in batch.failures.values()
        ],
    }
