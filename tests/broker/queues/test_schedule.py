"""Messages that a queue delays until the time in a header."""

from dataclasses import replace
from typing import Any

import pytest

from amqpbroker.broker.policies.policies import Policy
from amqpbroker.broker.queues.arguments.declaration import parse_declaration
from amqpbroker.broker.queues.local_queue import LocalQueue
from amqpbroker.broker.vhost import Vhost
from amqpbroker.compat import OLDEST_COMPAT
from amqpbroker.errors import AmqpError
from amqpbroker.message.message import Message, encode_address
from amqpbroker.wire.properties import encode_properties
from amqpbroker.wire.values import Field, longstr
from tests.broker.queueing import Subscriber, Ticking, clock_of, declare, publish, ready, table
from tests.broker.storing import Node
from tests.harness import make_broker

KINDS: list[dict[str, Any]] = [{}, {"max_priority": 5}, {"queue_type": "quorum"}]


@pytest.fixture(params=KINDS, ids=["classic", "priority", "quorum"])
def queue(request: pytest.FixtureRequest, vhost: Vhost) -> LocalQueue:
    return declare(vhost, delivery_time_header="eta", **request.param)


def at(queue: LocalQueue, in_ms: int) -> Field:
    return Field("l", queue.clock.wall_ms() + in_ms)


def timed(body: bytes, eta: Field | None, expiration_ms: int = -1) -> Message:
    properties: dict[str, Any] = {"headers": {} if eta is None else {"eta": eta}}
    made = Message(encode_address("", b"q"), encode_properties(properties), body)
    made.expiration_ms = expiration_ms
    return made


def test_message_is_ready_when_its_time_has_come(queue: LocalQueue, vhost: Vhost) -> None:
    assert queue.publish(timed(b"later", at(queue, 500)))
    assert queue.publish(timed(b"now", None))
    assert (ready(queue), queue.delayed_count) == ([b"now"], 1)
    clock_of(vhost).advance(499)
    assert ready(queue) == [b"now"]
    clock_of(vhost).advance(1)
    assert sorted(ready(queue)) == [b"later", b"now"]
    assert queue.delayed_count == 0


def test_messages_are_ready_in_the_order_of_their_times(queue: LocalQueue, vhost: Vhost) -> None:
    one = Subscriber(queue).subscribe()
    for body, in_ms in (b"3", 300), (b"1", 100), (b"2", 200):
        queue.publish(timed(body, at(queue, in_ms)))
    clock_of(vhost).advance(1000)
    assert one.got == [(b"1", False), (b"2", False), (b"3", False)]


@pytest.mark.parametrize("kind", KINDS, ids=str)
def test_messages_with_one_time_keep_it_and_their_order(kind: dict[str, Any]) -> None:
    """Test the order of messages that are published in different milliseconds for the same one."""
    ticking = Ticking()
    vhost = make_broker(ticking.clock).vhosts["/"]
    queue = declare(vhost, delivery_time_header="eta", **kind)
    due_ms = ticking.clock.wall_ms() + 1000
    for number in range(5):
        queue.publish(timed(b"%d" % number, Field("l", due_ms)))
    info = queue.info()
    assert (info.next_delayed_at, info.last_delayed_at) == (due_ms, due_ms)
    ticking.advance(2000)
    assert ready(queue) == [b"0", b"1", b"2", b"3", b"4"]


def test_whole_ttl_begins_at_the_time_however_long_publishing_takes() -> None:
    clock = Ticking().clock
    queue = declare(make_broker(clock).vhosts["/"], delivery_time_header="eta")
    due_ms = clock.wall_ms() + 1000
    queue.publish(timed(b"x", Field("l", due_ms), expiration_ms=100))
    ((_, entry),) = queue.delayed_entries()
    assert entry.deadline_ms >= due_ms + 100


@pytest.mark.parametrize(
    "eta",
    [None, Field("V", None), longstr("soon"), Field("l", 0), longstr("2001-01-01T00:00:00+00:00"), Field("t", True)],
    ids=str,
)
def test_message_without_a_time_to_come_is_ready_at_once(queue: LocalQueue, eta: Field | None) -> None:
    queue.publish(timed(b"x", eta))
    assert (ready(queue), queue.delayed_count) == ([b"x"], 0)


def test_time_far_ahead_is_reduced_to_ten_years(queue: LocalQueue, vhost: Vhost) -> None:
    queue.publish(timed(b"x", longstr("9000-01-01T00:00:00")))
    clock_of(vhost).advance(10 * 365 * 86_400_000 - 1)
    assert queue.delayed_count == 1
    clock_of(vhost).advance(1)
    assert ready(queue) == [b"x"]


def test_ttl_begins_when_the_message_is_ready(queue: LocalQueue, vhost: Vhost) -> None:
    queue.publish(timed(b"x", at(queue, 500), expiration_ms=100))
    clock_of(vhost).advance(599)
    assert ready(queue) == [b"x"]
    clock_of(vhost).advance(1)
    assert ready(queue) == []


@pytest.mark.parametrize("arguments", KINDS, ids=str)
def test_delayed_messages_count_for_the_length_limit(vhost: Vhost, arguments: dict[str, Any]) -> None:
    queue = declare(vhost, delivery_time_header="eta", max_length=2, **arguments)
    publish(queue, b"1", b"2")
    queue.publish(timed(b"later", at(queue, 500)))
    assert (ready(queue), queue.delayed_count) == ([b"2"], 1)


def test_purge_removes_delayed_messages(queue: LocalQueue, vhost: Vhost) -> None:
    queue.publish(timed(b"x", at(queue, 500)))
    assert queue.purge() == 1
    clock_of(vhost).advance(500)
    assert (ready(queue), queue.delayed_count) == ([], 0)


def test_policy_names_the_header_and_changes_it(vhost: Vhost) -> None:
    queue = declare(vhost)
    vhost.policies.put(Policy("/", "p", "q", {"delivery-time-header": "eta"}))
    queue.publish(timed(b"later", at(queue, 500)))
    vhost.policies.delete("/", "p")
    queue.publish(timed(b"now", at(queue, 500)))
    assert (ready(queue), queue.delayed_count) == ([b"now"], 1)
    clock_of(vhost).advance(500)
    assert ready(queue) == [b"later", b"now"]


@pytest.mark.parametrize("kind", ["classic", "quorum"])
def test_messages_wait_for_their_time_across_a_restart(kind: str) -> None:
    node = Node(q=table(queue_type=kind, delivery_time_header="eta"))
    client = node.client()
    start_ms = node.clock.wall_ms()
    for body, in_ms in (b"3", 900), (b"2", 500), (b"1", 400):
        client.publish("q", body, delivery_mode=2, headers={"eta": Field("l", start_ms + in_ms)})
    node.broker.sync()
    node.clock.advance(600)
    again = node.crash()
    client = again.client()
    overdue = [client.get("q") for _ in range(2)]
    # A classic queue has them at the places where they arrived, a quorum queue in the order of their times.
    assert [got.body for got in overdue] == ([b"2", b"1"] if kind == "classic" else [b"1", b"2"])
    assert not any(got.arguments["redelivered"] for got in overdue)
    assert client.get("q").name == "basic.get-empty"
    again.clock.advance(299)
    assert client.get("q").name == "basic.get-empty"
    again.clock.advance(1)
    assert client.get("q").body == b"3"


@pytest.mark.parametrize("name", ["", "x" * 256], ids=len)
def test_name_of_the_header_is_checked(name: str) -> None:
    flags: dict[str, Any] = {"durable": True, "exclusive": False, "auto_delete": False}
    arguments = table(delivery_time_header=name)
    with pytest.raises(AmqpError) as refused:
        parse_declaration("q", "/", arguments=arguments, **flags)
    text = "invalid arg 'x-delivery-time-header' for queue 'q' in vhost '/':"
    assert refused.value.text.endswith(f'{text} "expected the name of a header, 1 to 255 bytes"')
    settings = parse_declaration("q", "/", arguments=arguments, compat=OLDEST_COMPAT, **flags).settings
    assert settings.delivery_time_header is None


# --- length limits ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS, ids=["classic", "priority", "quorum"])
@pytest.mark.parametrize("limit", [{"max_length": 3}, {"max_length_bytes": 3}], ids=["messages", "bytes"])
def test_delayed_messages_that_are_due_first_are_dropped_if_nothing_is_ready(
    vhost: Vhost, kind: dict[str, Any], limit: dict[str, int]
) -> None:
    dead = declare(vhost, "dead")
    letters = {"dead_letter_exchange": "", "dead_letter_routing_key": "dead"}
    queue = declare(vhost, delivery_time_header="eta", **limit, **kind, **letters)
    for number in (5, 1, 4, 2, 3):
        vhost.publish(timed(b"%d" % number, at(queue, number * 1000)), (queue,))
    assert queue.delayed_count == 3
    assert [entry.message.body for entry in dead.ready] == [b"1", b"2"]
    clock_of(vhost).advance(10_000)
    assert sorted(ready(queue)) == [b"3", b"4", b"5"]


def test_ready_messages_are_dropped_before_delayed_ones(vhost: Vhost) -> None:
    queue = declare(vhost, delivery_time_header="eta", max_length=2)
    for eta in (None, None, at(queue, 1000), at(queue, 2000), at(queue, 3000)):
        queue.publish(timed(b"m", eta))
    assert (ready(queue), queue.delayed_count) == ([], 2)


def test_dropped_delayed_message_does_not_supersede_others(vhost: Vhost) -> None:
    queue = declare(vhost, delivery_time_header="eta", max_length=0, last_value_key="eta")
    queue.publish(timed(b"m", at(queue, 1000)))
    assert (queue.delayed_count, len(queue.values)) == (0, 0)  # type: ignore[attr-defined]


def test_paged_delayed_messages_are_dropped_in_the_order_of_their_times() -> None:
    node = Node(limits={"page_count": 4}, q=table(delivery_time_header="eta"))
    client, start_ms = node.client(), node.clock.wall_ms()
    for number in range(40):
        headers = {"eta": Field("l", start_ms + 1000 * (number + 1))}
        client.publish("q", b"%d" % number, delivery_mode=2, headers=headers)
    node.broker.sync()
    queue = node.crash().broker.vhosts["/"].queues["q"]
    assert isinstance(queue, LocalQueue)
    assert queue.info().messages_paged_out == 40
    queue.apply_settings(replace(queue.settings, max_length=2))
    assert sorted(entry.message.body for _, entry in queue.delayed_entries()) == [b"38", b"39"]
    assert queue.info().messages_persistent == 2
