"""Dead letters: what becomes of a message that leaves a queue for its dead letter exchange."""

from collections import deque
from collections.abc import Mapping
from typing import TYPE_CHECKING, Final

from mypy_extensions import mypyc_attr

from amqpbroker.broker.deaths import FIRST_HEADER, LAST_HEADER, Death, Deaths, recorded
from amqpbroker.broker.message import KEY_BYTES, Entry, Message, encode_address
from amqpbroker.broker.queue import Queue
from amqpbroker.broker.routing import route
from amqpbroker.clock import Clock
from amqpbroker.wire.headers import with_expiration, with_headers
from amqpbroker.wire.properties import EXPIRATION, headers_of
from amqpbroker.wire.property_walk import insert_headers
from amqpbroker.wire.values import Table

if TYPE_CHECKING:
    from amqpbroker.broker.exchange import Exchange
    from amqpbroker.broker.persistence import Persistence


#: The flag of the expiration in the first byte of properties.
_EXPIRATION: Final = EXPIRATION >> 8

#: Records of first deaths, by their whole content, and the maximum number of records kept.
_ALIKE: dict[tuple[str, str, int, bytes, tuple[bytes, ...], int, int], Deaths] = {}
_ALIKE_COUNT: Final = 1024


# Acyclic, like `Message`: a letter refers to bytes, headers and the record of deaths, not to the message that died.
@mypyc_attr(acyclic=True)
class Letter(Message):
    """A dead letter. Its headers and properties are made of the record of its deaths when somebody asks for them.

    The record grows with each queue on the letter's way, and most of these only pass it on: writing it down at every
    stop would take time that grows with the square of the way's length.
    """

    __slots__ = ("_record", "_sent_properties")

    def __init__(self, message: Message, address: bytes, deaths: Deaths) -> None:
        """`message` has died; it may be a letter itself."""
        super().__init__(address, None, message.body)
        if isinstance(message, Letter):
            self._sent_properties: bytes = message._sent_properties
        else:
            properties = message.properties
            self._sent_properties = with_expiration(properties, -1) if properties[0] & _EXPIRATION else properties
        self._record: Deaths = deaths
        self.deaths = deaths
        self.persistent = message.persistent
        self.priority = message.priority
        self.extra_keys = message.extra_keys
        self.cc_keys = message.cc_keys

    @property
    def properties(self) -> bytes:
        if self._properties is None:
            sent, record = self._sent_properties, self._record
            inserted = insert_headers(sent, record.encoded(), FIRST_HEADER, LAST_HEADER)
            # Headers of these names that a client sent are replaced.
            self._properties = with_headers(sent, record.headers()) if inserted is None else inserted
        return self._properties

    @property
    def headers(self) -> Table | None:
        if self._headers is None:
            self._headers = headers_of(self.properties)
        return self._headers

    @headers.setter
    def headers(self, headers: Table | None) -> None:
        self._headers = headers


def dead_lettered(
    message: Message,
    *,
    queue_name: str,
    reason: str,
    now_ms: int,
    exchange: str,
    routing_key: bytes | None,
) -> Message:
    """The message to route through the dead letter exchange (rabbit_dead_letter:publish of RabbitMQ 4.0).

    reason: rejected, expired, maxlen or delivery_limit. exchange: the dead letter exchange. routing_key: the queue's
    x-dead-letter-routing-key, alone; with None the message keeps all its keys, CC and BCC included. An x-death header
    that a client sent is not continued but replaced. The message does not expire any more.
    """
    time_s = now_ms // 1000
    if message.deaths is None:
        deaths = _first_death(message, queue_name, reason, time_s)
    else:
        deaths = recorded(message.deaths, _death(message, queue_name, reason, time_s))
    # An argument may be longer than a routing key can be; the rest of it is left out.
    address = encode_address(exchange, message.routing_key if routing_key is None else routing_key[:KEY_BYTES])
    letter = Letter(message, address, deaths)
    if routing_key is not None:
        letter.extra_keys = ()
        letter.cc_keys = 0
    return letter


def _death(message: Message, queue_name: str, reason: str, time_s: int) -> Death:
    return Death(
        queue=queue_name,
        reason=reason,
        count=1,
        time_s=time_s,
        exchange=message.exchange,
        routing_keys=_visible_keys(message),
        expiration_ms=message.expiration_ms,
    )


def _first_death(message: Message, queue_name: str, reason: str, time_s: int) -> Deaths:
    """Return the record of a message's first death; equal deaths have one common record."""
    alike = queue_name, reason, time_s, message.address, message.extra_keys, message.cc_keys, message.expiration_ms
    deaths = _ALIKE.get(alike)
    if deaths is None:
        if len(_ALIKE) >= _ALIKE_COUNT:
            _ALIKE.clear()
        death = _death(message, queue_name, reason, time_s)
        deaths = _ALIKE[alike] = Deaths((death,), death, death)
    return deaths


def is_cycle(message: Message, queue_name: str) -> bool:
    """Whether a dead letter must not go to this queue: it died there before, and no client has rejected it since."""
    return message.deaths is not None and message.deaths.is_cycle(queue_name)


def _visible_keys(message: Message) -> tuple[bytes, ...]:
    """The routing keys without those of BCC; of a key that occurs several times, BCC hides the first (Erlang's --)."""
    keys = list(message.routing_keys)
    for hidden in message.extra_keys[message.cc_keys :]:
        if hidden in keys:
            keys.remove(hidden)
    return tuple(keys)


class DeadLetters:
    """Sends the dead letters of one vhost.

    A letter may at once die again elsewhere, so they wait in a line of their own instead of in each other's call stack.
    Within `with` they only wait, and are sent at its end.
    """

    def __init__(self, exchanges: "Mapping[str, Exchange]", clock: Clock, log: "Persistence | None") -> None:
        self._exchanges = exchanges
        self._clock = clock
        self._log = log
        self._dying: deque[tuple[Queue, list[Entry], str]] = deque()
        self._depth = 0

    def __enter__(self) -> "DeadLetters":
        self._depth += 1
        return self

    def __exit__(self, *_: object) -> None:
        try:
            if self._depth == 1 and self._dying:
                self._send_all()
        finally:
            self._depth -= 1

    def send(self, queue: Queue, entries: list[Entry], reason: str) -> None:
        """Republish what leaves the queue to its dead letter exchange."""
        with self:
            self._dying.append((queue, entries, reason))

    @property
    def waiting(self) -> int:
        """How many calls of `send` have something that waits."""
        return len(self._dying)

    def put_last(self, count: int) -> None:
        """Have what the first `count` of these sent go after what the others did."""
        self._dying.rotate(-count)

    def _send_all(self) -> None:
        while self._dying:
            queue, entries, reason = self._dying.popleft()
            exchange = self._exchanges.get(queue.settings.dead_letter_exchange or "")
            now_ms = self._clock.wall_ms()
            for entry in entries:
                if self._log is not None:
                    self._log.begin()
                try:
                    queue.forget(entry)
                    if exchange is not None:
                        self._send(queue, exchange, entry.message, reason, now_ms)
                finally:
                    if self._log is not None:
                        self._log.end()

    def _send(self, queue: Queue, exchange: "Exchange", message: Message, reason: str, now_ms: int) -> None:
        """Publish a dead letter to where its exchange leads, but to no queue that would close a cycle."""
        letter = dead_lettered(
            message,
            queue_name=queue.name,
            reason=reason,
            now_ms=now_ms,
            exchange=exchange.name,
            routing_key=queue.settings.dead_letter_routing_key,
        )
        for destination in route(exchange, letter, self._exchanges.get).destinations:
            if not is_cycle(letter, destination.name):
                if isinstance(destination, Queue):
                    destination.tally.letters += 1
                destination.publish(letter)
