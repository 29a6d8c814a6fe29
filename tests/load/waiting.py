"""Time in which threads wait for a processor used by others, on a machine with other work."""

import os
from contextlib import ExitStack
from pathlib import Path


class Waiting:
    """Waiting time of all current threads of some processes; none if the system does not report it.

    Use it in a `with`.
    """

    def __init__(self, *pids: int) -> None:
        self._pids = pids
        self._files: list[int] = []

    def __enter__(self) -> "Waiting":
        with ExitStack() as opened:
            for pid in self._pids:
                for path in Path(f"/proc/{pid}/task").glob("*/schedstat"):
                    self._files.append(os.open(path, os.O_RDONLY))
                    opened.callback(os.close, self._files[-1])
            self._opened = opened.pop_all()
        return self

    def __exit__(self, *raised: object) -> None:
        self._opened.close()

    def seconds(self) -> float:
        """Return the seconds of waiting since the beginning."""
        return sum(self._waited_ns(file) for file in self._files) / 1e9

    @staticmethod
    def _waited_ns(file: int) -> int:
        try:
            return int(os.pread(file, 100, 0).split()[1])
        except ProcessLookupError:  # the thread has ended
            return 0
