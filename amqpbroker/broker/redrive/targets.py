"""The destinations of redriven messages."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, final

from amqpbroker.broker.exchanges.destination import Destination
from amqpbroker.broker.exchanges.routing import route
from amqpbroker.broker.queues.queue import Queue
from amqpbroker.broker.redrive.options import VIA_EXCHANGE, RedriveOptions
from amqpbroker.broker.redrive.revival import Death
from amqpbroker.broker.users.permissions import Permissions
from amqpbroker.errors import AmqpError
from amqpbroker.message.message import Message
from amqpbroker.wire.values import text

if TYPE_CHECKING:
    from amqpbroker.broker.exchanges.exchange import Exchange


class StaysError(Exception):
    """A message cannot be moved; the text says why."""


@final
class Targets:
    """Finds the destinations of the messages of one redrive."""

    def __init__(
        self,
        source: str,
        options: RedriveOptions,
        exchanges: "Mapping[str, Exchange]",
        queues: Mapping[str, Queue],
    ) -> None:
        """source: name of the dead letter queue."""
        self._source = source
        self._options = options
        self._exchanges = exchanges
        self._queues = queues

    def find(self, message: Message, death: Death | None, permissions: Permissions) -> tuple[Destination, ...]:
        """Return the destinations, all of which accept the message now. message: as it was before it died this way.

        Raises StaysError if there are none, or if the user has no permission to write there.
        """
        try:
            destinations = self._destinations(message, death, permissions)
        except AmqpError as error:
            raise StaysError(error.text) from None
        for destination in destinations:
            if destination.closed or destination.refuses(*destination.demand(message)):
                raise StaysError(f"queue '{destination.name}' refuses messages because of its length limit")
        return destinations

    def _destinations(self, message: Message, death: Death | None, permissions: Permissions) -> tuple[Destination, ...]:
        if self._options.destination is not None:
            return self._queue(self._options.destination, permissions)
        if death is None:
            raise StaysError("a message has no x-death header of this broker: set a destination")
        if self._options.via == VIA_EXCHANGE:
            return self._routed(message, permissions)
        return self._queue(death.queue, permissions)

    def _queue(self, name: str, permissions: Permissions) -> tuple[Destination, ...]:
        permissions.check("write", "queue", name)
        found = self._queues.get(name)
        if found is None:
            raise StaysError(f"queue '{name}' does not exist")
        if name == self._source:
            raise StaysError(f"a message died in '{name}', which is redriven: set a destination")
        if found.owner is not None:
            raise StaysError(f"queue '{name}' is exclusive to a connection")
        return (found,)

    def _routed(self, message: Message, permissions: Permissions) -> tuple[Destination, ...]:
        name = message.exchange
        permissions.check("write", "exchange", name)
        exchange = self._exchanges.get(name)
        if exchange is None:
            raise StaysError(f"exchange '{name}' does not exist")
        if exchange.type.name == "topic":
            for key in message.routing_keys:
                permissions.check_topic("write", name, text(key))
        destinations = route(exchange, message, self._exchanges.get).destinations
        if not destinations:
            raise StaysError(f"exchange '{name}' routes a message to no queue")
        return destinations
