"""Confirms under faults: one for each publish, numbered as the client counts."""

from amqpbroker.amqp.confirms import Confirms
from amqpbroker.testing.faults.frames import Frame
from amqpbroker.wire import methods
from amqpbroker.wire.frames import METHOD, frame

ACK = "basic.ack"
NACK = "basic.nack"


class Ledger:
    """Confirms sent to the publisher of one channel, including nacks of publishes that never reached the broker.

    confirms: the broker's confirms of the channel. alive: the channel is open.
    """

    def __init__(self, channel: int, confirms: Confirms) -> None:
        self.channel = channel
        self.confirms = confirms
        self.alive = True
        self._confirmed = confirms.confirmed
        self._ahead = {number for first, last in confirms.ahead for number in range(first, last + 1)}
        self._refused: list[int] = []
        self._nacked = 0

    def close(self) -> None:
        """Send no more confirms: the channel is closed."""
        self.alive = False

    def refuse(self) -> None:
        """Note that the next publish does not reach the broker. It is nacked in its order."""
        self._refused.append(self.confirms.published + len(self._refused) + 1)

    def confirmed(self, name: str, tag: int, multiple: bool) -> list[tuple[int, str]]:
        """Return the confirms to send, with the client's numbers, after the broker confirmed `tag`, or all up to it."""
        told = self.due()
        if not multiple and tag > self._confirmed + 1:
            self._ahead.add(tag)
            return [*told, (self._number_of(tag), name)]
        while self._confirmed < tag or self._confirmed + 1 in self._ahead:
            self._confirmed += 1
            if self._confirmed in self._ahead:
                self._ahead.remove(self._confirmed)
            else:
                told.append((self._confirmed + self._nacked, name))
            told += self.due()
        return told

    def _number_of(self, tag: int) -> int:
        """Return the client's number of the publish that the broker knows by this tag."""
        number = tag
        for refused in self._refused:
            if refused <= number:
                number += 1
        return number

    def due(self) -> list[tuple[int, str]]:
        """Return the nacks of refused publishes whose predecessors are all confirmed."""
        told = []
        while self._nacked < len(self._refused) and self._refused[self._nacked] == self._confirmed + self._nacked + 1:
            told.append((self._refused[self._nacked], NACK))
            self._nacked += 1
        return told


class Confirm:
    """A confirm to be sent. number: that of the publish, as the client counts. name: the method."""

    __slots__ = ("counted", "ledger", "name", "number", "passed")

    def __init__(self, ledger: Ledger, number: int, name: str) -> None:
        self.ledger = ledger
        self.number = number
        self.name = name
        #: The faults that have released it.
        self.passed: set[object] = set()
        #: Bucket -> sequence number of this confirm in the bucket's count.
        self.counted: dict[object, int] = {}

    def frame(self) -> Frame:
        arguments = {"delivery_tag": self.number} | ({"requeue": True} if self.name == NACK else {})
        channel = self.ledger.channel
        return Frame(METHOD, channel, frame(METHOD, channel, methods.encode(self.name, **arguments)))
