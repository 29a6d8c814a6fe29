"""One channel's part of a connection that several channels share."""

from amqpbroker.cli.perf.link import Link


class Lane:
    """To a role it is as a link of its own. Who reads the link puts what comes for the channel into `incoming`."""

    def __init__(self, link: Link) -> None:
        self.client = link.client
        self.incoming = bytearray()
        self._link = link
        self._sent_as = 0

    def fileno(self) -> int:
        return self._link.fileno()

    @property
    def unsent(self) -> int:
        """Octets of what `send` was given here and the socket has not taken."""
        return self._link.unsent if self._sent_as == self._link.sends else 0

    @property
    def is_idle(self) -> bool:
        return self._link.is_idle

    def send(self, data: memoryview) -> bool:
        all_went = self._link.send(data)
        self._sent_as = self._link.sends
        return all_went

    def queue(self, data: bytes) -> None:
        self._link.queue(data)

    def flush(self) -> bool:
        return self._link.flush()

    def receive_into(self, space: memoryview) -> int:
        size = min(len(space), len(self.incoming))
        space[:size] = self.incoming[:size]
        del self.incoming[:size]
        return size

    @property
    def has_more(self) -> bool:
        return bool(self.incoming)

    def beat(self, now: float, is_reading: bool) -> None:
        self._link.beat(now, is_reading)

    def finish(self, timeout_s: float, unread: bytes) -> bool:
        """The link is closed by who has it, once all channels are done."""
        return True
