"""Batches written one after the other, tried again while the disk takes nothing, and definitions synced with them."""

import logging
from collections import deque
from collections.abc import Callable
from typing import Final

from amqpbroker.clock import Clock, Timer
from amqpbroker.store.batches import Writing
from amqpbroker.store.committer import Committer
from amqpbroker.store.log import UnwrittenError

log = logging.getLogger(__name__)

#: How long a batch waits that the disk did not take.
RETRY_MS: Final = 1000
#: How long changed definitions wait for a batch, to be synced with it.
DEFINITIONS_MS: Final = 100


class Writer:
    """Writes what `write` is given, as the committer does.

    has_failed: something has failed that is not tried again; nothing is written from then on.
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
        """name: the log's, for the operator.

        on_written(writing): called when a batch is safe. on_done(): called when all that `write` was given is.
        on_ready(): called when definitions are synced without a batch, for which `write` had to wait.
        on_failure(error): called when it has failed.
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
        #: The first is under way.
        self._writings: deque[Writing] = deque()
        self._stuck: bool = False
        self._retry: Timer | None = None
        self._definitions: Timer | None = None
        self._syncing: bool = False
        self._closed: bool = False

    def watch(self, on_stuck: Callable[[OSError | None], None]) -> None:
        """Have `on_stuck` called with the error when the disk has not taken a batch, which is tried again every second,
        and with None when it has taken it."""
        self._on_stuck = on_stuck

    @property
    def is_busy(self) -> bool:
        """Whether something is under way."""
        return self._syncing or bool(self._writings)

    def write(self, writings: list[Writing]) -> None:
        """Begin with these, unless it is busy or has failed."""
        self._writings.extend(writings)
        self._start()

    def fail(self, error: Exception) -> None:
        """Write nothing from now on."""
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
            log.warning("%s: the disk takes data again", self._name)
            self._on_stuck(None)
        self._on_written(writing)
        if self._writings:
            # Nobody who waits for the disk may go on before it has all: then more would come than it takes.
            self._start()
        else:
            self._on_done()

    def _wait(self, error: OSError) -> None:
        """Try again later."""
        if not self._stuck:
            self._stuck = True
            log.error("%s; nothing is confirmed until that can be written, which is tried every second", error)
            self._on_stuck(error)
        self._retry = self._clock.after(RETRY_MS, self._start)

    # --- definitions ------------------------------------------------------------------------------------------------

    def definitions_changed(self) -> None:
        """Have the definitions synced soon: with the next batch, or alone."""
        if self._definitions is None:
            self._definitions = self._clock.after(DEFINITIONS_MS, self._sync_definitions)

    def _sync_definitions(self) -> None:
        self._definitions = None
        if self.has_failed or self._closed:
            return
        if self.is_busy:
            # What is under way may have begun before the change.
            self.definitions_changed()
            return
        self._syncing = True
        self._committer.start(None, self._definitions_done)

    def _definitions_done(self, error: OSError | None) -> None:
        if self._closed:
            return
        self._syncing = False
        if isinstance(error, UnwrittenError):
            log.error("%s; definitions are synced when that works, which is tried every second", error)
            self._definitions = self._clock.after(RETRY_MS, self._sync_definitions)
        elif error is not None:
            self.fail(error)
            return
        self._on_ready()

    # --- the end ----------------------------------------------------------------------------------------------------

    def close(self) -> None:
        """Wait for what is under way, and write what is left, once; `commit` may follow. Raises OSError."""
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
        """Write these here and now, after all others. Raises OSError."""
        self._writings.extend(writings)
        while self._writings:
            self._committer.commit(self._writings[0].batch)
            self._on_written(self._writings.popleft())


def _ignore(error: OSError | None) -> None:
    pass
