"""The cache of chunks."""

from amqpbroker.store.streams.block_cache import BlockCache, BlockKey
from amqpbroker.store.streams.chunk import Block


def block(size: int = 100) -> Block:
    return Block(bytes(size), 0, 0, 0)


def key(position: int, stream: int = 1) -> BlockKey:
    return BlockKey(stream, 0, position)


def test_blocks_that_were_used_least_recently_are_removed():
    cache = BlockCache(300)
    first = block()
    cache.add(key(1), first)
    cache.add(key(2), block())
    cache.add(key(3), block())
    assert cache.get(key(1)) is first
    cache.add(key(4), block())
    assert [cache.get(key(number)) is None for number in (1, 2, 3, 4)] == [False, True, False, False]
    assert (cache.size_bytes, len(cache)) == (300, 3)


def test_newest_block_stays_although_it_is_too_large():
    cache = BlockCache(10)
    cache.add(key(1), block())
    large = block(1000)
    cache.add(key(2), large)
    assert cache.get(key(2)) is large
    assert len(cache) == 1


def test_a_block_is_replaced():
    cache = BlockCache(1000)
    cache.add(key(1), block())
    newer = block(50)
    cache.add(key(1), newer)
    assert cache.get(key(1)) is newer
    assert cache.size_bytes == newer.size_bytes


def test_blocks_of_one_stream_are_removed():
    cache = BlockCache(1000)
    cache.add(key(1), block())
    cache.add(key(1, stream=2), block())
    cache.remove_stream(1)
    assert cache.get(key(1)) is None
    assert cache.get(key(1, stream=2)) is not None
    cache.remove(key(9))
    assert cache.size_bytes == 100
