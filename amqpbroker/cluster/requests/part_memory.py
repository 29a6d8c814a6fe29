"""Memory of the answers of peers that are merged, for each and for all requests together."""

from typing import Final, final

from amqpbroker.cluster.requests.peers import Peer, PeerAnswer
from amqpbroker.management import failure
from amqpbroker.management.streamed import Parts

#: Most bytes of a broker's part of a list, and of the parts that all requests hold together.
MOST_PART_BYTES: Final = 32 * 1024 * 1024
MOST_HELD_BYTES: Final = 128 * 1024 * 1024


@final
class SharedPartMemory:
    """Memory that the parts of lists take until their requests are answered. total_bytes: of all of them."""

    def __init__(self) -> None:
        self.total_bytes: int = 0

    def one(self) -> "PartMemory":
        return PartMemory(self)


@final
class PartMemory:
    """Memory of one request. It counts in the total until `release`."""

    def __init__(self, held: SharedPartMemory) -> None:
        self._held = held
        self._bytes = 0

    def add(self, size: int) -> None:
        """Raises ApiError 503 if all requests together take too much memory."""
        if self._held.total_bytes + size > MOST_HELD_BYTES:
            raise failure.bodies_full(MOST_HELD_BYTES)
        self._bytes += size
        self._held.total_bytes += size

    def release(self) -> None:
        self._held.total_bytes -= self._bytes
        self._bytes = 0


async def holding(held: PartMemory, parts: Parts) -> Parts:
    """Yield the parts of an answer, which needs the memory until its end."""
    try:
        async for part in parts:
            yield part
    finally:
        held.release()


async def whole_of(peer: Peer, answered: PeerAnswer, held: PartMemory) -> bytes:
    """Return the body of an answer. Raises OSError for an error of the peer, ApiError if the body is too long."""
    data = bytearray()
    try:
        if answered.status != 200:
            raise OSError(f"status {answered.status}")
        async for part in answered.parts:
            held.add(len(part))
            data += part
            if len(data) > MOST_PART_BYTES:
                raise failure.too_long(peer.name, MOST_PART_BYTES)
    finally:
        await answered.parts.aclose()
    return bytes(data)
