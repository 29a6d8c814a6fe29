"""Context shared by the parts of a channel: client, number, output and counters."""

from typing import TYPE_CHECKING, final

from amqpbroker.amqp.channel_counters import ChannelCounters
from amqpbroker.amqp.client import Client
from amqpbroker.amqp.output import Output
from amqpbroker.broker.events.tap import Via

if TYPE_CHECKING:
    from amqpbroker.broker.broker import Broker


@final
class ChannelContext:
    """The context of the parts of one channel. number: the channel's number. output: the connection's output."""

    def __init__(self, broker: "Broker", client: Client, output: Output, number: int) -> None:
        self.broker = broker
        self.client = client
        self.vhost = client.vhost
        self.output = output
        self.number: int = number
        self.counts = ChannelCounters()

    @property
    def name(self) -> str:
        """Name of the connection and number of the channel, as the management API shows them."""
        return f"{self.client.name} ({self.number})"

    def via(self) -> Via:
        """Return the description of the channel for taps."""
        return Via(self.client.name, self.number, self.client.user.name)
