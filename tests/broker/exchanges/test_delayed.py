import math
from collections.abc import Callable

import pytest

from amqpbroker.broker.exchanges.consistent_hash import ConsistentHashType
from amqpbroker.broker.exchanges.delay import MAX_DELAY_MS, asked_delay_ms, delay_ms
from amqpbroker.broker.exchanges.delayed import DelayedType
from amqpbroker.broker.exchanges.direct import DirectType
from amqpbroker.broker.exchanges.fanout import FanoutType
from amqpbroker.clock import ManualClock
from amqpbroker.errors import AmqpError
from amqpbroker.message.message import Message
from amqpbroker.wire.properties import decode_properties, encode_properties
from amqpbroker.wire.values import Field, longstr
from tests.broker.queueing import Ticking
from tests.broker.routed import Box, bind, integer, publishing, routed


class Delaying:
    """A delayed direct exchange on its own clock, and its released messages as (milliseconds passed, body key)."""

    def __init__(self, on_release: Callable[[Message], None] | None = None) -> None:
        self.clock = ManualClock()
        self.start_ms = self.clock.now_ms()
        self.messages: list[Message] = []
        self.released: list[tuple[int, bytes]] = []
        self.on_release = on_release
        self.type = DelayedType(DirectType(), self.clock, self._release)

    def _release(self, message: Message) -> None:
        self.messages.append(message)
        self.released.append((self.clock.now_ms() - self.start_ms, message.routing_key))
        if self.on_release is not None:
            self.on_release(message)

    def publish(self, key: bytes, delay: Field) -> None:
        message = publishing(key, {"x-delay": delay})
        assert self.type.route(key, message) == [self.type.held]
        assert self.type.held.publish(message)


def test_delayed_messages_are_released_in_order_when_due() -> None:
    delaying = Delaying()
    for key, delay in ((b"late", 500), (b"early", 100), (b"middle", 300), (b"early too", 100)):
        delaying.publish(key, integer(delay))
    assert delaying.type.held.count == 4
    delaying.clock.advance(99)
    assert delaying.released == []
    delaying.clock.advance(1000)
    assert delaying.released == [(100, b"early"), (100, b"early too"), (300, b"middle"), (500, b"late")]
    assert delaying.type.held.count == 0
    assert delaying.clock.next_due_ms() is None


def test_a_message_without_a_delay_is_routed_at_once() -> None:
    delayed = Delaying().type
    bind(delayed, Box("q"), b"key")
    assert routed(delayed, b"key") == ["q"]
    assert routed(delayed, b"key", {"other": integer(1)}) == ["q"]
    assert routed(delayed, b"key", {"x-delay": integer(-5)}) == ["q"]


@pytest.mark.parametrize(
    ("value", "delay"),
    [
        (Field("b", 5), 5),
        (Field("B", 200), 200),
        (Field("s", 5), 5),
        (Field("u", 5), 5),
        (Field("I", 5), 5),
        (Field("i", 2**32 - 1), 2**32 - 1),
        (Field("l", 2**32 + 1), 2**32 + 1),
        (Field("f", 1500.9), 1500),
        (Field("d", 1500.9), 1500),
        (Field("D", (2, 1299)), 12),
        (longstr("1500"), 1500),
        (longstr("+1500"), 1500),
        (longstr("001500"), 1500),
        (longstr("1500.9"), 1500),
        # ten years is the maximum, in every form
        (integer(MAX_DELAY_MS), MAX_DELAY_MS),
        (integer(MAX_DELAY_MS + 1), MAX_DELAY_MS),
        (Field("d", 1e300), MAX_DELAY_MS),
        (Field("d", float("inf")), MAX_DELAY_MS),
        (longstr(str(MAX_DELAY_MS)), MAX_DELAY_MS),
        (longstr("9" * 10_000), MAX_DELAY_MS),
        (longstr("0" * 10_000 + "7"), 7),
        # no delay
        (integer(0), 0),
        (integer(-1), 0),
        (Field("d", -0.5), 0),
        (Field("d", float("-inf")), 0),
        (Field("D", (0, -7)), 0),
        (longstr("-1500"), 0),
        (longstr(""), 0),
        (longstr("soon"), 0),
        (longstr("1 "), 0),
        (longstr("1_0"), 0),
        (longstr("1e3"), 0),
        (Field("t", True), 0),
        (Field("V", None), 0),
        (Field("T", 5), 0),
        (Field("A", [integer(5)]), 0),
    ],
)
def test_x_delay_header_accepts_numbers_of_every_field_type(value: Field, delay: int) -> None:
    assert asked_delay_ms(value) == delay
    if not (value.kind in "fd" and math.isinf(value.value)):
        properties = encode_properties({"headers": {"a": longstr("1"), "x-delay": value, "z": Field("V", None)}})
        assert delay_ms(properties) == delay


def test_delay_beyond_2_to_the_32_ms_is_exact_to_the_millisecond() -> None:
    delaying = Delaying()
    delay = 2**32 + 5
    delaying.publish(b"key", integer(delay))
    delaying.clock.advance(delay - 1)
    assert delaying.released == []
    delaying.clock.advance(1)
    assert delaying.released == [(delay, b"key")]


@pytest.mark.parametrize(
    ("sent", "shown"),
    [
        (integer(5000), Field("I", -5000)),
        (longstr("5000"), Field("I", -5000)),
        (Field("d", 5000.7), Field("I", -5000)),
        (integer(2**31), Field("l", -(2**31))),
    ],
)
def test_released_message_differs_only_in_its_negated_x_delay(sent: Field, shown: Field) -> None:
    delaying = Delaying()
    headers = {"a": longstr("1"), "x-delay": sent, "z": Field("V", None)}
    message = publishing(
        b"key", headers, cc=(b"k2",), bcc=(b"k3",), delivery_mode=2, priority=7, expiration=b"900", message_id=b"m"
    )
    message.died = True
    delaying.type.held.publish(message)
    delaying.clock.advance(2**31)
    (after,) = delaying.messages
    assert decode_properties(after.properties) == {
        **decode_properties(message.properties),
        "headers": {"a": longstr("1"), "x-delay": shown, "z": Field("V", None)},
    }
    assert after.headers == decode_properties(after.properties)["headers"]
    assert message.headers == headers
    for name in ("address", "body", "persistent", "priority", "expiration_ms", "extra_keys", "cc_keys", "died"):
        assert getattr(after, name) == getattr(message, name), name


def test_exchange_routes_a_message_without_decoding_its_headers() -> None:
    delaying = Delaying()
    bind(delaying.type, Box("q"), b"key")
    message = publishing(b"key", {"a": longstr("1"), "x-delay": integer(5)})
    message.headers = None
    message.undecoded = True
    assert delaying.type.route(b"key", message) == [delaying.type.held]
    delaying.type.held.publish(message)
    delaying.clock.advance(5)
    (after,) = delaying.messages
    assert [target.name for target in delaying.type.route(b"key", after)] == ["q"]
    assert message.undecoded
    assert after.undecoded


def test_released_message_is_not_delayed_again() -> None:
    delaying = Delaying()
    bind(delaying.type, Box("q"), b"key")
    delaying.publish(b"key", integer(5))
    delaying.clock.advance(5)
    (message,) = delaying.messages
    assert [target.name for target in delaying.type.route(b"key", message)] == ["q"]


def test_message_due_earlier_advances_the_timer_of_a_delayed_exchange() -> None:
    delaying = Delaying()
    woken: list[int] = []
    delaying.clock.on_earlier = lambda due_ms: woken.append(due_ms - delaying.start_ms)
    for delay in (500, 900, 200, 300):
        delaying.publish(b"%d" % delay, integer(delay))
    assert woken == [500, 200]
    delaying.clock.advance(1000)
    assert [passed for passed, _ in delaying.released] == [200, 300, 500, 900]


def test_many_due_messages_are_released_in_order_by_several_timers() -> None:
    delaying = Delaying()
    for number in range(2500):
        delaying.publish(b"%d" % number, integer(10))
    delaying.clock.advance(9)
    delaying.clock._now_ms += 1
    delaying.clock.fire_due()
    first = len(delaying.released)
    assert 0 < first < 2500
    assert delaying.clock.next_due_ms() is not None
    delaying.clock.advance(0)
    assert delaying.released == [(10, b"%d" % number) for number in range(2500)]


def test_failed_release_of_a_delayed_message_does_not_stop_others() -> None:
    def fail(message: Message) -> None:
        if message.routing_key == b"bad":
            raise RuntimeError

    delaying = Delaying(fail)
    delaying.publish(b"bad", integer(1))
    delaying.publish(b"good", integer(1))
    with pytest.raises(RuntimeError):
        delaying.clock.advance(1)
    delaying.clock.advance(1)
    assert [key for _, key in delaying.released] == [b"bad", b"good"]


def test_closing_a_delayed_exchange_discards_held_messages() -> None:
    delaying = Delaying()
    delaying.publish(b"key", integer(5))
    delaying.type.close()
    assert delaying.type.held.count == 0
    assert delaying.clock.next_due_ms() is None


def test_closing_a_delayed_exchange_during_release_discards_the_rest() -> None:
    delaying = Delaying(lambda _: delaying.type.close())
    delaying.publish(b"1", integer(5))
    delaying.publish(b"2", integer(5))
    delaying.clock.advance(10)
    assert [key for _, key in delaying.released] == [b"1"]


def test_delayed_message_with_a_past_due_time_is_released_at_once() -> None:
    delaying = Delaying()
    delaying.type.held.hold(publishing(b"past", {"x-delay": integer(5)}), delaying.start_ms - 1000)
    delaying.type.held.hold(publishing(b"later", {"x-delay": integer(5)}), delaying.start_ms + 7)
    delaying.clock.advance(0)
    assert delaying.released == [(0, b"past")]
    delaying.clock.advance(7)
    assert delaying.released == [(0, b"past"), (7, b"later")]


def test_delayed_exchange_uses_the_bindings_of_its_inner_type() -> None:
    clock = ManualClock()
    hashing = DelayedType(ConsistentHashType({}), clock, lambda _: None)
    with pytest.raises(AmqpError):
        hashing.validate_binding(b"abc", {})
    assert not hashing.keyed
    assert not hashing.per_key
    direct = DelayedType(DirectType(), clock, lambda _: None)
    assert direct.per_key
    direct.unbind(bind(direct, Box("q"), b"key"))
    assert routed(direct, b"key") == []
    assert not DelayedType(FanoutType(), clock, lambda _: None).per_key


def held_ms(headers: dict[str, Field], extensions: bool = True) -> int | None:
    """Return how long a message with these headers is held; None if it is routed at once."""
    clock = ManualClock()
    start_ms = clock.now_ms()
    released: list[int] = []
    delayed = DelayedType(
        DirectType(), clock, lambda message: released.append(clock.now_ms() - start_ms), extensions=extensions
    )
    message = publishing(b"key", headers)
    if delayed.route(b"key", message) != [delayed.held]:
        return None
    delayed.held.publish(message)
    clock.advance(MAX_DELAY_MS)
    (at_ms,) = released
    return at_ms


def now_plus(delta_ms: int) -> Field:
    return Field("l", ManualClock().wall_ms() + delta_ms)


@pytest.mark.parametrize(
    ("headers", "delay"),
    [
        ({"x-opt-delivery-time": now_plus(700)}, 700),
        ({"x-opt-delivery-time": now_plus(0)}, None),
        ({"x-opt-delivery-time": now_plus(-1)}, None),
        ({"x-opt-delivery-time": now_plus(2 * MAX_DELAY_MS)}, MAX_DELAY_MS),
        ({"x-opt-delivery-delay": integer(700)}, 700),
        ({"x-opt-delivery-delay": longstr("700")}, 700),
        ({"x-opt-delivery-delay": integer(0)}, None),
        ({"x-opt-delivery-delay": integer(-5)}, None),
        ({"x-opt-delivery-delay": integer(700), "x-delay": integer(300)}, 700),
        ({"x-opt-delivery-time": now_plus(200), "x-delay": integer(300)}, 300),
        ({"x-opt-delivery-time": now_plus(-1), "x-opt-delivery-delay": integer(9)}, 9),
    ],
    ids=str,
)
def test_message_is_held_until_the_latest_time_that_its_headers_name(
    headers: dict[str, Field], delay: int | None
) -> None:
    assert held_ms(headers) == delay


def test_messages_with_one_time_are_due_then_however_long_publishing_takes() -> None:
    clock = Ticking().clock
    due_ms = clock.now_ms() + 1000
    delayed = DelayedType(DirectType(), clock, lambda message: None)
    for _ in range(3):
        delayed.held.publish(publishing(b"key", {"x-opt-delivery-time": Field("l", due_ms)}))
    assert [copy.deadline_ms for copy in delayed.held.recent()] == [due_ms] * 3


def test_headers_with_a_delivery_time_mean_nothing_without_extensions() -> None:
    headers = {"x-opt-delivery-time": now_plus(700), "x-opt-delivery-delay": integer(700)}
    assert held_ms(headers, extensions=False) is None
    assert held_ms({**headers, "x-delay": integer(5)}, extensions=False) == 5


def test_released_message_is_not_delayed_again_by_its_headers() -> None:
    delaying = Delaying()
    headers = {"x-opt-delivery-delay": integer(700), "x-opt-delivery-time": now_plus(300), "other": longstr("x")}
    message = publishing(b"key", headers)
    delaying.type.held.publish(message)
    delaying.clock.advance(700)
    (released,) = delaying.messages
    assert decode_properties(released.properties)["headers"] == {**headers, "x-opt-delivery-delay": Field("I", -700)}
    assert not delaying.type.held.holds(released)
