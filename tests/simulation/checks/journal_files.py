"""Files of the store at rest: no segment without live records, no unknown segment, no spill files."""

from typing import TYPE_CHECKING

from amqpbroker.broker.exchanges.held import HeldMessages
from amqpbroker.store.journal.journal import segment_name
from amqpbroker.store.persistence import Persistence
from amqpbroker.store.spill import SpillFiles
from tests.simulation.broker_process import DIRECTORY, BrokerProcess
from tests.simulation.parts import held_messages, queues
from tests.simulation.scheduler import SECOND

if TYPE_CHECKING:
    from tests.simulation.world import World

#: Time for the steps of a running compaction; each follows the batch of the previous one.
WITHIN_NS = 60 * SECOND


def check(world: "World") -> None:
    """Raise BrokenError for a file that is not needed."""
    process = world.process
    assert process is not None
    store = process.store
    if not world.run_until(lambda: _is_tidy(store), WITHIN_NS):
        raise world.broken(f"segment {store.log.oldest} is neither compacted nor removed")
    world.run(SECOND)  # files of removed segments are deleted later
    log, disk = process.store.log, world.disk
    names = disk.names(DIRECTORY / "journal")
    # Segments that could not be removed are removed together with the next one.
    freed = {segment.path.name for segment in log._freed} if disk.removal_failed else set()
    names = [name for name in names if name not in freed]
    expected = [segment_name(number) for number in range(log.oldest, log.newest + 1) if number]
    if names != expected and names != expected[:-1]:  # the newest has its file with its first batch
        raise world.broken(f"the journal has {expected}; there are {names}")
    # A message that has just expired lives until its record is written.
    if not world.run_until(lambda: _living(store) == _held(process), WITHIN_NS):
        raise world.broken(
            f"{_living(store)} copies and ids live in the journal; queues and exchanges have {_held(process)}"
        )
    spilled = disk.names(DIRECTORY / "spill")
    spill = process.broker._spill
    assert isinstance(spill, SpillFiles)
    # A file that could not be removed is removed at the next start.
    many = len(spilled) > len(spill._segments) and not disk.removal_failed
    if many or len(spilled) < len(spill._segments) or not all(segment.live for segment in spill._segments.values()):
        raise world.broken(f"spill files are left: {spilled}")
    open_files = [path for path in disk.open_files.values() if path.parent.name == "journal"]
    if len(open_files) > len(names) + len(freed):
        raise world.broken(f"{len(open_files)} files are open, of {len(names)} segments")


def _living(store: Persistence) -> int:
    log = store.log
    return sum(log.living.of(number).count for number in range(log.oldest, log.newest + 1))


def _held(process: BrokerProcess) -> int:
    """Return the number of stored messages and ids of all queues and exchanges."""
    messages = sum(queue.ledger.persistent for queue in queues(process)) + sum(map(_stored, held_messages(process)))
    return messages + sum(each.stored_count() for each in process.broker.storage.id_keepers().values())


def _is_tidy(store: Persistence) -> bool:
    """Return whether the oldest segment may stay."""
    log = store.log
    lives = log.newest == log.oldest or log.living.of(log.oldest).count > 0
    return lives and not store._compaction.is_due()


def _stored(held: HeldMessages) -> int:
    """Return the number of stored messages of a delayed exchange."""
    return len(held._stored) + sum(copy.position != 0 for copy in held._recent)
