"""Following the journals of vhosts that other brokers lead, on a thread of its own."""

import logging
import threading
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from functools import partial

from amqpbroker.cluster.following.vhost_followers import Followed, VhostFollowers

log = logging.getLogger(__name__)


class VhostFollowing:
    """Reads journals on from `start` to `close`.

    Its methods are usable from any thread, and take effect in the order of their calls.
    """

    def __init__(self, followers: VhostFollowers) -> None:
        """followers: for this object only."""
        self._followers = followers
        #: Calls for the thread, which it makes between two steps.
        self._calls: deque[Callable[[], None]] = deque()
        self._called = threading.Event()
        self._ended: bool = False
        self._thread = threading.Thread(target=self._run, name="following", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def follow(self, logs: Sequence[str]) -> None:
        """Follow these logs from now on, and no others."""
        self._call(partial(self._followers.follow, logs))

    def take(self, name: str, epoch: int) -> "Future[Followed]":
        """Stop following a log that this broker has taken over; the result is the part that was read.

        The result comes when the step that is under way has ended.
        """
        taken: Future[Followed] = Future()
        self._call(partial(self._answer, taken, name, epoch))
        return taken

    def _answer(self, taken: "Future[Followed]", name: str, epoch: int) -> None:
        if taken.set_running_or_notify_cancel():
            taken.set_result(self._followers.take(name, epoch))

    def has_followed(self, name: str) -> bool:
        """Return whether the journal of a log that is followed was read to its end."""
        return name in self._followers.complete

    def lag_s(self) -> float | None:
        """Return how far this broker is behind: see `VhostFollowers.lag_s`."""
        return self._followers.lag_s()

    def close(self) -> None:
        """Follow nothing any longer, and end the session."""
        self._call(self._end)
        if self._thread.is_alive():
            self._thread.join()
        self._followers.close()

    def _end(self) -> None:
        self._ended = True

    def _call(self, call: Callable[[], None]) -> None:
        self._calls.append(call)
        self._called.set()

    def _run(self) -> None:
        while not self._ended:
            self._called.wait(self._followers.wait_s())
            self._called.clear()
            try:
                self._step()
            except Exception:
                log.exception("internal error in the following of journals")

    def _step(self) -> None:
        while self._calls:
            self._calls.popleft()()
        self._followers.read_on()
