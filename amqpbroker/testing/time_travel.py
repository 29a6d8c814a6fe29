"""Moves a running broker's time on: due events happen in order, and their output is written to the sockets."""

import asyncio
import datetime
import logging
import time

from amqpbroker.clock import TravelClock
from amqpbroker.server.app import Server
from amqpbroker.testing.in_flight import Sent
from amqpbroker.testing.sockets import Peers

log = logging.getLogger(__name__)

#: Number of event loop iterations in which arrived data is read and due output is written.
TURNS = 3

#: Time limit in seconds for handling the data that has arrived so far.
READ_S = 30.0

#: Time limit in seconds for a client that does not read its answers.
STALLED_S = 0.1

#: Number of clients that an error names.
SHOWN = 10

#: Time limit in seconds for writing output while clients keep the broker busy.
BUSY_S = 0.1

#: Number of instants after which the event loop does its other work.
SLICE = 500

#: End of time: a month before that of `datetime`, which leaves room for time zones.
LAST_MS = round(datetime.datetime(9999, 12, 1, tzinfo=datetime.UTC).timestamp() * 1000)


class TimeTravel:
    """Moves the clock of a server. All methods are for the thread of its loop."""

    def __init__(self, clock: TravelClock, server: Server) -> None:
        self.clock = clock
        self._server = server
        self._lock = asyncio.Lock()

    async def advance(self, delta_ms: int) -> int:
        """Move the clock on by `delta_ms`. Timers that are due in between fire in order, each at its own time.

        Return the new time in milliseconds since 1970, after all output is written to the sockets. Reactions of clients
        happen later. Raises ValueError for a negative span, and for one that ends after the year 9999.
        """
        if delta_ms < 0:
            raise ValueError(f"advance by {delta_ms} ms: the clock moves forward only, so give a span from 0 on")
        clock = self.clock
        if clock.now_ms() + delta_ms > LAST_MS:
            raise ValueError(
                f"advance by {delta_ms} ms from {clock.now_ms()} ms since 1970: time ends with the year 9999, so "
                "give a shorter span"
            )
        async with self._lock:
            await self.quiesce()
            stood = clock.frozen
            clock.freeze()
            end_ms = clock.now_ms() + delta_ms
            passed = 0
            try:
                while self._step(end_ms):
                    passed += 1
                    self._end_turn()
                    if passed % SLICE == 0:
                        await self._turns()
            finally:
                if not stood:
                    clock.resume()
                self._server.timers.rearm()
            await self.quiesce()
            return end_ms

    def _step(self, end_ms: int) -> bool:
        """Pass one instant. Return False at `end_ms`. A timer that fails does not prevent the others from firing."""
        try:
            return self.clock.step(end_ms)
        except Exception:
            log.exception("a timer failed")
            return True

    def freeze(self) -> None:
        """Stop the clock: only `advance` moves it."""
        self.clock.freeze()

    def resume(self) -> None:
        """Continue the clock from the time that it shows."""
        self.clock.resume()
        self._server.timers.rearm()

    def _end_turn(self) -> None:
        """Write the output of an instant before the next one. Nothing is read: reactions of clients come later."""
        tick = self._server.tick
        for _ in range(TURNS):
            if not tick.pending:
                break
            tick.run()

    async def quiesce(self) -> None:
        """Wait until the clients' frames are processed, the output is written, and stored messages are persisted.

        This includes the bytes that clients had handed to their kernel before the call. It does not wait for a
        connection that is held by an alarm or a fault, or whose client does not read its answers. Raises TimeoutError.
        """
        await self._turns()  # new connections are accepted
        with Peers() as peers:
            coming = [Sent(client, peers) for client in self._server.clients.there()]
        await self._read(coming)
        end_s = time.monotonic() + BUSY_S
        while self._server.tick.pending and time.monotonic() < end_s:
            await self._turns()

    async def _read(self, coming: list[Sent]) -> None:
        """Wait until all bytes of `coming` are handled. Raises TimeoutError."""
        now_s = time.monotonic()
        end_s, moved_s = now_s + READ_S, now_s
        progress: list[tuple[int, int]] = []
        while coming := [sent for sent in coming if not sent.is_handled and not sent.is_held]:
            now_s, before = time.monotonic(), progress
            progress = [sent.progress for sent in coming]
            if progress != before:
                moved_s = now_s
            elif now_s > moved_s + STALLED_S and all(sent.waits_for_reader for sent in coming):
                return
            else:
                await asyncio.sleep(0.001)
            if now_s > end_s:
                raise TimeoutError(_unhandled(coming))
            await self._turns()

    async def _turns(self) -> None:
        """Wait for pending event loop iterations and for the store. Raises TimeoutError."""
        store = self._server.broker.storage.store
        for _ in range(TURNS):
            await asyncio.sleep(0)
        end_s = time.monotonic() + READ_S
        while store.synced < store.appended:
            if time.monotonic() > end_s:
                raise TimeoutError(
                    f"after {READ_S:g} s the disk has not stored all messages: "
                    f"{store.appended - store.synced:,} entries of the journal are not written"
                )
            await asyncio.sleep(0.001)


def _unhandled(coming: list[Sent]) -> str:
    more = [f"{len(coming) - SHOWN} others"] if len(coming) > SHOWN else []
    return f"after {READ_S:g} s the broker has not handled all data of its clients: " + ", ".join(
        [*map(str, coming[:SHOWN]), *more]
    )
