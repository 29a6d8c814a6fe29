"""Probes of the end of a connection, with sockets of their own: FIN or RST, the time, and the frames until then.

A transcript of a case cannot record this: it has no clock, and its `Network` does not distinguish the two ends of TCP.
"""

from __future__ import annotations

import contextlib
import json
import socket
import ssl
import struct
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from conformance.decoder import Decoder
from conformance.methods import BODY, FRAME_END, HEARTBEAT, METHOD, encode_method, frame

#: The recordings of RabbitMQ.
GOLDEN = Path(__file__).with_name("endings.json")

AMQP_091 = b"AMQP\0\0\x09\x01"
BEAT = frame(HEARTBEAT, 0, b"")
#: Names of the recordings without and with TLS.
_KEYS = ("plain", "TLS")
#: Time for an answer, and until a connection counts as one that does not end.
REPLY_S = 20.0
PATIENCE_S = 45.0
#: Largest difference of two times that count as the same.
LATE_S = 0.5


@dataclass(frozen=True, slots=True)
class Ending:
    """The end of one connection.

    by: "FIN", "RST", or "" if the broker did not end it. after_s: seconds since the last bytes of the probe.
    heartbeats, frames: received in this time. notified: the broker sent close_notify (with TLS).
    writes: a write of the client succeeds after the end.
    """

    by: str
    after_s: float
    heartbeats: int
    frames: tuple[str, ...]
    notified: bool
    writes: bool


class Wire(ABC):
    """One connection to a broker: sends bytes, and records the frames, heartbeats and time until the end."""

    def __init__(self) -> None:
        self._decoder = Decoder()
        self._last_s = self.now_s()
        self._heartbeats = 0
        self._frames: list[str] = []

    @abstractmethod
    def now_s(self) -> float:
        """Return the time that durations are measured with."""

    @abstractmethod
    def send(self, data: bytes) -> None:
        """Send bytes. Raises OSError."""

    @abstractmethod
    def shut(self) -> None:
        """Send FIN."""

    @abstractmethod
    def receive(self, wait_s: float) -> tuple[bytes, str]:
        """Return bytes that arrive within `wait_s`, and "FIN" or "RST" at the end, else ""."""

    @abstractmethod
    def close(self) -> tuple[bool, bool]:
        """Return `notified` and `writes` of the ending, and close the connection."""

    def method(self, name: str, channel: int = 0, **arguments: Any) -> None:
        """Send a method frame."""
        self.send(method(name, channel, **arguments))

    def wait(self, name: str) -> None:
        """Read until a frame with that name arrives, and record from then on."""
        deadline = self.now_s() + REPLY_S
        while name not in self._frames:
            if self.now_s() > deadline or self._read(REPLY_S):
                raise AssertionError(f"no {name}, but {self._frames}")
        self.restart()

    def restart(self) -> None:
        """Record from now on."""
        self._last_s, self._heartbeats = self.now_s(), 0
        self._frames.clear()

    def end(self, send: bytes = b"", every_s: float = PATIENCE_S) -> Ending:
        """Read until the broker ends the connection, and send `send` regularly."""
        due, by = self._last_s + every_s, ""
        while not by and (left := self._last_s + PATIENCE_S - self.now_s()) > 0:
            by = self._read(max(min(left, due - self.now_s()), 0.001))
            if not by and send and self.now_s() >= due:
                due += every_s
                with contextlib.suppress(OSError):
                    self.send(send)
        after_s = self.now_s() - self._last_s
        notified, writes = self.close()
        return Ending(by, round(after_s, 2), self._heartbeats, tuple(self._frames), notified, writes)

    def _read(self, wait_s: float) -> str:
        """Read once; return "FIN" or "RST" at the end, else ""."""
        data, by = self.receive(wait_s)
        for event in self._decoder.feed(data):
            if event.name == "heartbeat":
                self._heartbeats += 1
            else:
                code = event.arguments.get("reply_code")
                self._frames.append(event.name + (f" {code}" if code else ""))
        return by


class SocketWire(Wire):
    """A connection with a socket. With TLS, records are read and written here, so that the end of TCP can be seen."""

    def __init__(self, port: int, tls: bool) -> None:
        super().__init__()
        self._socket = socket.create_connection(("127.0.0.1", port), timeout=REPLY_S)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._in, self._out = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls: ssl.SSLObject | None = None
        self._notified = False
        if tls:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
            context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
            self._tls = context.wrap_bio(self._in, self._out)
            self._shake_hands(self._tls)

    def _shake_hands(self, tls: ssl.SSLObject) -> None:
        while True:
            try:
                tls.do_handshake()
            except ssl.SSLWantReadError:
                self._socket.sendall(self._out.read())
                self._in.write(self._socket.recv(1 << 16))
            else:
                self._socket.sendall(self._out.read())
                return

    def now_s(self) -> float:
        return time.monotonic()

    def send(self, data: bytes) -> None:
        if self._tls is not None:
            self._tls.write(data)
            data = self._out.read()
        self._socket.sendall(data)

    def shut(self) -> None:
        self._socket.shutdown(socket.SHUT_WR)

    def receive(self, wait_s: float) -> tuple[bytes, str]:
        self._socket.settimeout(wait_s)
        try:
            data = self._socket.recv(1 << 16)
        except TimeoutError:
            return b"", ""
        except OSError:
            return b"", "RST"
        return (self._decrypted(data), "") if data else (b"", "FIN")

    def close(self) -> tuple[bool, bool]:
        time.sleep(0.1)  # until a RST behind the FIN would have arrived
        writes = False
        with contextlib.suppress(OSError):
            self._socket.sendall(BEAT)
            writes = True
        self._socket.close()
        return self._notified, writes

    def _decrypted(self, data: bytes) -> bytes:
        if self._tls is None:
            return data
        self._in.write(data)
        plain = b""
        try:
            while more := self._tls.read(1 << 16):
                plain += more
        except ssl.SSLWantReadError:
            return plain
        except ssl.SSLZeroReturnError:
            pass
        self._notified = True
        return plain


# --- the states ------------------------------------------------------------------------------------------------------


def started(wire: Wire) -> Wire:
    wire.send(AMQP_091)
    wire.wait("connection.start")
    return wire


def logged_in(wire: Wire, password: str = "guest", **capabilities: bool) -> Wire:
    started(wire)
    wire.method(
        "connection.start-ok",
        client_properties={"capabilities": capabilities},
        mechanism="PLAIN",
        response=f"\0guest\0{password}",
        locale="en_US",
    )
    return wire


def tuned(wire: Wire, heartbeat: int = 1, frame_max: int = 131072, channel_max: int = 2047) -> Wire:
    logged_in(wire).wait("connection.tune")
    wire.method("connection.tune-ok", heartbeat=heartbeat, frame_max=frame_max, channel_max=channel_max)
    wire.restart()
    return wire


def opened(wire: Wire, heartbeat: int = 1) -> Wire:
    tuned(wire, heartbeat).method("connection.open", virtual_host="/")
    wire.wait("connection.open-ok")
    return wire


def closed(wire: Wire, heartbeat: int = 1) -> Wire:
    """A connection whose connection.close is answered."""
    opened(wire, heartbeat).method("connection.close", reply_code=200)
    wire.wait("connection.close-ok")
    return wire


def refused(wire: Wire, heartbeat: int = 1) -> Wire:
    """A connection that has received connection.close 504, for a method on a channel that is not open."""
    opened(wire, heartbeat).method("basic.qos", 1)
    wire.wait("connection.close 504")
    return wire


def channel_opened(wire: Wire) -> Wire:
    opened(wire).method("channel.open", 1)
    wire.wait("channel.open-ok")
    return wire


def after(wire: Wire, *data: bytes) -> Wire:
    """Send data, and count from then on."""
    for each in data:
        wire.send(each)
    wire.restart()
    return wire


def shut(wire: Wire) -> Wire:
    wire.shut()
    wire.restart()
    return wire


def method(name: str, channel: int = 0, **arguments: Any) -> bytes:
    return frame(METHOD, channel, encode_method(name, arguments))


_BAD_END = struct.pack(">BHI", METHOD, 1, 4) + b"\0\x14\0\x0a" + b"\0"
_OVERSIZED = struct.pack(">BHI", METHOD, 1, 200_000)
_BAD_TYPE = struct.pack(">BHI", 77, 1, 0) + bytes([FRAME_END])
_MALFORMED_METHOD = frame(METHOD, 1, b"\0\x3c\0\x28\0\0\xff")
_QOS = method("basic.qos", 1)
_CLOSE, _CLOSE_OK = method("connection.close"), method("connection.close-ok")
_NO_VHOST = method("connection.open", virtual_host="missing")

#: The probes, by name: each reaches a state and returns the end of the connection.
PROBES: dict[str, Callable[[Wire], Ending]] = {
    # before the connection is open
    "connected, silent": lambda w: w.end(),
    "half a header, silent": lambda w: after(w, b"AMQP").end(),
    "half a header, FIN": lambda w: shut(after(w, b"AMQP")).end(),
    "bad header": lambda w: after(w, b"AMQP\0\0\x09\x02").end(),
    "HTTP request": lambda w: after(w, b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n").end(),
    "header, silent": lambda w: started(w).end(),
    "header, unexpected method": lambda w: after(started(w), method("connection.open", virtual_host="/")).end(),
    "header, frame of a channel": lambda w: after(started(w), method("channel.open", 1)).end(),
    "header, bad end of frame": lambda w: after(started(w), _BAD_END).end(),
    "header, oversized frame": lambda w: after(started(w), _OVERSIZED).end(),
    "wrong password": lambda w: after(logged_in(w, "wrong")).end(),
    "wrong password, FIN": lambda w: shut(logged_in(w, "wrong")).end(),
    "wrong password, told": lambda w: after(logged_in(w, "wrong", authentication_failure_close=True)).end(),
    "wrong password, told, close-ok": lambda w: _answered(
        logged_in(w, "wrong", authentication_failure_close=True), 403
    ),
    "tune, silent": lambda w: _waited(logged_in(w), "connection.tune").end(),
    "tune-ok, silent": lambda w: tuned(w).end(),
    "tune-ok, silent, without heartbeats": lambda w: tuned(w, 0).end(),
    "tune-ok, heartbeats only": lambda w: tuned(w).end(BEAT, 0.4),
    "tune-ok, frame_max too small": lambda w: tuned(w, frame_max=100).end(),
    "tune-ok, channel_max too large": lambda w: tuned(w, channel_max=60000).end(),
    "missing vhost": lambda w: after(tuned(w), _NO_VHOST).end(),
    "missing vhost, without heartbeats": lambda w: after(tuned(w, 0), _NO_VHOST).end(),
    "missing vhost, close-ok": lambda w: _answered(after(tuned(w), _NO_VHOST), 530),
    # open
    "open, silent": lambda w: opened(w).end(),
    "open, silent, heartbeat 2": lambda w: opened(w, 2).end(),
    "open with a channel, silent": lambda w: channel_opened(w).end(),
    "open, FIN": lambda w: shut(opened(w)).end(),
    "open, bad end of frame": lambda w: after(channel_opened(w), _BAD_END).end(),
    "open, bad end of frame, close-ok": lambda w: _answered(after(channel_opened(w), _BAD_END), 501),
    "open, bad end of frame, heartbeats": lambda w: after(channel_opened(w), _BAD_END).end(BEAT, 0.4),
    "open, bad end of frame, FIN": lambda w: shut(after(channel_opened(w), _BAD_END)).end(),
    "open, oversized frame": lambda w: after(channel_opened(w), _OVERSIZED).end(),
    "open, oversized frame, without heartbeats": lambda w: after(opened(w, 0), _OVERSIZED).end(),
    "open, unknown type of frame": lambda w: after(channel_opened(w), _BAD_TYPE).end(),
    "open, malformed method": lambda w: after(channel_opened(w), _MALFORMED_METHOD).end(),
    "open, body without a method": lambda w: after(channel_opened(w), frame(BODY, 1, b"x")).end(),
    # closed by the broker
    "504, silent": lambda w: refused(w).end(),
    "504, silent, heartbeat 2": lambda w: refused(w, 2).end(),
    "504, silent, heartbeat 5": lambda w: refused(w, 5).end(),
    "504, silent, heartbeat 60": lambda w: refused(w, 60).end(),
    "504, silent, without heartbeats": lambda w: refused(w, 0).end(),
    "504, heartbeats": lambda w: refused(w).end(BEAT, 0.4),
    "504, heartbeats, heartbeat 5": lambda w: refused(w, 5).end(BEAT, 0.4),
    "504, close-ok": lambda w: after(refused(w), _CLOSE_OK).end(),
    "504, close": lambda w: after(refused(w), _CLOSE).end(),
    "504, close, close-ok": lambda w: after(refused(w), _CLOSE, _CLOSE_OK).end(),
    "504, FIN": lambda w: shut(refused(w)).end(),
    "504, bad end of frame": lambda w: after(refused(w), _BAD_END).end(),
    # closed by the client
    "close-ok, silent": lambda w: closed(w).end(),
    "close-ok, silent, heartbeat 2": lambda w: closed(w, 2).end(),
    "close-ok, silent, heartbeat 5": lambda w: closed(w, 5).end(),
    "close-ok, silent, heartbeat 60": lambda w: closed(w, 60).end(),
    "close-ok, silent, without heartbeats": lambda w: closed(w, 0).end(),
    "close-ok, heartbeats": lambda w: closed(w).end(BEAT, 0.4),
    "close-ok, heartbeats, heartbeat 5": lambda w: closed(w, 5).end(BEAT, 0.4),
    "close-ok, FIN": lambda w: shut(closed(w)).end(),
    "close-ok, close": lambda w: after(closed(w), _CLOSE).end(),
    "close-ok, close-ok": lambda w: after(closed(w), _CLOSE_OK).end(),
    "close-ok, bad end of frame": lambda w: after(closed(w), _BAD_END).end(),
    "close-ok, oversized frame": lambda w: after(closed(w), _OVERSIZED).end(),
}


def _waited(wire: Wire, name: str) -> Wire:
    wire.wait(name)
    return wire


def _answered(wire: Wire, code: int) -> Ending:
    """Answer connection.close."""
    wire.wait(f"connection.close {code}")
    return after(wire, _CLOSE_OK).end()


def run(port: int, tls: bool, names: Iterable[str] = PROBES) -> dict[str, Ending]:
    """Run the probes on a broker, all at the same time."""
    names = list(names)
    with ThreadPoolExecutor(len(names)) as pool:
        return dict(zip(names, pool.map(lambda name: PROBES[name](SocketWire(port, tls)), names), strict=True))


def recorded(tls: bool) -> dict[str, Ending]:
    """Return the recordings of RabbitMQ by probe."""
    endings = json.loads(GOLDEN.read_text())[_KEYS[tls]]
    return {name: Ending(**ending | {"frames": tuple(ending["frames"])}) for name, ending in endings.items()}


def record(plain: dict[str, Ending], tls: dict[str, Ending]) -> None:
    """Store the recordings of RabbitMQ, one on each line."""
    parts = []
    for key, endings in zip(_KEYS, (plain, tls), strict=True):
        lines = [f"{json.dumps(name)}: {json.dumps(asdict(ending))}" for name, ending in endings.items()]
        parts.append(f"{json.dumps(key)}: {{\n" + ",\n".join(lines) + "\n}")
    GOLDEN.write_text("{\n" + ",\n".join(parts) + "\n}\n")


def differences(found: dict[str, Ending], expected: dict[str, Ending], late_s: float = LATE_S) -> list[str]:
    """Return a line for each probe whose ending differs by more than one heartbeat or `late_s` seconds."""
    lines = []
    for name, ending in found.items():
        recording = expected[name]
        alike = replace(ending, after_s=recording.after_s, heartbeats=recording.heartbeats)
        is_timely = abs(ending.after_s - recording.after_s) <= late_s
        if alike != recording or not is_timely or abs(ending.heartbeats - recording.heartbeats) > 1:
            lines.append(f"{name}: {ending}, recorded {recording}")
    return lines
