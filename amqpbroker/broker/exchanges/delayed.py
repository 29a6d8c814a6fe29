"""x-delayed-message: a message whose headers ask for a delay, or name a time, is held until then and routed."""

from collections.abc import Callable
from typing import ClassVar

from amqpbroker.broker.exchanges.exchange import Binding, ExchangeType, Target
from amqpbroker.broker.exchanges.held import HeldMessages
from amqpbroker.clock import Clock
from amqpbroker.compat import DEFAULT_COMPAT, Compat
from amqpbroker.config.bounds import BOUNDS, Bounds
from amqpbroker.message.message import Message
from amqpbroker.store.store import UNSTORED, Store
from amqpbroker.wire.values import Table


class DelayedType(ExchangeType):
    """rabbit_exchange_type_delayed_message (a plugin): holds messages back, and routes them as another type does.

    A message is routed by the bindings that exist when it is due.
    """

    name: ClassVar[str] = "x-delayed-message"
    keyed = False

    held: HeldMessages

    def __init__(
        self,
        inner: ExchangeType,
        clock: Clock,
        release: Callable[[Message], None],
        store: Store = UNSTORED,
        bounds: Bounds = BOUNDS,
        extensions: bool = True,
    ) -> None:
        """release: routes a message that is due through this exchange again; its x-delay is negative by then.

        store: the store of persistent messages while they are held. extensions: see `held_until_ms`.
        """
        self.inner = inner
        self.per_key = inner.per_key
        self.picks = inner.picks
        self.held = HeldMessages(clock, release, store, bounds, extensions)

    def validate_binding(self, routing_key: bytes, arguments: Table, compat: Compat = DEFAULT_COMPAT) -> None:
        self.inner.validate_binding(routing_key, arguments, compat)

    def bind(self, binding: Binding) -> None:
        self.inner.bind(binding)

    def unbind(self, binding: Binding) -> None:
        self.inner.unbind(binding)

    def unbind_all(self, bindings: list[Binding]) -> None:
        self.inner.unbind_all(bindings)

    def route(self, routing_key: bytes, message: Message) -> list[Target]:
        if self.held.holds(message):
            return [self.held]
        return self.inner.route(routing_key, message)

    def close(self) -> None:
        self.held.close()
        self.inner.close()
