"""A stream of a simulated leader: the numbers of some of its batches, in one file."""

from pathlib import Path
from typing import Final

from amqpbroker.store.database.database_files import DatabaseFiles
from amqpbroker.store.log import UnwrittenError

_PATH: Final = Path("/streams/1")
_BYTES: Final = 8


class Stream:
    """The stream of one leader, which exists after the first `append`."""

    def __init__(self, files: DatabaseFiles) -> None:
        self._files = files
        exists = _PATH.name in files.names(_PATH.parent)
        self._descriptor = files.open(_PATH, write=True) if exists else files.create(_PATH)

    def append(self, number: int) -> None:
        """Append a number, which the next flush writes."""
        self._files.write(self._descriptor, number.to_bytes(_BYTES, "big"))

    def numbers(self) -> list[int] | None:
        """Return all numbers; None if the database fails."""
        try:
            data = self._files.read(self._descriptor, 0, self._files.size(self._descriptor))
        except UnwrittenError:
            return None
        return [int.from_bytes(data[at : at + _BYTES], "big") for at in range(0, len(data), _BYTES)]
