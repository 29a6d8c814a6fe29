"""A connection that is open and does nothing."""

from amqpbroker.cli.perf.inflow import Inflow
from amqpbroker.cli.perf.latencies import Latencies
from amqpbroker.cli.perf.link import Link
from amqpbroker.cli.perf.role import Role
from amqpbroker.wire import frames

#: What it may have to say are methods without content. There may be many connections.
_BUFFER_BYTES = 2048


class Holder(Role):
    """An idle connection: heartbeats, and what the broker has to say."""

    def __init__(self, link: Link) -> None:
        super().__init__(link)
        self._inflow = Inflow(_BUFFER_BYTES)

    @property
    def writes(self) -> bool:
        return not self.link.is_idle

    def counts(self) -> dict[str, int]:
        return {}

    def latencies(self) -> dict[str, Latencies]:
        return {}

    def begin(self, now: float) -> None:
        return

    def due(self, now: float) -> None:
        self.link.flush()

    def readable(self) -> None:
        inflow = self._inflow
        inflow.came(self.link.receive_into(inflow.space()))
        for kind, channel, at, length in inflow.frames():
            if kind == frames.METHOD:
                self.control(channel, bytes(inflow.view[at : at + length]))

    def finish(self, timeout_s: float) -> bool:
        return self.link.finish(timeout_s, self._inflow.rest())
