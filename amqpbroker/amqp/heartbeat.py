"""Heartbeats both ways (AMQP 0-9-1 section 4.2.7, rabbit_heartbeat.erl)."""

from collections.abc import Callable

from amqpbroker.amqp.output import Output
from amqpbroker.clock import Clock, Timer
from amqpbroker.wire.frames import HEARTBEAT_FRAME


class Heartbeat:
    """Sends a heartbeat after half an interval without other output; ends a connection that is silent in two checks.

    The first heartbeat is sent in any case.
    """

    def __init__(self, clock: Clock, output: Output) -> None:
        self._clock = clock
        self._output = output
        #: None while there are no heartbeats.
        self._on_silence: Callable[[int], None] | None = None
        #: Data has arrived since the last check.
        self._heard: bool = False
        self._interval_ms: int = 0
        #: Bytes written up to the last check, including the heartbeat that the check sent.
        self._written: int = 0
        self._silent: int = 0
        self._sender: Timer | None = None
        self._monitor: Timer | None = None

    @property
    def interval_s(self) -> int:
        """What was agreed on; 0 is off."""
        return self._interval_ms // 1000

    def start(self, interval_s: int, on_silence: Callable[[int], None]) -> None:
        """Keep the connection alive from now on; 0 is off. on_silence: ends it; it takes the interval in seconds."""
        if interval_s:
            self._on_silence = on_silence
            self._interval_ms = interval_s * 1000
            self._sender = self._clock.after(self._interval_ms // 2, self._on_send)
            self._monitor = self._clock.after(self._interval_ms, self._on_check)

    def hear(self) -> None:
        """Data has arrived."""
        self._heard = True

    def pause_monitor(self) -> None:
        """The peer is not read for a while: its silence means nothing."""
        if self._monitor is not None:
            self._monitor.cancel()

    def resume_monitor(self) -> None:
        """The peer is read again, and has as long as one that has just connected."""
        if self._on_silence is not None:
            self.pause_monitor()
            self._heard = True
            self._monitor = self._clock.after(self._interval_ms, self._on_check)

    def stop(self) -> None:
        for timer in (self._sender, self._monitor):
            if timer is not None:
                timer.cancel()
        # Whatever leads back to the connection goes, so that it is freed without the garbage collector.
        self._on_silence = None

    def _on_send(self) -> None:
        if self._on_silence is None:
            return
        output = self._output
        if not len(output) and self._written in (0, output.send_oct):
            output.write(HEARTBEAT_FRAME)
        self._written = output.send_oct + len(output)
        self._sender = self._clock.after(self._interval_ms // 2, self._on_send)

    def _on_check(self) -> None:
        on_silence = self._on_silence
        if on_silence is None:
            return
        self._silent = 0 if self._heard else self._silent + 1
        self._heard = False
        if self._silent >= 2:
            on_silence(self.interval_s)
            return
        self._monitor = self._clock.after(self._interval_ms, self._on_check)
