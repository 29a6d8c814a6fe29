"""The batches whose events are due, and when messages about them are sent."""

from collections.abc import Callable
from itertools import islice
from typing import Final, final

from amqpbroker.broker.batches.batch import Batch
from amqpbroker.clock import Clock, Timer

#: Time after which a message about a batch is sent again that its target has refused.
RETRY_MS: Final = 1000


@final
class DueBatches:
    """Batches that may have events of which no message is sent yet.

    Messages are sent about a limited number of batches in one event loop iteration, in the order in which they were
    added.
    """

    def __init__(self, clock: Clock, most: int, send: Callable[[Batch], bool]) -> None:
        """most: number of batches in one iteration.

        send(batch): sends the messages about a batch; returns False if the target refuses one, which is to be sent
        again.
        """
        self._clock: Clock = clock
        self._most: int = most
        self._send: Callable[[Batch], bool] = send
        self._waiting: dict[Batch, None] = {}
        self._refused: dict[Batch, None] = {}
        self._timer: Timer | None = None
        self._retry: Timer | None = None

    def __len__(self) -> int:
        return len(self._waiting) + len(self._refused)

    def add(self, batch: Batch) -> None:
        """Send the messages about a batch in a later iteration: a queue may be in the middle of an operation now."""
        if batch not in self._refused:
            self._waiting[batch] = None
            self._arm()

    def remove(self, batch: Batch) -> None:
        """Send no messages about a batch."""
        self._waiting.pop(batch, None)
        self._refused.pop(batch, None)

    def send_first(self, wanted: Callable[[Batch], bool]) -> None:
        """Send the messages about the first batch for which `wanted(batch)` is True and whose target accepts them."""
        for batch in list(islice(filter(wanted, self._waiting), self._most)):
            if self._send_about(batch):
                return

    def close(self) -> None:
        """Send no more messages. This object is not used after that."""
        self._waiting.clear()
        self._refused.clear()
        self._send = _refuse
        for timer in (self._timer, self._retry):
            if timer is not None:
                timer.cancel()

    def _arm(self) -> None:
        if self._timer is None and self._waiting:
            self._timer = self._clock.after(0, self._go_on)

    def _go_on(self) -> None:
        self._timer = None
        try:
            for batch in list(islice(self._waiting, self._most)):
                if batch in self._waiting:
                    self._send_about(batch)
        finally:
            self._arm()

    def _send_about(self, batch: Batch) -> bool:
        del self._waiting[batch]
        if self._send(batch):
            return True
        self._refused[batch] = None
        if self._retry is None:
            self._retry = self._clock.after(RETRY_MS, self._try_again)
        return False

    def _try_again(self) -> None:
        self._retry = None
        self._waiting.update(self._refused)
        self._refused.clear()
        self._arm()


def _refuse(batch: Batch) -> bool:
    return False
