"""Consumers as the API shows them."""

from typing import Any

from amqpbroker.broker.infos import ConsumerInfo
from amqpbroker.management.formats.tables import plain


def consumer_row(info: ConsumerInfo, node: str) -> dict[str, Any]:
    return {
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
