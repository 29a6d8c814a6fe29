"""The journals that a broker follows for others, so that a takeover of a vhost reads only what came last."""

import logging
import time
from collections.abc import Callable, Collection
from functools import partial
from typing import Final, LiteralString

from amqpbroker.cluster.following.follower import Follower
from amqpbroker.store.database.session import Session, TimedConnection
from amqpbroker.store.log import StoreError, UnwrittenError

log = logging.getLogger(__name__)

#: Bytes that one step reads: the broker serves clients meanwhile.
STEP_BYTES: Final = 1 << 20
#: Time until a journal that was read to its end is read again: the first if it has grown, and twice as long each time
#: that it has not, up to the second.
SHORTEST_S: Final = 0.25
LONGEST_S: Final = 2.0
#: Time until a journal is read again that could not be read.
AGAIN_S: Final = 5.0
#: Time without reading after the database has failed.
RETRY_S: Final = 1.0

#: Finds something if a broker has taken a log over on this server, or on one whose contents this server continues.
_TAKEN: Final[LiteralString] = "SELECT 1 FROM leadership WHERE log = %s AND epoch = %s AND process = %s"


class Followed:
    """The part of a journal that a broker had read when it took the log over.

    follower: None if it cannot be used. batches: number of the last batch that was read.
    """

    def __init__(self, follower: Follower | None = None, batches: int = 0) -> None:
        self.follower = follower
        self.batches = batches

    def discard(self) -> None:
        """Discard the follower: its contents are used, or cannot be."""
        self.follower = None


class VhostFollowers:
    """Followers of the journals of several logs, which are read on a step at a time. Used by a thread.

    Each step reads a part of the journal that has waited longest, so a long journal does not hold up the others.

    complete: the followed logs whose journals were read to their ends; replaced as a whole, so that other threads may
    read it.
    """

    def __init__(self, session: Session, process: str, now_s: Callable[[], float] = time.monotonic) -> None:
        """session: for this object only. process: of this broker. now_s: the clock."""
        self._session = session
        self._process = process
        self._now_s = now_s
        self.complete: frozenset[str] = frozenset()
        self._journals: dict[str, _Journal] = {}
        #: Time until which nothing is read.
        self._rests_until_s: float = 0.0
        #: When this broker had read the whole of the journal that is furthest behind; None if it has read none.
        self._behind_s: float | None = None
        #: The last error that was logged.
        self._failure: str = ""

    def follow(self, logs: Collection[str]) -> None:
        """Follow these logs from now on, and no others."""
        now_s = self._now_s()
        self._journals = {name: self._journals.get(name) or _Journal(name, now_s) for name in logs}
        self._measure()

    def wait_s(self) -> float:
        """Return the time until the next step is due, in seconds; `LONGEST_S` if no log is followed."""
        if not self._journals:
            return LONGEST_S
        due_s = min(journal.due_s for journal in self._journals.values())
        return max(0.0, max(due_s, self._rests_until_s) - self._now_s())

    def read_on(self) -> None:
        """Read a step of the journal that is due, if there is one. A failure is retried later."""
        began_s = self._now_s()
        if self.wait_s() != 0.0:
            return
        journal = min(self._journals.values(), key=lambda each: each.due_s)
        self._rests_until_s = began_s + RETRY_S
        try:
            self._session.run(partial(journal.read_on, self._now_s))
        except OSError as error:
            self._fail(journal.name, error)
        else:
            # Half of the time is left to the clients of this broker.
            self._rests_until_s = 2 * self._now_s() - began_s
            self._failure = ""
        self._measure()

    def _fail(self, name: str, error: OSError) -> None:
        """Log an error once that does not end by itself."""
        self._rests_until_s = self._now_s() + RETRY_S
        if not isinstance(error, UnwrittenError) and str(error) != self._failure:
            self._failure = str(error)
            log.warning("the journal of the log %s cannot be followed, which is retried: %s", name, error)

    def take(self, name: str, epoch: int) -> Followed:
        """Stop following a log that this broker has taken over in this epoch; return the part that was read."""
        if name not in self._journals:
            return Followed()
        journal = self._journals.pop(name)
        self._measure()
        try:
            return self._session.run(partial(journal.end, epoch, self._process))
        except OSError as error:
            log.info("the journal of the log %s was followed in vain: %s", name, error)
            return Followed(None, journal.batches)

    def lag_s(self) -> float | None:
        """Return the time since the journal that is furthest behind was read to its end, in seconds.

        None if no journal was ever. Usable from any thread.
        """
        behind_s = self._behind_s
        return None if behind_s is None else max(0.0, self._now_s() - behind_s)

    def close(self) -> None:
        """Follow nothing, and end the session."""
        self.follow(())
        self._session.close()

    def _measure(self) -> None:
        journals = self._journals.values()
        self.complete = frozenset(journal.name for journal in journals if journal.is_complete)
        was_complete = any(journal.was_complete for journal in journals)
        self._behind_s = min(journal.complete_s for journal in journals) if was_complete else None


class _Journal:
    """A journal that is followed.

    due_s: when to read on. is_complete: it was read to its end, and is read on from there. was_complete: it was read to
    its end, maybe from a server that was replaced. complete_s: when that was the last time; until then,
    when the following began. batches: number of the last batch that any follower has read.
    """

    def __init__(self, name: str, now_s: float) -> None:
        self.name = name
        self.due_s = now_s
        self.is_complete: bool = False
        self.was_complete: bool = False
        self.complete_s = now_s
        self.batches: int = 0
        self._pause_s = SHORTEST_S
        self._follower = Follower(name, STEP_BYTES)
        #: The connection that the follower has read from.
        self._connection: TimedConnection | None = None

    def read_on(self, now_s: Callable[[], float], connection: TimedConnection) -> None:
        """Read a step."""
        if connection is not self._connection:
            # Another server may lack what was read from the last one.
            self._begin(connection)
        self.due_s = now_s() + AGAIN_S
        before = self._follower.found.batches
        try:
            is_complete = self._follower.read_on(connection)
        except StoreError as error:
            # Segments were removed that were not read yet.
            log.info("the journal of the log %s is followed from its beginning again: %s", self.name, error)
            self._begin(connection)
            return
        except BaseException:
            self._begin(None)
            raise
        has_grown = self._follower.found.batches > before
        self.batches = max(self.batches, self._follower.found.batches)
        self.due_s = now_s()
        if is_complete:
            self.is_complete = self.was_complete = True
            self.complete_s = self.due_s
            self._pause_s = SHORTEST_S if has_grown else min(2 * self._pause_s, LONGEST_S)
            self.due_s += self._pause_s

    def _begin(self, connection: TimedConnection | None) -> None:
        self._follower, self._connection = Follower(self.name, STEP_BYTES), connection
        self.is_complete = False

    def end(self, epoch: int, process: str, connection: TimedConnection) -> Followed:
        """Return what was read, after a takeover by this process.

        It can be used if it comes from the server on which the log was taken over: it is part of the history there.
        """
        if not self._follower.segments or connection is not self._connection:
            return Followed(None, self.batches)
        if connection.execute(_TAKEN, [self.name, epoch, process]).fetchone() is None:
            return Followed(None, self.batches)
        return Followed(self._follower, self.batches)
