"""Connections that are gone: reset, or closed without a word."""

import dataclasses
from collections.abc import Sequence

from amqpbroker.testing.faults import frames
from amqpbroker.testing.faults.fault import Fault, Key, at_least
from amqpbroker.testing.faults.frames import Frame
from amqpbroker.testing.faults.line import Line
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

    #: Whether the peer is told by TCP that nobody is there any more.
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
            raise ValueError(f"{' and '.join(given)} exclude each other: one of them says where it strikes")
        for name in {"on", "instead_of"} & set(given):
            if places[name] not in methods.BY_NAME:
                raise ValueError(f"{name} = {places[name]!r}: there is no such method; one is basic.publish")
        if self.on and not frames.comes_from(self.on, client=True):
            raise ValueError(f"on = {self.on!r}: no client sends this; it is for instead_of")
        if self.instead_of and not frames.comes_from(self.instead_of, client=False):
            raise ValueError(f"instead_of = {self.instead_of!r}: no broker sends this; it is for on")
        for name in {"after_frames", "after_bytes"} & set(given):
            at_least(name, places[name], 1)
        at_least("nth", self.nth, 1)
        if self.nth != 1 and not (self.on or self.instead_of):
            raise ValueError("nth counts methods: say which by on or instead_of")
        if self.sent and not {"after_frames", "after_bytes"} & set(given):
            raise ValueError("sent is for after_frames and after_bytes")
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
        return [] if self.after_bytes is None else [(("octets", way), self.after_bytes)]

    def strike(self, line: Line, frame: Frame, received: bool) -> None:
        if self.after_frames is not None:
            line.pass_on(frame, received)
        line.cut(self.resets, mute=not received)
        self.record(line, at(line, frame, received))

    def strike_octets(self, line: Line, received: bool) -> None:
        line.cut(self.resets, mute=not received)
        self.record(line, f"after {self.after_bytes} octets")


@dataclasses.dataclass(eq=False)
class Reset(Cut):
    kind = "reset"
    resets = True


@dataclasses.dataclass(eq=False)
class Drop(Cut):
    kind = "drop"


def at(line: Line, frame: Frame, received: bool) -> str:
    """Where it struck."""
    number, way = (line.received, "received") if received else (line.sent, "sent")
    kinds = {2: "a content header", 3: "a body"}
    return f"at frame {number} {way}, {frame.name or kinds.get(frame.kind, 'a frame')} on channel {frame.channel}"
