"""Renews a lease on a thread of its own, so that a busy event loop does not lose it."""

import logging
import threading
from collections.abc import Callable
from typing import Final

from amqpbroker.store.database.leadership import GRACE_S, Leadership
from amqpbroker.store.log import FencedError, LostError

log = logging.getLogger(__name__)

#: A lease is renewed at least this many times before it ends.
RENEWALS: Final = 4
#: Longest interval: a broker whose connection is lost notices it by a renewal, and has the grace to renew again.
MOST_S: Final = GRACE_S / 2
#: Interval between attempts after an error.
RETRY_S: Final = 0.25


class Renewing:
    """Renews the lease of a leadership until `close`. The leadership belongs to the thread meanwhile."""

    def __init__(self, leadership: Leadership, on_lost: Callable[[OSError], None]) -> None:
        """on_lost: called on the thread, once, when the leadership was lost to another broker, or cannot be renewed."""
        self._leadership = leadership
        self._on_lost = on_lost
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._run, name="lease", daemon=True)
        self._thread.start()

    def _run(self) -> None:
        wait_s = 0.0
        failing = False
        while not self._ending.wait(wait_s):
            try:
                has_lock = self._leadership.renew()
            except (FencedError, LostError) as error:
                self._on_lost(error)
                return
            except OSError as error:
                if not failing:
                    log.warning("%s; the lease is not renewed, which is retried", error)
                # A lost connection is noticed by this call only, and others may wait for a renewal already.
                failing, wait_s = True, RETRY_S if failing else 0.0
                continue
            if failing:
                log.warning("the lease is renewed again")
            # Until it has the lock, only renewals show others that it is alive.
            failing, wait_s = False, min(self._leadership.lease_s / RENEWALS, MOST_S) if has_lock else RETRY_S

    def close(self) -> None:
        """Stop renewing, and give the leadership up if the database answers."""
        self._ending.set()
        self._thread.join()
        try:
            self._leadership.release()
        except OSError as error:
            log.warning("%s; another broker takes over when the lease ends", error)
        self._leadership.close()
