"""Octets that come in pieces: large pieces are kept as they came, small ones copied together."""

from typing import Final

#: From how many octets on a piece is kept as it is.
LARGE: Final = 4096


class Pieces:
    """Octets, in the order in which they came. They take about as much memory as they are many."""

    __slots__ = ("_parts",)

    def __init__(self) -> None:
        self._parts: list[bytes | bytearray | memoryview] = []

    def add(self, data: bytes) -> None:
        if len(data) >= LARGE:
            self._parts.append(data)
        elif data:
            last = self._parts[-1] if self._parts else None
            if isinstance(last, bytearray):
                last += data
            else:
                self._parts.append(bytearray(data))

    def add_view(self, data: memoryview) -> None:
        """A large piece, as a part of what will not change."""
        self._parts.append(data)

    def add_all(self, pieces: "Pieces") -> None:
        """Those of `pieces`, which are not to be used any more."""
        if pieces._parts and isinstance(pieces._parts[0], bytearray):
            self.add(bytes(pieces._parts.pop(0)))
        self._parts += pieces._parts

    def join(self) -> bytes:
        """All of them; the piece itself if it is a large one and the only one."""
        parts = self._parts
        only = parts[0] if len(parts) == 1 else None
        return only if isinstance(only, bytes) else b"".join(parts)
