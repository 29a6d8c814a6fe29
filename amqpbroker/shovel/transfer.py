"""Transfer of a shovel's messages, which are published, confirmed and acknowledged within a limit of unconfirmed ones.

Without I/O: `Ends` acts on both connections.
"""

from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable
from typing import Literal, final

from amqpbroker.broker.shovels.definition import AckMode
from amqpbroker.client.protocol import Delivery

#: Memory of one message, in addition to its bytes.
KEEPING = 500


class Ends(ABC):
    """Operations of a transfer on the source and the destination."""

    @abstractmethod
    def publish(self, delivery: Delivery) -> None:
        """Publish at the destination. `Transfer.full` may be called meanwhile."""

    @abstractmethod
    def ack(self, tag: int, multiple: bool) -> None:
        """Acknowledge at the source."""

    @abstractmethod
    def read(self, reading: bool) -> None:
        """Start or stop reading from the source."""

    @abstractmethod
    def retry_later(self, retry: Callable[[], None]) -> None:
        """Call `retry()` after a delay, because the destination has refused a message."""

    @abstractmethod
    def changed(self, status: "Status") -> None:
        """Called when the transfer's status has changed."""

    @abstractmethod
    def finished(self) -> None:
        """Called when all messages are transferred."""


#: Status of a transfer.
Status = Literal["running", "flow", "blocked"]


@final
class Transfer:
    """The messages of one shovel while both its connections last.

    remaining: number of messages to take, after which `Ends.finished` is called once; None for no end. window: bytes of
    unconfirmed messages above which no more are read. Messages are published in the order of their arrival. A message
    that the destination refuses is retained and published again, ahead of later messages, so that the source does not
    count it as returned.

    The ends must not refer to the transfer, or reference counting frees neither.
    """

    def __init__(self, ends: Ends, ack_mode: AckMode, remaining: int | None, window: int) -> None:
        self.status: Status = "running"
        self._ends = ends
        self._mode: AckMode = ack_mode
        self._window = window
        self._to_take = remaining
        self._to_transfer = remaining
        self._sequence = 0
        #: Messages that are published and not confirmed, by the number of the publish, in order of both number and
        #: delivery tag.
        self._unconfirmed: dict[int, Delivery] = {}
        self._refused: list[Delivery] = []
        self._pending: deque[Delivery] = deque()
        self._held_bytes = 0
        self._reading = True
        self._blocked = self._full = self._waiting = self._forwarding = False
        self._ended = False

    # --- events -------------------------------------------------------------------------------------------------------

    def delivered(self, delivery: Delivery) -> None:
        """Handle a message of the source."""
        if self._to_take is not None:
            if self._to_take == 0:
                return  # it returns to the queue when the connection ends
            self._to_take -= 1
        self._held_bytes += _size(delivery)
        self._pending.append(delivery)
        self._forward()
        self._throttle()

    def confirmed(self, number: int, multiple: bool, taken: bool) -> None:
        """Handle a confirm of the destination."""
        confirmed = self._remove_confirmed(number, multiple)
        if not confirmed:
            return
        if not taken:
            self._refused += confirmed
            if not self._waiting and not self._ended:
                self._waiting = True
                self._update_status()
                self._ends.retry_later(self.retry)
            return
        if len(confirmed) > 1 and not self._refused:
            self._ends.ack(confirmed[-1].tag, True)
        else:
            for delivery in confirmed:
                self._ends.ack(delivery.tag, False)
        for delivery in confirmed:
            self._transferred(delivery)
        self._throttle()

    def _remove_confirmed(self, number: int, multiple: bool) -> list[Delivery]:
        if not multiple:
            delivery = self._unconfirmed.pop(number, None)
            return [] if delivery is None else [delivery]
        numbers = []
        for each in self._unconfirmed:
            if each > number:
                break
            numbers.append(each)
        return [self._unconfirmed.pop(each) for each in numbers]

    def retry(self) -> None:
        """Publish refused messages again, some time after `Ends.retry_later`."""
        if self._ended:
            return
        if self._unconfirmed:
            self._ends.retry_later(self.retry)  # wait for unconfirmed ones, which may be refused too
            return
        self._pending.extendleft(sorted(self._refused, key=_tag, reverse=True))
        self._refused = []
        self._waiting = False
        self._update_status()
        self._forward()

    def blocked(self, blocked: bool) -> None:
        """Stop or resume publishing, because the destination has blocked or unblocked the connection."""
        self._blocked = blocked
        self._update_status()
        self._forward()

    @property
    def all_confirmed(self) -> bool:
        """Return whether all published messages are confirmed."""
        return not self._unconfirmed

    def end(self) -> None:
        """Stop publishing. Confirmed messages are still acknowledged."""
        self._ended = True

    def full(self, full: bool) -> None:
        """Pause or resume publishing, because the output buffer to the destination is full or has space again."""
        self._full = full
        self._update_status()
        self._forward()

    # ----------------------------------------------------------------------------------------------------------------

    def _forward(self) -> None:
        if self._forwarding:
            return
        self._forwarding = True
        try:
            while self._pending and not (self._blocked or self._full or self._waiting or self._ended):
                self._publish(self._pending.popleft())
        finally:
            self._forwarding = False
        self._throttle()

    def _publish(self, delivery: Delivery) -> None:
        if self._mode == "on-confirm":
            self._sequence += 1
            self._unconfirmed[self._sequence] = delivery
        self._ends.publish(delivery)
        if self._mode == "on-publish":
            self._ends.ack(delivery.tag, False)
        if self._mode != "on-confirm":
            self._transferred(delivery)

    def _transferred(self, delivery: Delivery) -> None:
        """Count a message as transferred."""
        self._held_bytes -= _size(delivery)
        if self._to_transfer is not None:
            self._to_transfer -= 1
            if self._to_transfer == 0:
                self.end()
                self._ends.finished()

    def _throttle(self) -> None:
        reading = self._held_bytes <= (self._window if self._reading else self._window // 2)
        if reading is not self._reading:
            self._reading = reading
            self._ends.read(reading)

    def _update_status(self) -> None:
        """Notify the ends if the status has changed."""
        status: Status = "blocked" if self._blocked or self._waiting else "flow" if self._full else "running"
        if status != self.status:
            self.status = status
            self._ends.changed(status)


def _size(delivery: Delivery) -> int:
    return len(delivery.properties) + len(delivery.body) + KEEPING


def _tag(delivery: Delivery) -> int:
    return delivery.tag
