"""A raw blocking AMQP 0-9-1 client, which sends any bytes and stores every frame that it receives."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from conformance import methods
from conformance.decoder import Decoder, Event
from conformance.errors import CaseStoppedError, MalformedFrameError
from conformance.network import Network

CLOSED = "connection lost"
NEVER_CAME = "never came:"
DEFAULT_CAPABILITIES: Mapping[str, Any] = {
    "publisher_confirms": True,
    "exchange_exchange_bindings": True,
    "basic.nack": True,
    "consumer_cancel_notify": True,
    "connection.blocked": True,
    "authentication_failure_close": True,
}


@dataclass(frozen=True, slots=True)
class Timing:
    """Timeouts of the harness. `reply_s`: for an expected event. `quiet_s`: silence that means no event follows."""

    reply_s: float = 8.0
    quiet_s: float = 0.1


class Connection:
    """One connection. `events` holds everything received, in order of arrival.

    A channel.close or connection.close from the broker is answered at once unless `answer_close` is off.
    """

    def __init__(self, label: str, network: Network, timing: Timing, trace: Callable[[str], None]) -> None:
        self.label = label
        self.network = network
        self.timing = timing
        self.trace = trace
        self.events: list[Event] = []
        self.answer_close = True
        self.lost = False
        self.frame_max = 131072
        self.vhost = "/"
        self._decoder = Decoder()
        self._gathered: bytearray | None = None
        self._channels = 0
        self.link = network.connect(timing.reply_s)

    # sending

    @contextlib.contextmanager
    def in_one_write(self) -> Iterator[None]:
        """Send all frames of the block in one write at its end. The block must not wait for answers."""
        self._gathered = bytearray()
        try:
            yield
        finally:
            data, self._gathered = bytes(self._gathered), None
            self.send(data)

    def send(self, data: bytes) -> None:
        """Send raw bytes. A socket that the broker has closed is not an error: the transcript shows the loss."""
        if self._gathered is not None:
            self._gathered += data
            return
        try:
            self.link.send(data)
        except OSError:
            self._lose()

    def send_frame(self, kind: int, channel: int, payload: bytes = b"") -> None:
        """Send one frame of any type."""
        self.trace(f"{self.label}/{channel} > frame type {kind}, {len(payload)} bytes")
        self.send(methods.frame(kind, channel, payload))

    def send_method(self, channel: int, name: str, **arguments: Any) -> None:
        """Send one method frame."""
        self.trace(f"{self.label}/{channel} > {name} {arguments}")
        self.send(methods.frame(methods.METHOD, channel, methods.encode_method(name, arguments)))

    def send_content(self, channel: int, body: bytes, properties: Mapping[str, Any]) -> None:
        """Send a content header, and the body in as many frames as frame_max requires."""
        self.trace(f"{self.label}/{channel} > content {dict(properties)} {body[:60]!r}")
        header = methods.encode_header(len(body), properties)
        step = self.frame_max - 8
        parts = [methods.frame(methods.HEADER, channel, header)]
        parts += [methods.frame(methods.BODY, channel, body[at : at + step]) for at in range(0, len(body), step)]
        self.send(b"".join(parts))

    # receiving

    def pump(self, wait_s: float) -> bool:
        """Read data that arrives within `wait_s`; return False if there was none."""
        if self.lost:
            return False
        data = self.link.receive(wait_s)
        if data is None:
            return False
        if not data:
            self._lose()
            return True
        for event in self._decoder.feed(data):
            self._add(event)
        return True

    def wait(self, channel: int, *names: str, within_s: float | None = None) -> Event:
        """Return the next event on the channel with one of these names that no earlier wait returned.

        If an error closes the channel or the connection, it is returned instead. Raises CaseStoppedError if the channel
        was closed before, or (with a note in the transcript) if nothing arrives in time.
        """
        limit_s = within_s or self.timing.reply_s
        deadline = self.network.now_s() + limit_s
        looked = 0
        while True:
            while looked < len(self.events):
                event = self.events[looked]
                looked += 1
                if event.taken:
                    continue
                if event.channel == channel and event.name in names:
                    event.taken = True
                    return event
                if self._ends(event, channel, names):
                    event.taken = event.name == "channel.close"
                    return event
            if not {CLOSED, "connection.close-ok", "channel.open-ok", "channel.close-ok"} & {
                *names
            } and not self.is_open(channel):
                raise CaseStoppedError(f"{self.label}/{channel}: closed before {' or '.join(names)}")
            if not self.pump(deadline - self.network.now_s()) and (self.lost or self.network.now_s() >= deadline):
                self._add(Event(channel, f"{NEVER_CAME} {' or '.join(names)}"))
                raise CaseStoppedError(f"{self.label}/{channel}: {' or '.join(names)} never came")

    @staticmethod
    def _ends(event: Event, channel: int, names: tuple[str, ...]) -> bool:
        if event.channel == 0 and event.name in ("connection.close", CLOSED):
            return CLOSED not in names
        return event.channel == channel and event.name == "channel.close"

    def forget(self, event: Event) -> Event:
        """Omit a received event from the transcript."""
        self.events.remove(event)
        return event

    def wait_lost(self, within_s: float | None = None) -> None:
        """Wait until the broker drops the socket, if it has not yet."""
        if not self.lost:
            self.wait(0, CLOSED, within_s=within_s)

    def is_open(self, channel: int = 0) -> bool:
        """Return whether, by the events so far, the broker closed neither the connection nor (last) the channel."""
        if self.lost:
            return False
        for event in reversed(self.events):
            if event.channel == 0 and event.name in ("connection.close", "connection.close-ok"):
                return False
            if channel and event.channel == channel:
                if event.name in ("channel.close", "channel.close-ok"):
                    return False
                if event.name == "channel.open-ok":
                    break
        return True

    def _add(self, event: Event) -> None:
        if event.name == "heartbeat" and self.events and self.events[-1].name == "heartbeat":
            return
        self.trace(f"{self.label}/{event.channel} < {event.shown()}")
        self.events.append(event)
        if self.answer_close and event.name in ("channel.close", "connection.close"):
            self.send_method(event.channel, event.name + "-ok")

    def _lose(self) -> None:
        if self.lost:
            return
        self.lost = True
        self.link.close()
        self._add(Event(0, CLOSED))

    def shut(self) -> None:
        """Shut down the sending side, and continue reading."""
        self.link.shut()

    def drop(self) -> None:
        """Close the socket without notice, as a crashing client does."""
        self.trace(f"{self.label} > closes the socket")
        self.lost = True
        self.link.close()

    # handshake

    def handshake(
        self,
        user: str = "guest",
        password: str = "guest",
        vhost: str = "/",
        *,
        channel_max: int | None = None,
        frame_max: int | None = None,
        heartbeat_s: int = 0,
        capabilities: Mapping[str, Any] = DEFAULT_CAPABILITIES,
    ) -> Event:
        """Log in with PLAIN and open the vhost; return connection.open-ok, or the event received instead.

        The frames of a successful handshake are removed from `events`; those of a failed one are retained.
        """
        self.vhost = vhost
        self.send(b"AMQP\x00\x00\x09\x01")
        start = self.wait(0, "connection.start")
        self.send_method(
            0,
            "connection.start-ok",
            client_properties={"product": "conformance", "capabilities": capabilities},
            mechanism="PLAIN",
            response=f"\0{user}\0{password}",
            locale="en_US",
        )
        tune = self.wait(0, "connection.tune")
        if tune.name != "connection.tune":
            self.events.remove(start)
            return tune
        self.frame_max = frame_max if frame_max is not None else tune.arguments["frame_max"]
        self.send_method(
            0,
            "connection.tune-ok",
            channel_max=channel_max if channel_max is not None else tune.arguments["channel_max"],
            frame_max=self.frame_max,
            heartbeat=heartbeat_s,
        )
        self.send_method(0, "connection.open", virtual_host=vhost)
        opened = self.wait(0, "connection.open-ok")
        self.events.remove(start)
        self.events.remove(tune)
        if opened.name == "connection.open-ok":
            self.events.remove(opened)
        return opened

    def next_channel(self) -> int:
        """Return the lowest channel number that this connection has not used yet."""
        self._channels += 1
        return self._channels

    def close(self) -> None:
        """Close in order, in any state, without a transcript."""
        if not self.lost:
            with contextlib.suppress(CaseStoppedError, MalformedFrameError):
                self.send_method(0, "connection.close", reply_code=200, reply_text="OK")
                self.forget(self.wait(0, "connection.close-ok", within_s=3))
        self.link.close()
        self.lost = True


def pump_all(connections: Sequence[Connection], quiet_s: float) -> None:
    """Read what arrives on any of the connections until none has received anything for `quiet_s`."""
    while True:
        live = {one.link: one for one in connections if not one.lost}
        if not live:
            return
        readable = connections[0].network.readable(live, quiet_s)
        if not readable:
            return
        for ready in readable:
            live[ready].pump(0)
