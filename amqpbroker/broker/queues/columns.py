"""Columns of the management API that exist only for some kinds of queues."""

from typing import Any, Final

from amqpbroker.broker.infos import QueueInfo
from amqpbroker.broker.queues.arguments.settings import QueueSettings

#: Columns of other kinds that streams do not have.
ABSENT_OF_STREAMS: Final = (
    "consumer_capacity",
    "consumer_utilisation",
    "message_bytes",
    "message_bytes_persistent",
    "message_bytes_ram",
    "message_bytes_ready",
    "message_bytes_unacknowledged",
    "messages_persistent",
    "messages_ram",
)


def _returns_columns(row: dict[str, Any], info: QueueInfo) -> None:
    if info.delayed_retry is not None:
        row["delayed_retry"], row["messages_delayed"] = info.delayed_retry, info.messages_delayed
    if info.next_delayed_at is not None:
        row["next_delayed_at"], row["last_delayed_at"] = info.next_delayed_at, info.last_delayed_at


def classic_columns(row: dict[str, Any], info: QueueInfo, settings: QueueSettings, node: str) -> None:
    row["message_bytes_paged_out"] = info.message_bytes_paged_out
    row["messages_paged_out"] = info.messages_paged_out
    row["messages_ready_ram"] = info.messages_ready_ram
    row["messages_unacknowledged_ram"] = info.messages_unacknowledged_ram
    row["storage_version"] = 2
    if settings.delivery_limit >= 0:
        row["delivery_limit"] = settings.delivery_limit
    _returns_columns(row, info)
    if info.head_message_timestamp is not None:
        row["head_message_timestamp"] = info.head_message_timestamp


def quorum_columns(row: dict[str, Any], info: QueueInfo, settings: QueueSettings, node: str) -> None:
    row["delivery_limit"] = settings.delivery_limit
    row["message_bytes_dlx"] = row["messages_dlx"] = 0
    row["messages_ready_returned"] = row["publishers"] = 0
    by_priority = info.messages_by_priority
    if by_priority is None:
        row["messages_ready_high"], row["messages_ready_normal"] = 0, info.messages_ready
    else:
        row["messages_by_priority"] = {str(priority): count for priority, count in by_priority.items()}
        row["messages_active_priorities"] = len(by_priority)
        row["messages_ready_returned"] = info.messages_ready - sum(by_priority.values())
    _returns_columns(row, info)
    row["open_files"] = {node: 0}
    if info.single_active_consumer_tag is not None:
        row["single_active_consumer_tag"] = info.single_active_consumer_tag


def stream_columns(row: dict[str, Any], info: QueueInfo, settings: QueueSettings, node: str) -> None:
    row["segments"] = info.segments
    row["readers"] = {node: info.consumers}
    if info.first_timestamp is not None:
        row["first_timestamp"] = info.first_timestamp
    if info.first_offset is not None:
        row["first_offset"], row["last_offset"] = info.first_offset, info.last_offset
        row["last_chunk"] = info.last_chunk
        row["stored_bytes"] = info.stored_bytes
