"""The exchange amq.rabbitmq.event: what happens in the broker, as messages (rabbit_exchange_type_event.erl)."""

import contextlib
import logging
from collections.abc import Mapping

from amqpbroker.broker.events import Events
from amqpbroker.broker.exchange import Exchange
from amqpbroker.broker.routing import route
from amqpbroker.broker.vhost import EVENT_EXCHANGE, Vhost
from amqpbroker.clock import Clock
from amqpbroker.message.message import Message, encode_address
from amqpbroker.wire.properties import encode_properties
from amqpbroker.wire.values import Field, MalformedError, Table, longstr

log = logging.getLogger(__name__)

_PERSISTENT = 2


class EventExchange(Events):
    """Publishes to the exchange in the vhost of that name, a turn later, while anything is bound there.

    largest: how many octets of properties one frame has room for. started: False while definitions are restored, which
    is no event.
    """

    def __init__(self, vhosts: Mapping[str, Vhost], vhost: str, clock: Clock, largest: int) -> None:
        super().__init__()
        self.started = False
        self._vhosts = vhosts
        self._vhost = vhost
        self._clock = clock
        self._largest = largest
        self._pending: list[Message] = []

    @property
    def heard(self) -> bool:
        exchange = self._exchange()
        return exchange is not None and bool(exchange.bindings) and self.started

    def _exchange(self) -> Exchange | None:
        vhost = self._vhosts.get(self._vhost)
        return None if vhost is None else vhost.exchanges.get(EVENT_EXCHANGE)

    def tell(self, event: str, facts: Mapping[str, object], actor: str | None = None) -> None:
        if not self.heard:
            return
        try:
            self._tell(event, facts, actor)
        except Exception:
            with contextlib.suppress(Exception):
                log.exception("event %s could not be published", event)

    def _tell(self, event: str, facts: Mapping[str, object], actor: str | None) -> None:
        now_ms = self._clock.wall_ms()
        told = {**facts, "timestamp_in_ms": now_ms}
        if actor != "":
            told["user_who_performed_action"] = actor or self.actor
        headers = {name: _field("" if told[name] is None else told[name]) for name in sorted(told)}
        properties = self._encoded(headers, now_ms // 1000)
        message = Message(encode_address(EVENT_EXCHANGE, event.encode()), properties, b"")
        message.headers = headers
        message.persistent = True
        if not self._pending:
            self._clock.after(0, self.publish_pending)
        self._pending.append(message)

    def _encoded(self, headers: Table, timestamp: int) -> bytes:
        """What has no room in a frame is cut down to what it is about."""
        values = {"headers": headers, "delivery_mode": _PERSISTENT, "timestamp": timestamp}
        try:
            encoded = encode_properties(values)
            if len(encoded) <= self._largest:
                return encoded
        except MalformedError:
            pass
        for name in [name for name, field in headers.items() if field.kind in "AF"]:
            del headers[name]
        return encode_properties(values)

    def publish_pending(self) -> None:
        pending, self._pending = self._pending, []
        for message in pending:
            exchange, vhost = self._exchange(), self._vhosts.get(self._vhost)
            if exchange is not None and vhost is not None:
                vhost.publish(message, route(exchange, message, vhost.exchanges.get).destinations)


def _field(value: object) -> Field:
    """With the types that the plugin gives: integers have 64 bits, JSON's null is its name."""
    if isinstance(value, bool):
        return Field("t", value)
    if isinstance(value, int) and -(2**63) <= value < 2**63:
        return Field("l", value)
    if isinstance(value, float):
        return Field("f", value)
    if isinstance(value, bytes):
        return longstr(value)
    if isinstance(value, Mapping):
        return Field("F", {name: _field(each) for name, each in value.items()})
    if isinstance(value, list | tuple):
        return Field("A", [_field(each) for each in value])
    return longstr("null" if value is None else str(value))
