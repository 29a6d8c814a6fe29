"""Memory of the chunks of streams that are cached for readers."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.simulation.broker_process import BrokerProcess


def check(process: "BrokerProcess") -> Iterator[str]:
    """Yield the excess over the bound, which only a single chunk may exceed, and a wrong sum."""
    cache = process.store.streams.cache
    size = sum(block.size_bytes for block in cache._blocks.values())
    if size != cache.size_bytes:
        yield f"the cache of streams counts {cache.size_bytes} bytes and has {size}"
    if size > process.broker.config.bounds.stream_cache_bytes and len(cache) > 1:
        yield f"the cache of streams has {len(cache)} chunks with {size} bytes"
