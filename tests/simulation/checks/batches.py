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
        size = 0 if writing.batch is None else writing.batch.stop - writing.batch.position
        if size > most:
            yield f"a batch of {size} bytes is written"
    for path, content in process.disk.contents.items():
        if path.parent.name == "streams":
            continue  # their sizes are arguments of queues
        is_spill = path.parent.name == "spill"
        limit = bounds.spill_bytes + bounds.page_bytes + MESSAGE_BYTES if is_spill else bounds.segment_bytes + most
        if len(content) > limit:
            yield f"{path} has {len(content)} bytes"
