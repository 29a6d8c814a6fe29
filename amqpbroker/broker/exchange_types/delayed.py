"""x-delayed-message: a message with an x-delay header is held for that long before it is routed."""

import heapq
import re
from collections.abc import Callable
from typing import ClassVar

from amqpbroker.broker.destination import Destination
from amqpbroker.broker.exchange import Binding, ExchangeType, Target
from amqpbroker.broker.message import Message
from amqpbroker.clock import Clock, Timer
from amqpbroker.wire.headers import with_headers
from amqpbroker.wire.values import INTEGER_KINDS, Field, Table

#: The longest delay, ten years, as for RabbitMQ's TTLs: longer ones are cut to it. (The plugin stops at 2^32 - 1 ms.)
MAX_DELAY_MS = 10 * 365 * 86_400_000

_HEADER = "x-delay"
_NUMBER = re.compile(rb"([+-]?)0*([0-9]+)(\.[0-9]*)?")
_MAX_DIGITS = len(str(MAX_DELAY_MS))
#: How many held messages one firing of the clock releases at most.
_BATCH = 1000


class DelayedType(ExchangeType):
    """rabbit_exchange_type_delayed_message (a plugin): holds messages back, and routes them as another type does.

    Bindings are those of the moment when a message is due.
    """

    name: ClassVar[str] = "x-delayed-message"
    keyed = False

    def __init__(self, inner: ExchangeType, clock: Clock, release: Callable[[Message], None]) -> None:
        """`release` routes a message that is due through this exchange again; its x-delay is negative by then."""
        self.inner = inner
        self.per_key = inner.per_key
        self.held = HeldMessages(clock, release)

    def validate_binding(self, routing_key: bytes, arguments: Table) -> None:
        self.inner.validate_binding(routing_key, arguments)

    def bind(self, binding: Binding) -> None:
        self.inner.bind(binding)

    def unbind(self, binding: Binding) -> None:
        self.inner.unbind(binding)

    def route(self, routing_key: bytes, message: Message) -> list[Target]:
        if message.headers is not None and delay_ms(message.headers) > 0:
            return [self.held]
        return self.inner.route(routing_key, message)

    def close(self) -> None:
        self.held.close()
        self.inner.close()


class HeldMessages(Destination):
    """The messages of one exchange that are not due yet. One timer waits for the earliest."""

    def __init__(self, clock: Clock, release: Callable[[Message], None]) -> None:
        self.name = ""
        self._clock = clock
        self._release = release
        self._heap: list[tuple[int, int, Message]] = []
        self._sequence = 0
        self._timer: Timer | None = None

    @property
    def count(self) -> int:
        return len(self._heap)

    def publish(self, message: Message) -> bool:
        self.hold(message, self._clock.now_ms() + delay_ms(message.headers or {}))
        return True

    def hold(self, message: Message, due_ms: int) -> None:
        """Keep the message until then (milliseconds since the epoch; what is past is due at once)."""
        self._sequence += 1
        heapq.heappush(self._heap, (due_ms, self._sequence, message))
        if self._timer is None or due_ms < self._timer.due_ms:
            self._arm()

    def close(self) -> None:
        """Drop everything."""
        self._heap = []
        self._arm()

    def _arm(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self._clock.at(self._heap[0][0], self._release_due) if self._heap else None

    def _release_due(self) -> None:
        """Release what is due, up to a bounded number: other timers and connections get their turn in between."""
        self._timer = None
        now_ms = self._clock.now_ms()
        try:
            for _ in range(_BATCH):
                if not self._heap or self._heap[0][0] > now_ms:
                    break
                self._release(_released(heapq.heappop(self._heap)[2]))
        finally:
            self._arm()


def delay_ms(headers: Table) -> int:
    """The delay that headers ask for, 0 for none.

    Integers and floats of every kind, decimals, and numbers as text (rabbit_delayed_message_utils:get_delay).
    """
    field = headers.get(_HEADER)
    if field is None:
        return 0
    kind, value = field
    if kind in INTEGER_KINDS or kind in "fd":
        return int(max(0, min(MAX_DELAY_MS, value)))
    if kind == "D":
        scale, unscaled = value
        return int(max(0, min(MAX_DELAY_MS, unscaled // 10**scale)))
    if kind == "S":
        number = _NUMBER.fullmatch(value)
        if number is None or number[1] == b"-":
            return 0
        return MAX_DELAY_MS if len(number[2]) > _MAX_DIGITS else min(int(number[2]), MAX_DELAY_MS)
    return 0


def _released(message: Message) -> Message:
    """The message with its delay negated, so that consumers see it was delayed and it is not delayed again."""
    headers = message.headers or {}
    delay = delay_ms(headers)
    negated = Field("I" if delay < 2**31 else "l", -delay)
    return message.rewritten(
        message.address, with_headers(message.properties, {_HEADER: negated}), {**headers, _HEADER: negated}
    )
