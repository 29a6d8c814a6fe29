"""Jobs as the API's JSON."""

from typing import Any

from amqpbroker.broker.jobs.job import Job
from amqpbroker.broker.jobs.job_status import FAILED, JobStatuses
from amqpbroker.management.formats.messages import shown_payload, shown_properties
from amqpbroker.management.formats.shared import iso
from amqpbroker.management.formats.tables import plain_value, shown_bytes, shown_name
from amqpbroker.wire.values import decode_value


def job_row(job: Job, job_statuses: JobStatuses) -> dict[str, Any]:
    """Return a job as a list shows it. queue: null if no queue has or had the message."""
    job_status = job_statuses.of(job)
    row: dict[str, Any] = {
        "id": shown_bytes(job.id),
        "vhost": job.vhost,
        "state": job_status.state,
        "user": shown_name(job.user),
        "exchange": shown_name(job.exchange),
        "routing_key": shown_bytes(job.routing_key),
        "queue": None if job_status.queue is None else shown_name(job_status.queue),
        "created_at": iso(job.created_ms),
    }
    if job.has_ended:
        row["ended_at"] = iso(job.ended_ms)
        row["expires_at"] = iso(job.expires_ms)
    if job_status.attempt:
        row["attempt"] = job_status.attempt
    if job_status.until_ms:
        row["until"] = iso(job_status.until_ms)
    if job_status.since_ms:
        row["since"] = iso(job_status.since_ms)
        row["consumer"] = {
            "consumer_tag": None if job_status.consumer_tag is None else shown_name(job_status.consumer_tag),
            "connection": job_status.connection,
        }
    if job_status.group is not None:
        group = job_status.group
        row["group"] = {
            "queue": shown_name(group.queue),
            "key": group.key,
            "key_type": group.key_type,
            "state": group.state,
        }
    failure = job.failure
    if job_status.state == FAILED and failure is not None:
        row["reason"] = failure.reason
    return row


def job(job: Job, job_statuses: JobStatuses) -> dict[str, Any]:
    """Return a job with its position in the queue, or with its result."""
    row = job_row(job, job_statuses)
    if not job.has_ended:
        ahead = job_statuses.ahead(job_statuses.of(job))
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
