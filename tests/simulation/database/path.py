"""The network between one broker and the engine: latencies, and partitions in one or both directions."""

import random
from collections.abc import Callable
from functools import partial
from typing import Any

from tests.simulation.database.skipping import Skipping
from tests.simulation.scheduler import MS, SECOND

#: Time that a message takes, the share of slow ones, and the time of these.
LATENCY_NS = (30_000, 2 * MS)
SLOW = 0.006
SLOW_NS = (20 * MS, 150 * MS)
#: Share of answers that arrive when they are sent.
AT_ONCE = 0.8
#: Time after which both ends take a connection for lost that carries nothing.
CLIENT_LOST_NS = 5 * SECOND
SERVER_LOST_NS = 10 * SECOND


class Path:
    """One broker's network. Messages wait for the end of a partition, in their order, as TCP repeats them."""

    def __init__(self, scheduler: Skipping, chance: random.Random) -> None:
        self.scheduler = scheduler
        self.chance = chance
        self._random = chance.random
        self.to_server_until = 0
        self.to_client_until = 0

    def partition(self, duration: int, to_server: bool, to_client: bool) -> None:
        end = self.scheduler.now + duration
        if to_server:
            self.to_server_until = end
        if to_client:
            self.to_client_until = end

    def heal(self) -> None:
        self.to_server_until = self.to_client_until = 0

    @property
    def is_cut(self) -> bool:
        return max(self.to_server_until, self.to_client_until) > self.scheduler.now

    def latency(self) -> int:
        drawn = self._random()
        if drawn < SLOW:
            return self.chance.randint(*SLOW_NS)
        return LATENCY_NS[0] + int(drawn * LATENCY_NS[1])

    def to_server(self, arrive: Callable[..., None], *values: Any) -> None:
        """Call `arrive` with these values when a request arrives, which may be before this returns."""
        latency, scheduler = self.latency(), self.scheduler
        if self.to_server_until <= scheduler.now and scheduler.skip(latency):
            arrive(*values)
        else:
            scheduler.after(latency, partial(self._at_server, arrive, values))

    def _at_server(self, arrive: Callable[..., None], values: tuple[Any, ...]) -> None:
        rest = self.to_server_until - self.scheduler.now
        if rest > 0:
            self.scheduler.after(rest, partial(self._at_server, arrive, values))
        else:
            arrive(*values)

    def to_client(self, arrive: Callable[..., None], *values: Any) -> None:
        """Call `arrive` with these values when an answer arrives, which may be before this returns."""
        scheduler = self.scheduler
        latency = 0 if self._random() < AT_ONCE else self.latency()
        if self.to_client_until <= scheduler.now and (not latency or scheduler.skip(latency)):
            arrive(*values)
        else:
            scheduler.after(latency, partial(self._at_client, arrive, values))

    def _at_client(self, arrive: Callable[..., None], values: tuple[Any, ...]) -> None:
        rest = self.to_client_until - self.scheduler.now
        if rest > 0:
            self.scheduler.after(rest, partial(self._at_client, arrive, values))
        else:
            arrive(*values)
