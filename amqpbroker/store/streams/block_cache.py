"""Cache of the chunks that readers of streams read last."""

from typing import NamedTuple

from amqpbroker.store.streams.chunk import Block


class BlockKey(NamedTuple):
    """Place of a chunk: id of its stream, first offset of its segment, and position in the segment."""

    stream: int
    segment: int
    position: int


class BlockCache:
    """Blocks that were read last, by place, so that readers at the same place share them.

    Memory is limited for all streams together: a reader holds no block while it waits.
    """

    def __init__(self, limit_bytes: int) -> None:
        """limit_bytes: memory of the blocks, except for the newest one."""
        self.size_bytes: int = 0
        self._limit_bytes: int = limit_bytes
        self._blocks: dict[BlockKey, Block] = {}

    def __len__(self) -> int:
        return len(self._blocks)

    def get(self, key: BlockKey) -> Block | None:
        """Return a block, None if it is not in the cache."""
        block = self._blocks.pop(key, None)
        if block is not None:
            self._blocks[key] = block
        return block

    def add(self, key: BlockKey, block: Block) -> None:
        """Add a block, and remove those that were not used for the longest time."""
        self.remove(key)
        self._blocks[key] = block
        self.size_bytes += block.size_bytes
        while self.size_bytes > self._limit_bytes and len(self._blocks) > 1:
            self.remove(next(iter(self._blocks)))

    def remove(self, key: BlockKey) -> None:
        """Remove a block, if it is in the cache."""
        block = self._blocks.pop(key, None)
        if block is not None:
            self.size_bytes -= block.size_bytes

    def remove_stream(self, stream: int) -> None:
        """Remove all blocks of a stream."""
        for key in [key for key in self._blocks if key.stream == stream]:
            self.remove(key)
