"""Group commit: a thread writes and syncs one batch while the loop gathers the next."""

import queue
import threading
from abc import ABC, abstractmethod
from collections.abc import Callable

from amqpbroker.store.journal import Batch, Journal


class Committer(ABC):
    """Takes one batch at a time and makes it safe.

    on_done(error): called on the loop's thread when the batch is synced (None) or has failed.
    """

    @abstractmethod
    def start(self, batch: Batch, on_done: Callable[[OSError | None], None]) -> None:
        """Begin. Not before the batch before has called its `on_done`."""

    @abstractmethod
    def close(self) -> None:
        """Wait for the batch under way, and end."""


class InlineCommitter(Committer):
    """Writes and syncs within `start`: for tests, and while there is no loop."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal

    def start(self, batch: Batch, on_done: Callable[[OSError | None], None]) -> None:
        try:
            self._journal.write(batch)
        except OSError as error:
            on_done(error)
            return
        on_done(None)

    def close(self) -> None:
        pass


class ThreadCommitter(Committer):
    """Writes and syncs on a thread of its own.

    `call_on_loop(function)` has the function called on the loop's thread, soon. `before()` makes safe what a batch
    relies on (definitions of the queues in it); it may raise OSError.
    """

    def __init__(
        self,
        journal: Journal,
        call_on_loop: Callable[[Callable[[], None]], object],
        before: Callable[[], None],
    ) -> None:
        self._journal = journal
        self._before = before
        self._call_on_loop = call_on_loop
        self._work: queue.SimpleQueue[tuple[Batch, Callable[[OSError | None], None]] | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="journal", daemon=True)
        self._thread.start()

    def start(self, batch: Batch, on_done: Callable[[OSError | None], None]) -> None:
        self._work.put((batch, on_done))

    def close(self) -> None:
        self._work.put(None)
        self._thread.join()

    def _run(self) -> None:
        while (work := self._work.get()) is not None:
            batch, on_done = work
            failure: OSError | None = None
            try:
                self._before()
                self._journal.write(batch)
            except OSError as error:
                failure = error
            self._call_on_loop(lambda on_done=on_done, failure=failure: on_done(failure))  # type: ignore[misc]
