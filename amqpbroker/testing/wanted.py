"""Criteria for published messages, and the messages that come near."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from amqpbroker.message import message as broker_message
from amqpbroker.testing.hints import did_you_mean, nearest
from amqpbroker.testing.message import Message
from amqpbroker.wire.values import text

#: Number of different names, the newest ones, that are compared with a name that was not found.
COMPARED = 1_000


@dataclass(frozen=True, slots=True)
class Wanted:
    """Criteria of a search for published messages, None for any."""

    exchange: str | None
    routing_key: str | None
    body: bytes | None

    def fits(self, message: broker_message.Message) -> bool:
        return (
            self.exchange in (None, message.exchange)
            and self.routing_key in (None, text(message.routing_key))
            and self.body in (None, bytes(message.body))
        )

    def hint(self, places: Iterable[tuple[str, str]]) -> str:
        """Return the exchange or routing key that was probably meant. places: exchange and key of each publish."""
        known = list(places)[-COMPARED:]
        exchanges, keys = {exchange for exchange, _ in known}, {key for _, key in known}
        if self.exchange is not None and self.exchange not in exchanges:
            return did_you_mean(self.exchange, exchanges, quoted=True)
        if self.routing_key is not None and self.routing_key not in keys:
            return did_you_mean(self.routing_key, keys, quoted=True)
        return ""

    def near_misses(self, messages: Sequence[Message], most: int) -> list[str]:
        """Return lines with messages that miss one criterion of several, or whose name is similar; the newest ones."""
        exchange = self._similar(self.exchange, [message.exchange for message in messages])
        key = self._similar(self.routing_key, [message.routing_key for message in messages])
        lines: list[str] = []
        for message in reversed(messages):
            misses = self._misses(message)
            similar = {
                "another exchange": message.exchange == exchange,
                "another routing key": message.routing_key == key,
            }
            if misses and (len(misses) < self._given or all(similar.get(miss, False) for miss in misses)):
                lines.append(f"  {' and '.join(misses)}: {message!r}")
            if len(lines) == most:
                break
        return ["near misses:", *reversed(lines)] if lines else []

    @property
    def _given(self) -> int:
        return sum(each is not None for each in (self.exchange, self.routing_key, self.body))

    def _misses(self, message: Message) -> list[str]:
        criteria = (
            ("another exchange", self.exchange, message.exchange),
            ("another routing key", self.routing_key, message.routing_key),
            ("another body", self.body, message.body),
        )
        return [name for name, wanted, actual in criteria if wanted not in (None, actual)]

    @staticmethod
    def _similar(wanted: str | None, names: Sequence[str]) -> str | None:
        """Return the name that is most like the wanted one; None if that is given nowhere, or found itself."""
        known = set(names[-COMPARED:])
        return None if wanted is None or wanted in known else nearest(wanted, known)

    def __str__(self) -> str:
        return "".join(
            [
                "" if self.exchange is None else f" to exchange {self.exchange!r}",
                "" if self.routing_key is None else f" with routing key {self.routing_key!r}",
                "" if self.body is None else f" with body {self.body!r}",
            ]
        )
