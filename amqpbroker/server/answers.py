"""Answers to HTTP clients: limits of concurrent requests, and of the time and size of unread answers."""

import asyncio
import logging
from collections import deque
from dataclasses import dataclass
from itertools import islice
from typing import Protocol, final

from amqpbroker.config.bounds import BOUNDS

log = logging.getLogger(__name__)

#: Time limit for a client to read the bytes written to it.
WRITE_S = 30.0

#: Time limit for a client to read while further requests are queued, or while too many bytes are unread in total.
HURRIED_WRITE_S = 0.25


class Client(Protocol):
    """A connection that answers are written to."""

    @property
    def waiting_bytes(self) -> int:
        """Number of bytes of the answer that the client has not read."""
        ...

    def drop(self) -> None: ...


@dataclass(slots=True)
class _Stalled:
    """A client that does not read. due: when it is dropped. timer: on uvloop it has no time if `due` was past."""

    since: float
    size: int
    due: float
    timer: asyncio.Handle


@final
class Answers:
    """The answers of one listener. at_once: the most concurrent requests, None for any number. most_bytes: unread ones.

    A client that does not read is dropped after WRITE_S. It is dropped after HURRIED_WRITE_S while other requests are
    queued, and while too many bytes are unread in total and it has waited longest.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        at_once: int | None = None,
        most_bytes: int = BOUNDS.answers_bytes,
    ) -> None:
        self._loop = loop
        self._at_once = at_once
        self._most_bytes = most_bytes
        self._under_way = 0
        self._queue: deque[asyncio.Future[None]] = deque()
        self._stalled: dict[Client, _Stalled] = {}
        self._waiting_bytes = 0

    # --- requests ---------------------------------------------------------------------------------------------------

    async def begin(self) -> None:
        """Wait until another request may start. The caller must call `end` afterwards."""
        if self._at_once is None or self._under_way < self._at_once:
            self._under_way += 1
            return
        turn: asyncio.Future[None] = self._loop.create_future()
        self._queue.append(turn)
        try:
            self.hurry()
            await turn
        except BaseException:
            if not turn.cancel() and not turn.cancelled():
                self.end()
            raise

    def end(self) -> None:
        while self._queue:
            turn = self._queue.popleft()
            if not turn.done():
                turn.set_result(None)  # the next request takes the slot of the finished one
                return
        self._under_way -= 1

    # --- writing ----------------------------------------------------------------------------------------------------

    def stall(self, client: Client) -> None:
        """Record that the client has unread bytes, and start its timeout."""
        now = self._loop.time()
        size = client.waiting_bytes
        due = now + self._patience_s
        self._stalled[client] = _Stalled(now, size, due, self._loop.call_at(due, self._drop, client))
        self._waiting_bytes += size
        self._relieve()

    def go_on(self, client: Client) -> None:
        """Stop the timeout: the client has read everything or disconnected."""
        stalled = self._stalled.pop(client, None)
        if stalled is not None:
            stalled.timer.cancel()
            self._waiting_bytes -= stalled.size

    @property
    def _patience_s(self) -> float:
        return HURRIED_WRITE_S if self._queue else WRITE_S

    def hurry(self) -> None:
        """Shorten the timeouts of the stalled clients, since a request or a connection needs their place."""
        for client, stalled in self._stalled.items():
            self._shorten(client, stalled)

    def _relieve(self) -> None:
        """Shorten the timeouts of the clients that have waited longest, until the bytes of the others are few enough.

        The last client keeps its timeout, because a single answer may be larger than the limit.
        """
        excess = self._waiting_bytes - self._most_bytes
        for client, stalled in islice(self._stalled.items(), len(self._stalled) - 1):
            if excess <= 0:
                break
            self._shorten(client, stalled)
            excess -= stalled.size

    def _shorten(self, client: Client, stalled: _Stalled) -> None:
        due = stalled.since + HURRIED_WRITE_S
        if stalled.due > due:
            stalled.timer.cancel()
            stalled.due = due
            stalled.timer = self._loop.call_at(due, self._drop, client)

    def _drop(self, client: Client) -> None:
        size = self._stalled[client].size
        self.go_on(client)
        log.debug("an HTTP client does not read its answer, and is dropped: %d bytes are left", size)
        client.drop()
