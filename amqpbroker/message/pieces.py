"""Bytes that arrive in pieces: large pieces are kept as received, small ones are copied together."""

from typing import Final

#: Minimum size of a piece that is kept without copying.
LARGE: Final = 4096

#: Byte objects that will not be changed any more.
BytesLike = bytes | bytearray | memoryview


class Pieces:
    """Bytes in the order of arrival. parts: the pieces. size: total number of bytes."""

    __slots__ = ("parts", "size")

    def __init__(self) -> None:
        self.parts: list[BytesLike] = []
        self.size: int = 0

    def add(self, data: bytes) -> None:
        self.size += len(data)
        if len(data) >= LARGE:
            self.parts.append(data)
        elif data:
            last = self.parts[-1] if self.parts else None
            if isinstance(last, bytearray):
                last += data
            else:
                self.parts.append(bytearray(data))

    def add_view(self, data: memoryview) -> None:
        """Add a large piece: a view of a buffer that will not change."""
        self.size += len(data)
        self.parts.append(data)

    def add_all(self, pieces: "Pieces") -> None:
        """Add all of `pieces`, which must not be used afterwards."""
        if pieces.parts and isinstance(pieces.parts[0], bytearray):
            first = bytes(pieces.parts.pop(0))
            pieces.size -= len(first)
            self.add(first)
        self.parts += pieces.parts
        self.size += pieces.size

    def join(self) -> bytes:
        """Return all bytes; without copying if there is only one large piece."""
        parts = self.parts
        only = parts[0] if len(parts) == 1 else None
        return only if isinstance(only, bytes) else b"".join(parts)
