"""State of a script's channel: the delivery tags it may settle, and the confirmed publishes."""

from __future__ import annotations

from collections.abc import Iterable

from conformance.decoder import Event

#: Tags by what they mean, since what a channel was delivered is known only when the script runs.
OLDEST, MIDDLE, NEWEST, SETTLED, UNKNOWN = "oldest", "middle", "newest", "settled", "unknown"

BEYOND = 7


class Tags:
    """One channel from its opening to its end."""

    def __init__(self) -> None:
        self._held: list[int] = []
        self._highest = 0
        self._last_settled: int | None = None
        self._consumers_without_acks: set[str] = set()
        self._settled_at_once: set[int] = set()
        self._confirmed: set[int] = set()

    def consumes_without_acks(self, consumer_tag: str) -> None:
        """Note a consumer without acknowledgements, whose messages are never held."""
        self._consumers_without_acks.add(consumer_tag)

    def got_without_ack(self, tag: int) -> None:
        """This answer to basic.get is not held."""
        self._settled_at_once.add(tag)

    def took(self, event: Event) -> None:
        """An event of the channel was received."""
        if event.name in ("basic.deliver", "basic.get-ok"):
            tag = event.arguments["delivery_tag"]
            self._highest = max(self._highest, tag)
            if (
                tag not in self._settled_at_once
                and event.arguments.get("consumer_tag") not in self._consumers_without_acks
            ):
                self._held.append(tag)

    def meant(self, which: str) -> int | None:
        """The tag that a word stands for; None when there is no such delivery."""
        if which == UNKNOWN:
            return self._highest + BEYOND
        if which == SETTLED:
            return self._last_settled
        if not self._held:
            return None
        return {OLDEST: self._held[0], MIDDLE: self._held[len(self._held) // 2], NEWEST: self._held[-1]}[which]

    def settles(self, tag: int, multiple: bool) -> None:
        """An ack, nack or reject was sent."""
        if multiple:
            self._held = [one for one in self._held if tag and one > tag]
        else:
            self._held = [one for one in self._held if one != tag]
        self._last_settled = tag

    def gives_all_back(self) -> None:
        """basic.recover was sent."""
        self._held = []

    def confirms(self, events: Iterable[Event]) -> dict[str, list[int]]:
        """Which publishes these acks and nacks settle, in order: a broker is free to combine them."""
        settled = set(self._confirmed)
        found: dict[str, list[int]] = {}
        for event in events:
            tag = event.arguments["delivery_tag"]
            for one in range(1 if event.arguments["multiple"] else tag, tag + 1):
                if one not in settled:
                    settled.add(one)
                    found.setdefault(event.name, []).append(one)
        return {name: sorted(tags) for name, tags in sorted(found.items())}

    def confirmed(self, events: Iterable[Event]) -> None:
        """These acks and nacks are accounted for."""
        for tags in self.confirms(list(events)).values():
            self._confirmed.update(tags)
