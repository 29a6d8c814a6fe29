"""The loop over the connections of one process."""

import math
import selectors
import time
from collections.abc import Callable, Sequence

from amqpbroker.cli.perf.report import INTERVAL_S
from amqpbroker.cli.perf.role import Role

#: select waits to the microsecond, which a rate needs; epoll to the millisecond, but for any number of sockets.
_SELECT_SOCKETS = 16
_SELECT_HIGHEST = 1000
_BEAT_S = 0.5


class Pump:
    """Runs roles until they are done, the time is over, or `is_stopped` says so when `control` becomes readable.

    It calls on_interval a few times a second. Use it in a `with`.
    """

    def __init__(
        self, roles: Sequence[Role], control: int, is_stopped: Callable[[], bool], on_interval: Callable[[], None]
    ) -> None:
        self._roles = roles
        self._control = control
        self._is_stopped = is_stopped
        self._on_interval = on_interval
        files = [control, *(role.link.fileno() for role in roles)]
        few = len(files) <= _SELECT_SOCKETS and max(files) < _SELECT_HIGHEST
        self._selector = selectors.SelectSelector() if few else selectors.DefaultSelector()
        self._selector.register(control, selectors.EVENT_READ)
        self._masks = dict.fromkeys(range(len(roles)), 0)

    def __enter__(self) -> "Pump":
        return self

    def __exit__(self, *raised: object) -> None:
        self._selector.close()

    def run(self, started: float, seconds: float | None) -> None:
        """Begin. None: there is no end to the time."""
        for number, role in enumerate(self._roles):
            role.begin(started)
            while role.link.has_more:
                role.readable()
            self._watch(number, role)
        self._go_on(started, math.inf if seconds is None else started + seconds)

    def wind_up(self, seconds: float) -> None:
        """Have the roles bring to an end what they have begun."""
        now = time.monotonic()
        for number, role in enumerate(self._roles):
            role.wind_up(now)
            self._watch(number, role)
        self._go_on(now, now + seconds)

    def _go_on(self, now: float, end: float) -> None:
        next_interval, next_beat = now + INTERVAL_S, now + _BEAT_S
        while not all(role.done for role in self._roles):
            now = time.monotonic()
            if now >= end:
                return
            if now >= next_interval:
                next_interval = now + INTERVAL_S
                self._on_interval()
            if now >= next_beat:
                next_beat = now + _BEAT_S
                for number, role in enumerate(self._roles):
                    role.link.beat(now, role.reads)
                    self._watch(number, role)
            until = min(end, next_interval, next_beat, *(role.wake for role in self._roles))
            if not self._turn(max(0.0, until - now)):
                return

    def _turn(self, timeout_s: float) -> bool:
        """Wait for the sockets, and have the roles act. Returns False if the run is stopped."""
        for key, mask in self._selector.select(timeout_s):
            if key.fileobj == self._control:
                if self._is_stopped():
                    return False
                continue
            role = self._roles[key.data]
            if mask & selectors.EVENT_READ:
                role.readable()
                while role.link.has_more:
                    role.readable()
            if mask & selectors.EVENT_WRITE:
                role.due(time.monotonic())
            self._watch(key.data, role)
        now = time.monotonic()
        for number, role in enumerate(self._roles):
            if role.wake <= now:
                role.due(now)
                self._watch(number, role)
        return True

    def _watch(self, number: int, role: Role) -> None:
        mask = selectors.EVENT_READ * role.reads | selectors.EVENT_WRITE * role.writes
        before = self._masks[number]
        if mask == before:
            return
        self._masks[number] = mask
        if not mask:
            self._selector.unregister(role.link)
        elif not before:
            self._selector.register(role.link, mask, number)
        else:
            self._selector.modify(role.link, mask, number)
