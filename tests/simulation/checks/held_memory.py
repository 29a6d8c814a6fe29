"""Memory of delayed exchanges, whose counters determine when stored messages leave memory."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from amqpbroker.broker.exchanges.held import _MESSAGE_BYTES
from tests.simulation.parts import delayed_exchanges

if TYPE_CHECKING:
    from tests.simulation.broker_process import BrokerProcess


def check(process: "BrokerProcess") -> Iterator[str]:
    """Yield each delayed exchange that counts its messages in memory wrongly."""
    for exchange, held in delayed_exchanges(process):
        size = sum(copy.message.size + _MESSAGE_BYTES for copy in held._recent)
        if size != held._recent_bytes:
            yield f"{exchange.name} counts {held._recent_bytes} bytes in memory and has {size}"
