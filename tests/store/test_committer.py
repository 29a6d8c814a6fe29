import errno
import queue
import threading
from functools import partial

from amqpbroker.store.committer import ThreadCommitter
from amqpbroker.store.log import UnwrittenError


class Journal:
    """A journal whose removal blocks until the test ends it."""

    def __init__(self):
        self.removing = threading.Event()
        self.over = threading.Event()
        self.removed = 0

    def remove_freed(self):
        self.removing.set()
        assert self.over.wait(10)
        self.removed += 1


def test_removing_segments_blocks_neither_the_caller_nor_a_batch():
    journal = Journal()
    safe = threading.Event()
    committer = ThreadCommitter(journal, lambda call: call(), lambda: None)
    committer.remove(journal.remove_freed)
    assert journal.removing.wait(10)
    committer.start(None, lambda error: safe.set())
    assert safe.wait(10)
    assert journal.removed == 0
    journal.over.set()
    committer.close()
    assert journal.removed == 1


def test_freed_segments_are_removed_before_close_returns():
    journal = Journal()
    journal.over.set()
    committer = ThreadCommitter(journal, lambda call: call(), lambda: None)
    for _ in range(3):
        committer.remove(journal.remove_freed)
    committer.close()
    assert journal.removed == 3


class Deep:
    """A log that several batches are written to at the same time. Each ends when the test sets its event."""

    concurrency = 3

    def __init__(self):
        self.begun = []
        self.may_end = {batch: threading.Event() for batch in "abc"}

    def begin(self, batch):
        self.begun.append(batch)
        return lambda: self._finish(batch)

    def _finish(self, batch):
        assert self.may_end[batch].wait(10)
        if batch == "b":
            raise UnwrittenError(errno.EIO, "refused")

    def remove_freed(self):
        pass


def started(log, prepared):
    """Start three batches; return the committer, what its event loop is to call, and the results."""
    calls, results = queue.SimpleQueue(), []

    def on_done(batch, error):
        results.append((batch, error and error.strerror))

    committer = ThreadCommitter(log, calls.put, lambda: prepared.append(1))
    committer.start("a", partial(on_done, "a"))
    for batch in "bc":
        committer.start_beside(batch, partial(on_done, batch))
    return committer, calls, results


def test_batches_beside_each_other_are_begun_in_order_and_end_in_any():
    log, prepared = Deep(), []
    committer, calls, results = started(log, prepared)
    for batch in "cab":
        log.may_end[batch].set()
        calls.get(timeout=10)()
    assert log.begun == ["a", "b", "c"]
    assert results == [("c", None), ("a", None), ("b", "refused")]
    assert prepared == [1]
    committer.start("a", lambda error: results.append(error))
    calls.get(timeout=10)()
    assert results[3:] == [None]
    committer.close()


def test_closing_reports_what_is_under_way_once():
    log = Deep()
    committer, calls, results = started(log, [])
    for event in log.may_end.values():
        event.set()
    committer.close()
    assert sorted(results) == [("a", None), ("b", "refused"), ("c", None)]
    while not calls.empty():
        calls.get()()
    assert len(results) == 3


class Starts:
    """Starts of threads, of which the system refuses some. refused: whether it refuses the next one."""

    def __init__(self, monkeypatch):
        self.refused = True
        start = threading.Thread.start

        def start_or_refuse(thread):
            if self.refused:
                raise RuntimeError("can't start new thread")
            start(thread)

        monkeypatch.setattr(threading.Thread, "start", start_or_refuse)


def test_a_batch_for_which_no_thread_can_be_started_may_be_written_again(monkeypatch):
    starts, log = Starts(monkeypatch), Deep()
    calls, results = queue.SimpleQueue(), []
    committer = ThreadCommitter(log, calls.put, lambda: None)
    committer.start("a", results.append)
    assert results == []
    calls.get(timeout=10)()
    (error,) = results
    assert isinstance(error, UnwrittenError)
    assert error.strerror.startswith("No thread could be started to write; raise the limit")
    starts.refused = False
    log.may_end["a"].set()
    committer.start("a", results.append)
    calls.get(timeout=10)()
    assert (results, log.begun) == ([error, None], ["a"])
    committer.close()


def test_batches_share_the_threads_that_could_be_started(monkeypatch):
    starts, log = Starts(monkeypatch), Deep()
    starts.refused = False
    results, both = [], threading.Event()

    def on_done(error):
        results.append(error)
        if len(results) == 2:
            both.set()

    committer = ThreadCommitter(log, lambda call: call(), lambda: None)
    committer.start("a", on_done)
    starts.refused = True
    committer.start_beside("c", on_done)
    for batch in "ac":
        log.may_end[batch].set()
    assert both.wait(10)
    assert results == [None, None]
    committer.close()


def test_segments_are_removed_later_if_no_thread_can_be_started(monkeypatch):
    starts, journal = Starts(monkeypatch), Journal()
    journal.over.set()
    committer = ThreadCommitter(journal, lambda call: call(), lambda: None)
    committer.remove(journal.remove_freed)
    starts.refused = False
    committer.remove(journal.remove_freed)
    committer.close()
    assert journal.removed == 2
