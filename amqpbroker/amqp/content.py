"""A message that arrives frame by frame: a header, then body frames (AMQP 0-9-1 section 4.2.6)."""

from amqpbroker import errors
from amqpbroker.amqp.repeated_publish import Repeat
from amqpbroker.message.pieces import Pieces
from amqpbroker.wire.erlang import erlang_octets
from amqpbroker.wire.frames import BODY, HEADER


def undecodable(arguments: bytes) -> errors.AmqpError:
    """Return the error for arguments that do not fit basic.publish."""
    return errors.frame_error(f"cannot decode {erlang_octets(arguments)}")


class Content:
    """A publish whose header or body is still arriving.

    address, bits: see `Publishing.publish`. properties: as on the wire, None before the header. size: size of the whole
    body in bytes. left: bytes of the body still to arrive. too_large: the body is discarded. header: the header frame,
    if the next frame may contain the whole body.
    """

    __slots__ = ("_beside", "_body", "_last", "address", "bits", "header", "left", "properties", "size", "too_large")

    def __init__(self, address: bytes, bits: int) -> None:
        self.address: bytes = address
        self.bits: int = bits
        self.properties: bytes | None = None
        self.size: int = 0
        self.left: int = 0
        self.too_large: bool = False
        self.header: bytes = b""
        self._body: Pieces | None = None
        # Bytes of other frames that are kept alive with pieces of the body, and the last read buffer that was kept.
        self._beside: int = 0
        self._last: bytes = b""

    def pieces(self) -> Pieces:
        """Return the part of the body that has arrived."""
        if self._body is None:
            self._body = Pieces()
        return self._body

    def begin(self, header: bytes, size: int) -> None:
        """Handle a valid header frame, for a body of `size` bytes that may arrive in one frame."""
        self.header = header
        self.properties = header[19:-1]
        self.size = self.left = size

    def repeats(self, repeat: Repeat) -> bool:
        """Return whether the message has the properties, address and body size of the one that `repeat` was made of.

        The bit `mandatory` does not matter, since that message reached a queue; `immediate` is refused.
        """
        return self.bits < 2 and self.header == repeat.prefix and self.address == repeat.address

    def feed(self, kind: int, payload: bytes, size_max: int) -> bool:
        """Handle the next frame; return whether it was the last. The body of a message larger than `size_max` bytes is
        discarded.

        Raises AmqpError 505 for an unexpected frame, 501 for a body longer than announced.
        """
        if self.properties is None:
            self._header(kind, payload, size_max)
            return self.left == 0
        if kind != BODY:
            raise errors.unexpected_frame("expected content body, got non content body frame instead")
        self._count(len(payload))
        if not self.too_large:
            self.pieces().add(payload)
        return self.left == 0

    def feed_body(self, pieces: Pieces, size: int) -> bool:
        """Handle a body frame of `size` bytes that arrived in pieces, when a body frame is expected."""
        self._count(size)
        self.pieces().add_all(pieces)
        return self.left == 0

    def may_retain(self, data: bytes, size: int, share: int) -> bool:
        """Return whether to keep a view of `data` instead of copying its next `size` bytes, which belong to the body.

        Allowed while the kept buffers hold at most 25 % more than the body. share: bytes of `data` that are expected to
        belong to the body in the end.
        """
        if data is not self._last:
            if 4 * (self._beside + len(data) - share) > 5 * self.size:
                return False
            self._beside += len(data)
            self._last = data
        self._beside -= size
        return True

    def _count(self, size: int) -> None:
        if size > self.left:
            raise errors.frame_error("content body frame exceeds remaining content size")
        self.left -= size

    def _header(self, kind: int, payload: bytes, size_max: int) -> None:
        if kind == HEADER and payload[2:4] == b"\0\0" and payload[:2] != b"\0\x3c":
            class_id = int.from_bytes(payload[:2], "big")
            raise errors.unexpected_frame(f"expected content header for class 60, got one for class {class_id} instead")
        if kind != HEADER or payload[2:4] != b"\0\0":
            raise errors.unexpected_frame("expected content header for class 60, got non content header frame instead")
        self.properties = payload[12:]
        self.size = self.left = int.from_bytes(payload[4:12], "big")
        self.too_large = self.size > size_max
