"""A large body frame that arrives in pieces. The pieces are kept as received instead of being copied together."""

from typing import Final

from amqpbroker.message.pieces import LARGE, Pieces

#: Body frames of this many bytes or more are handled in pieces; waiting for the whole frame is cheaper for smaller
#: ones.
STREAMED: Final = 16 * 1024


class BodyStream:
    """A body frame of which the header has arrived.

    channel: its number. size: bytes of the payload. left: bytes of the frame still to arrive.
    """

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
        """Add the part of the frame that `data` has from `start` on; return the position after that part.

        may_retain: allows keeping a view of `data` instead of a copy.
        """
        end = min(start + self.left, len(data))
        if may_retain and end - start >= LARGE:
            self.pieces.add_view(memoryview(data)[start:end])
        else:
            self.pieces.add(data[start:end])
        self.left -= end - start
        return end
