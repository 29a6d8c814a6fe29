"""What one connection does in a run, as the loop sees it."""

import math
import time
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Iterable

from amqpbroker.cli.perf.client import refusal
from amqpbroker.cli.perf.failure import PerfError
from amqpbroker.cli.perf.latencies import Latencies
from amqpbroker.cli.perf.link import Link
from amqpbroker.wire import frames, methods


class Role(ABC):
    """A publisher or a consumer. It is told what its socket is ready for, and says what it waits for."""

    def __init__(self, link: Link) -> None:
        self.link = link
        #: When to call `due`, by the monotonic clock.
        self.wake = math.inf
        self.done = False
        #: When it last had something to do.
        self.last = 0.0
        self.reads = True
        #: Why the broker blocks the connection; empty: it does not.
        self.blocked = ""
        #: The channels that the broker has stopped with channel.flow.
        self.stopped: set[int] = set()
        self._blocked_since = 0.0
        self._blocked_s = 0.0

    @abstractmethod
    def begin(self, now: float) -> None:
        """The run starts."""

    @abstractmethod
    def readable(self) -> None: ...

    @abstractmethod
    def due(self, now: float) -> None:
        """The socket takes more, or `wake` is reached."""

    @property
    @abstractmethod
    def writes(self) -> bool:
        """Whether it waits for the socket to take more."""

    @abstractmethod
    def counts(self) -> dict[str, int]: ...

    @abstractmethod
    def latencies(self) -> dict[str, Latencies]:
        """Those since it was last asked."""

    def wind_up(self, now: float) -> None:
        """Begin nothing more, and be done once the broker has answered what was begun, if it can."""
        self.done = True

    @abstractmethod
    def finish(self, timeout_s: float) -> bool:
        """Bring what was begun to its end, and close the connection. Returns whether the broker answered in time."""

    @property
    def blocked_s(self) -> float:
        return self._blocked_s + (time.monotonic() - self._blocked_since if self.blocked else 0.0)

    def control(self, channel: int, payload: bytes) -> None:
        """A method that comes unasked. Raises PerfError if it closes anything."""
        method = methods.METHODS.get(int.from_bytes(payload[:4], "big"))
        if method is None:
            return
        arguments = methods.decode(method, payload)
        if method.name in ("connection.close", "channel.close"):
            raise PerfError(f"{self.link.client.access.uri.address}: {refusal(method.name, arguments)}")
        if method.name == "connection.blocked":
            if not self.blocked:
                self._blocked_since = time.monotonic()
            self.blocked = arguments["reason"] or "no reason given"
        elif method.name == "connection.unblocked":
            self._blocked_s, self.blocked = self.blocked_s, ""
        elif method.name == "channel.flow":
            active = arguments["active"]
            (self.stopped.discard if active else self.stopped.add)(channel)
            answer = methods.encode("channel.flow-ok", active=active)
            self.link.queue(frames.frame(frames.METHOD, channel, answer))


def counted(roles: Iterable[Role]) -> Counter[str]:
    """What all of them count."""
    total: Counter[str] = Counter()
    for role in roles:
        total.update(role.counts())
    return total


def measured(roles: Iterable[Role]) -> dict[str, Latencies]:
    """The latencies of all of them, since they were last asked."""
    total: dict[str, Latencies] = {}
    for role in roles:
        for name, some in role.latencies().items():
            total.setdefault(name, Latencies()).merge(some)
    return total
