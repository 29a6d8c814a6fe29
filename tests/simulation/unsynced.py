"""Data of one file that may not be on the disk: not synced yet, or lost by a sync that failed."""

import random

PAGE_BYTES = 4096
SECTOR_BYTES = 512


class Unsynced:
    """The content of a file after a power failure.

    After a sync has failed, the kernel treats the unwritten pages as written (Linux; "fsyncgate"): they are read back
    from memory, and no later sync writes them, unless they are modified again.
    """

    def __init__(self, chance: random.Random) -> None:
        self._chance = chance
        #: Pages that no sync writes any more -> the part of them that is not on the disk.
        self._lost: dict[int, tuple[int, int]] = {}
        #: Such pages that were written to since, and not synced.
        self._rewritten: dict[int, tuple[int, int]] = {}
        #: Content before the file was truncated, which may reappear.
        self._cut: bytes | None = None

    def written(self, start: int, stop: int) -> None:
        """Record that bytes were written from `start` to `stop`."""
        for page in range(start // PAGE_BYTES, (max(stop, start + 1) - 1) // PAGE_BYTES + 1):
            lost = self._lost.pop(page, None)
            if lost is not None:
                self._rewritten[page] = lost

    def cut_off(self, content: bytes) -> None:
        """Record that a file with this content was truncated."""
        self._cut = content

    def synced(self) -> None:
        """Record a successful sync."""
        self._rewritten.clear()
        self._cut = None

    def sync_failed(self, start: int, stop: int) -> None:
        """Record a failed sync; the bytes from `start` to `stop` were not synced before."""
        for page, part in self._rewritten.items():
            if self._chance.random() < 0.5:
                self._lost[page] = part
        self._rewritten = {page: part for page, part in self._rewritten.items() if page not in self._lost}
        for page in range(start // PAGE_BYTES, (max(stop, start + 1) - 1) // PAGE_BYTES + 1):
            first, last = max(start, page * PAGE_BYTES), min(stop, (page + 1) * PAGE_BYTES)
            if first < last and self._chance.random() < 0.7:
                known = self._lost.get(page)
                self._lost[page] = (first, last) if known is None else (min(first, known[0]), max(last, known[1]))

    def after_power_loss(self, content: bytes, synced: int) -> bytearray:
        """Return the content after a power failure; its first `synced` bytes are durable."""
        chance = self._chance
        if self._cut is not None and len(self._cut) > len(content) and chance.random() < 0.5:
            content = self._cut
        left = bytearray(content)
        for start, stop in self._lost.values():
            _scribble(left, start, stop, chance)
        for start, stop in self._rewritten.values():
            if chance.random() < 0.5:
                _scribble(left, start, stop, chance)
        if len(left) > synced:
            kept = chance.choice((0, chance.randint(0, len(left) - synced), len(left) - synced))
            del left[synced + kept :]
            if chance.random() < 0.5:
                _tear(left, synced, chance)
        return left


def _tear(content: bytearray, synced: int, chance: random.Random) -> None:
    """Leave some sectors of the unsynced part unwritten, in any order.

    In a file of less than a sector that was never synced, the beginning is written first, which the store relies on
    (docs/store-format.md, "Recovery").
    """
    # If few sectors are missing, some records behind a torn one are whole.
    fraction = chance.choice((0.02, 0.3))
    for start in range(synced // SECTOR_BYTES * SECTOR_BYTES, len(content), SECTOR_BYTES):
        if chance.random() < fraction and (start or synced or len(content) > SECTOR_BYTES):
            _scribble(content, max(start, synced), start + SECTOR_BYTES, chance)


def _scribble(content: bytearray, start: int, stop: int, chance: random.Random) -> None:
    """Replace a part by the earlier content of the disk: zeros, or the content of another file."""
    stop = min(stop, len(content))
    if start < stop:
        size = stop - start
        content[start:stop] = bytes(size) if chance.random() < 0.7 else chance.randbytes(size)
