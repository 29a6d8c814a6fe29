"""The journal's threads in a simulated process."""

from collections import deque
from collections.abc import Callable
from functools import partial

from amqpbroker.store.committer import Committer, OnDone
from amqpbroker.store.log import Batch, Log
from tests.simulation.event_loop import SimulatedLoop
from tests.simulation.threads import Thread, Threads, pause


class SimulatedCommitter(Committer):
    """Writes and syncs on a thread, and removes on another, as `ThreadCommitter` does."""

    def __init__(
        self, log: Log, before: Callable[[], None], loop: SimulatedLoop, threads: Threads, on_close: Callable[[], None]
    ) -> None:
        super().__init__(log, before)
        self._on_close = on_close
        self._loop = loop
        self._threads = threads
        self._writer: Thread | None = None
        self._remover: Thread | None = None
        self._removals: list[Callable[[], None]] = []
        self._ended: deque[tuple[OnDone, OSError | None]] = deque()

    def start(self, batch: Batch | None, on_done: OnDone) -> None:
        self._writer = self._threads.start(partial(self._run, batch, on_done))

    def close(self) -> None:
        self._on_close()
        while self._writer is not None or self._remover is not None:
            pause()
        while self._ended:
            self._report()

    def remove(self, task: Callable[[], None]) -> None:
        self._removals.append(task)
        if self._remover is None:
            self._remover = self._threads.start(self._remove)

    # ----------------------------------------------------------------------------------------------------------------

    def _run(self, batch: Batch | None, on_done: OnDone) -> None:
        failure = None
        try:
            self.commit(batch)
        except OSError as error:
            failure = error
        self._writer = None
        self._ended.append((on_done, failure))
        self._loop.call_soon_threadsafe(self._report)

    def _report(self) -> None:
        if self._ended:
            on_done, failure = self._ended.popleft()
            on_done(failure)

    def _remove(self) -> None:
        while self._removals:
            self._removals.pop(0)()
        self._remover = None
