"""Lost connections: reset by TCP, or closed without AMQP's connection.close."""

import dataclasses
from collections.abc import Sequence

from amqpbroker.testing.checks import at_least
from amqpbroker.testing.faults import frames
from amqpbroker.testing.faults.fault import Fault, Key
from amqpbroker.testing.faults.frames import Frame
from amqpbroker.testing.faults.line import Line
from amqpbroker.testing.hints import did_you_mean
from amqpbroker.wire import methods


@dataclasses.dataclass(eq=False)
class Cut(Fault):
    """See `Faults.reset`."""

    on: str = ""
    instead_of: str = ""
    nth: int = 1
    after_frames: int | None = None
    after_bytes: int | None = None
    sent: bool = False
    times: int | None = dataclasses.field(default=1, kw_only=True)

    #: True resets the connection by TCP, False closes it.
    resets = False

    def __post_init__(self) -> None:
        super().__post_init__()
        places = {
            "on": self.on,
            "instead_of": self.instead_of,
            "after_frames": self.after_frames,
            "after_bytes": self.after_bytes,
        }
        given = [name for name, value in places.items() if value not in ("", None)]
        if len(given) > 1:
            raise ValueError(f"{' and '.join(given)} exclude each other: give one of them, the condition of the fault")
        if self.on:
            _check_method("on", self.on, client=True)
        if self.instead_of:
            _check_method("instead_of", self.instead_of, client=False)
        for name in {"after_frames", "after_bytes"} & set(given):
            at_least(name, places[name], 1)
        at_least("nth", self.nth, 1)
        if self.nth != 1 and not (self.on or self.instead_of):
            raise ValueError(f"nth = {self.nth}: this counts methods; name the method, such as on='basic.publish'")
        if self.sent and not {"after_frames", "after_bytes"} & set(given):
            raise ValueError("sent = True: this needs a number of frames or bytes, such as after_frames=10")
        self._at_once = not given

    def begin(self) -> None:
        if self._at_once and not self.is_spent:
            for line in list(self.target.lines.values()):
                if self.only.means(line):
                    line.cut(self.resets)
                    self.record(line, "at once")
            self.struck = self.times or self.struck

    @property
    def counts_lines(self) -> bool:
        return self.after_frames is not None or self.after_bytes is not None

    def places(self) -> Sequence[tuple[Key, int]]:
        way = "sent" if self.sent else "received"
        if self.on:
            return [(("received", self.on), self.nth)]
        if self.instead_of:
            return [(("sent", self.instead_of), self.nth)]
        if self.after_frames is not None:
            return [(("frames", way), self.after_frames)]
        return [] if self.after_bytes is None else [(("bytes", way), self.after_bytes)]

    def strike(self, line: Line, frame: Frame, received: bool) -> None:
        if self.after_frames is not None:
            line.pass_on(frame, received)
        line.cut(self.resets, mute=not received)
        self.record(line, at(line, frame, received))

    def strike_bytes(self, line: Line, received: bool) -> None:
        line.cut(self.resets, mute=not received)
        self.record(line, f"after {self.after_bytes} bytes")


@dataclasses.dataclass(eq=False)
class Reset(Cut):
    kind = "reset"
    resets = True


@dataclasses.dataclass(eq=False)
class Drop(Cut):
    kind = "drop"


def at(line: Line, frame: Frame, received: bool) -> str:
    """Return the position at which a fault triggered, in words."""
    number, way = (line.received, "received") if received else (line.sent, "sent")
    kinds = {2: "a content header", 3: "a body"}
    return f"at frame {number} {way}, {frame.name or kinds.get(frame.kind, 'a frame')} on channel {frame.channel}"


def _check_method(argument: str, name: str, *, client: bool) -> None:
    """Raises ValueError for a method that does not exist, or that the other side sends."""
    if name not in methods.BY_NAME:
        possible = [each for each in methods.BY_NAME if frames.comes_from(each, client=client)]
        hint = did_you_mean(name, possible) or "; methods are named such as basic.publish"
        raise ValueError(f"{argument} = {name!r}: there is no such method{hint}")
    if not frames.comes_from(name, client=client):
        sender, other = ("client", "instead_of") if client else ("broker", "on")
        raise ValueError(f"{argument} = {name!r}: no {sender} sends this method; use {other}={name!r}")
