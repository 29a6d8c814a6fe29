"""Headers and timestamp added to each published or delivered message, if configured (rabbit_msg_interceptor)."""

from collections.abc import Callable

from amqpbroker.clock import Clock
from amqpbroker.config import Config
from amqpbroker.message.message import Message
from amqpbroker.wire.headers import with_headers, with_timestamp
from amqpbroker.wire.properties import flags_of
from amqpbroker.wire.property_flags import TIMESTAMP
from amqpbroker.wire.values import Field, Table, longstr

#: Changes an inspected message before it is routed.
Interceptor = Callable[[Message], None]

RECEIVED_AT = "timestamp_in_ms"
ROUTED_BY = "x-routed-by"
SENT_AT = "x-opt-rabbitmq-sent-time"


def stamped(message: Message, now_ms: int) -> Message:
    """Return the message as it is delivered, with the time in a header."""
    properties = with_headers(message.properties, {SENT_AT: Field("l", now_ms)})
    return Message(message.address, properties, message.body)


def interceptor(config: Config, clock: Clock) -> Interceptor | None:
    """Return the configured interceptor, or None.

    Values that a publisher has set are retained, unless overwriting is configured.
    """
    set_timestamp, set_routing_node = config.set_timestamp, config.set_routing_node
    if set_timestamp is None and set_routing_node is None:
        return None

    def intercept(message: Message) -> None:
        headers, properties = message.headers or {}, message.properties
        changes: Table = {}
        if set_timestamp is not None:
            now_ms = clock.wall_ms()
            if set_timestamp or RECEIVED_AT not in headers:
                changes[RECEIVED_AT] = Field("l", now_ms)
            if set_timestamp or not flags_of(properties) & TIMESTAMP:
                properties = with_timestamp(properties, now_ms // 1000)
        if set_routing_node is not None and (set_routing_node or ROUTED_BY not in headers):
            changes[ROUTED_BY] = longstr(config.cluster_name)
        if changes:
            properties = with_headers(properties, changes)
            message.headers = {**headers, **changes}
        if properties is not message.properties:
            message.replace_properties(properties)

    return intercept
