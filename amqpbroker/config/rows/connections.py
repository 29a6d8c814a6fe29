"""Connections and channels: what they agree on, and how many there may be."""

from amqpbroker.config.accepted import BOOLEAN, MAX_INT, bytesize, integer, one_of
from amqpbroker.config.setting import Setting

# fmt: off
ROWS: tuple[Setting, ...] = (
    Setting("handshake_timeout", integer(1, MAX_INT, "ms", infinity=MAX_INT), "10000",
            "Maximum time from connecting to connection.open.", "handshake_timeout_ms"),
    Setting("heartbeat", integer(0, 65535, "s"), "60",
            "Heartbeat interval suggested to clients, which may choose another one. 0 suggests none.", "heartbeat_s"),
    Setting("frame_max", bytesize(4096, MAX_INT, **{"0": 0}), "131072",
            "Maximum frame size. 0 means no limit.", "frame_max"),
    Setting("initial_frame_max", bytesize(4096, MAX_INT), "4096",
            "Maximum frame size before the client has logged in. With compat 4.1 and later the default is 8192.",
            "initial_frame_max"),
    Setting("channel_max", integer(0, 65535), "2047",
            "Maximum number of open channels per connection. 0 means no limit.", "channel_max",
            aliases=("max_channels_per_connection",)),
    Setting("connection_max", integer(1, MAX_INT, infinity=0), "infinity",
            "Maximum number of open connections.", "max_connections", aliases=("max_connections",)),
    Setting("channel_max_per_node", integer(1, MAX_INT, infinity=0), "infinity",
            "Maximum number of open channels on all connections together.", "channel_max_per_node"),
    Setting("max_message_size", integer(1, 536_870_912, "bytes"), "16777216",
            "Maximum size of a message body. A larger message closes the channel with 406.", "max_message_size"),
    Setting("consumer_timeout", integer(1, 2**53, "ms", undefined=0, false=0), "1800000",
            "Time for which a delivery may stay unacknowledged before its channel is closed with 406.",
            "consumer_timeout_ms"),
    Setting("consumer_max_per_channel", integer(1, MAX_INT, infinity=0), "infinity",
            "Maximum number of consumers per channel.", "consumer_max_per_channel"),
    Setting("consumer.qos_applies_to", one_of("new", "running"), "new",
            "Consumers that basic.qos sets the prefetch of, unless it is a limit of the channel. `new`: those that are"
            " started afterwards. `running`: also those that the channel has already.", "qos_applies_to"),
    Setting("channel_tick_interval", integer(1, MAX_INT, "ms"), "60000",
            "Interval at which a channel checks consumer_timeout, which may take effect later by this time.",
            "channel_tick_interval_ms"),
    Setting("message_interceptors.incoming.set_header_timestamp.overwrite", BOOLEAN, "",
            "Add a header timestamp_in_ms and the property timestamp to each published message; `true` overwrites"
            " existing ones."),
    Setting("message_interceptors.incoming.set_header_routing_node.overwrite", BOOLEAN, "",
            "Add a header x-routed-by with the node's name to each published message; `true` overwrites it."),
    Setting("message_interceptors.outgoing.timestamp.enabled", BOOLEAN, "false",
            "Add a header x-opt-rabbitmq-sent-time, in milliseconds, to each delivered message.",
            "tells_sent_time"),
)
# fmt: on
