"""What a connection has yet to write: small frames in one buffer, large ones left where they are."""

from amqpbroker.wire.octets import BytesWriter

#: Frames of so many octets are not copied into the buffer: that costs more than a part of its own does.
LARGE = 16 * 1024
#: A buffer that has grown beyond this is not kept.
_KEPT = 4 * 1024


class Output:
    """Octets in the order in which they are to go out. small: where frames below LARGE octets may be written to."""

    def __init__(self) -> None:
        self.small = BytesWriter()
        self._parts: list[bytes] = []
        self._size: int = 0

    def __len__(self) -> int:
        """Octets."""
        return self._size + len(self.small)

    def add(self, data: bytes) -> None:
        if len(data) >= LARGE:
            self._close_small()
            self._parts.append(data)
            self._size += len(data)
        else:
            self.small.write(data)

    def take(self) -> list[bytes]:
        """Everything, which is no longer here."""
        self._close_small()
        parts = self._parts
        if parts:
            self._parts = []
            self._size = 0
        return parts

    def _close_small(self) -> None:
        """Make what is in the buffer a part."""
        size = len(self.small)
        if size:
            self._parts.append(self.small.getvalue())
            self._size += size
            if size > _KEPT:
                self.small = BytesWriter()
            else:
                self.small.truncate(0)
