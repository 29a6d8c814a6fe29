"""Jobs as the API's JSON."""

from typing import Any

from amqpbroker.broker.jobs.job import Job
from amqpbroker.broker.jobs.standing import FAILED, Standings
from amqpbroker.management.formats.messages import shown_payload, shown_properties
from amqpbroker.management.formats.shared import iso
from amqpbroker.management.formats.tables import plain_value, shown_bytes, shown_name
from amqpbroker.wire.values import decode_value


def job_row(job: Job, standings: Standings) -> dict[str, Any]:
    """Return a job as a list shows it. queue: null if no queue has or had the message."""
    standing = standings.of(job)
    row: dict[str, Any] = {
        "id": shown_bytes(job.id),
        "vhost": job.vhost,
        "state": standing.state,
        "user": shown_name(job.user),
        "exchange": shown_name(job.exchange),
        "routing_key": shown_bytes(job.routing_key),
        "queue": None if standing.queue is None else shown_name(standing.queue),
        "created_at": iso(job.created_ms),
    }
    if job.has_ended:
        row["ended_at"] = iso(job.ended_ms)
        row["expires_at"] = iso(job.expires_ms)
    if standing.attempt:
        row["attempt"] = standing.attempt
    if standing.until_ms:
        row["until"] = iso(standing.until_ms)
    if standing.since_ms:
        row["since"] = iso(standing.since_ms)
        row["consumer"] = {
            "consumer_tag": None if standing.consumer_tag is None else shown_name(standing.consumer_tag),
            "connection": standing.connection,
        }
    if standing.group is not None:
        group = standing.group
        row["group"] = {
            "queue": shown_name(group.queue),
            "key": group.key,
            "key_type": group.key_type,
            "state": group.state,
        }
    failure = job.failure
    if standing.state == FAILED and failure is not None:
        row["reason"] = failure.reason
    return row


def job(job: Job, standings: Standings) -> dict[str, Any]:
    """Return a job with its position in the queue, or with its result."""
    row = job_row(job, standings)
    if not job.has_ended:
        ahead = standings.ahead(standings.of(job))
        if ahead is not None:
            row["position"] = ahead + 1
        return row
    failure = job.failure
    if row["state"] == FAILED and failure is not None:
        deaths = plain_value(decode_value(failure.deaths, 0, len(failure.deaths))) if failure.deaths else []
        row["x-death"] = deaths
    reply = job.read_reply()
    row["reply"] = None
    if reply is not None:
        payload, encoding = shown_payload(reply[1], "auto")
        row["reply"] = {
            "properties": shown_properties(reply[0]),
            "payload": payload,
            "payload_encoding": encoding,
            "payload_bytes": len(reply[1]),
        }
    return row
