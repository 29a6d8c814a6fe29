"""Windows of shovels: the unmoved messages are counted correctly, and no more are read beyond the bound."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from amqpbroker.client.protocol import Delivery
from amqpbroker.shovel.transfer import Transfer, _size

if TYPE_CHECKING:
    from tests.simulation.broker_process import BrokerProcess

#: Messages that one read may add to a full window: a large one, and small ones of 500 bytes of memory each.
SPARE_BYTES = 500_000


def check(process: "BrokerProcess") -> Iterator[str]:
    """Yield each transfer that counts its messages wrongly, or has too many of them."""
    for transfer in process.shovels.transfers():
        held = sum(map(_size, messages(transfer)))
        if held != transfer._held_bytes:
            yield f"a shovel has {held} bytes of messages, counted as {transfer._held_bytes}"
        if held > transfer._window + SPARE_BYTES:
            yield f"a shovel has {held} bytes of messages, with a window of {transfer._window}"


def messages(transfer: Transfer) -> list[Delivery]:
    """Return the messages that the transfer has taken and not moved."""
    return [*transfer._pending, *transfer._unconfirmed.values(), *transfer._refused]
