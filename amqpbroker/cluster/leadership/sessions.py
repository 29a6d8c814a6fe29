"""The sessions that the logs of one broker share: their number does not depend on the number of vhosts."""

import threading
from collections import Counter
from typing import Final

from amqpbroker.cluster.leadership.leadership import session_name
from amqpbroker.store.database.fence import ROWS_AT_ONCE
from amqpbroker.store.database.session import Session

#: Longest call to the database, in seconds.
DEADLINE_S: Final = 10.0
#: The same for the event loop, and the time in which it does not try again: other clients wait meanwhile.
READING_DEADLINE_S: Final = 2.0
READING_REST_S: Final = 3.0
#: Sessions that write, at least ROWS_AT_ONCE. Each commits for one log at a time, so this is also the greatest number
#: of concurrent commits.
WRITERS: Final = 8


class Sessions:
    """The sessions of a broker, each opened by its first use, until `close`. Usable from any thread.

    reading: for the event loop. removal: for threads that remove files.
    """

    def __init__(self, url: str, process: str) -> None:
        """process: of the broker."""
        self._url = url
        self._process = process
        self.reading: Final = session(url, process, "reading")
        self.removal: Final = session(url, process, "removal")
        self._writers = [session(url, process, f"writing {number}") for number in range(WRITERS)]
        #: Number of logs by session.
        self._logs: Counter[Session] = Counter()
        self._changing = threading.Lock()

    def connect(self) -> None:
        """Connect for reading, and limit it from now on, since the event loop serves clients. Raises OSError."""
        self.reading.run(lambda _: None)
        self.reading.limit(READING_DEADLINE_S, READING_REST_S)

    def recovery(self, log: str) -> Session:
        """Return a session for the recovery of a log, which the caller closes."""
        return session(self._url, self._process, f"{log} recovery")

    def writer(self) -> Session:
        """Return the writing session of the fewest logs, for one more log, until `leave`."""
        with self._changing:
            chosen = min(self._writers, key=self._logs.__getitem__)
            self._logs[chosen] += 1
        return chosen

    def beside(self, writer: Session) -> list[Session]:
        """Return the sessions over which the logs of a writing session also write, at the same time."""
        first = self._writers.index(writer)
        return [self._writers[(first + number) % WRITERS] for number in range(1, ROWS_AT_ONCE)]

    def leave(self, writer: Session) -> None:
        """Use a writing session for one log less."""
        with self._changing:
            self._logs[writer] -= 1

    def close(self) -> None:
        """End all connections."""
        for each in (self.reading, self.removal, *self._writers):
            each.close()


def session(url: str, process: str, use: str) -> Session:
    """Return a session of a process."""
    return Session(url, session_name(process, use), DEADLINE_S)
