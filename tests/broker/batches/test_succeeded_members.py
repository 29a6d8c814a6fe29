import pytest

from amqpbroker.broker.batches.batch import Batch
from amqpbroker.broker.batches.member import FAILED, NAME_BYTES, OK, member
from amqpbroker.broker.batches.succeeded_members import SucceededMembers
from amqpbroker.clock import ManualClock
from tests.broker.batches.batching import Job, batch_headers

MOST = 3
#: The members of an ended batch that are removed in one iteration; 1 is removed with the event.
LIMITS = {"batch_events": MOST, "batch_removals": MOST}


def batch_of(outcomes: str) -> Batch:
    """Return a batch with a member for each letter, "f" for a failed one."""
    batch = Batch("/", b"b", 1, "user", 0, 0)
    for number, outcome in enumerate(outcomes):
        name = bytes((number,)) * NAME_BYTES
        batch.set_member(name, member(name, number + 1, FAILED if outcome == "f" else OK, 0, 0, 0))
    return batch


def iterate(clock: ManualClock, *batches: Batch) -> list[tuple[int, ...]]:
    """Run event loop iterations until nothing is due; return the number of members of each batch after each of them."""
    counts = []
    while clock.next_due_ms() is not None:
        clock.fire_due()
        counts.append(tuple([len(batch.members) for batch in batches]))
    return counts


def test_members_are_removed_over_several_iterations_batch_after_batch() -> None:
    clock = ManualClock()
    members = SucceededMembers(clock, MOST, Batch.remove_succeeded)
    first, second = batch_of("ooooo"), batch_of("oof")
    members.add(first)
    members.add(second)
    assert (len(first.members), len(second.members)) == (5, 3)
    assert iterate(clock, first, second) == [(2, 3), (0, 2), (0, 1)]
    assert (first.ok, first.failed, first.total) == (5, 0, 5)
    assert (second.ok, second.failed, second.total) == (2, 1, 3)


def test_failed_members_stay_and_are_visited_once() -> None:
    clock = ManualClock()
    members = SucceededMembers(clock, MOST, Batch.remove_succeeded)
    batch = batch_of("ffofoof")
    members.add(batch)
    assert iterate(clock, batch) == [(6,), (4,), (4,)]
    assert (batch.ok, batch.failed) == (3, 4)


def test_members_of_a_discarded_batch_stay() -> None:
    clock = ManualClock()
    members = SucceededMembers(clock, MOST, Batch.remove_succeeded)
    batch = batch_of("ooooo")
    members.add(batch)
    clock.fire_due()
    members.discard(batch)
    assert iterate(clock, batch) in ([], [(2,)])


def test_no_members_are_removed_after_the_end() -> None:
    clock = ManualClock()
    members = SucceededMembers(clock, MOST, Batch.remove_succeeded)
    batch = batch_of("ooooo")
    members.add(batch)
    members.close()
    assert iterate(clock, batch) == []
    assert len(batch.members) == 5


# --- in a broker ------------------------------------------------------------------------------------------------------


def settled(failed: int = 0, limits: dict[str, int] = LIMITS) -> Job:
    """Return a job whose batch has just been settled; the events are not sent yet."""
    job = Job(limits)
    for number in range(7):
        job.send(str(number), size=7, events="complete,success,death")
    if failed:
        job.reject(failed)
    for _ in range(7 - failed):
        tag = job.get().arguments["delivery_tag"]
    job.client.send(1, "basic.ack", delivery_tag=tag, multiple=True)
    job.client.receive()
    return job


def left(job: Job) -> int:
    return len(job.batch().members)


def iteration(job: Job) -> None:
    job.node.clock.fire_due()
    job.node.broker.sync()


def test_members_of_an_ended_batch_are_removed_in_slices() -> None:
    job = settled()
    counts = []
    for _ in range(5):
        iteration(job)
        counts.append(left(job))
    assert counts == [7, 4, 1, 0, 0]
    assert job.counts() == (7, 0, 0)
    assert job.events() == ["complete", "success"]


@pytest.mark.parametrize("iterations", range(6))
@pytest.mark.parametrize("failed", [0, 2])
def test_state_is_right_after_a_crash_between_slices(iterations: int, failed: int) -> None:
    job = settled(failed)
    for _ in range(iterations):
        iteration(job)
        assert (job.batch().ok, job.batch().total) == (7 - failed, 7)
    job.node.broker.sync()
    job.crash()
    assert (job.batch().ok, job.batch().failed, job.batch().total) == (7 - failed, failed, 7)
    job.advance()
    for _ in range(4):
        iteration(job)
    assert left(job) == failed
    assert job.node.broker.storage.batch_records.stored_count() == failed + 1
    assert job.events() == (["complete", "success"] if not failed else ["death", "complete"])
    if failed:
        for number in range(failed):
            job.send(str(number), size=7)
        job.ack(failed)
        for _ in range(4):
            iteration(job)
        assert (job.events(), left(job), job.counts()) == (["success"], 0, (7, 0, 0))


def test_member_that_succeeds_late_between_slices_counts() -> None:
    job = settled(2)
    iteration(job)
    assert left(job) == 7
    iteration(job)
    for number in range(2):
        job.send(str(number), size=7)
    job.ack(2)
    for _ in range(5):
        iteration(job)
    assert (left(job), job.counts()) == (0, (7, 0, 0))
    assert job.events() == ["death", "complete", "success"]


def test_batch_that_is_forgotten_between_slices_leaves_no_records() -> None:
    job = settled(limits={**LIMITS, "batches": 1})
    iteration(job)
    iteration(job)
    assert left(job) == 4
    # It makes space for another one.
    job.client.publish("q", b"", headers=batch_headers("other"), message_id=b"1", delivery_mode=2)
    job.client.receive()
    assert job.find() is None
    for _ in range(3):
        iteration(job)
    assert job.node.broker.storage.batch_records.stored_count() == 2
    job.crash()
    assert (job.find(), job.counts("other")) == (None, (0, 0, 1))
