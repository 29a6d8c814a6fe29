"""The end of a client's socket, as in RabbitMQ: RST, or close_notify and FIN with TLS."""

import asyncio
from typing import Final

from amqpbroker.clock import Clock, Timer
from amqpbroker.server.socket_options import finish_when_closed, unsent_bytes

#: Time for the client's host to accept the last output.
LINGER_MS: Final = 5000
#: Interval of checking whether it has.
CHECK_MS: Final = 10


class Ending:
    """Ends a client's socket once the client's host has all output.

    Without TLS the end is a RST, so that the next write of the client fails. A RST makes this host discard the output
    that is not sent yet. So if the client's host does not accept all output in time, the end is a FIN behind it.
    """

    def __init__(self, clock: Clock, transport: asyncio.Transport) -> None:
        self._clock = clock
        self._transport = transport
        self._encrypted = is_encrypted(transport)
        self._was_sent = False
        self._due_ms = clock.now_ms() + LINGER_MS
        self._timer: Timer | None = None

    def begin(self) -> None:
        """End the socket now, or once all output is sent."""
        if self._encrypted:
            self._transport.close()  # sends close_notify
        self._check()

    def cancel(self) -> None:
        """The socket is closed."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _check(self) -> None:
        self._timer = None
        unsent = unsent_by(self._transport)
        # With TLS, the event loop may hold bytes that only the next iteration shows.
        if unsent == 0 and (self._was_sent or not self._encrypted):
            self._transport.abort()
        elif unsent is None and not self._encrypted:
            finish_when_closed(self._transport.get_extra_info("socket"))
            self._transport.close()
            self._timer = self._clock.after(LINGER_MS, self._transport.abort)
        elif self._clock.now_ms() >= self._due_ms:
            finish_when_closed(self._transport.get_extra_info("socket"))
            self._transport.abort()
        else:
            self._was_sent = unsent == 0
            self._timer = self._clock.after(CHECK_MS, self._check)


def is_encrypted(transport: asyncio.BaseTransport) -> bool:
    """Return whether TLS ends at this socket."""
    return transport.get_extra_info("ssl_object") is not None


def unsent_by(transport: asyncio.Transport) -> int | None:
    """Return the number of bytes that the client's host does not have yet; None if this system does not say."""
    waiting = transport.get_write_buffer_size()
    if waiting:
        return waiting
    return unsent_bytes(transport.get_extra_info("socket"))
