"""Guarantees for the messages of one queue that hold for all faults."""

from dataclasses import dataclass, field

from amqpbroker.broker.queues.kinds import DEFAULT_DELIVERY_LIMIT
from tests.simulation.world import World


@dataclass(slots=True)
class Fate:
    """Record of one message. life: of the broker in which it was published last.

    persistent: it survives the broker when it is confirmed. confirmed: the broker has guaranteed to store it, or has
    handled it if it is not persistent. delivered: number of deliveries. dismissed: a client has sent a settlement after
    which the message may leave the queue. settled: the broker has certainly received it, in `settled_life`.
    """

    life: int
    persistent: bool
    priority: int = 0
    confirmed: bool = False
    delivered: int = 0
    delivered_life: int = 0
    dismissed: bool = False
    settled_life: int = 0
    settled: bool = False


@dataclass
class Ledger:
    """The messages of one queue by their numbers. name: of the queue, for errors."""

    world: World
    name: str
    fates: dict[str, Fate] = field(default_factory=dict)
    _last: dict[tuple[object, str, int], int] = field(default_factory=dict)
    #: Life of the broker -> time of its first delivery.
    _began_ns: dict[int, int] = field(default_factory=dict)

    def published(self, message: str, persistent: bool, priority: int = 0) -> None:
        """A client has sent it."""
        self.fates[message] = Fate(self.world.life, persistent, priority)

    def confirmed(self, message: str) -> None:
        """Record that the broker has confirmed the message."""
        self.fates[message].confirmed = True

    def delivered(self, message: str, redelivered: bool, receiver: object) -> None:
        """Record that a client has received the message on one of its connections. Raises BrokenError.

        A delivery may arrive after another client has settled its message, if the broker had requeued it: the delivery
        was already sent.
        """
        fate = self.fates.get(message)
        if fate is None:
            raise self.world.broken(f"{self.name}: {message!r} is delivered, which nobody has published")
        # A channel loses all of its messages when one of them is overdue.
        life = self.world.life
        may_be_late = self.world.may_have_timed_out(self._began_ns.setdefault(life, self.world.scheduler.now))
        if fate.settled and fate.settled_life == self.world.life and not may_be_late:
            raise self.world.broken(f"{self.name}: {message} is delivered although it was settled")
        # The second delivery may arrive before the first, on another connection; then the first is not a third one.
        is_again = fate.delivered and fate.delivered_life == self.world.life
        if is_again and not redelivered and not may_be_late:
            raise self.world.broken(f"{self.name}: {message} is delivered again, and not as redelivered")
        fate.delivered += 1
        if not redelivered:
            fate.delivered_life = self.world.life
            publisher, number = message.rsplit("-", 1)
            key = (receiver, publisher, fate.priority)
            last = self._last.get(key, -1)
            if int(number) < last:
                raise self.world.broken(f"{self.name}: {message} is delivered after {publisher}-{last}")
            self._last[key] = int(number)

    def dismissed(self, message: str) -> None:
        """Record that a client sends a settlement after which the message may leave the queue."""
        self.fates[message].dismissed = True

    def settled(self, message: str) -> None:
        """Record that the broker has certainly received such a settlement."""
        fate = self.fates[message]
        fate.settled, fate.settled_life = True, self.world.life

    def deleted(self) -> None:
        """Record that the queue is about to be deleted, with all messages."""
        for fate in self.fates.values():
            fate.confirmed = False

    def check(self) -> None:
        """Raise BrokenError if a confirmed message is missing. Called when the queue is empty."""
        for message, fate in self.fates.items():
            # A quorum queue drops a message that has returned too often.
            if fate.dismissed or not fate.confirmed or fate.delivered > DEFAULT_DELIVERY_LIMIT:
                continue
            if fate.persistent or fate.life == self.world.life:
                raise self.world.broken(f"{self.name}: {message} was confirmed, and is lost")
