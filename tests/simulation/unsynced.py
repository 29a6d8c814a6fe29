"""Data of one file that may not be on the disk: not synced yet, or lost by a sync that failed."""

import random

PAGE_BYTES = 4096
SECTOR_BYTES = 512


class Unsynced:
    """Rest of a file after a power cut.

    After a sync has failed, the kernel takes the pages that were not written as written (Linux; "fsyncgate"): they are
    read back from memory, and no later sync writes them, unless they are written to again.
    """

    def __init__(self, chance: random.Random) -> None:
        self._chance = chance
        #: Pages that no sync writes any more -> the part of them that is not on the disk.
        self._lost: dict[int, tuple[int, int]] = {}
        #: Such pages that were written to since, and not synced.
        self._rewritten: dict[int, tuple[int, int]] = {}
        #: Content before the file was cut off, which may be there again.
        self._cut: bytes | None = None

    def written(self, start: int, stop: int) -> None:
        """Bytes were written to the file from `start` to `stop`."""
        for page in range(start // PAGE_BYTES, (max(stop, start + 1) - 1) // PAGE_BYTES + 1):
            lost = self._lost.pop(page, None)
            if lost is not None:
                self._rewritten[page] = lost

    def cut_off(self, content: bytes) -> None:
        """The file had this content, and is shorter now."""
        self._cut = content

    def synced(self) -> None:
        """A sync has succeeded."""
        self._rewritten.clear()
        self._cut = None

    def sync_failed(self, start: int, stop: int) -> None:
        """A sync has failed; the bytes from `start` to `stop` were not synced before."""
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
        """Return what a power cut leaves of the content, of which the first bytes are `synced`."""
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
    """Leave some sectors of what was not synced unwritten, in any order.

    Of a file that has less than a sector, and was never synced, the beginning comes first: that is relied on
    (docs/store-format.md, "Recovery").
    """
    for start in range(synced // SECTOR_BYTES * SECTOR_BYTES, len(content), SECTOR_BYTES):
        if chance.random() < 0.3 and (start or synced or len(content) > SECTOR_BYTES):
            _scribble(content, max(start, synced), start + SECTOR_BYTES, chance)


def _scribble(content: bytearray, start: int, stop: int, chance: random.Random) -> None:
    """Replace a part by what was on the disk before: zeros, or the content of some other file."""
    stop = min(stop, len(content))
    if start < stop:
        size = stop - start
        content[start:stop] = bytes(size) if chance.random() < 0.7 else chance.randbytes(size)
