"""Knowledge of the clients of one queue, and the resulting expectations. One publisher and one consumer at a time.

Messages are numbered from 1 and published once each. The criteria:

- **Confirmed**: the publisher has read the confirm (or tx.commit-ok). Such a message must be delivered until its ack is
  sent: in the end it was acked and did not come back, or the drain finds it. An unconfirmed message may exist or not.
- **Acked and synced**: the ack was sent, and after it, on the same channel, a request whose answer waits for the disk:
  a persistent message to a durable queue that was confirmed, or a tx.commit that was answered. A channel's frames are
  handled in order and batches are written in order, so the ack is on the disk too, and the message must not be
  delivered again. A message whose ack was sent but not synced may be delivered again.
- **Delivered and synced**: the same for a delivery. If such a message is delivered again, its redelivered flag is set.
- **Once**: a message that a consumer has and did not return is not delivered to it again.
- **Order**: if nothing is requeued while there is a consumer, numbers only grow within a session.
- **Dead-lettered**: a message is in one of the queue and the queue of dead letters. So a message with a synced ack is
  no dead letter, and a dead letter with a synced delivery is not delivered by the queue again.
- The body belongs to the number, and no byte differs.

Queues with extensions promise more: the other files of this folder have a ledger for each extension.
"""

import math
import time
from typing import Any

from tests.load.client import LoadClient

PATTERN = bytes(range(256)) * 1024

#: Maximum number of ready messages; publishers wait for their consumers beyond it.
BACKLOG = 3_500
#: The same for a queue with an extension.
SMALL_BACKLOG = 100


def body(number: int) -> bytes:
    """Return the body of a message: mostly small; some take a page or many, and one in a thousand takes two frames."""
    chance = number * 2654435761 % 1000
    size = 200_000 if chance == 0 else 20_000 if chance < 40 else chance // 4
    return b"%d %b" % (number, PATTERN[number % 251 : number % 251 + size])


class Ledger:
    """All rounds of one queue. vhost: of the queue. wrong: violations of the criteria."""

    #: The exchange to which the messages are published, with the name of the queue as the routing key.
    exchange = ""
    in_order = True
    backlog = BACKLOG
    vhost = "/"

    def __init__(self, queue: str, **arguments: object) -> None:
        self.queue = queue
        self.arguments = arguments
        #: Its dead letters, if messages leave the queue that way.
        self.dead: Ledger | None = None
        self.sent: int = 0
        self.confirmed: set[int] = set()
        #: Messages whose ack was sent and that did not come back, and messages whose ack is synced.
        self.acked: set[int] = set()
        self.gone: set[int] = set()
        #: Messages of which a delivery is synced.
        self.seen: set[int] = set()
        self.drained: set[int] = set()
        self.deliveries: int = 0
        self.again: int = 0
        self.wrong: list[str] = []

    def declare(self, client: LoadClient) -> None:
        """Declare the queue, and everything else that its messages need."""
        if self.dead is not None:
            self.dead.declare(client)
        client.declare(self.queue, durable=True, arguments=self.arguments)

    def publish(self) -> tuple[int, bytes]:
        """Return the next message, which must be sent immediately."""
        self.sent += 1
        return self.sent, body(self.sent)

    def properties(self, number: int) -> dict[str, Any]:
        """Return the properties of a message besides its delivery mode."""
        return {}

    def confirm(self, number: int) -> None:
        """Record a confirm."""
        self.confirmed.add(number)

    def session(self) -> "Session":
        return Session(self)

    def identify(self, data: bytes) -> int:
        """Return the number of the message with this body."""
        return int(data.partition(b" ")[0])

    def is_intact(self, number: int, data: bytes) -> bool:
        """Return whether the message has the body that belongs to its number."""
        return data == body(number)

    def complain(self, number: int, text: str) -> None:
        self.wrong.append(f"{self.queue}: message {number} {text}")

    def must_live(self, number: int) -> str:
        """Return the reason why a message cannot be a dead letter yet, or an empty string."""
        return ""

    @property
    def finished(self) -> set[int]:
        """Messages that reached a consumer for good."""
        here = self.acked | self.drained
        return here if self.dead is None else here | self.dead.finished

    @property
    def awaited(self) -> set[int]:
        """Messages that must be finished in the end."""
        return self.confirmed

    def settle_accounts(self) -> None:
        """After the drain, report messages that are missing."""
        for number in sorted(self.awaited - self.finished):
            self.complain(number, "was confirmed and is lost")
        if self.dead is not None:
            for number in sorted(self.gone & (self.dead.seen | self.dead.drained)):
                self.complain(number, "was acked, and dead-lettered as well")

    def is_tested(self) -> bool:
        """Return whether enough has happened for meaningful results."""
        return bool(self.gone)

    def counts(self) -> str:
        return (
            f"{self.queue}: sent {self.sent}, confirmed {len(self.confirmed)}, deliveries {self.deliveries}, acked"
            f" {len(self.acked)}, acked and synced {len(self.gone)}, came again after an unsynced ack {self.again},"
            f" drained {len(self.drained)} (unconfirmed {len(self.drained - self.confirmed)}){self.details()}, wrong"
            f" {len(self.wrong)}"
        )

    def details(self) -> str:
        """Return further counts, each after a comma."""
        return ""


class Session:
    """One consumer, from basic.consume to the end of its connection."""

    ledger: Ledger

    def __init__(self, ledger: Ledger) -> None:
        self.ledger = ledger
        #: Messages that were delivered and did not return.
        self.held: set[int] = set()
        self._last = 0
        self._next = Mark(self)

    def delivered(self, data: bytes, redelivered: bool) -> int:
        """Check a delivery, and return the message's number."""
        ledger = self.ledger
        number = ledger.identify(data)
        ledger.deliveries += 1
        if not 0 < number <= ledger.sent:
            ledger.complain(number, "was never sent")
            return number
        if not ledger.is_intact(number, data):
            ledger.complain(number, "has another body")
        if number in ledger.gone:
            ledger.complain(number, "is back, though its ack was synced")
        if number in self.held:
            self.came_twice(number)
        elif number <= self._last and ledger.in_order:
            ledger.complain(number, f"came after message {self._last}")
        if number in ledger.seen and not redelivered:
            ledger.complain(number, "does not say that it is redelivered")
        if ledger.dead is not None and number in ledger.dead.seen:
            ledger.complain(number, "is delivered, though it was dead-lettered")
        self.check(number)
        if number in ledger.acked:
            ledger.again += 1
            ledger.acked.discard(number)
        self._last = number
        self.held.add(number)
        self._next.delivered.append(number)
        return number

    def check(self, number: int) -> None:
        """Check the promises of an extension when a message is delivered."""

    def came_twice(self, number: int) -> None:
        """Called for a delivery of a message that the consumer already has."""
        self.ledger.complain(number, "is delivered twice")

    def give_back(self, number: int) -> None:
        """Record a return. Call it before the return is sent."""
        self.held.discard(number)
        self._next.returned[number] = time.monotonic()

    def ack(self, number: int, until: float = math.inf) -> None:
        """Record an ack. Call it before the ack is sent. until: the time after which it may have no effect."""
        self.ledger.acked.add(number)
        self._next.acked[number] = until

    def mark(self) -> "Mark":
        """Return a mark. Call it before sending a request that is answered when it is synced."""
        mark, self._next = self._next, Mark(self)
        return mark

    def synced(self, mark: "Mark") -> None:
        """Record what is synced."""
        now = time.monotonic()
        self.ledger.seen.update(mark.delivered)
        self.ledger.gone.update(number for number, until in mark.acked.items() if now < until)


class Mark:
    """Deliveries, acks and returns before a request whose answer shows that they are synced.

    acked: the time until which each ack has an effect. returned: the time of each return.
    """

    def __init__(self, session: Session) -> None:
        self._session = session
        self.delivered: list[int] = []
        self.acked: dict[int, float] = {}
        self.returned: dict[int, float] = {}

    def confirmed(self) -> None:
        """Record that the request was answered."""
        self._session.synced(self)
