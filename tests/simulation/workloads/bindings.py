"""Bindings as clients may rely on them, and the queues that they route to: an independent model of routing."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from amqpbroker.wire.values import Field, longstr
from tests.simulation.world import POWER, Death


@dataclass(eq=False)
class Binding:
    """One binding that is added and removed. source, destination: names. to_exchange: the destination is an exchange.

    pattern: routing key. headers: header -> value, for a headers exchange. any_header: one of these is sufficient.
    wanted: it should exist. present: it certainly exists, or not; None while the broker has not answered. since: when
    `present` has changed.
    """

    source: str
    destination: str
    to_exchange: bool
    pattern: str = ""
    headers: dict[str, str] = field(default_factory=dict)
    any_header: bool = False
    wanted: bool = True
    present: bool | None = False
    since: int = -1

    @property
    def arguments(self) -> dict[str, Field]:
        """Arguments of queue.bind and exchange.bind."""
        if not self.headers:
            return {}
        match = {"x-match": longstr("any" if self.any_header else "all")}
        return match | {name: longstr(value) for name, value in self.headers.items()}

    def change(self, present: bool | None, now: int) -> None:
        """Update the client's knowledge of the binding."""
        self.present, self.since = present, now

    def was_present(self, since: int, deaths: list[Death]) -> bool | None:
        """Return whether it existed, or did not, from `since` up to now; None if both are possible."""
        return self.present if self.since < since and is_safe(self.since, deaths) else None


def is_safe(changed_at: int, deaths: list[Death]) -> bool:
    """Return whether a change of definitions that was known at `changed_at` has survived all power failures."""
    return not any(death.kind == POWER and death.synced_ns <= changed_at <= death.at_ns for death in deaths)


@dataclass(frozen=True)
class Address:
    """Address that a message is published to. keys: the routing key, then those of CC and of BCC."""

    keys: tuple[str, ...]
    headers: dict[str, str]


@dataclass
class Reached:
    """Queues that certainly get a message, and those that possibly get it."""

    must: dict[str, None] = field(default_factory=dict)
    may: dict[str, None] = field(default_factory=dict)


class Topology:
    """Exchanges and their bindings.

    types: of the exchanges. alternates: exchange -> its alternate exchange. deaths: of the broker, a list that grows.
    """

    def __init__(
        self,
        types: dict[str, str],
        alternates: dict[str, str],
        bindings: Sequence[Binding],
        deaths: list[Death],
    ) -> None:
        self.types = types
        self.alternates = alternates
        self.bindings = bindings
        self._deaths = deaths

    @property
    def unsettled(self) -> list[Binding]:
        """Bindings that may not be in the wanted state."""
        return [one for one in self.bindings if one.present is not one.wanted or not is_safe(one.since, self._deaths)]

    def reached(self, exchange: str, address: Address, since: int) -> Reached:
        """Return the destinations of a message that was published, and routed, at any time from `since` up to now."""
        return Reached(
            must=self._queues(exchange, address, since, certainly=True),
            may=self._queues(exchange, address, since, certainly=False),
        )

    def _queues(self, start: str, address: Address, since: int, certainly: bool) -> dict[str, None]:
        queues: dict[str, None] = {}
        seen = {start: None}
        pending = [start]
        while pending:
            exchange = pending.pop()
            for name, is_exchange in self._targets(exchange, address, since, certainly):
                if not is_exchange:
                    queues[name] = None
                elif name not in seen:
                    seen[name] = None
                    pending.append(name)
        return queues

    def _targets(self, exchange: str, address: Address, since: int, certainly: bool) -> list[tuple[str, bool]]:
        """Return (name, is an exchange) of the targets of the exchange."""
        matching = [
            (binding, binding.was_present(since, self._deaths))
            for binding in self.bindings
            if binding.source == exchange and self._matches(binding, address)
        ]
        found = [
            (binding.destination, binding.to_exchange)
            for binding, present in matching
            if present or (present is None and not certainly)
        ]
        alternate = self.alternates.get(exchange)
        if alternate is not None:
            nothing_must = not any(present for _, present in matching)
            nothing_may = all(present is False for _, present in matching)
            if nothing_may if certainly else nothing_must:
                found.append((alternate, True))
        return found

    def _matches(self, binding: Binding, address: Address) -> bool:
        match self.types[binding.source]:
            case "fanout":
                return True
            case "direct":
                return binding.pattern in address.keys
            case "topic":
                return any(topic_matches(_words(binding.pattern), _words(key)) for key in address.keys)
            case _:
                found = [address.headers.get(name) == value for name, value in binding.headers.items()]
                return any(found) if binding.any_header else all(found)


def topic_matches(pattern: list[str], words: list[str]) -> bool:
    """Return whether the words of a routing key match those of a pattern."""
    if not pattern:
        return not words
    if pattern[0] == "#":
        return any(topic_matches(pattern[1:], words[i:]) for i in range(len(words) + 1))
    return bool(words) and pattern[0] in ("*", words[0]) and topic_matches(pattern[1:], words[1:])


def _words(key: str) -> list[str]:
    """Return the words of a key; an empty one has none."""
    return key.split(".") if key else []
