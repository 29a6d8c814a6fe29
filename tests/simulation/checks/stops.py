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
    had: list[tuple[Dump | None, int]] = []
    process.before_close = lambda: had.append((_had(process), world.disk.failures))
    process.after_stop = lambda: _compare(world, had)
    process.stop()


def _compare(world: "World", had: list[tuple[Dump | None, int]]) -> None:
    before, failures = had[0] if had else (None, 0)
    if before is None:
        return
    if world.disk.failures > failures:
        # The operation that failed may have been the one that notes the end in order.
        for facts in [facts for key, facts in before.items() if key[0] == "message"]:
            facts["flag of redelivery"] = frozenset([facts["flag of redelivery"], True])
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
