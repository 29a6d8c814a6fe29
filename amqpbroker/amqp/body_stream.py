"""A large body frame that comes in piece by piece: what has come is kept as it came, and not copied together."""

from typing import Final

from amqpbroker.message.pieces import LARGE, Pieces

#: A body frame of so many octets is taken in pieces; waiting for the whole of a smaller one costs less.
STREAMED: Final = 16 * 1024


class BodyStream:
    """A body frame whose head has come. channel: its number. size: of the payload. left: octets of it still to come."""

    def __init__(self, channel: int, size: int) -> None:
        self.channel: int = channel
        self.size: int = size
        self.left: int = size
        self.pieces = Pieces()

    def skip(self, data: bytes, start: int) -> int:
        """Discard the part of the frame that `data` has from `start` on; return the position after that part."""
        end = min(start + self.left, len(data))
        self.left -= end - start
        return end

    def feed(self, data: bytes, start: int, may_retain: bool) -> int:
        """Add its part of `data`, from `start` on; return where that ends. may_retain: all of `data`, for it."""
        end = min(start + self.left, len(data))
        if may_retain and end - start >= LARGE:
            self.pieces.add_view(memoryview(data)[start:end])
        else:
            self.pieces.add(data[start:end])
        self.left -= end - start
        return end
