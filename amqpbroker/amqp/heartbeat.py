"""Heartbeats both ways (AMQP 0-9-1 section 4.2.7, rabbit_heartbeat.erl)."""

from typing import TYPE_CHECKING

from amqpbroker.amqp.connection_log import missed_heartbeats
from amqpbroker.clock import Timer
from amqpbroker.wire.frames import HEARTBEAT_FRAME

if TYPE_CHECKING:
    from amqpbroker.amqp.connection import Connection


class Heartbeat:
    """Sends a heartbeat after half an interval without other output; ends a connection that is silent in two checks.

    The first heartbeat is sent in any case. heard: data has arrived since the last check.
    """

    def __init__(self) -> None:
        self.heard: bool = False
        self._connection: Connection | None = None
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

    def start(self, connection: "Connection", interval_s: int) -> None:
        """Keep the connection alive from now on; 0 is off."""
        if interval_s:
            self._connection = connection
            self._interval_ms = interval_s * 1000
            self._sender = connection.clock.after(self._interval_ms // 2, self._on_send)
            self._monitor = connection.clock.after(self._interval_ms, self._on_check)

    def pause_monitor(self) -> None:
        """The peer is not read for a while: its silence means nothing."""
        if self._monitor is not None:
            self._monitor.cancel()

    def resume_monitor(self) -> None:
        """The peer is read again, and has as long as one that has just connected."""
        connection = self._connection
        if connection is not None:
            self.pause_monitor()
            self.heard = True
            self._monitor = connection.clock.after(self._interval_ms, self._on_check)

    def stop(self) -> None:
        for timer in (self._sender, self._monitor):
            if timer is not None:
                timer.cancel()
        self._connection = None

    def _on_send(self) -> None:
        connection = self._connection
        if connection is None:
            return
        if not connection.out and self._written in (0, connection.send_oct):
            connection.write(HEARTBEAT_FRAME)
        self._written = connection.send_oct + len(connection.out)
        self._sender = connection.clock.after(self._interval_ms // 2, self._on_send)

    def _on_check(self) -> None:
        connection = self._connection
        if connection is None:
            return
        self._silent = 0 if self.heard else self._silent + 1
        self.heard = False
        if self._silent >= 2:
            connection.lost(missed_heartbeats(self.interval_s))
            return
        self._monitor = connection.clock.after(self._interval_ms, self._on_check)
