"""The firehose: copies of the messages of a vhost, published to amq.rabbitmq.trace (rabbit_trace.erl).

Tracing is on until it is switched off or the broker ends; tracing for a queue also ends when the queue is deleted.
"""

from collections.abc import Callable, Sequence
from functools import partial

from amqpbroker.broker.events.tap import Tap, TappedDestination, TappedVhost, Via
from amqpbroker.broker.exchanges.routing import route
from amqpbroker.broker.queues.queue import Queue
from amqpbroker.broker.vhost import Vhost
from amqpbroker.message.message import Message, encode_address
from amqpbroker.wire.properties import PROPERTIES, decode_properties, encode_properties
from amqpbroker.wire.values import Field, MalformedError, Table, longstr

EXCHANGE = "amq.rabbitmq.trace"

#: Maximum number of bytes of a routing key.
_KEY_BYTES = 255
#: The properties in the order of traces, last first, and their names there.
_TOLD = [(name, "type" if name == "message_type" else name, kind) for name, _, kind in reversed(PROPERTIES)]
#: Headers that are left out, in this order, of traces that do not fit into a content header.
_DISPENSABLE = ("headers", "routed_queues")


class Firehose(Tap):
    """Traces one vhost. Copies are published in the next event loop iteration, in the same order.

    node: name of this node. largest: number of bytes of properties that fit into one frame.
    """

    def __init__(self, vhost: Vhost, node: str, largest: int) -> None:
        self._vhost = vhost
        self._node = longstr(node)
        self._largest = largest
        self._pending: list[Message] = []

    def published(
        self, vhost: TappedVhost, message: Message, destinations: Sequence[TappedDestination], via: Via
    ) -> None:
        # A destination that only holds messages back has no name, and is not a queue.
        queues = [longstr(destination.name) for destination in reversed(destinations) if destination.name]
        self._trace("publish", message.exchange, message, via, {"routed_queues": Field("A", queues)})

    def delivered(self, vhost: TappedVhost, message: Message, queue: str, redelivered: bool, via: Via) -> None:
        self._trace("deliver", queue, message, via, {"redelivered": Field("I", int(redelivered))})

    def _trace(self, verb: str, name: str, message: Message, via: Via, more: Table) -> None:
        exchange = self._vhost.exchanges.get(EXCHANGE)
        if exchange is None or not exchange.bindings or message.exchange == EXCHANGE:
            return
        facts: Table = {
            "channel": Field("I", via.channel),
            "connection": longstr(via.connection),
            "exchange_name": longstr(message.exchange),
            "node": self._node,
            "properties": Field("F", _shown_properties(message)),
            **more,
            "routing_keys": Field("A", [longstr(key) for key in message.routing_keys]),
            "user": longstr(via.user),
            "vhost": longstr(self._vhost.name),
        }
        # A routing key that is too long is cut.
        key = f"{verb}.{name}".encode("utf-8", "surrogateescape")[:_KEY_BYTES]
        trace = Message(encode_address(EXCHANGE, key), self._encoded(facts), message.body)
        trace.headers = facts
        if not self._pending:
            self._vhost.clock.after(0, self.publish_pending)
        self._pending.append(trace)

    def _encoded(self, facts: Table) -> bytes:
        """Return `facts` as encoded properties, without entries that do not fit."""
        left_out = iter(_DISPENSABLE)
        while True:
            try:
                encoded = encode_properties({"headers": facts})
                if len(encoded) <= self._largest:
                    return encoded
            except MalformedError:
                pass  # nested too deeply, because they are within headers here
            name = next(left_out)
            facts["properties"].value.pop(name, None)
            facts.pop(name, None)

    def publish_pending(self) -> None:
        """Publish the traces of this event loop iteration. Only at the end of an operation."""
        pending, self._pending = self._pending, []
        for trace in pending:
            exchange = self._vhost.exchanges.get(EXCHANGE)
            if exchange is not None:
                self._vhost.publish(trace, route(exchange, trace, self._vhost.exchanges.get).destinations)


class Tracing:
    """Traced vhosts. Tracing lasts until it is switched off, or for a queue also until the queue is deleted.

    tap, untap: `Broker.tap` and `Broker.untap`. node, largest: see Firehose.
    """

    def __init__(
        self, tap: Callable[[Tap, Vhost], None], untap: Callable[[Tap, Vhost], None], node: str, largest: int
    ) -> None:
        self._tap = tap
        self._untap = untap
        self._node = node
        self._largest = largest
        self._firehoses: dict[str, Firehose] = {}
        self._switched: set[str] = set()
        #: Queues for which a vhost is traced, by vhost.
        self._queues: dict[str, set[Queue]] = {}

    def __contains__(self, vhost: str) -> bool:
        return vhost in self._firehoses

    def start(self, vhost: Vhost) -> None:
        """Trace the vhost until `stop`."""
        self._switched.add(vhost.name)
        self._begin(vhost)

    def start_for(self, vhost: Vhost, queue: Queue) -> None:
        """Trace the vhost until the queue is deleted or expires, or until `stop`."""
        self._queues.setdefault(vhost.name, set()).add(queue)
        vhost.on_deleted[queue] = partial(self._stop_for, vhost, queue)
        self._begin(vhost)

    def stop(self, vhost: Vhost) -> None:
        """End the tracing of the vhost, including tracing for queues."""
        self._switched.discard(vhost.name)
        for queue in self._queues.pop(vhost.name, ()):
            vhost.on_deleted.pop(queue, None)
        self._end(vhost)

    def vhost_deleted(self, vhost: str) -> None:
        self._switched.discard(vhost)
        self._queues.pop(vhost, None)
        self._firehoses.pop(vhost, None)

    def publish_pending(self) -> None:
        """Publish the traces of this event loop iteration. Only at the end of an operation."""
        for firehose in self._firehoses.values():
            firehose.publish_pending()

    def _stop_for(self, vhost: Vhost, queue: Queue) -> None:
        """End the tracing for a queue that was deleted."""
        queues = self._queues.get(vhost.name, set())
        queues.discard(queue)
        if not queues:
            self._queues.pop(vhost.name, None)
            if vhost.name not in self._switched:
                self._end(vhost)

    def _begin(self, vhost: Vhost) -> None:
        if vhost.name not in self:
            self._firehoses[vhost.name] = firehose = Firehose(vhost, self._node, self._largest)
            self._tap(firehose, vhost)

    def _end(self, vhost: Vhost) -> None:
        if vhost.name in self:
            self._untap(self._firehoses.pop(vhost.name), vhost)


def _shown_properties(message: Message) -> Table:
    """Return the message's properties: headers with their types, numbers in 32 bits, others as strings."""
    values = decode_properties(message.properties)
    facts: Table = {}
    for name, shown, kind in _TOLD:
        if name not in values:
            continue
        value = values[name]
        if kind == "table":
            facts[shown] = Field("F", value)
        elif kind == "shortstr":
            facts[shown] = longstr(value)
        else:
            facts[shown] = Field("I", (value + 2**31) % 2**32 - 2**31)
    return facts
