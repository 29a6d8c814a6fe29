"""Moving a running broker's time on: what is due on the way happens in its order, and is written to its sockets."""

import asyncio
import datetime
import logging
import time

from amqpbroker.clock import TravelClock
from amqpbroker.server.app import Server

log = logging.getLogger(__name__)

#: How many turns of the loop what has come to the sockets is given to be read, and what is due to be written.
TURNS = 3

#: How long at most what has come so far is read.
READ_S = 5.0

#: How long at most what there is to say is written where there is ever more: clients may be busy meanwhile.
BUSY_S = 0.1

#: How many instants are passed before the loop's other work gets its turn.
SLICE = 500

#: Where time ends: that of `datetime`, a month before, for whatever is shown in another zone.
LAST_MS = round(datetime.datetime(9999, 12, 1, tzinfo=datetime.UTC).timestamp() * 1000)


class Travel:
    """Through the time of `server`, whose clock is `clock`. All of it is for the loop's thread."""

    def __init__(self, clock: TravelClock, server: Server) -> None:
        self.clock = clock
        self._server = server
        self._lock = asyncio.Lock()

    async def advance(self, delta_ms: int) -> int:
        """Move on by `delta_ms`; what is due on the way fires at its time, one instant after the other.

        Returns what time it is then: everything that followed has been written to the sockets. What clients do about
        it happens afterwards. Raises ValueError if that is not forward, or beyond what calendars have.
        """
        if delta_ms < 0:
            raise ValueError("time goes forward only")
        clock = self.clock
        if clock.now_ms() + delta_ms > LAST_MS:
            raise ValueError("time ends with the year 9999")
        async with self._lock:
            await self.settle()
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
            await self.settle()
            return end_ms

    def _step(self, end_ms: int) -> bool:
        """As when nobody travels, a timer that fails keeps none of the others from firing."""
        try:
            return self.clock.step(end_ms)
        except Exception:
            log.exception("a timer failed")
            return True

    def freeze(self) -> None:
        """Have time stand still, but for what it is moved on."""
        self.clock.freeze()

    def resume(self) -> None:
        """Have it run again, from where it is."""
        self.clock.resume()
        self._server.timers.rearm()

    def _end_turn(self) -> None:
        """What follows from an instant is written before the next. Nothing is read: what clients do comes later."""
        tick = self._server.tick
        for _ in range(TURNS):
            if not tick.pending:
                break
            tick.run()

    async def settle(self) -> None:
        """Until what clients have sent is acted on, what there is to say is written, and what is stored is safe."""
        coming = [(client, client.octets + client.unread()) for client in self._server.clients.there()]
        end_s = time.monotonic() + READ_S
        await self._turns()
        while any(client.octets < octets and client.unread() for client, octets in coming):
            if time.monotonic() > end_s:
                break
            await self._turns()
        end_s = time.monotonic() + BUSY_S
        while self._server.tick.pending and time.monotonic() < end_s:
            await self._turns()

    async def _turns(self) -> None:
        """The loop's other work gets its turn."""
        store = self._server.broker.store
        for _ in range(TURNS):
            await asyncio.sleep(0)
        while store.synced < store.appended:
            await asyncio.sleep(0.001)
