"""Deliveries that queues have taken back from a channel because their acknowledgement is overdue."""

from typing import final

from amqpbroker.broker.queues.consumer import Consumer


@final
class TakenBack:
    """Pauses consumers whose overdue deliveries were taken back, until the client has settled all of these too.

    consumers: by delivery tag; None for a delivery to basic.get.
    """

    def __init__(self) -> None:
        self.consumers: dict[int, Consumer | None] = {}

    def add(self, tags: list[int], consumer: Consumer | None) -> None:
        """Pause the consumer until the client has settled the deliveries with these tags."""
        for tag in tags:
            self.consumers[tag] = consumer
        if consumer is not None:
            consumer.pause()

    def settle(self, tag: int, multiple: bool) -> None:
        """Resume consumers whose taken back deliveries the client has now all settled.

        tag, multiple: as in basic.ack.
        """
        late = [each for each in self.consumers if each == tag or (multiple and each < tag)]
        settled = {self.consumers.pop(each): None for each in late}
        for consumer in settled:
            if consumer is not None and consumer not in self.consumers.values():
                consumer.resume()
                consumer.queue.offer(consumer)
