"""Memory of delayed exchanges: stored messages leave it."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from amqpbroker.broker.exchanges.delayed import DelayedType
from amqpbroker.broker.exchanges.held import _MESSAGE_BYTES
from tests.simulation.checks.memory import MESSAGE_BYTES

if TYPE_CHECKING:
    from tests.simulation.broker_process import BrokerProcess


def check(process: "BrokerProcess") -> Iterator[str]:
    """Yield each delayed exchange that counts wrongly, or that has not looked which messages can leave memory."""
    unswept = process.broker.config.bounds.unswept_bytes
    for vhost in process.broker.vhosts.values():
        for exchange in vhost.exchanges.values():
            if not isinstance(exchange.type, DelayedType):
                continue
            held = exchange.type.held
            size = sum(copy.message.size + _MESSAGE_BYTES for copy in held._recent)
            if size != held._recent_bytes:
                yield f"{exchange.name} counts {held._recent_bytes} bytes in memory and has {size}"
            most = max(unswept, size // 2) + MESSAGE_BYTES
            if held._stores and held._new_bytes > most:
                yield f"{exchange.name} has taken {held._new_bytes} bytes, and swept none of them"
