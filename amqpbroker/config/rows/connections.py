"""Connections and channels: what they agree on, and how many there may be."""

from amqpbroker.config.accepted import BOOLEAN, MAX_INT, bytesize, integer
from amqpbroker.config.setting import Setting

# fmt: off
ROWS: tuple[Setting, ...] = (
    Setting("handshake_timeout", integer(1, MAX_INT, "ms", infinity=MAX_INT), "10000",
            "How long a client may take from connecting to connection.open.", "handshake_timeout_ms"),
    Setting("heartbeat", integer(0, 65535, "s"), "60",
            "The heartbeat interval suggested to clients, who decide. 0 suggests none.", "heartbeat_s"),
    Setting("frame_max", bytesize(4096, MAX_INT, **{"0": 0}), "131072",
            "The largest frame. 0 is no limit.", "frame_max"),
    Setting("initial_frame_max", bytesize(4096, MAX_INT), "4096",
            "The largest frame before the client has logged in. With compat 4.1 and later the default is 8192.",
            "initial_frame_max"),
    Setting("channel_max", integer(0, 65535), "2047",
            "How many channels a connection may have open. 0 is no limit.", "channel_max",
            aliases=("max_channels_per_connection",)),
    Setting("connection_max", integer(1, MAX_INT, infinity=0), "infinity",
            "How many connections may be open.", "max_connections", aliases=("max_connections",)),
    Setting("channel_max_per_node", integer(1, MAX_INT, infinity=0), "infinity",
            "How many channels may be open on all connections together.", "channel_max_per_node"),
    Setting("max_message_size", integer(1, 536_870_912, "bytes"), "16777216",
            "The largest message body; a larger one closes its channel with 406.", "max_message_size"),
    Setting("consumer_timeout", integer(1, 2**53, "ms", undefined=0, false=0), "1800000",
            "How long a delivery may stay unacknowledged before its channel is closed with 406.",
            "consumer_timeout_ms"),
    Setting("consumer_max_per_channel", integer(1, MAX_INT, infinity=0), "infinity",
            "How many consumers a channel may have.", "consumer_max_per_channel"),
    Setting("channel_tick_interval", integer(1, MAX_INT, "ms"), "60000",
            "How often a channel looks for deliveries past consumer_timeout, which may fire late by as much.",
            "channel_tick_interval_ms"),
    Setting("message_interceptors.incoming.set_header_timestamp.overwrite", BOOLEAN, "",
            "Gives each published message a header timestamp_in_ms and the property timestamp; `true` also where it has"
            " them."),
    Setting("message_interceptors.incoming.set_header_routing_node.overwrite", BOOLEAN, "",
            "Gives each published message a header x-routed-by with the node's name; `true` also where it has one."),
    Setting("message_interceptors.outgoing.timestamp.enabled", BOOLEAN, "false",
            "Gives each message that is delivered a header x-opt-rabbitmq-sent-time, in milliseconds.",
            "tells_sent_time"),
)
# fmt: on
