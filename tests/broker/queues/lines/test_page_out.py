import weakref
from pathlib import Path

from amqpbroker.broker.queues.lines.page_out import REST_MS, ROUND_MS, STEP_PAGES, PageOut
from amqpbroker.clock import ManualClock
from amqpbroker.store.spill import NO_SPILL, SpillFiles
from tests.fault_files import FaultyFiles


class Paging:
    """A queue with this number of pages to move."""

    def __init__(self, pages):
        self.pages = pages

    def page_out(self):
        self.pages -= self.pages > 0
        self.asked = True
        return self.pages > 0


class Case:
    def __init__(self, *pages):
        self.clock = ManualClock()
        self.spill = SpillFiles(Path("/spill"), FaultyFiles())
        self.queues = [Paging(count) for count in pages]
        self.given_back = 0
        self.shortage = PageOut(self.clock, self.spill, lambda: list(self.queues), self._give_back)

    def _give_back(self):
        self.given_back += 1

    @property
    def left(self):
        return [queue.pages for queue in self.queues]


def test_pages_are_moved_to_disk_in_bounded_steps_until_none_is_left():
    case = Case(3 * STEP_PAGES, 1, 2)
    case.shortage.set(True)
    assert sum(case.left) >= 2 * STEP_PAGES
    case.clock.advance(10 * REST_MS)
    assert case.left == [0, 0, 0]
    assert case.given_back == 1


def test_paging_rounds_continue_while_memory_is_low_and_retry_failures():
    case = Case(1)
    case.shortage.set(True)
    case.spill.wanted = False
    case.queues.append(Paging(2))
    case.clock.advance(ROUND_MS)
    assert case.left == [0, 0]
    assert case.spill.wanted


def test_repeated_report_of_low_memory_starts_no_second_paging_round():
    case = Case(100)
    for _ in range(10):
        case.shortage.set(True)
    assert sum(case.left) >= 100 - STEP_PAGES


def test_paging_rounds_end_when_memory_is_sufficient():
    case = Case(100)
    case.shortage.set(True)
    case.shortage.set(False)
    left = case.left
    case.clock.advance(10 * ROUND_MS)
    assert case.left == left
    assert (case.spill.short, case.spill.wanted) == (False, False)
    case.shortage.set(True)
    case.clock.advance(ROUND_MS)
    assert case.left == [0]


def test_queue_deleted_after_rounds_end_is_freed():
    case = Case(3 * STEP_PAGES, 3 * STEP_PAGES)
    case.shortage.set(True)
    case.shortage.set(False)
    freed = [weakref.ref(queue) for queue in case.queues]
    case.queues.clear()
    assert [queue() for queue in freed] == [None, None]


def test_memory_is_returned_only_if_pages_were_moved():
    case = Case(0, 0)
    case.shortage.set(True)
    case.clock.advance(5 * ROUND_MS)
    assert case.given_back == 0


def test_no_pages_are_moved_to_disk_without_a_spill():
    case = Case(3)
    shortage = PageOut(case.clock, NO_SPILL, lambda: list(case.queues), case._give_back)
    for short in (True, True, False, True):
        shortage.set(short)
        case.clock.advance(2 * ROUND_MS)
    assert (case.left, case.given_back) == ([3], 0)
