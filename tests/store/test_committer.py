import threading

from amqpbroker.store.committer import ThreadCommitter


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
    assert committer.close() is None
    assert journal.removed == 1


def test_freed_segments_are_removed_before_close_returns():
    journal = Journal()
    journal.over.set()
    committer = ThreadCommitter(journal, lambda call: call(), lambda: None)
    for _ in range(3):
        committer.remove(journal.remove_freed)
    committer.close()
    assert journal.removed == 3
