"""The departure of dead letters from a queue: what their messages become."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

from amqpbroker.broker.queues.arguments.settings import QueueSettings
from amqpbroker.broker.queues.queue import Queue
from amqpbroker.message.deaths import Deaths
from amqpbroker.message.message import KEY_BYTES, Message, encode_address
from amqpbroker.wire.property_edit import set_headers, without_expiration

if TYPE_CHECKING:
    from amqpbroker.broker.exchanges.exchange import Exchange


def exchange_of_letters(queue: Queue, exchanges: "Mapping[str, Exchange]") -> "Exchange | None":
    """Return the dead letter exchange of a queue. If the queue has none, its dead letter queue is created."""
    name = queue.settings.dead_letter_exchange
    if name is None and not queue.create_dead_letter_queue():
        return None
    return exchanges.get(name or "")


class DeadLetterBuilder:
    """Dead letters that leave one queue for one reason to its dead letter exchange.

    time_s: time of the departure, since the epoch. address: address of the last letter.

    Source: rabbit_dead_letter:publish of RabbitMQ 4.0.
    """

    def __init__(self, queue: str, settings: QueueSettings, reason: str) -> None:
        """reason: rejected, expired, maxlen or delivery_limit."""
        self.queue: str = queue
        self.settings: QueueSettings = settings
        self.reason: str = reason
        self.time_s: int = 0
        self._queue: bytes = queue.encode("utf-8", "surrogateescape")
        self._reason: bytes = reason.encode()
        key = settings.dead_letter_routing_key
        if settings.dead_letter_exchange is None and settings.auto_dead_letter_queue is not None:
            key = settings.auto_dead_letter_queue.encode("utf-8", "surrogateescape")
        # An argument may be longer than a routing key can be; the rest of it is left out.
        address = encode_address(settings.dead_letter_exchange or "", b"" if key is None else key[:KEY_BYTES])
        self._keeps_keys: bool = key is None
        #: The address, up to the position of routing keys that are retained.
        self._start: bytes = address[:-1]
        self.address: bytes = address

    def record(self, message: Message) -> Deaths:
        """Return the deaths of a message including this one, which does not continue an x-death header of a client."""
        deaths = Deaths(message.properties) if message.died else Deaths()
        address = message.address
        exchange = address[1 : 1 + address[0]]
        keys = _visible_keys(message) if message.extra_keys else (message.routing_key,)
        deaths.add(self._queue, self._reason, self.time_s, exchange, keys, message.expiration_ms)
        return deaths

    def letter(self, message: Message, deaths: Deaths, more: bytes = b"") -> Message:
        """Return the message that is published as the dead letter: it has the deaths as a header, and does not expire.

        Its routing key is the queue's x-dead-letter-routing-key, or without one all keys of the message, CC and BCC
        included. more: further headers, see `Deaths.headers`.
        """
        if self._keeps_keys:
            sent = message.address
            address = self._start + sent[1 + sent[0] :]
            # Routing and deliveries are faster while equal addresses are one object.
            if address != self.address:
                self.address = address
        properties = set_headers(without_expiration(message.properties), deaths.headers(more))
        letter = message.rewritten(self.address, properties)
        letter.mark_dead()
        if not self._keeps_keys:
            letter.set_extra_keys((), 0)
        return letter


def _visible_keys(message: Message) -> tuple[bytes, ...]:
    """Return the routing keys without those of BCC.

    If a key occurs several times, BCC hides the first (Erlang's --).
    """
    keys = list(message.routing_keys)
    for hidden in message.extra_keys[message.cc_keys :]:
        if hidden in keys:
            keys.remove(hidden)
    return tuple(keys)
