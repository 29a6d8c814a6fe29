"""Reports on a thread of its own that a broker is there."""

import logging
import threading
from collections.abc import Callable
from typing import Final

from amqpbroker.cluster.leadership.members import Members
from amqpbroker.store.database.session import TimedConnection

log = logging.getLogger(__name__)

#: A broker reports this many times in the time of a lease.
REPORTS: Final = 3
#: Interval between attempts after an error.
RETRY_S: Final = 0.25


class Reporting:
    """Writes the row of a broker until `close`."""

    def __init__(
        self, members: Members, lag_s: Callable[[], float | None], beside: Callable[[TimedConnection], None]
    ) -> None:
        """lag_s: returns the lag of this broker, as in `Row`. beside: see `Members.report`. Both run on the thread."""
        self._members = members
        self._lag_s = lag_s
        self._beside = beside
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._run, name="reporting", daemon=True)
        self._thread.start()

    def _run(self) -> None:
        wait_s = 0.0
        while not self._ending.wait(wait_s):
            try:
                self._members.report(self._lag_s(), self._beside)
            except OSError as error:
                log.debug("the broker is not reported, which is retried: %s", error)
                wait_s = RETRY_S
            else:
                wait_s = self._members.lease_s / REPORTS

    def close(self) -> None:
        """Report no more. The row stays."""
        self._ending.set()
        self._thread.join()
