"""A connection that is open and does nothing."""

from amqpbroker.cli.perf.latencies import Latencies
from amqpbroker.cli.perf.link import Link
from amqpbroker.cli.perf.role import Role
from amqpbroker.wire import frames

_READ_BYTES = 4096


class Holder(Role):
    """An idle connection: heartbeats, and what the broker has to say."""

    def __init__(self, link: Link) -> None:
        super().__init__(link)
        self._data = b""

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
        space = bytearray(_READ_BYTES)
        data = self._data + space[: self.link.receive_into(memoryview(space))]
        while len(data) >= frames.OVERHEAD:
            kind, channel, length = frames.FRAME_HEAD.unpack_from(data)
            stop = length + frames.OVERHEAD
            if stop > len(data):
                break
            if kind == frames.METHOD:
                self.control(channel, data[7 : stop - 1])
            data = data[stop:]
        self._data = bytes(data)

    def finish(self, timeout_s: float) -> bool:
        return self.link.finish(timeout_s, self._data)
