"""Deliveries that queues have taken back from a channel because their acknowledgement is overdue."""

from typing import final

from amqpbroker.broker.queues.consumer import Consumer


@final
class OverdueDeliveries:
    """Accepts late acknowledgements, and pauses consumers until the client has settled what was taken back from them.

    consumers: of deliveries that the client still has to settle, by delivery tag; None for a delivery to basic.get.
    accepted: the highest tag that the client need not settle. A consumer whose messages return again and again would
    otherwise fill the memory, so every tag up to this one is accepted if it is not outstanding, also a tag that was
    acknowledged before.
    """

    def __init__(self) -> None:
        self.consumers: dict[int, Consumer | None] = {}
        self.accepted: int = 0
        self._counts: dict[Consumer, int] = {}

    def add(self, tags: list[int], consumer: Consumer | None) -> None:
        """Pause the consumer until the client has settled the deliveries with these tags."""
        for tag in tags:
            self.consumers[tag] = consumer
        if consumer is not None:
            self._counts[consumer] = self._counts.get(consumer, 0) + len(tags)
            consumer.pause()

    def accept(self, tags: list[int]) -> None:
        """Accept any late answer of the client for the deliveries with these tags."""
        self.accepted = max(self.accepted, *tags)

    def accepts(self, tag: int) -> bool:
        """Return whether the client may settle a delivery that is not outstanding."""
        return tag in self.consumers or 0 < tag <= self.accepted

    def settle(self, tag: int, multiple: bool) -> None:
        """Resume consumers whose taken back deliveries the client has now all settled.

        tag, multiple: as in basic.ack.
        """
        if multiple:
            late = [each for each in self.consumers if each <= tag]
        else:
            late = [tag] if tag in self.consumers else []
        resumed: list[Consumer] = []
        for each in late:
            consumer = self.consumers.pop(each)
            if consumer is None:
                continue
            self._counts[consumer] -= 1
            if not self._counts[consumer]:
                del self._counts[consumer]
                resumed.append(consumer)
        for consumer in resumed:
            consumer.resume()
            consumer.queue.offer(consumer)
