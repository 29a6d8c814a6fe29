"""The broker that faults act on: its open connections, and a record of the times that faults triggered."""

import asyncio
import datetime
import logging
from collections import Counter, deque
from collections.abc import Callable
from typing import NamedTuple

from amqpbroker.broker.alarms import Resource
from amqpbroker.broker.broker import Broker
from amqpbroker.message.message import Message
from amqpbroker.testing.faults.line import Line

log = logging.getLogger(__name__)

#: Number of remembered times that faults triggered.
REMEMBERED = 10_000


def _no_restart(down_s: float) -> None:
    """Do nothing: there is no broker."""


class Struck(NamedTuple):
    """One time that a fault triggered.

    - `fault`: the fault as it was injected, such as `"nack(publish=3)"`.
    - `what`: the position at which it triggered, in words.
    - `connection`: number and names of the connection, or "the broker".
    - `at`: the broker's time, with the time zone UTC.
    """

    fault: str
    what: str
    connection: str
    at: datetime.datetime

    def __str__(self) -> str:
        return f"{self.at:%H:%M:%S.%f}"[:-3] + f" {self.connection}: {self.fault} {self.what}"


class Target:
    """The broker that faults act on. A restarted broker replaces the former one.

    broker: None while none is running. restart: restarts the broker after so many seconds. lines: those of open
    connections, by name, oldest first. happened: the last times that faults triggered.
    """

    def __init__(self) -> None:
        self.broker: Broker | None = None
        self.restart: Callable[[float], None] = _no_restart
        self.lines: dict[str, Line] = {}
        self.happened: deque[Struck] = deque(maxlen=REMEMBERED)
        #: Copies of messages that are not delivered yet.
        self._copies: dict[int, Message] = {}
        #: Number of faults that have set the alarm of a resource.
        self._alarms: Counter[Resource] = Counter()

    def attach(self, broker: Broker, restart: Callable[[float], None]) -> None:
        """Use a broker that is about to start."""
        self._reset(broker, restart)

    def detach(self) -> None:
        """Release the references to the broker, which has ended, so that its faults do not keep it alive."""
        self._reset(None, _no_restart)

    def _reset(self, broker: Broker | None, restart: Callable[[float], None]) -> None:
        self.broker = broker
        self.restart = restart
        self.lines.clear()
        self._copies.clear()
        self._alarms.clear()

    def remove(self, line: Line) -> None:
        """Remove the line of a closed connection."""
        if self.lines.get(line.connection.name) is line:
            del self.lines[line.connection.name]

    def soon(self, call: Callable[[], None]) -> None:
        """Make a call in the next event loop iteration."""
        asyncio.get_running_loop().call_soon(call)

    def record(self, fault: str, line: Line | None, what: str) -> None:
        """Record that a fault triggered, at a connection or at the whole broker."""
        assert self.broker is not None
        at = datetime.datetime.fromtimestamp(self.broker.clock.now_ms() / 1000, datetime.UTC)
        struck = Struck(fault, what, "the broker" if line is None else str(line), at)
        self.happened.append(struck)
        log.info("fault: %s", struck)

    # --- copies of messages -------------------------------------------------------------------------------------------

    def copy(self, message: Message) -> Message:
        """Return a copy whose first delivery is not counted."""
        copy = message.rewritten(message.address, message.properties)
        self._copies[id(copy)] = copy
        return copy

    def copy_delivered(self, message: Message) -> bool:
        """Return whether a message that is delivered is such a copy, and remove the copy."""
        return self._copies.pop(id(message), None) is not None

    def remove_copies(self) -> None:
        self._copies.clear()

    # --- alarms -------------------------------------------------------------------------------------------------------

    def set_alarm(self, resource: Resource) -> None:
        if self.broker is not None:
            self._alarms[resource] += 1
            self.broker.alarms.set(resource)

    def clear_alarm(self, resource: Resource) -> None:
        """Clear the alarm once each fault that set it has called this."""
        if self.broker is not None:
            self._alarms[resource] -= 1
            if not self._alarms[resource]:
                self.broker.alarms.clear(resource)
