"""Node facts of a running server: its process, its memory, and the machine's limits."""

import secrets
from pathlib import Path

from amqpbroker.broker.node import Node
from amqpbroker.server import machine


class ServerNode(Node):
    """The node that a server runs. directory: the data directory, None if nothing is kept."""

    def __init__(
        self,
        name: str,
        started_ms: int,
        memory_limit_bytes: int,
        disk_free_limit_bytes: int,
        max_files: int,
        directory: Path | None,
    ) -> None:
        super().__init__()
        self.name = name
        self.started_ms = started_ms
        self.token = "" if directory is None else secrets.token_urlsafe(32)
        self._memory_limit_bytes = memory_limit_bytes
        self._disk_free_limit_bytes = disk_free_limit_bytes
        self._max_files = max_files
        self._directory = directory

    def memory_bytes(self) -> int:
        try:
            return machine.resident_bytes()
        except OSError:
            return 0

    @property
    def memory_limit_bytes(self) -> int:
        return self._memory_limit_bytes

    def disk_free_bytes(self) -> int | None:
        if self._directory is None:
            return None
        try:
            return machine.free_bytes(self._directory)
        except OSError:
            return None

    @property
    def disk_free_limit_bytes(self) -> int:
        return self._disk_free_limit_bytes

    def files(self) -> tuple[int, int]:
        return machine.open_files() or 0, self._max_files

    @property
    def data_directory(self) -> str:
        return "" if self._directory is None else str(self._directory)
