"""x-message-deduplication: a fanout exchange that drops duplicates."""

from typing import ClassVar

from amqpbroker.broker.exchanges.deduplicated import TYPE_NAME
from amqpbroker.broker.exchanges.fanout import FanoutType


class DeduplicationType(FanoutType):
    """rabbit_message_deduplication_exchange (a plugin); its `Exchange.duplicate_filter` drops the duplicates."""

    name: ClassVar[str] = TYPE_NAME
