"""Channels come and go: channel.open, channel.close, and what comes for a channel between close and close-ok."""

from functools import partial
from typing import TYPE_CHECKING

from amqpbroker import errors
from amqpbroker.amqp.channel import Channel
from amqpbroker.amqp.steps import take_all
from amqpbroker.wire import methods
from amqpbroker.wire.frames import METHOD, frame

if TYPE_CHECKING:
    from amqpbroker.amqp.connection import Connection

CHANNEL_OPEN = 20 << 16 | 10
CHANNEL_CLOSE = 20 << 16 | 40
CHANNEL_CLOSE_OK = 20 << 16 | 41


class Gate:
    """Opens and closes the channels of a connection.

    shut: numbers of those that the broker has closed, until the client's channel.close-ok comes.
    """

    __slots__ = ("shut",)

    def __init__(self) -> None:
        self.shut: set[int] = set()

    def open(self, connection: "Connection", number: int) -> None:
        """channel.open. Raises AmqpError where there are too many."""
        limits, user = connection.broker.limits, connection.user.name
        if connection.channel_max and len(connection.channels) >= connection.channel_max:
            raise errors.too_many_channels(len(connection.channels), connection.channel_max)
        limits.check_channels(user)
        channel = connection.channels[number] = Channel(connection, number)
        limits.channel_opened(user)
        channel.opened()
        connection.write(frame(METHOD, number, methods.encode("channel.open-ok")))

    def close(self, connection: "Connection", channel: Channel) -> None:
        """Release everything that the channel holds. The caller tells the client.

        Raises only before anything has changed.
        """
        if channel.awaiting_sync:
            connection.write_synced()
            connection.awaiting_sync = [waiting for waiting in connection.awaiting_sync if waiting is not channel]
        del connection.channels[channel.number]
        closed = partial(connection.broker.limits.channels_closed, connection.user.name, 1)
        take_all([closed, channel.stop, channel.release], channel.name)

    def close_and_shut(self, connection: "Connection", channel: Channel) -> None:
        """`close` from the broker's side: what comes for it is passed over from now on."""
        self.shut.add(channel.number)
        self.close(connection, channel)

    def passed_over(self, connection: "Connection", number: int, ids: int) -> None:
        """A frame for a channel that is shut; ids: its method's, 0 if it is none. Raises AmqpError 504."""
        if ids == CHANNEL_CLOSE_OK:
            self.shut.discard(number)
        elif ids == CHANNEL_CLOSE:
            connection.write(frame(METHOD, number, methods.encode("channel.close-ok")))
        elif ids == CHANNEL_OPEN:
            connection.blamed = ids
            raise errors.channel_error("second 'channel.open' seen")
