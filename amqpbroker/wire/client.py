"""What a client of any broker says first, and asks for."""

from amqpbroker.wire.values import Field, Table

PROTOCOL_HEADER = b"AMQP\x00\x00\x09\x01"

#: What is asked for at most: a frame then fits into every buffer.
FRAME_MAX = 131072

CAPABILITIES: Table = {
    name: Field("t", True)
    for name in (
        "publisher_confirms",
        "basic.nack",
        "consumer_cancel_notify",
        "connection.blocked",
        "authentication_failure_close",
    )
}
