"""Group commit: a thread writes and syncs a batch while the event loop gathers the next; another removes segments."""

import errno
import queue
import threading
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import NamedTuple

from amqpbroker.store.log import Batch, Log, UnwrittenError

OnDone = Callable[[OSError | None], None]


def _nothing() -> None:
    pass


class Committer(ABC):
    """Makes batches durable, by default one at a time.

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

        Wait for `on_done` of all earlier calls first.
        """

    def start_beside(self, batch: Batch, on_done: OnDone) -> None:
        """Start writing a batch that has no prerequisites, while earlier ones are under way.

        At most `Log.concurrency` are, and they may end in any order.
        """
        self.start(batch, on_done)

    @abstractmethod
    def close(self) -> None:
        """Wait for the batches under way, call their `on_done`, and stop."""

    def commit(self, batch: Batch | None) -> None:
        """Write a batch synchronously. Raises the OSError that `start` passes to `on_done`."""
        self._before()
        if batch is not None:
            self._log.begin(batch)()

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

    def close(self) -> None:
        pass


class _Work(NamedTuple):
    """A batch to be written. prerequisites: to be made durable before it."""

    batch: Batch | None
    prerequisites: bool
    on_done: OnDone


class ThreadCommitter(Committer):
    """Writes and syncs on as many threads as there are batches under way, and removes segments on another.

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
        self._work: queue.SimpleQueue[_Work | None] = queue.SimpleQueue()
        #: Results that were not passed on yet. Number of batches without one that was.
        self._ended: deque[tuple[OnDone, OSError | None]] = deque()
        self._under_way: int = 0
        self._closing: bool = False
        self._threads: list[threading.Thread] = []
        #: Held by the thread that waits for a batch, until it has begun to write it: batches are begun in order.
        self._beginning = threading.Lock()
        self._remover = ThreadPoolExecutor(max_workers=1, thread_name_prefix="segments")

    def start(self, batch: Batch | None, on_done: OnDone) -> None:
        self._add(_Work(batch, True, on_done))

    def start_beside(self, batch: Batch, on_done: OnDone) -> None:
        self._add(_Work(batch, False, on_done))

    def _add(self, work: _Work) -> None:
        self._under_way += 1
        if len(self._threads) < self._under_way:
            # Only now: a store whose messages cannot be read is never closed.
            self._start_thread()
        if self._threads:
            self._work.put(work)
            return
        reason = "No thread could be started to write; raise the limit of processes or tasks of this user or service"
        self._ended.append((work.on_done, UnwrittenError(errno.EAGAIN, reason)))
        self._call_on_loop(self._report)

    def _start_thread(self) -> None:
        """Start another thread, unless the system has too many; then fewer batches are under way at the same time."""
        thread = threading.Thread(target=self._run, name="journal", daemon=True)
        with suppress(RuntimeError):
            thread.start()
            self._threads.append(thread)

    def remove(self, task: Callable[[], None]) -> None:
        # Without a thread it stays in the executor's queue, and the next task tries to start one.
        with suppress(RuntimeError):
            self._remover.submit(task)

    def close(self) -> None:
        # From now on the event loop reports nothing: the caller may be another thread.
        self._closing = True
        for _ in self._threads:
            self._work.put(None)
        for thread in self._threads:
            thread.join()
        while self._ended:
            self._report_first()
        self._remover.shutdown()

    def _run(self) -> None:
        # No batch is kept while the next one is waited for: it may be large.
        while self._write_next():
            pass

    def _write_next(self) -> bool:
        """Write the next batch; return False at the end."""
        failure: OSError | None = None
        finish: Callable[[], None] = _nothing
        with self._beginning:
            work = self._work.get()
            if work is None:
                return False
            try:
                if work.prerequisites:
                    self._before()
                if work.batch is not None:
                    finish = self._log.begin(work.batch)
            except OSError as error:
                failure = error
        if failure is None:
            try:
                finish()
            except OSError as error:
                failure = error
        self._ended.append((work.on_done, failure))
        self._call_on_loop(self._report)
        return True

    def _report(self) -> None:
        """Pass a result on, unless `close` does so."""
        if not self._closing:
            self._report_first()

    def _report_first(self) -> None:
        on_done, failure = self._ended.popleft()
        self._under_way -= 1
        on_done(failure)
