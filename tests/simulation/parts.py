"""Parts of a broker process: connections, channels, queues and their contents."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from amqpbroker.amqp.channel import Channel
from amqpbroker.amqp.connection import Connection
from amqpbroker.broker.exchanges.delayed import DelayedType
from amqpbroker.broker.exchanges.exchange import Exchange
from amqpbroker.broker.exchanges.held import HeldMessages
from amqpbroker.broker.queues.groups.line import GroupLine
from amqpbroker.broker.queues.last_value.line import LastValueLine
from amqpbroker.broker.queues.lines.fifo_line import FifoLine
from amqpbroker.broker.queues.lines.priority_line import PriorityLine
from amqpbroker.broker.queues.lines.quorum_lines import QuorumLine
from amqpbroker.broker.queues.lines.ready_line import ReadyLine
from amqpbroker.broker.queues.local_queue import LocalQueue
from amqpbroker.broker.queues.streams.queue import StreamQueue

if TYPE_CHECKING:
    from tests.simulation.broker_process import BrokerProcess


def connections(process: "BrokerProcess") -> list[Connection]:
    """Return all connections, also those that are not open yet."""
    served = [client._connection for client in process.service.clients.there()]
    return [connection for connection in served if isinstance(connection, Connection)]


def channels(process: "BrokerProcess") -> Iterator[Channel]:
    """Return the open channels of all connections."""
    for connection in connections(process):
        yield from connection.channels.values()


def queues(process: "BrokerProcess") -> Iterator[LocalQueue]:
    """Return the queues of all vhosts."""
    for vhost in process.broker.vhosts.values():
        for queue in vhost.queues.values():
            if isinstance(queue, LocalQueue):
                yield queue


def streams(process: "BrokerProcess") -> Iterator[StreamQueue]:
    """Return the streams of all vhosts."""
    for vhost in process.broker.vhosts.values():
        for queue in vhost.queues.values():
            if isinstance(queue, StreamQueue):
                yield queue


def is_reading_again(queue: LocalQueue) -> bool:
    """Return whether the queue waits until it tries again to read messages."""
    return queue._read_retry is not None and queue._read_retry._timer is not None


def line_of_kind(line: ReadyLine) -> ReadyLine:
    """Return the line of the queue's kind, which may be in another one."""
    return line._line if isinstance(line, LastValueLine | GroupLine) else line


def fifo_lines(line: ReadyLine) -> list[FifoLine]:
    """Return the first-in-first-out lines that a ready line is made of."""
    line = line_of_kind(line)
    if isinstance(line, FifoLine):
        return [line]
    if isinstance(line, PriorityLine):
        return [each for each in line.levels if each.count]
    assert isinstance(line, QuorumLine)
    return [line.high, *fifo_lines(line.normal)]


def delayed_exchanges(process: "BrokerProcess") -> Iterator[tuple[Exchange, HeldMessages]]:
    """Return the exchanges that hold messages back, with these messages."""
    for vhost in process.broker.vhosts.values():
        for exchange in vhost.exchanges.values():
            if isinstance(exchange.type, DelayedType):
                yield exchange, exchange.type.held


def held_messages(process: "BrokerProcess") -> list[HeldMessages]:
    """Return the held messages of all delayed exchanges."""
    return [held for _, held in delayed_exchanges(process)]
