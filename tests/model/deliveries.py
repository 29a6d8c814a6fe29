"""Deliveries that are not settled, and their locks."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tests.model.copies import Copy

if TYPE_CHECKING:
    from tests.model.line import Line

#: The channel of consumers.
CONSUMER = "consumer"


@dataclass(eq=False)
class Delivery:
    """A delivery that waits for its acknowledgement. consumer: its tag, "" for basic.get.

    number: grows with each delivery. due_ms: time when its lock runs out, 0 if it has none. is_owed: its lock has run
    out, and its consumer gets nothing until the client has settled it.
    """

    line: "Line"
    copy: Copy
    channel: str
    consumer: str
    number: int
    due_ms: int
    is_owed: bool = False

    @property
    def sequence(self) -> int:
        return self.copy.sequence

    @property
    def action(self) -> str:
        """Return what happens when its lock runs out."""
        return "" if self.line.spec.lock is None else self.line.spec.lock.action


def first_due_ms(lines: Iterable["Line"]) -> list[int]:
    """Return the times when the locks of these queues run out."""
    return [delivery.due_ms for line in lines for delivery in line.held.values() if delivery.due_ms]


def run_out(lines: Iterable["Line"], now_ms: int) -> list[list[Delivery]]:
    """Return the deliveries whose locks have run out, by channel, in the order in which they ran out."""
    due: dict[str, list[Delivery]] = {}
    for line in lines:
        for delivery in line.held.values():
            if 0 < delivery.due_ms <= now_ms:
                due.setdefault(delivery.channel, []).append(delivery)
    return [
        sorted(deliveries, key=lambda delivery: (delivery.due_ms, delivery.number))
        for _, deliveries in sorted(due.items())
    ]


def by_consumer(deliveries: Iterable[Delivery]) -> "list[tuple[Line, list[Delivery]]]":
    """Group deliveries that are settled at once: by queue and consumer, in the order of their names."""
    groups: dict[tuple[int, str], list[Delivery]] = {}
    for delivery in deliveries:
        groups.setdefault((id(delivery.line), delivery.consumer), []).append(delivery)
    in_order = sorted(groups.values(), key=lambda group: (group[0].line.spec.name, group[0].consumer))
    return [(group[0].line, group) for group in in_order]
