"""Octets that come in pieces: large pieces are kept as they came, small ones copied together."""

from typing import Final

#: From how many octets on a piece is kept as it is.
LARGE: Final = 4096

#: What will not change any more.
Octets = bytes | bytearray | memoryview


class Pieces:
    """Octets, in the order in which they came. parts: what they are together. size: how many."""

    __slots__ = ("parts", "size")

    def __init__(self) -> None:
        self.parts: list[Octets] = []
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
        """A large piece, as a part of what will not change."""
        self.size += len(data)
        self.parts.append(data)

    def add_all(self, pieces: "Pieces") -> None:
        """Those of `pieces`, which are not to be used any more."""
        if pieces.parts and isinstance(pieces.parts[0], bytearray):
            first = bytes(pieces.parts.pop(0))
            pieces.size -= len(first)
            self.add(first)
        self.parts += pieces.parts
        self.size += pieces.size

    def join(self) -> bytes:
        """All of them; the piece itself if it is a large one and the only one."""
        parts = self.parts
        only = parts[0] if len(parts) == 1 else None
        return only if isinstance(only, bytes) else b"".join(parts)
