"""Orderly stops at any time: the next broker restores the complete state, confirmed or not."""

from typing import TYPE_CHECKING

from tests.simulation.checks.restart import (
    Dump,
    booted,
    copied,
    differences,
    dump,
    has_unstored_offsets,
    have_following,
)

if TYPE_CHECKING:
    from tests.simulation.broker_process import BrokerProcess
    from tests.simulation.world import World


def stop(world: "World", process: "BrokerProcess") -> None:
    """Stop a broker, and compare the next one with its state after its clients have disconnected.

    Raises BrokenError.
    """
    had: list[Dump | None] = []
    process.before_close = lambda: had.append(_had(process))
    process.after_stop = lambda: _compare(world, had)
    process.stop()


def _compare(world: "World", had: list[Dump | None]) -> None:
    before = had[0] if had else None
    if before is None:
        return
    disk = copied(world)
    disk.end_process()
    after = booted(world, disk)
    found = dump(after.process, live=False)
    after.process.kill()
    disk.release()
    for fault in differences(before, found):
        raise world.broken(f"after an orderly stop {fault}")


def _had(process: "BrokerProcess") -> Dump | None:
    """Return the state of a broker, None if something could not be stored, or changes when the next one starts."""
    if process.service.failure is not None or process.store.writer.has_failed or has_unstored_offsets(process):
        return None
    if have_following(process):
        return None
    return dump(process, live=True)
