"""A fault: the connections it applies to, its conditions and its report."""

import dataclasses
from collections.abc import Sequence
from typing import Any, ClassVar, NamedTuple

from amqpbroker.broker.events.tap import TappedVhost, Via
from amqpbroker.message.message import Message
from amqpbroker.testing.checks import at_least, check_text
from amqpbroker.testing.faults.confirms import Confirm
from amqpbroker.testing.faults.frames import Frame
from amqpbroker.testing.faults.line import Line
from amqpbroker.testing.faults.target import Target

#: Lookup key of faults: the kind of event, and further conditions.
Key = tuple[str | None, ...]


class Only(NamedTuple):
    """Criteria for connections; an empty one accepts any.

    connection: the client property connection_name, or RabbitMQ's name (`127.0.0.1:59058 -> 127.0.0.1:5672`). user,
    vhost: their names. The handshake reveals all of them, so a connection does not match before.
    """

    connection: str = ""
    user: str = ""
    vhost: str = ""

    def means(self, line: Line) -> bool:
        return (
            (not self.connection or self.connection in line.names)
            and (not self.user or self.user == line.user)
            and (not self.vhost or self.vhost == line.vhost)
        )

    def __str__(self) -> str:
        given = ", ".join(f"{name}={value!r}" for name, value in self._asdict().items() if value)
        return f"only({given})." if given else ""


EVERYBODY = Only()


@dataclasses.dataclass(eq=False)
class Fault:
    """A fault to inject. Each kind of fault is a subclass; its fields are the parameters of the fault.

    reads, writes: whether the affected connections are still read and written. piece: number of bytes in one write, 0
    for all. asked_of_all: the fault sees every frame and delivery, and counts by itself. times: number of times that
    the fault triggers, None for always. struck: number of times that it has triggered. id: its number, once active.

    All methods but the constructor must be called on the loop's thread. Raises ValueError for invalid parameters.
    """

    kind: ClassVar[str] = ""
    reads: ClassVar[bool] = True
    writes: ClassVar[bool] = True
    piece: ClassVar[int] = 0
    asked_of_all: ClassVar[bool] = False

    times: int | None = dataclasses.field(default=None, kw_only=True)
    only: Only = dataclasses.field(default=EVERYBODY, kw_only=True)
    struck: int = dataclasses.field(default=0, init=False)
    id: int = dataclasses.field(default=0, init=False)
    target: Target = dataclasses.field(init=False, repr=False)

    def __post_init__(self) -> None:
        for field in dataclasses.fields(self):
            value = getattr(self, field.name) if field.init else None
            if value is not None and field.type in (str, str | None):
                check_text(field.name, value)
        if self.times is not None:
            at_least("times", self.times, 1)

    @property
    def is_spent(self) -> bool:
        """True if the fault has triggered as often as it may."""
        return self.times is not None and self.struck >= self.times

    def activate(self, number: int, target: Target) -> None:
        """Set the fault's number and its target, before it begins."""
        self.id, self.target = number, target

    def begin(self) -> None:
        """Begin to act: when the fault is injected, and after each restart of the broker."""

    def end(self) -> None:
        """Cease to act, because the fault is removed."""

    @property
    def is_slow(self) -> bool:
        """Return whether the fault slows or stops reading or writing of connections."""
        return not self.reads or not self.writes or bool(self.piece)

    @property
    def counts_lines(self) -> bool:
        """Return whether the fault counts the events of each connection separately."""
        return False

    @property
    def strikes_all(self) -> bool:
        """Return whether the fault triggers from the first event on."""
        return all(first == 1 for _, first in self.places())

    def places(self) -> Sequence[tuple[Key, int]]:
        """Return the counted events, each with the number of the event from which on the fault triggers."""
        return ()

    def wants(self, line: Line, frame: Frame, received: bool) -> bool:
        """Return whether the fault triggers at a frame, received or to be sent. Called only if `asked_of_all`."""
        return False

    def strike(self, line: Line, frame: Frame, received: bool) -> None:
        """Trigger at a frame. The frame goes on only if this method passes it on."""

    def strike_bytes(self, line: Line, received: bool) -> None:
        """Trigger the fault after the configured number of bytes."""

    def hold(self, line: Line, confirm: Confirm) -> None:
        """Hold back a confirm that is to be sent."""

    def delivered(self, line: Line, vhost: TappedVhost, message: Message, queue: str, via: Via) -> None:
        """Note that a message goes to a client for the first time. Nothing may be changed within this call."""

    def record(self, line: Line | None, what: str) -> None:
        """Count and record that the fault triggered, at a connection or at the whole broker."""
        self.struck += 1
        self.target.record(str(self), line, what)

    def arguments(self) -> dict[str, Any]:
        """Return the arguments that differ from their defaults."""
        defaults = {field.name: field.default for field in dataclasses.fields(self)}
        given = {name: getattr(self, name) for name in self.names()}
        return {name: value for name, value in given.items() if value != defaults[name]}

    @classmethod
    def names(cls) -> list[str]:
        """Return the names of the parameters."""
        names = [field.name for field in dataclasses.fields(cls) if field.init and field.name not in ("only", "times")]
        return [*names, "times"]

    def __str__(self) -> str:
        return f"{self.only}{self.kind}({', '.join(f'{name}={value!r}' for name, value in self.arguments().items())})"
