"""Model of one classic queue whose messages all go to one client: the messages that may or must not come next."""

from dataclasses import dataclass, field

from tests.simulation.parts import fifo_lines, queues
from tests.simulation.world import IN_TIME_NS, TIMEOUT_MS, World


@dataclass(slots=True)
class Copy:
    """Record of one message. published: the life of the broker in which it was sent.

    received, settled: the life in which it was last received, and in which the broker has certainly seen its
    settlement; 0 for never. dismissed: the client has sent a settlement, or needs none. excused: it may have been
    delivered without acknowledgement on a connection that broke.
    """

    published: int
    persistent: bool
    priority: int
    confirmed: bool = False
    received: int = 0
    dismissed: bool = False
    settled: int = 0
    excused: bool = False


@dataclass
class Line:
    """Messages of one queue by their names. The client receives all of them on one connection, so it sees their order.

    held: messages that the client holds, with the time of each, the oldest first. Returned messages are possibly in the
    queue, until an answer to a later method proves it: then they are certainly ready, and no later message may precede
    them.
    """

    world: World
    name: str
    copies: dict[str, Copy] = field(default_factory=dict)
    held: dict[str, int] = field(default_factory=dict)
    _possible: dict[str, object] = field(default_factory=dict)
    _certain: dict[str, None] = field(default_factory=dict)
    _last: dict[tuple[int, str, int], int] = field(default_factory=dict)
    _was_cut: bool = False
    _is_overdue: bool = False

    # --- operations of clients ----------------------------------------------------------------------------------------

    def published(self, message: str, persistent: bool, priority: int) -> None:
        """Record that a client has sent the message."""
        self.copies[message] = Copy(self.world.life, persistent, priority)

    def confirmed(self, message: str) -> None:
        """Record that the broker has confirmed the message."""
        self.copies[message].confirmed = True

    def returned(self, messages: list[str], proof: object) -> None:
        """Record that the client returns messages. It calls `proven` when the broker has certainly seen that."""
        for message in messages:
            self.held.pop(message, None)
            self._possible[message] = proof

    def proven(self, proof: object) -> None:
        """Record that the broker has seen the returns with this proof, except messages that arrived again meanwhile."""
        for message in [each for each, given in self._possible.items() if given is proof]:
            del self._possible[message]
            self._certain[message] = None

    def acknowledged(self, messages: list[str]) -> None:
        """Record that the client settles messages."""
        for message in messages:
            self.held.pop(message, None)
            self.copies[message].dismissed = True

    def settled(self, messages: list[str]) -> None:
        """Record that the broker has certainly seen the settlement."""
        for message in messages:
            self.copies[message].settled = self.world.life

    def cut(self) -> None:
        """Record that the connection has ended: held messages return when the broker detects that."""
        self._was_cut = True
        self._is_overdue = False
        self.held.clear()
        self._possible.clear()
        self._certain.clear()

    def excuse(self) -> None:
        """Excuse messages that are not settled: they may have been delivered without acknowledgement."""
        for copy in self.copies.values():
            copy.excused |= not copy.dismissed

    # --- checks -------------------------------------------------------------------------------------------------------

    @property
    def ready(self) -> list[str]:
        """Return the messages that are certainly ready."""
        return list(self._certain)

    def received(self, message: str, redelivered: bool, holds: bool) -> None:
        """Check a received message. holds: until it acknowledges it. Raises BrokenError."""
        life = self.world.life
        copy = self.copies.get(message)
        if copy is None:
            raise self._broken(message, "is delivered, but was never published")
        if copy.settled == life:
            raise self._broken(message, "is delivered although it was settled")
        if message in self.held:
            # The oldest message is returned with everything that was delivered on its channel.
            self._is_overdue |= self._may_be_overdue
            if not self._is_overdue:
                raise self._broken(message, "is delivered while the client holds it")
        if copy.received == life and not redelivered:
            raise self._broken(message, "is delivered again without the redelivered flag")
        if redelivered and not copy.received and not self._was_cut and self.world.life == 1:
            raise self._broken(message, "is delivered as redelivered for the first time")
        if self._is_disordered():
            self._certain.clear()
        for other in self._certain:
            if self._precedes(other, message):
                raise self._broken(message, f"overtakes {other}, which was returned before")
        if not redelivered:
            publisher, number = _parts(message)
            key = (life, publisher, copy.priority)
            if number < self._last.get(key, -1):
                raise self._broken(message, f"is delivered after {publisher}-{self._last[key]}")
            self._last[key] = number
        self._certain.pop(message, None)
        self._possible.pop(message, None)
        copy.received = life
        self.held.pop(message, None)
        if holds:
            self.held[message] = self.world.scheduler.now
        else:
            copy.dismissed = True
            copy.settled = life

    def _is_disordered(self) -> bool:
        """Return whether a message has returned to the head because the page with its place could not be read."""
        process = self.world.process
        return process is not None and any(
            line._disordered for queue in queues(process) if queue.name == self.name for line in fifo_lines(queue.ready)
        )

    def missing(self) -> str | None:
        """Return a confirmed message that is not settled and must not be lost, None if there is none."""
        for message, copy in self.copies.items():
            if copy.dismissed or copy.excused or not copy.confirmed:
                continue
            if copy.persistent or copy.published == self.world.life:
                return message
        return None

    def check(self) -> None:
        """Raise BrokenError if a confirmed message is missing."""
        message = self.missing()
        if message is not None:
            raise self._broken(message, "was confirmed, and is lost")

    def _precedes(self, one: str, other: str) -> bool:
        """Return whether `one` precedes the other in the queue.

        If a publisher had several connections, the last bytes of an earlier one may be read late.
        """
        if one == other:
            return False
        first, second = self.copies[one], self.copies[other]
        if first.priority != second.priority:
            return first.priority > second.priority
        (publisher, number), (other_publisher, other_number) = _parts(one), _parts(other)
        return publisher == other_publisher and number < other_number

    @property
    def _may_be_overdue(self) -> bool:
        """Return whether the broker may requeue the client's messages as overdue.

        It closes the channel only afterwards, and then the client disconnects.
        """
        config = self.world.config
        if config.compat.queues_have_timeouts:
            return False  # not of classic queues
        now = self.world.scheduler.now
        return config.consumer_timeout_ms < TIMEOUT_MS or now - next(iter(self.held.values()), now) > IN_TIME_NS

    def _broken(self, message: str, text: str) -> Exception:
        return self.world.broken(f"{self.name}: {message} {text}")


def _parts(message: str) -> tuple[str, int]:
    """Return the publisher's connection, and the number of the message."""
    publisher, number = message.rsplit("-", 1)
    return publisher, int(number)
