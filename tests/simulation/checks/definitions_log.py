"""The write-ahead log of the definitions database."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from amqpbroker.store.definitions.sqlite_definitions import SqliteDefinitions

if TYPE_CHECKING:
    from tests.simulation.broker_process import BrokerProcess

#: Size of the largest change of any workload in the log.
CHANGE_BYTES = 100_000


def check(process: "BrokerProcess") -> Iterator[str]:
    """Yield the excess over the sizes at which the log is moved into the database."""
    definitions = process._definitions
    if not isinstance(definitions, SqliteDefinitions):
        return
    log, bounds = definitions._log, process.broker.config.bounds
    size = log._size_bytes()
    if size > bounds.full_log_bytes + CHANGE_BYTES:
        yield f"the log of the definitions has {size} bytes, and takes further changes"
    writer = process.store.writer
    if process.disk.failures or log._dirty or writer.is_busy or writer._definitions is not None:
        return
    if size >= bounds.log_bytes:
        yield f"the log of the definitions has {size} bytes although all of them are synced"
