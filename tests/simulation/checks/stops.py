"""Orderly stops in the middle of everything: the next broker has all that this one had, confirmed or not."""

from typing import TYPE_CHECKING

from amqpbroker.store.record import DamagedError
from tests.simulation.checks.restart import Dump, booted, copied, differences, dump

if TYPE_CHECKING:
    from tests.simulation.broker_process import BrokerProcess
    from tests.simulation.world import World


def stop(world: "World", process: "BrokerProcess") -> None:
    """Stop a broker, and compare with the next one. Raises BrokenError, and StoreError as `BrokerProcess.stop`."""
    before = _had(process)
    process.stop()
    if before is None:
        return
    disk = copied(world)
    disk.end_process()
    after = booted(world, disk)
    found = dump(after, live=False)
    after.kill()
    for fault in differences(before, found):
        raise world.broken(f"after an orderly stop {fault}")


def _had(process: "BrokerProcess") -> Dump | None:
    """Return what a broker has, None if it cannot be read now, or the store has ended."""
    if process.failed is not None or process.store.writer.has_failed:
        return None
    try:
        return dump(process, live=True)
    except (OSError, DamagedError):
        return None
