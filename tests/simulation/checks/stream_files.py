"""Files of streams at rest: only those of the segments that there are."""

from typing import TYPE_CHECKING

from tests.simulation.broker_process import DIRECTORY, BrokerProcess
from tests.simulation.scheduler import SECOND

if TYPE_CHECKING:
    from tests.simulation.world import World

#: Time after which files of removed segments are deleted.
WITHIN_NS = 60 * SECOND


def check(world: "World") -> None:
    """Raise BrokenError for a file of a stream or a segment that there is not, and for a segment without a file."""
    process = world.process
    assert process is not None
    if not world.run_until(lambda: _there(world) == _expected(process), WITHIN_NS) and not world.disk.removal_failed:
        raise world.broken(f"streams have the segments {_expected(process)}; there are files of {_there(world)}")


def _there(world: "World") -> list[str]:
    """Return the names of all files without their suffixes."""
    return sorted({name.partition(".")[0] for name in world.disk.names(DIRECTORY / "streams")})


def _expected(process: BrokerProcess) -> list[str]:
    logs = process.store.streams._logs.values()
    return sorted(segment.path.stem for log in logs for segment in log._segments if segment.exists)
