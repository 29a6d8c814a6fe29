"""The channels of a connection: channel.open, channel.close, and frames between channel.close and its close-ok."""

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Final

from amqpbroker import errors
from amqpbroker.amqp.channel import Channel
from amqpbroker.amqp.client import Client
from amqpbroker.amqp.connection_log import Step, run_all
from amqpbroker.amqp.heartbeat import Heartbeat
from amqpbroker.amqp.output import Output
from amqpbroker.broker.session import Session
from amqpbroker.errors import AmqpError
from amqpbroker.wire import methods
from amqpbroker.wire.frames import METHOD, frame

if TYPE_CHECKING:
    from amqpbroker.broker.broker import Broker

CHANNEL_OPEN: Final = 20 << 16 | 10
CHANNEL_CLOSE: Final = 20 << 16 | 40
CHANNEL_CLOSE_OK: Final = 20 << 16 | 41


class Channels:
    """Opens and closes the channels of a connection.

    by_number: the open channels. shut: numbers of channels that the broker has closed, until the client sends
    channel.close-ok.
    """

    def __init__(self, broker: "Broker", client: Client, output: Output, heartbeat: Heartbeat) -> None:
        self.by_number: dict[int, Channel] = {}
        self.shut: set[int] = set()
        self._broker = broker
        self._client = client
        self._output = output
        self._heartbeat = heartbeat

    def open(self, session: Session, number: int, fail: Callable[[AmqpError, int, int], None]) -> None:
        """Open a channel for channel.open.

        fail: closes the channel. Raises AmqpError if there are too many channels.
        """
        client, channels = self._client, self.by_number
        limits, user = self._broker.limits, client.user.name
        if client.channel_max and len(channels) >= client.channel_max:
            raise errors.too_many_channels(len(channels), client.channel_max)
        limits.check_channels(user)
        channel = channels[number] = Channel(self._broker, session, client, self._output, self._heartbeat, fail, number)
        limits.channel_opened(user)
        channel.opened()
        self._output.write(frame(METHOD, number, methods.encode("channel.open-ok")))

    def close(self, channel: Channel) -> None:
        """Release everything that the channel holds. The caller notifies the client.

        Raises only before anything has changed.
        """
        if channel.answers.awaiting_sync:
            self._output.write_synced()
            self._output.cancel_sync(channel.answers)
        del self.by_number[channel.number]
        closed = partial(self._broker.limits.channels_closed, self._client.user.name, 1)
        run_all([closed, channel.stop, channel.release], channel.name)

    def close_and_shut(self, channel: Channel) -> None:
        """Close the channel from the broker's side; frames for it are ignored from now on."""
        self.shut.add(channel.number)
        self.close(channel)

    def pass_over(self, number: int, ids: int) -> None:
        """Handle a frame for a channel that is shut. ids: of its method, 0 if it has none. Raises AmqpError 504."""
        if ids == CHANNEL_CLOSE_OK:
            self.shut.discard(number)
        elif ids == CHANNEL_CLOSE:
            self._output.write(frame(METHOD, number, methods.encode("channel.close-ok")))
        elif ids == CHANNEL_OPEN:
            raise errors.channel_error("second 'channel.open' seen")

    def release(self) -> list[Step]:
        """Remove all channels, and return the steps that release what they hold."""
        channels = list(self.by_number.values())
        self.by_number.clear()
        # Messages that one channel requeues must not be delivered to another channel of this connection.
        self._output.stop_deliveries()
        self._output.cancel_all_syncs()
        steps: list[Step] = [*[channel.stop for channel in channels], *[channel.release for channel in channels]]
        if channels:
            steps.append(partial(self._broker.limits.channels_closed, self._client.user.name, len(channels)))
        return steps

    def forget_repeats(self) -> None:
        """Parse the next publish on each channel completely."""
        for channel in self.by_number.values():
            channel.publishing.forget_repeats()
