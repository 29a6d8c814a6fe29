"""Writes batches in order, retries while the disk refuses them, and syncs definitions with them."""

import logging
from collections import deque
from collections.abc import Callable
from typing import Final

from amqpbroker.clock import Clock, Timer
from amqpbroker.store.batches import Writing
from amqpbroker.store.committer import Committer
from amqpbroker.store.log import UnwrittenError

log = logging.getLogger(__name__)

#: Delay before a batch that the disk refused is retried.
RETRY_MS: Final = 1000
#: Delay in which changed definitions wait for a batch, to be synced with it.
DEFINITIONS_MS: Final = 100


class Writer:
    """Writes the batches passed to `write`, by means of a committer.

    has_failed: a write has failed that cannot be retried; nothing is written from then on.
    """

    def __init__(
        self,
        name: str,
        committer: Committer,
        clock: Clock,
        on_written: Callable[[Writing], None],
        on_done: Callable[[], None],
        on_ready: Callable[[], None],
        on_failure: Callable[[Exception], None],
    ) -> None:
        """name: of the log, for the operator.

        on_written(writing): called when a batch is safe. on_done(): called when all batches passed to `write` are safe.
        on_ready(): called when definitions were synced without a batch, for which `write` had to wait.
        on_failure(error): called when has_failed is set.
        """
        self.has_failed: bool = False
        self._on_stuck: Callable[[OSError | None], None] = _ignore
        self._name = name
        self._committer = committer
        self._clock = clock
        self._on_written = on_written
        self._on_done = on_done
        self._on_ready = on_ready
        self._on_failure = on_failure
        #: The first is being written.
        self._writings: deque[Writing] = deque()
        self._stuck: bool = False
        self._retry: Timer | None = None
        self._definitions: Timer | None = None
        self._syncing: bool = False
        self._closed: bool = False

    def watch(self, on_stuck: Callable[[OSError | None], None]) -> None:
        """Call `on_stuck` with the error when the disk has refused a batch, which is retried every second, and with
        None when it has accepted the batch."""
        self._on_stuck = on_stuck

    @property
    def is_busy(self) -> bool:
        """Return whether a write or a sync is in progress."""
        return self._syncing or bool(self._writings)

    def write(self, writings: list[Writing]) -> None:
        """Write these batches, unless the writer is busy or has failed."""
        self._writings.extend(writings)
        self._start()

    def fail(self, error: Exception) -> None:
        """Write nothing from now on."""
        if not self.has_failed:
            self.has_failed = True
            self._on_failure(error)

    def _start(self) -> None:
        self._retry = None
        if self._definitions is not None:
            self._definitions.cancel()
            self._definitions = None
        self._committer.start(self._writings[0].batch, self._done)

    def _done(self, error: OSError | None) -> None:
        if self._closed:
            return
        if isinstance(error, UnwrittenError):
            self._wait(error)
            return
        writing = self._writings.popleft()
        if error is not None:
            self.fail(error)
            return
        if self._stuck:
            self._stuck = False
            log.warning("%s: the disk accepts data again", self._name)
            self._on_stuck(None)
        self._on_written(writing)
        if self._writings:
            # Clients that wait for the disk are released only when everything is written (`on_done`): otherwise they
            # send faster than the disk writes.
            self._start()
        else:
            self._on_done()

    def _wait(self, error: OSError) -> None:
        """Schedule a retry."""
        if not self._stuck:
            self._stuck = True
            log.error("%s; nothing is confirmed until the write succeeds; it is retried every second", error)
            self._on_stuck(error)
        self._retry = self._clock.after(RETRY_MS, self._start)

    # --- definitions ------------------------------------------------------------------------------------------------

    def definitions_changed(self) -> None:
        """Sync the definitions soon: with the next batch, or alone."""
        if self._definitions is None:
            self._definitions = self._clock.after(DEFINITIONS_MS, self._sync_definitions)

    def _sync_definitions(self) -> None:
        self._definitions = None
        if self.has_failed or self._closed:
            return
        if self.is_busy:
            # The write in progress may have begun before the change.
            self.definitions_changed()
            return
        self._syncing = True
        self._committer.start(None, self._definitions_done)

    def _definitions_done(self, error: OSError | None) -> None:
        if self._closed:
            return
        self._syncing = False
        if isinstance(error, UnwrittenError):
            log.error("%s; the sync of definitions is retried every second", error)
            self._definitions = self._clock.after(RETRY_MS, self._sync_definitions)
        elif error is not None:
            self.fail(error)
            return
        self._on_ready()

    # --- the end ----------------------------------------------------------------------------------------------------

    def close(self) -> None:
        """Wait for the write in progress, and write the remaining batches, once; `commit` may follow.

        Raises OSError.
        """
        error = self._committer.close()
        self._closed = True
        again = self._retry is not None or isinstance(error, UnwrittenError)
        for timer in (self._retry, self._definitions):
            if timer is not None:
                timer.cancel()
        if self.has_failed:
            return
        if not again:
            if error is not None:
                raise error
            if self._writings:
                self._on_written(self._writings.popleft())
        self.commit([])

    def commit(self, writings: list[Writing]) -> None:
        """Write these batches synchronously, after all others. Raises OSError."""
        self._writings.extend(writings)
        while self._writings:
            self._committer.commit(self._writings[0].batch)
            self._on_written(self._writings.popleft())


def _ignore(error: OSError | None) -> None:
    pass
