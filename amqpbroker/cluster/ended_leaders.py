"""Leaders whose processes have ended: their machines refuse connections to their ports for other brokers."""

import socket
import threading
import time
from collections.abc import Callable
from typing import Final, final

from amqpbroker.cluster.leadership.leadership import Leader

#: Time limit of an attempt to connect, for which the steps of the sharing wait.
CONNECT_S: Final = 0.1
#: Interval between two attempts to connect to one leader.
AGAIN_S: Final = 0.1


@final
class EndedLeaders:
    """Finds out whether the process of a leader has ended. Used by a thread.

    A process that has ended never leads again. One that runs may end at any time.
    """

    def __init__(self, now_s: Callable[[], float] = time.monotonic) -> None:
        self._now_s = now_s
        #: The last attempt, None before the first one.
        self._last: _Attempt | None = None

    def has_ended(self, leader: Leader) -> bool:
        """Return whether the machine of a leader refuses connections to its port for other brokers.

        False for any other answer, for none, and for a leader without such a port.
        """
        if not leader.target.port:
            return False
        last = self._last
        if last is None or last.leader.process != leader.process or last.may_be_repeated(self._now_s()):
            last = self._last = _Attempt(leader, self._now_s())
            last.done.wait(CONNECT_S)
        return last.is_refused


@final
class _Attempt:
    """An attempt to connect, on a thread of its own, since the name of the host may have to be resolved.

    done: it has a result. is_refused: as far as that is known.
    """

    def __init__(self, leader: Leader, began_s: float) -> None:
        self.leader = leader
        self.done = threading.Event()
        self.is_refused: bool = False
        self._began_s = began_s
        threading.Thread(target=self._run, name="probing", daemon=True).start()

    def may_be_repeated(self, now_s: float) -> bool:
        return self.done.is_set() and not self.is_refused and now_s - self._began_s >= AGAIN_S

    def _run(self) -> None:
        host, port = self.leader.target.host, self.leader.target.port
        try:
            socket.create_connection((host, port), CONNECT_S, all_errors=True).close()
        except ExceptionGroup as errors:
            # A host may have several addresses.
            self.is_refused = all(isinstance(error, ConnectionRefusedError) for error in errors.exceptions)
        except OSError:
            self.is_refused = False
        finally:
            self.done.set()
