"""Group commit: a thread writes and syncs one batch while the loop gathers the next, and another one tidies up."""

import queue
import threading
from abc import ABC, abstractmethod
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial

from amqpbroker.store.log import Batch, Log

OnDone = Callable[[OSError | None], None]


def _nothing() -> None:
    pass


class Committer(ABC):
    """Takes one batch at a time and makes it safe.

    `before()` makes safe what a batch relies on (definitions of the queues in it); it may raise OSError.
    on_done(error): called on the loop's thread when the batch is synced (None) or has failed: with UnwrittenError if it
    may be tried again, with another OSError if nothing may be written any more.
    """

    def __init__(self, log: Log, before: Callable[[], None] = _nothing) -> None:
        self._log = log
        self._before = before

    @abstractmethod
    def start(self, batch: Batch | None, on_done: OnDone) -> None:
        """Begin; without a batch make safe only what one would rely on. Not before the last one's `on_done`."""

    @abstractmethod
    def close(self) -> OSError | None:
        """Wait for the batch under way, whose `on_done` may not be called any more, and end; what it failed with."""

    def commit(self, batch: Batch | None) -> None:
        """What `start` begins, here and now. Raises OSError as `on_done` is told it."""
        self._before()
        if batch is not None:
            self._log.write(batch)

    def remove_freed(self) -> None:
        """Have the log's `remove_freed` called: here and now, unless there is where nobody waits for it."""
        self._log.remove_freed()


class InlineCommitter(Committer):
    """Writes and syncs within `start`: for tests, and while there is no loop."""

    def start(self, batch: Batch | None, on_done: OnDone) -> None:
        try:
            self.commit(batch)
        except OSError as error:
            on_done(error)
            return
        on_done(None)

    def close(self) -> OSError | None:
        return None


class ThreadCommitter(Committer):
    """Writes and syncs on a thread of its own, and removes on another.

    `call_on_loop(function)` has the function called on the loop's thread, soon.
    """

    def __init__(
        self,
        log: Log,
        call_on_loop: Callable[[Callable[[], None]], object],
        before: Callable[[], None],
    ) -> None:
        super().__init__(log, before)
        self._call_on_loop = call_on_loop
        self._failure: OSError | None = None
        self._work: queue.SimpleQueue[tuple[Batch | None, OnDone] | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="journal", daemon=True)
        self._thread.start()
        self._remover = ThreadPoolExecutor(max_workers=1, thread_name_prefix="segments")

    def start(self, batch: Batch | None, on_done: OnDone) -> None:
        self._work.put((batch, on_done))

    def remove_freed(self) -> None:
        self._remover.submit(self._log.remove_freed)

    def close(self) -> OSError | None:
        self._work.put(None)
        self._thread.join()
        self._remover.shutdown()
        return self._failure

    def _run(self) -> None:
        while (work := self._work.get()) is not None:
            self._failure = self._try(work[0])
            self._call_on_loop(partial(work[1], self._failure))
            # A batch may be large, and the next may be long in coming.
            del work

    def _try(self, batch: Batch | None) -> OSError | None:
        try:
            self.commit(batch)
        except OSError as error:
            return error
        return None
