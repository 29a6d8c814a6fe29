"""Sizes of batches, and of segments of the journal."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from tests.simulation.checks.memory import MESSAGE_BYTES

if TYPE_CHECKING:
    from tests.simulation.broker_process import BrokerProcess


def check(process: "BrokerProcess") -> Iterator[str]:
    """Yield each batch, and each segment, that exceeds its limit."""
    bounds = process.broker.config.bounds
    most = bounds.batch_bytes + bounds.group_bytes + MESSAGE_BYTES
    for writing in process.store.writer._writings:
        size = writing.batch.stop - writing.batch.position
        if size > most:
            yield f"a batch of {size} bytes is written"
    for path, content in process.disk.contents.items():
        if len(content) > max(bounds.segment_bytes, bounds.spill_bytes) + most:
            yield f"{path} has {len(content)} bytes"
