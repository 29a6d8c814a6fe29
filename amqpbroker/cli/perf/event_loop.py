"""The event loop of one process, and its connections."""

import math
import selectors
import time
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Callable, Iterable, Sequence

from amqpbroker.cli.perf.connection import Link
from amqpbroker.cli.perf.failure import PerfError, refusal
from amqpbroker.cli.perf.latencies import Latencies
from amqpbroker.cli.perf.processes import INTERVAL_S
from amqpbroker.wire import frames, methods

#: select has the precision of microseconds that a rate needs; epoll has milliseconds, but any number of sockets.
_SELECT_SOCKETS = 16
_SELECT_HIGHEST = 1000
_BEAT_S = 0.5


class LoadConnection(ABC):
    """A publisher or a consumer: reacts to its socket, and names the events that it waits for."""

    def __init__(self, link: Link) -> None:
        self.link = link
        #: Time of the next call of `due`, by the monotonic clock.
        self.wake = math.inf
        self.done = False
        #: Time of the last work.
        self.last = 0.0
        self.reads = True
        #: The broker's reason for blocking the connection; empty if it does not.
        self.blocked = ""
        #: The channels that the broker has stopped with channel.flow.
        self.stopped: set[int] = set()
        self._blocked_since = 0.0
        self._blocked_s = 0.0

    @abstractmethod
    def begin(self, now: float) -> None:
        """Start the run."""

    @abstractmethod
    def readable(self) -> None: ...

    @abstractmethod
    def due(self, now: float) -> None:
        """Act: the socket accepts more data, or the time `wake` is reached."""

    @property
    @abstractmethod
    def writes(self) -> bool:
        """Return whether data waits until the socket accepts more."""

    @abstractmethod
    def counts(self) -> dict[str, int]: ...

    @abstractmethod
    def latencies(self) -> dict[str, Latencies]:
        """Return the latencies since the last call."""

    def wind_up(self, now: float) -> None:
        """Begin nothing more, and be done once the broker has answered everything, if it can."""
        self.done = True

    @abstractmethod
    def finish(self, timeout_s: float) -> bool:
        """Complete all work, and close the connection. Return whether the broker answered in time."""

    @property
    def blocked_s(self) -> float:
        return self._blocked_s + (time.monotonic() - self._blocked_since if self.blocked else 0.0)

    def control(self, channel: int, payload: bytes) -> None:
        """Handle an unsolicited method. Raises PerfError if it closes the connection or a channel."""
        method = methods.METHODS.get(int.from_bytes(payload[:4], "big"))
        if method is None:
            return
        arguments = methods.decode(method, payload, any_bytes=True)
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


def counted(connections: Iterable[LoadConnection]) -> Counter[str]:
    """Add up the counts of all connections."""
    total: Counter[str] = Counter()
    for connection in connections:
        total.update(connection.counts())
    return total


def measured(connections: Iterable[LoadConnection]) -> dict[str, Latencies]:
    """Return the latencies of all connections since the last call."""
    total: dict[str, Latencies] = {}
    for connection in connections:
        for name, some in connection.latencies().items():
            total.setdefault(name, Latencies()).merge(some)
    return total


class EventLoop:
    """Runs connections until they are done, the time is over, or `is_stopped` says so when `control` becomes readable.

    It calls on_interval a few times a second. Use it in a `with`.
    """

    def __init__(
        self,
        connections: Sequence[LoadConnection],
        control: int,
        is_stopped: Callable[[], bool],
        on_interval: Callable[[], None],
    ) -> None:
        self._connections = connections
        self._control = control
        self._is_stopped = is_stopped
        self._on_interval = on_interval
        files = [control, *(connection.link.fileno() for connection in connections)]
        few = len(files) <= _SELECT_SOCKETS and max(files) < _SELECT_HIGHEST
        self._selector = selectors.SelectSelector() if few else selectors.DefaultSelector()
        self._selector.register(control, selectors.EVENT_READ)
        self._masks = dict.fromkeys(range(len(connections)), 0)

    def __enter__(self) -> "EventLoop":
        return self

    def __exit__(self, *raised: object) -> None:
        self._selector.close()

    def run(self, started: float, seconds: float | None) -> None:
        """Begin. None: without a time limit."""
        for number, connection in enumerate(self._connections):
            connection.begin(started)
            while connection.link.has_more:
                connection.readable()
            self._watch(number, connection)
        self._go_on(started, math.inf if seconds is None else started + seconds)

    def wind_up(self, seconds: float) -> None:
        """Wait until the connections have completed their work, for some seconds at most."""
        now = time.monotonic()
        for number, connection in enumerate(self._connections):
            connection.wind_up(now)
            self._watch(number, connection)
        self._go_on(now, now + seconds)

    def _go_on(self, now: float, end: float) -> None:
        next_interval, next_beat = now + INTERVAL_S, now + _BEAT_S
        while not all(connection.done for connection in self._connections):
            now = time.monotonic()
            if now >= end:
                return
            if now >= next_interval:
                next_interval = now + INTERVAL_S
                self._on_interval()
            if now >= next_beat:
                next_beat = now + _BEAT_S
                for number, connection in enumerate(self._connections):
                    connection.link.beat(now, connection.reads)
                    self._watch(number, connection)
            until = min(end, next_interval, next_beat, *(connection.wake for connection in self._connections))
            if not self._turn(max(0.0, until - now)):
                return

    def _turn(self, timeout_s: float) -> bool:
        """Wait for the sockets, and let the connections act. Return False if the run is stopped."""
        for key, mask in self._selector.select(timeout_s):
            if key.fileobj == self._control:
                if self._is_stopped():
                    return False
                continue
            connection = self._connections[key.data]
            if mask & selectors.EVENT_READ:
                connection.readable()
                while connection.link.has_more:
                    connection.readable()
            if mask & selectors.EVENT_WRITE:
                connection.due(time.monotonic())
            self._watch(key.data, connection)
        now = time.monotonic()
        for number, connection in enumerate(self._connections):
            if connection.wake <= now:
                connection.due(now)
                self._watch(number, connection)
        return True

    def _watch(self, number: int, connection: LoadConnection) -> None:
        mask = selectors.EVENT_READ * connection.reads | selectors.EVENT_WRITE * connection.writes
        before = self._masks[number]
        if mask == before:
            return
        self._masks[number] = mask
        if not mask:
            self._selector.unregister(connection.link)
        elif not before:
            self._selector.register(connection.link, mask, number)
        else:
            self._selector.modify(connection.link, mask, number)
