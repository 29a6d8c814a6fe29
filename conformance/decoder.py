"""Decodes the bytes of a broker to events: whole methods with their content, heartbeats, a protocol header."""

from __future__ import annotations

import struct
from dataclasses import dataclass, field
from typing import Any

from conformance import methods
from conformance.errors import MalformedFrameError
from conformance.values import show_long


@dataclass(slots=True, eq=False)
class Event:
    """A received event: a method with its content or, on channel 0, a heartbeat, a protocol header or the end."""

    channel: int
    name: str
    arguments: dict[str, Any] = field(default_factory=dict)
    properties: dict[str, Any] | None = None
    body: bytes | None = None
    body_frames: list[int] = field(default_factory=list)
    taken: bool = False

    def shown(self) -> dict[str, Any]:
        """Return the JSON form for the transcript.

        A long body is shown as its length and SHA-256; several body frames show their sizes.
        """
        shown: dict[str, Any] = {"method": self.name, **self.arguments}
        if self.properties is not None:
            shown["properties"] = self.properties
        if self.body is not None:
            shown["body"] = show_long(self.body)
        if len(self.body_frames) > 1:
            shown["body_frames"] = self.body_frames
        return shown


@dataclass(slots=True)
class _Content:
    """A method waiting for its header and body frames."""

    event: Event
    missing: int | None = None
    chunks: list[bytes] = field(default_factory=list)


class Decoder:
    """Accepts bytes in any pieces and returns the events that they complete."""

    def __init__(self) -> None:
        self._first = True
        self._buffer = b""
        self._contents: dict[int, _Content] = {}

    def feed(self, data: bytes) -> list[Event]:
        """Return the events that `data` completes, in order. Raises MalformedFrameError."""
        buffer = self._buffer + data
        at = 0
        events = []
        while len(buffer) - at >= 8:
            if self._first and buffer[at : at + 4] == b"AMQP":
                events.append(Event(0, "protocol header", {"bytes": list(buffer[at + 4 : at + 8])}))
                at += 8
                continue
            self._first = False
            kind, channel, size = struct.unpack_from(">BHI", buffer, at)
            if len(buffer) - at < size + 8:
                break
            if buffer[at + 7 + size] != methods.FRAME_END:
                raise MalformedFrameError(f"frame of type {kind} ends with {buffer[at + 7 + size]}")
            event = self._take(kind, channel, buffer[at + 7 : at + 7 + size])
            if event is not None:
                events.append(event)
            at += size + 8
        self._buffer = buffer[at:]
        return events

    def _take(self, kind: int, channel: int, payload: bytes) -> Event | None:
        """Return the event that one frame completes, if any."""
        if kind == methods.HEARTBEAT:
            return Event(channel, "heartbeat")
        if kind == methods.METHOD:
            name, arguments = methods.decode_method(payload)
            event = Event(channel, name, arguments)
            if name not in ("basic.deliver", "basic.get-ok", "basic.return"):
                return event
            self._contents[channel] = _Content(event)
            return None
        content = self._contents.get(channel)
        if content is None or kind not in (methods.HEADER, methods.BODY):
            raise MalformedFrameError(f"frame of type {kind} on channel {channel} out of place")
        if kind == methods.HEADER:
            content.missing, content.event.properties = methods.decode_header(payload)
        else:
            content.chunks.append(payload)
        return self._finished(channel, content)

    def _finished(self, channel: int, content: _Content) -> Event | None:
        sizes = [len(chunk) for chunk in content.chunks]
        if content.missing is None or sum(sizes) < content.missing:
            return None
        del self._contents[channel]
        content.event.body = b"".join(content.chunks)
        content.event.body_frames = sizes
        return content.event
