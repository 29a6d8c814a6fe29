import pytest

from amqpbroker.broker.batches.batch import Batch
from amqpbroker.broker.batches.due_batches import RETRY_MS, DueBatches
from amqpbroker.clock import ManualClock
from tests.broker.batches.batching import Job

MOST = 3


class Due:
    """Batches that are due, of which `refusing` targets refuse messages. sent: ids of those that were handled."""

    def __init__(self) -> None:
        self.clock = ManualClock()
        self.sent: list[str] = []
        self.refusing: set[str] = set()
        self.broken: set[str] = set()
        self.batches = DueBatches(self.clock, MOST, self.send)

    def send(self, batch: Batch) -> bool:
        id_ = batch.id.decode()
        if id_ in self.broken:
            raise LookupError(id_)
        self.sent.append(id_)
        return id_ not in self.refusing

    def add(self, ids: str) -> dict[str, Batch]:
        batches = {id_: Batch("/", id_.encode(), number, "user", 0, 0) for number, id_ in enumerate(ids)}
        for batch in batches.values():
            self.batches.add(batch)
        return batches

    def iterate(self) -> str:
        """Run one event loop iteration, and return the ids of the batches that were handled in it."""
        before = len(self.sent)
        self.clock.fire_due()
        return "".join(self.sent[before:])


def test_messages_about_a_limited_number_of_batches_are_sent_in_one_iteration() -> None:
    due = Due()
    due.add("abcdefg")
    assert due.sent == []
    assert [due.iterate() for _ in range(4)] == ["abc", "def", "g", ""]


def test_batch_that_is_added_again_is_handled_once() -> None:
    due = Due()
    due.batches.add(due.add("a")["a"])
    assert [due.iterate(), due.iterate()] == ["a", ""]


def test_refused_message_is_sent_again_later_and_delays_no_others() -> None:
    due = Due()
    due.refusing = {*"bcd"}
    refused = due.add("abcdef")
    assert [due.iterate() for _ in range(3)] == ["abc", "def", ""]
    due.batches.add(refused["b"])
    due.add("x")
    assert [due.iterate(), due.iterate()] == ["x", ""]
    due.refusing = set()
    due.clock.advance(RETRY_MS - 1)
    assert due.iterate() == ""
    due.clock.advance(1)
    assert due.sent[-3:] == ["b", "c", "d"]
    due.clock.advance(RETRY_MS)
    assert due.sent[-3:] == ["b", "c", "d"]


def test_failed_message_leaves_those_of_other_batches() -> None:
    due = Due()
    due.broken = {"b"}
    due.add("abcd")
    with pytest.raises(LookupError):
        due.iterate()
    assert due.sent == ["a"]
    due.clock.advance(0)
    assert due.sent == ["a", "c", "d"]


def test_removed_batches_are_not_handled() -> None:
    due = Due()
    due.refusing = {"a"}
    batches = due.add("abcd")
    due.batches.remove(batches["d"])
    assert due.iterate() == "abc"
    due.batches.remove(batches["a"])
    due.clock.advance(RETRY_MS)
    assert due.sent == [*"abc"]


def test_first_wanted_batch_whose_target_accepts_messages_is_handled_at_once() -> None:
    due = Due()
    due.refusing = {"b"}
    due.add("abcd")
    due.batches.send_first(lambda batch: batch.id != b"a")
    assert due.sent == ["b", "c"]
    assert [due.iterate(), due.iterate()] == ["ad", ""]


def test_nothing_is_sent_after_the_end() -> None:
    due = Due()
    due.refusing = {"a"}
    due.add("abcd")
    due.iterate()
    due.batches.close()
    due.clock.advance(RETRY_MS)
    assert due.sent == [*"abc"]


# --- event messages ---------------------------------------------------------------------------------------------------


def ended_together(count: int) -> Job:
    """Return a job with batches that all ended just now."""
    job = Job({"batch_events": MOST})
    for number in range(count):
        job.send("1", id=f"b{number}", size=1)
    for _ in range(count):
        tag = job.get().arguments["delivery_tag"]
    job.client.send(1, "basic.ack", delivery_tag=tag, multiple=True)
    job.client.receive()
    job.node.broker.sync()
    return job


def depth(job: Job) -> int:
    return job.node.broker.vhosts["/"].queues["events"].ready_count


def test_events_of_batches_that_end_together_are_sent_in_slices() -> None:
    job = ended_together(7)
    depths = [depth(job)]
    for _ in range(4):
        job.node.clock.fire_due()
        depths.append(depth(job))
    assert depths == [0, 3, 6, 7, 7]


@pytest.mark.parametrize("iterations", range(4))
def test_each_event_is_sent_once_over_a_crash_between_slices(iterations: int) -> None:
    job = ended_together(7)
    for _ in range(iterations):
        job.node.clock.fire_due()
        job.node.broker.sync()
    job.crash()
    assert job.results() == [("complete", 1, 0)] * 7
    job.advance(RETRY_MS)
    assert job.results() == []


def test_batch_that_ends_now_makes_space_for_another_one() -> None:
    job = Job({"batch_events": 1, "batches": 3})
    for number in range(3):
        job.send("1", id=f"b{number}", size=1)
    for _ in range(3):
        tag = job.get().arguments["delivery_tag"]
    job.client.send(1, "basic.ack", delivery_tag=tag, multiple=True)
    job.client.receive()
    job.send("1", id="b3", size=1)
    assert job.find("b3") is not None
    assert job.results() == [("complete", 1, 0)] * 3
