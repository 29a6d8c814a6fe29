"""Heartbeats in both directions (AMQP 0-9-1 section 4.2.7, rabbit_heartbeat.erl)."""

from collections.abc import Callable
from typing import final

from amqpbroker.amqp.output import Output
from amqpbroker.clock import Clock, Timer
from amqpbroker.wire.frames import HEARTBEAT_FRAME


@final
class Heartbeat:
    """Sends heartbeats, and ends a silent connection.

    A heartbeat is sent after half an interval without other output; the first one is always sent. The connection ends
    if no data has arrived at two checks in a row. A check that comes late does not count: the process did not run, so
    data may still be in the socket. Nor does a check while a method is not finished, since the socket is not read. A
    connection that is closing sends heartbeats, but its client may be silent.
    """

    def __init__(self, clock: Clock, output: Output) -> None:
        self._clock = clock
        self._output = output
        #: None while the client is not monitored at all.
        self._on_silence: Callable[[int], None] | None = None
        #: Data has arrived since the last check.
        self._heard: bool = False
        self._interval_ms: int = 0
        #: Bytes written up to the last check, including the heartbeat that the check sent.
        self._written: int = 0
        self._silent: int = 0
        self._sender: Timer | None = None
        self._monitor: Timer | None = None
        #: Time of the next check.
        self._check_ms: int = 0

    @property
    def interval_s(self) -> int:
        """The negotiated interval in seconds; 0 means off."""
        return self._interval_ms // 1000

    @property
    def is_heard(self) -> bool:
        """Return whether data has arrived within an interval; False without heartbeats, which a client may omit."""
        return self._interval_ms > 0 and (self._heard or not self._silent)

    def start(self, interval_s: int, on_silence: Callable[[int], None]) -> None:
        """Start heartbeats.

        interval_s: 0 means off. on_silence: ends the connection; its parameter is the interval in seconds.
        """
        if interval_s:
            self._on_silence = on_silence
            self._interval_ms = interval_s * 1000
            self._sender = self._clock.after(self._interval_ms // 2, self._on_send)
            self._start_monitor()

    def hear(self) -> None:
        """Record that data has arrived."""
        self._heard = True

    def pause_monitor(self) -> None:
        """Stop monitoring the client, since its socket is not read for a while."""
        if self._monitor is not None:
            self._monitor.cancel()

    def resume_monitor(self) -> None:
        """Monitor the client again, with a full interval from now on."""
        if self._on_silence is not None:
            self.pause_monitor()
            self._heard = True
            self._start_monitor()

    def stop_monitor(self) -> None:
        """Stop monitoring the client for good, and send heartbeats until `stop`."""
        self.pause_monitor()
        # References to the connection are removed, so that it is freed without the garbage collector.
        self._on_silence = None

    def stop(self) -> None:
        self.stop_monitor()
        if self._sender is not None:
            self._sender.cancel()

    def _on_send(self) -> None:
        output = self._output
        if not len(output) and self._written in (0, output.send_oct):
            output.write(HEARTBEAT_FRAME)
        self._written = output.send_oct + len(output)
        self._sender = self._clock.after(self._interval_ms // 2, self._on_send)

    def _on_check(self) -> None:
        on_silence = self._on_silence
        if on_silence is None:
            return
        is_late = self._clock.now_ms() - self._check_ms > self._interval_ms // 2
        if self._heard or not (is_late or self._output.status.suspended):
            self._silent = 0 if self._heard else self._silent + 1
            self._heard = False
            if self._silent >= 2:
                on_silence(self.interval_s)
                return
        self._start_monitor()

    def _start_monitor(self) -> None:
        self._check_ms = self._clock.now_ms() + self._interval_ms
        self._monitor = self._clock.after(self._interval_ms, self._on_check)
