"""Parts of a channel that settle deliveries, without a connection."""

from amqpbroker.amqp.channel_counters import ChannelCounters
from amqpbroker.amqp.output import Output
from amqpbroker.amqp.state import Status
from amqpbroker.amqp.unacked import Unacked
from amqpbroker.amqp.unfinished import Unfinished
from amqpbroker.broker.vhost import Vhost


def make_unacked(vhost: Vhost) -> Unacked:
    """Return the deliveries of a channel of a client of that vhost."""
    output = Output(Status(), lambda: None)
    return Unacked(ChannelCounters(), vhost, Unfinished(vhost.clock, output))
