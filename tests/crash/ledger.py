"""Knowledge of the clients of one queue, and the resulting expectations. One publisher and one consumer at a time.

Messages are numbered from 1 and published once each. The criteria:

- **Confirmed**: the publisher has read the confirm (or tx.commit-ok). Such a message must be delivered until its ack is
  sent: in the end it was acked, or the drain finds it. An unconfirmed message may exist or not.
- **Acked and synced**: the ack was sent, and after it, on the same channel, a request whose answer waits for the disk:
  a persistent message to a durable queue that was confirmed, or a tx.commit that was answered. A channel's frames are
  handled in order and batches are written in order, so the ack is on the disk too, and the message must not be
  delivered again. A message whose ack was sent but not synced may be delivered again.
- **Delivered and synced**: the same for a delivery. If such a message is delivered again, its redelivered flag is set.
- **Returned and synced**: the same for a return to a queue that delays it (`delay_s`). Such a message is not delivered
  again before its time, also if the broker was killed meanwhile.
- **Order**: in other queues nothing is requeued while there is a consumer, so numbers only grow within a session.
- The body belongs to the number, and no byte differs.
"""

import time

PATTERN = bytes(range(256)) * 1024


def body(number: int) -> bytes:
    """Return the body of a message: mostly small; some take a page or many, and one in a thousand takes two frames."""
    chance = number * 2654435761 % 1000
    size = 200_000 if chance == 0 else 20_000 if chance < 40 else chance // 4
    return b"%d %b" % (number, PATTERN[number % 251 : number % 251 + size])


class Ledger:
    """All rounds of one queue. wrong: violations of the criteria. delay_s: delay of a returned message in seconds."""

    def __init__(self, queue: str, delay_s: float = 0.0, **arguments: object) -> None:
        self.queue = queue
        self.delay_s = delay_s
        #: Time of each return that may not be synced yet, and time before which a message must not be delivered.
        self.returned: dict[int, float] = {}
        self.not_before: dict[int, float] = {}
        self.waited: int = 0
        self.arguments = arguments
        self.sent: int = 0
        self.confirmed: set[int] = set()
        self.acked: set[int] = set()
        self.gone: set[int] = set()
        self.seen: set[int] = set()
        self.drained: set[int] = set()
        self.deliveries: int = 0
        self.again: int = 0
        self.wrong: list[str] = []

    @property
    def backlog(self) -> int:
        return self.sent - len(self.acked)

    def publish(self) -> tuple[int, bytes]:
        """Return the next message, which must be sent immediately."""
        self.sent += 1
        return self.sent, body(self.sent)

    def session(self) -> "Session":
        return Session(self)

    def complain(self, number: int, text: str) -> None:
        self.wrong.append(f"{self.queue}: message {number} {text}")

    def settle_accounts(self) -> None:
        """After the drain, report confirmed messages that are missing."""
        for number in sorted(self.confirmed - self.acked - self.drained):
            self.complain(number, "was confirmed and is lost")

    def counts(self) -> str:
        return (
            f"{self.queue}: sent {self.sent}, confirmed {len(self.confirmed)}, deliveries {self.deliveries}, acked"
            f" {len(self.acked)}, acked and synced {len(self.gone)}, came again after an unsynced ack {self.again},"
            f" drained {len(self.drained)} (unconfirmed {len(self.drained - self.confirmed)}), waited {self.waited},"
            f" wrong {len(self.wrong)}"
        )


class Session:
    """One consumer, from basic.consume to the end of its connection."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        # Returns of an earlier connection that were not synced may be lost.
        ledger.returned.clear()
        self._last = 0
        self._delivered: list[int] = []
        self._acked: list[int] = []

    def delivered(self, data: bytes, redelivered: bool) -> int:
        """Check a delivery, and return the message's number."""
        ledger = self._ledger
        number = int(data.partition(b" ")[0])
        ledger.deliveries += 1
        if not 0 < number <= ledger.sent:
            ledger.complain(number, "was never sent")
        if data != body(number):
            ledger.complain(number, "has another body")
        if number in ledger.gone:
            ledger.complain(number, "is back, though its ack was synced")
        self._check_time(number)
        if number <= self._last and not ledger.delay_s:
            ledger.complain(number, f"came after message {self._last}")
        if number in ledger.seen and not redelivered:
            ledger.complain(number, "does not say that it is redelivered")
        ledger.again += number in ledger.acked
        self._last = number
        self._delivered.append(number)
        return number

    def _check_time(self, number: int) -> None:
        ledger = self._ledger
        ledger.returned.pop(number, None)
        not_before = ledger.not_before.pop(number, None)
        if not_before is not None:
            ledger.waited += 1
            early_s = not_before - time.monotonic()
            if early_s > 0:
                ledger.complain(number, f"is back {early_s:.3f} s too early")

    def give_back(self, number: int) -> None:
        """Record a return. Call it before the return is sent."""
        self._ledger.returned[number] = time.monotonic()

    def ack(self, number: int) -> None:
        """Record an ack. Call it before the ack is sent."""
        self._ledger.acked.add(number)
        self._acked.append(number)

    def mark(self) -> "Mark":
        """Return a mark. Call it before sending a request that is answered when it is synced."""
        mark = Mark(self._ledger, self._delivered, self._acked)
        self._delivered, self._acked = [], []
        return mark


class Mark:
    """The deliveries and acks before a request whose answer shows that they are synced."""

    def __init__(self, ledger: Ledger, delivered: list[int], acked: list[int]) -> None:
        self._ledger = ledger
        self._delivered = delivered
        self._acked = acked
        self._returned = list(ledger.returned.items())

    def synced(self) -> None:
        self._ledger.seen.update(self._delivered)
        ledger = self._ledger
        ledger.gone.update(self._acked)
        for number, at in self._returned:
            if ledger.returned.get(number) == at:
                ledger.not_before[number] = ledger.returned.pop(number) + ledger.delay_s
