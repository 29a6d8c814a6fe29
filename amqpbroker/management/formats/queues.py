"""Queues and their consumers. Lists may have tens of thousands of rows, so these are made without detours."""

from typing import Any

from amqpbroker.broker.infos import ConsumerInfo
from amqpbroker.broker.queues.arguments.difference import Difference
from amqpbroker.broker.queues.queue import Queue
from amqpbroker.broker.session import Session
from amqpbroker.management.formats.rates import Details, with_details
from amqpbroker.management.formats.shared import GARBAGE_COLLECTION, NO_RATE, iso
from amqpbroker.management.formats.tables import plain


def queue_row(vhost: str, queue: Queue, node: str, details: Details) -> dict[str, Any]:
    """A row of /queues."""
    info = queue.info()
    effective = queue.effective
    kind = queue.kind
    row: dict[str, Any] = {
        "arguments": plain(queue.arguments),
        "auto_delete": queue.auto_delete,
        "consumer_capacity": info.consumer_capacity,
        "consumer_utilisation": info.consumer_capacity,
        "consumers": info.consumers,
        "durable": queue.durable,
        "effective_policy_definition": effective.definition,
        "exclusive": queue.owner is not None,
        "memory": info.memory,
        "message_bytes": info.message_bytes,
        "message_bytes_persistent": info.message_bytes_persistent,
        "message_bytes_ram": info.message_bytes_ram,
        "message_bytes_ready": info.message_bytes_ready,
        "message_bytes_unacknowledged": info.message_bytes_unacknowledged,
        "messages": info.messages,
        "messages_details": details("messages"),
        "messages_persistent": info.messages_persistent,
        "messages_ram": info.messages_ram,
        "messages_ready": info.messages_ready,
        "messages_ready_details": details("messages_ready"),
        "messages_unacknowledged": info.messages_unacknowledged,
        "messages_unacknowledged_details": details("messages_unacknowledged"),
        "name": queue.name,
        "node": node,
        "reductions": 0,
        "reductions_details": NO_RATE,
        "state": info.state,
        "type": kind.name,
        "vhost": vhost,
    }
    if kind.replicated:
        row["leader"] = node
        row["members"] = row["online"] = [node]
    if queue.settings.deduplication is not None:
        row["messages_deduplicated"] = queue.deduplicated
    if queue.settings.last_value is not None:
        row["messages_replaced"] = queue.replaced
    if queue.settings.groups is not None:
        row["groups"], row["messages_parked"] = info.groups, info.messages_parked
        row["groups_parked"], row["groups_closed"] = info.groups_parked, info.groups_closed
    for column in kind.absent_columns:
        del row[column]
    kind.columns(row, info, queue.settings, node)
    if effective.policy is not None:
        row["policy"] = effective.policy.name
    if effective.operator_policy is not None:
        row["operator_policy"] = effective.operator_policy.name
    if queue.differences:
        row["redeclared_with"] = [_difference(each) for each in queue.differences]
    settings = queue.settings
    if settings.consumer_timeout_action or settings.consumer_timeout_renew or queue.timed_out:
        row["consumer_timeout_action"] = settings.consumer_timeout_action or None
        row["consumer_timeout_renew"] = settings.consumer_timeout_renew or None
        row["deliveries_timed_out"] = queue.timed_out
    stats = queue.message_stats()
    if stats:
        row["message_stats"] = with_details(stats, details)
    return row


def _difference(difference: Difference) -> dict[str, Any]:
    values = {"queue": difference.current, "declared": difference.declared}
    shown = plain({side: field for side, field in values.items() if field is not None})
    return {"argument": difference.argument, "queue": None, "declared": None, **shown}


def detailed_row(vhost: str, queue: Queue, node: str, details: Details) -> dict[str, Any]:
    """A row of /queues/detailed."""
    row = queue_row(vhost, queue, node, details)
    info = queue.info()
    row["garbage_collection"] = GARBAGE_COLLECTION
    row.setdefault("policy", None)
    row.setdefault("operator_policy", None)
    for column in queue.kind.detailed_columns:
        row[column] = getattr(info, column)
    idle_since = row.pop("idle_since", None)
    if idle_since is not None:
        row["idle_since"] = iso(idle_since)
    return row


def queue(vhost: str, queue: Queue, node: str, details: Details) -> dict[str, Any]:
    """One that is shown alone."""
    row = detailed_row(vhost, queue, node, details)
    row["consumer_details"] = [consumer_row(info, node) for info in queue.consumer_infos()]
    row["deliveries"] = []
    row["incoming"] = []
    owner = queue.owner
    if isinstance(owner, Session):
        info = owner.info()
        row["owner_pid_details"] = {"name": info.name, "peer_host": info.peer_host, "peer_port": info.peer_port}
    return row


def bare_row(vhost: str, queue: Queue, node: str, totals: bool) -> dict[str, Any]:
    """Without what is counted, but for totals if these are wanted."""
    kind = queue.kind
    row: dict[str, Any] = {
        "arguments": plain(queue.arguments),
        "auto_delete": queue.auto_delete,
        "durable": queue.durable,
        "exclusive": queue.owner is not None,
        "name": queue.name,
        "node": node,
        "state": "running",
        "type": kind.name,
        "vhost": vhost,
    }
    if kind.replicated:
        row["leader"] = node
        row["members"] = row["online"] = [node]
    if queue.effective.policy is not None:
        row["policy"] = queue.effective.policy.name
    if totals:
        row["messages"] = queue.ready_count + queue.delayed_count + queue.unacked_count
        row["messages_ready"] = queue.ready_count
        row["messages_unacknowledged"] = queue.unacked_count
    return row


def consumer_row(info: ConsumerInfo, node: str) -> dict[str, Any]:
    row: dict[str, Any] = {
        "arguments": plain(info.arguments),
        "ack_required": info.ack_required,
        "active": info.active,
        "activity_status": info.activity_status,
        "channel_details": {
            "connection_name": info.connection_name,
            "name": info.channel_name,
            "node": node,
            "number": info.channel_number,
            "peer_host": info.peer_host,
            "peer_port": info.peer_port,
            "user": info.user,
        },
        "consumer_tag": info.consumer_tag,
        "consumer_timeout": info.consumer_timeout,
        "exclusive": info.exclusive,
        "prefetch_count": info.prefetch_count,
        "queue": {"name": info.queue, "vhost": info.vhost},
    }
    if info.consumer_timeout_action is not None:
        row["consumer_timeout_action"] = info.consumer_timeout_action
    if info.user_provided_name is not None:
        row["channel_details"]["user_provided_name"] = info.user_provided_name
    return row
