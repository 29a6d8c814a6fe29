"""The harness's own access to a broker, outside of every transcript: deletes objects of cases, counts what is left."""

from __future__ import annotations

import contextlib
from typing import Any

from conformance.channel import Channel
from conformance.client import Connection, Timing, pump_all
from conformance.decoder import Event
from conformance.errors import CaseStoppedError, MalformedFrameError
from conformance.target import Target

MESSAGES_SHOWN = 50
#: Time without a message after which all messages of a stream have arrived.
STREAM_READ_S = 0.3


class Janitor:
    """One connection, reopened if an operation closed it. Its failures never fail a case."""

    def __init__(self, target: Target, timing: Timing) -> None:
        self.target = target
        self.timing = timing
        self._channel: Channel | None = None

    def channel(self, vhost: str = "/") -> Channel:
        """Return an open channel."""
        channel = self._channel
        if channel is None or not channel.connection.is_open():
            connection = Connection("janitor", self.target.network, self.timing, lambda _: None)
            connection.handshake(self.target.user, self.target.password, vhost)
            channel = self._channel = Channel(connection, connection.next_channel())
            channel.open()
        elif not channel.connection.is_open(channel.number):
            channel = self._channel = Channel(channel.connection, channel.connection.next_channel())
            channel.open()
        channel.connection.events.clear()
        return channel

    def ask(self) -> None:
        """Make a round trip without effect."""
        with contextlib.suppress(CaseStoppedError, MalformedFrameError):
            self.channel().qos(0)

    def delete_queue(self, name: str) -> None:
        """Delete the queue, if it exists, unless the broker ends with its case."""
        if not self.target.lasting:
            return
        with contextlib.suppress(CaseStoppedError, MalformedFrameError):
            self.channel().delete(name)

    def delete_exchange(self, name: str) -> None:
        """Delete the exchange, if it exists, unless the broker ends with its case."""
        if not self.target.lasting:
            return
        with contextlib.suppress(CaseStoppedError, MalformedFrameError):
            self.channel().exchange_delete(name)

    def count(self, queue: str) -> Event:
        """Return the reply to a passive declaration, or the error."""
        return self.channel().queue(queue, passive=True)

    def left_in(self, queue: str) -> dict[str, Any]:
        """Return the content of the queue: ready and consumer counts, then its messages, which are removed.

        Or the error.
        """
        counted = self.count(queue)
        if counted.name != "queue.declare-ok":
            return {"queue": queue, "error": _error(counted)}
        counts = counted.arguments
        left = {"queue": queue, "ready": counts["message_count"], "consumers": counts["consumer_count"]}
        messages: list[dict[str, Any]] = []
        while len(messages) < MESSAGES_SHOWN:
            got = self.channel().get(queue, no_ack=True)
            if got.name == "basic.get-empty":
                break
            if got.name != "basic.get-ok":
                return left | {"get": _error(got)}
            shown = got.shown()
            del shown["method"], shown["delivery_tag"]
            messages.append(shown)
        return left | {"messages": messages} if messages else left

    def left_in_stream(self, queue: str) -> dict[str, Any]:
        """Return the first messages of a stream, without their number, which RabbitMQ knows only some seconds later."""
        channel = self.channel()
        channel.qos(MESSAGES_SHOWN)
        consumed = channel.consume(queue, "janitor", arguments={"x-stream-offset": "first"})
        if consumed.name != "basic.consume-ok":
            return {"queue": queue, "error": _error(consumed)}
        connection = channel.connection
        pump_all([connection], STREAM_READ_S)
        deliveries = [event for event in connection.events if event.name == "basic.deliver"]
        channel.cancel("janitor")
        channel.close()
        messages = []
        for event in deliveries:
            shown = event.shown()
            del shown["method"], shown["delivery_tag"], shown["consumer_tag"]
            messages.append(shown)
        return {"queue": queue, "messages": messages}

    def close(self) -> None:
        """Close the connection."""
        if self._channel is not None:
            self._channel.connection.close()


def _error(event: Event) -> str:
    text = f"{event.arguments.get('reply_code')} {event.arguments.get('reply_text')}"
    return f"{event.name} {text}"
