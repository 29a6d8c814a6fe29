"""Files in memory, for the streams of a broker that stores nothing."""

from pathlib import Path

from amqpbroker.store.files import Files


class MemoryFiles(Files):
    """The operations of a file system that streams use, on bytes in memory. Nothing is ever refused."""

    def __init__(self) -> None:
        self._contents: dict[Path, bytearray] = {}
        self._open: dict[int, Path] = {}
        self._next: int = 0

    def names(self, directory: Path) -> list[str]:
        return sorted(path.name for path in self._contents if path.parent == directory)

    def make_directory(self, directory: Path) -> None:
        pass

    def create(self, path: Path) -> int:
        self._contents[path] = bytearray()
        return self.open(path)

    def open(self, path: Path, write: bool = False) -> int:
        if path not in self._contents:
            raise FileNotFoundError(str(path))
        self._next += 1
        self._open[self._next] = path
        return self._next

    def write(self, descriptor: int, *parts: bytes) -> None:
        content = self._contents[self._open[descriptor]]
        for part in parts:
            content += part

    def overwrite(self, path: Path, offset: int, data: bytes) -> None:
        self._contents[path][offset : offset + len(data)] = data

    def sync(self, descriptor: int) -> None:
        pass

    def sync_directory(self, directory: Path) -> None:
        pass

    def read(self, descriptor: int, offset: int, size: int) -> bytes:
        return bytes(self._contents[self._open[descriptor]][offset : offset + size])

    def expect(self, descriptor: int, offset: int, size: int) -> None:
        pass

    def size(self, descriptor: int) -> int:
        return len(self._contents[self._open[descriptor]])

    def truncate(self, descriptor: int, size: int) -> None:
        del self._contents[self._open[descriptor]][size:]

    def close(self, descriptor: int) -> None:
        del self._open[descriptor]

    def remove(self, path: Path) -> None:
        if path not in self._contents:
            raise FileNotFoundError(str(path))
        del self._contents[path]
