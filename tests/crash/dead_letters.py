"""Dead letters of a queue: each confirmed message that dies arrives once.

The queue of dead letters has the same promises as any other queue, so a second dead letter of a message is recognised
as a message that comes twice, that comes back after its ack, or that does not say that it is redelivered.
"""

from amqpbroker.wire.values import longstr
from tests.crash.ledger import Ledger, Session


class DeadLetters(Ledger):
    """The queue of dead letters of another queue."""

    in_order = False

    def __init__(self, source: Ledger) -> None:
        super().__init__(f"{source.queue} dead letters")
        self.source = source
        source.dead = self
        source.arguments |= {
            "x-dead-letter-exchange": longstr(""),
            "x-dead-letter-routing-key": longstr(self.queue),
        }

    def session(self) -> "DeadLetterSession":
        self.sent = self.source.sent
        return DeadLetterSession(self)


class DeadLetterSession(Session):
    """One consumer of dead letters."""

    ledger: DeadLetters

    def delivered(self, data: bytes, redelivered: bool) -> int:
        self.ledger.sent = self.ledger.source.sent
        return super().delivered(data, redelivered)

    def check(self, number: int) -> None:
        source = self.ledger.source
        if number in source.gone:
            self.ledger.complain(number, "was acked before it was dead-lettered")
        reason = source.must_live(number)
        if reason:
            self.ledger.complain(number, f"is a dead letter, though {reason}")


class RedrivenLetters(DeadLetters):
    """The queue of dead letters of another queue, all of which are redriven before the drain."""

    def is_tested(self) -> bool:
        return True

    def session(self) -> "RedrivenSession":
        return RedrivenSession(self)


class RedrivenSession(DeadLetterSession):
    """The drain of a queue of dead letters that must be empty."""

    def check(self, number: int) -> None:
        self.ledger.complain(number, "is a dead letter that was not redriven")
