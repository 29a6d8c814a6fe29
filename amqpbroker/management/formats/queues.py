"""Queues. A list of them may have tens of thousands of rows, so these are made without detours."""

from typing import Any

from amqpbroker.broker.queues.queue import Queue
from amqpbroker.broker.session import Session
from amqpbroker.management.formats.consumers import consumer_row
from amqpbroker.management.formats.erlang import GARBAGE_COLLECTION, NO_RATE
from amqpbroker.management.formats.rates import Details, with_details
from amqpbroker.management.formats.tables import plain
from amqpbroker.management.formats.times import iso


def queue_row(vhost: str, queue: Queue, node: str, details: Details) -> dict[str, Any]:
    """A row of /queues."""
    info = queue.info()
    effective = queue.effective
    quorum = queue.settings.queue_type == "quorum"
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
        "type": "quorum" if quorum else "classic",
        "vhost": vhost,
    }
    if quorum:
        row["delivery_limit"] = queue.settings.delivery_limit
        row["leader"] = node
        row["members"] = row["online"] = [node]
        row["message_bytes_dlx"] = row["messages_dlx"] = 0
        row["messages_ready_returned"] = row["publishers"] = 0
        by_priority = info.messages_by_priority
        if by_priority is None:
            row["messages_ready_high"], row["messages_ready_normal"] = 0, info.messages_ready
        else:
            row["messages_by_priority"] = {str(priority): count for priority, count in by_priority.items()}
            row["messages_active_priorities"] = len(by_priority)
            row["messages_ready_returned"] = info.messages_ready - sum(by_priority.values())
        if info.delayed_retry is not None:
            row["delayed_retry"], row["messages_delayed"] = info.delayed_retry, info.messages_delayed
        if info.next_delayed_at is not None:
            row["next_delayed_at"], row["last_delayed_at"] = info.next_delayed_at, info.last_delayed_at
        row["open_files"] = {node: 0}
        if info.single_active_consumer_tag is not None:
            row["single_active_consumer_tag"] = info.single_active_consumer_tag
    else:
        row["message_bytes_paged_out"] = info.message_bytes_paged_out
        row["messages_paged_out"] = info.messages_paged_out
        row["messages_ready_ram"] = info.messages_ready_ram
        row["messages_unacknowledged_ram"] = info.messages_unacknowledged_ram
        row["storage_version"] = 2
        if info.head_message_timestamp is not None:
            row["head_message_timestamp"] = info.head_message_timestamp
    if effective.policy is not None:
        row["policy"] = effective.policy.name
    if effective.operator_policy is not None:
        row["operator_policy"] = effective.operator_policy.name
    stats = queue.message_stats()
    if stats:
        row["message_stats"] = with_details(stats, details)
    return row


def detailed_row(vhost: str, queue: Queue, node: str, details: Details) -> dict[str, Any]:
    """A row of /queues/detailed."""
    row = queue_row(vhost, queue, node, details)
    info = queue.info()
    row["garbage_collection"] = GARBAGE_COLLECTION
    row.setdefault("policy", None)
    row.setdefault("operator_policy", None)
    row["single_active_consumer_tag"] = info.single_active_consumer_tag
    if queue.settings.queue_type != "quorum":
        row["exclusive_consumer_tag"] = info.exclusive_consumer_tag
        row["head_message_timestamp"] = info.head_message_timestamp
        if info.idle_since is not None:
            row["idle_since"] = iso(info.idle_since)
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
    quorum = queue.settings.queue_type == "quorum"
    row: dict[str, Any] = {
        "arguments": plain(queue.arguments),
        "auto_delete": queue.auto_delete,
        "durable": queue.durable,
        "exclusive": queue.owner is not None,
        "name": queue.name,
        "node": node,
        "state": "running",
        "type": "quorum" if quorum else "classic",
        "vhost": vhost,
    }
    if quorum:
        row["leader"] = node
        row["members"] = row["online"] = [node]
    if queue.effective.policy is not None:
        row["policy"] = queue.effective.policy.name
    if totals:
        row["messages"] = queue.ready_count + queue.delayed_count + queue.unacked_count
        row["messages_ready"] = queue.ready_count
        row["messages_unacknowledged"] = queue.unacked_count
    return row
