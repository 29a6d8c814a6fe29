"""Writes batches, retries while the disk refuses them, and syncs definitions with them."""

import logging
from collections import deque
from collections.abc import Callable
from functools import partial
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
    """Writes the batches passed to `write`, by means of a committer, several at a time if they may overlap.

    Their ends are reported in order. After an error, those that are under way end first; then the batch that had the
    error is written again, and all later ones after it.

    has_failed: a write has failed that cannot be retried, or the owner has abandoned what is not written; nothing is
    written from then on.
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
        concurrency: int = 1,
    ) -> None:
        """name: of the log, for the operator. concurrency: number of batches that may be written at the same time.

        on_written(writing): called when a batch is safe. on_done(): called when the last one of a gathering is, too.
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
        self._concurrency: int = concurrency
        #: The first `_started` ones are being written, or have ended as `_ended` says, and wait for an earlier one.
        self._writings: deque[Writing] = deque()
        self._started: int = 0
        self._ended: dict[Writing, OSError | None] = {}
        self._stuck: bool = False
        #: The next attempt waits.
        self._resting: bool = False
        self._retry: Timer | None = None
        self._definitions: Timer | None = None
        self._syncing: bool = False
        self._closed: bool = False
        #: Error of what was under way at the end.
        self._error: OSError | None = None

    def watch(self, on_stuck: Callable[[OSError | None], None]) -> None:
        """Call `on_stuck` with the error when the disk has refused a batch, which is retried every second, and with
        None when it has accepted the batch."""
        self._on_stuck = on_stuck

    @property
    def is_busy(self) -> bool:
        """Return whether a write or a sync is in progress."""
        return self._syncing or bool(self._writings)

    @property
    def has_room(self) -> bool:
        """Return whether one more batch that may overlap is written at once, although the writer is busy."""
        return (
            len(self._writings) < self._concurrency
            and not self._syncing
            and not self._stuck
            and all(writing.may_overlap for writing in self._writings)
        )

    def write(self, writings: list[Writing]) -> None:
        """Write these batches. Call it only if the writer is not busy, or has room, and has not failed."""
        self._writings.extend(writings)
        if self._definitions is not None:
            self._definitions.cancel()
            self._definitions = None
        self._start()

    def fail(self, error: Exception) -> None:
        """Write nothing from now on."""
        if not self.has_failed:
            self.abandon()
            self._on_failure(error)

    def abandon(self) -> None:
        """Write nothing from now on, which is no failure."""
        self.has_failed = True

    def _start(self) -> None:
        """Start to write what can be written now."""
        # A committer without a thread has ended some within `start`.
        while (index := self._started) < len(self._writings) and not (self._resting or self.has_failed):
            writing = self._writings[index]
            batch = writing.batch
            if index == 0:
                self._started = 1
                self._committer.start(batch, partial(self._done, writing))
            elif batch is not None and self._may_follow(index):
                self._started += 1
                self._committer.start_beside(batch, partial(self._done, writing))
            else:
                return

    def _start_again(self) -> None:
        """Retry what was refused."""
        self._resting = False
        self._retry = None
        self._start()

    def _may_follow(self, index: int) -> bool:
        """Return whether a batch may be written beside those before it."""
        before, writing = self._writings[index - 1], self._writings[index]
        return before.may_overlap and writing.may_overlap and index < self._concurrency and not self._stuck

    def _done(self, writing: Writing, error: OSError | None) -> None:
        self._ended[writing] = error
        while self._writings and (first := self._writings[0]) in self._ended:
            error = self._ended[first]
            if error is not None:
                if len(self._ended) == self._started:
                    self._ended.clear()
                    self._started = 0
                    self._refused(error)
                return
            del self._ended[first]
            self._writings.popleft()
            self._started -= 1
            if self._stuck:
                self._stuck = False
                log.warning("%s: data is written again", self._name)
                self._on_stuck(None)
            self._on_written(first)
            # Clients that wait for the disk are released only when everything is written: otherwise they send faster
            # than the disk writes.
            if first.is_last and not self._closed:
                self._on_done()
        if self._writings and not self._closed:
            self._start()

    def _refused(self, error: OSError) -> None:
        """Handle the error of the first batch, while none is under way."""
        if self._closed:
            self._error = error
        elif isinstance(error, UnwrittenError):
            self._wait(error)
        else:
            self._writings.popleft()
            self.fail(error)

    def _wait(self, error: OSError) -> None:
        """Schedule a retry."""
        if not self._stuck:
            self._stuck = True
            log.error("%s; nothing is confirmed until the write succeeds; it is retried every second", error)
            self._on_stuck(error)
        self._resting = True
        self._retry = self._clock.after(RETRY_MS, self._start_again)

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
        self._syncing = False
        if self._closed:
            self._error = error
            return
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
        self._closed = True
        self._committer.close()
        for timer in (self._retry, self._definitions):
            if timer is not None:
                timer.cancel()
        if self.has_failed:
            return
        if self._error is not None and not isinstance(self._error, UnwrittenError):
            raise self._error
        self.commit([])

    def commit(self, writings: list[Writing]) -> None:
        """Write these batches synchronously, after all others. Raises OSError."""
        self._writings.extend(writings)
        while self._writings:
            self._committer.commit(self._writings[0].batch)
            self._on_written(self._writings.popleft())


def _ignore(error: OSError | None) -> None:
    pass
