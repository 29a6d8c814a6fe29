"""Group commit: a thread writes and syncs a batch while the event loop gathers the next; another removes segments."""

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
    """Makes one batch at a time durable.

    `before()` makes the prerequisites of a batch durable (the definitions of its queues, and what streams have); it may
    raise OSError.
    on_done(error): called on the event loop's thread when the batch is synced (None) or has failed: with UnwrittenError
    if the batch may be retried, with another OSError if nothing may be written any more.
    """

    def __init__(self, log: Log, before: Callable[[], None] = _nothing) -> None:
        self._log = log
        self._before = before

    @abstractmethod
    def start(self, batch: Batch | None, on_done: OnDone) -> None:
        """Start writing a batch; with None, only make the prerequisites durable.

        Wait for the last call's `on_done` first.
        """

    @abstractmethod
    def close(self) -> OSError | None:
        """Wait for the current batch, whose `on_done` may not be called any more, and stop; return its error."""

    def commit(self, batch: Batch | None) -> None:
        """Write a batch synchronously. Raises the OSError that `start` passes to `on_done`."""
        self._before()
        if batch is not None:
            self._log.write(batch)

    def remove(self, task: Callable[[], None]) -> None:
        """Call a task that removes files, such as `Log.remove_freed`, on a thread of its own if there is one."""
        task()


class InlineCommitter(Committer):
    """Writes and syncs within `start`: for tests, and before the event loop runs."""

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
    """Writes and syncs on a thread of its own, and removes segments on another.

    `call_on_loop(function)` schedules the function on the event loop's thread.
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
        self._has_started = False
        self._remover = ThreadPoolExecutor(max_workers=1, thread_name_prefix="segments")

    def start(self, batch: Batch | None, on_done: OnDone) -> None:
        if not self._has_started:
            # Only now: a store whose messages cannot be read is never closed.
            self._has_started = True
            self._thread.start()
        self._work.put((batch, on_done))

    def remove(self, task: Callable[[], None]) -> None:
        self._remover.submit(task)

    def close(self) -> OSError | None:
        if self._has_started:
            self._work.put(None)
            self._thread.join()
        self._remover.shutdown()
        return self._failure

    def _run(self) -> None:
        while (work := self._work.get()) is not None:
            self._failure = self._try(work[0])
            self._call_on_loop(partial(work[1], self._failure))
            # Free the batch: it may be large, and the next may not come for a long time.
            del work

    def _try(self, batch: Batch | None) -> OSError | None:
        try:
            self.commit(batch)
        except OSError as error:
            return error
        return None
