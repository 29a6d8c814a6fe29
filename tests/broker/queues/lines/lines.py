"""Copies of messages for ready lines."""

from amqpbroker.broker.queues.entry import Entry
from amqpbroker.message.message import Message
from tests.broker.queueing import declare, make_vhost

#: The queue of the copies, which a line does not use.
QUEUE = declare(make_vhost())


def entry(sequence: int, priority: int = 0, body: bytes = b"x") -> Entry:
    message = Message(b"\0\0", b"\0\0", body)
    message.priority = priority
    return Entry(message, QUEUE, sequence, 0)


def drain(line):
    return [line.pop().sequence for _ in range(line.count)]
