"""x-message-ttl-mode: messages that expire at any position, in every kind of queue, on disk and after a restart."""

from dataclasses import replace
from typing import Any

import pytest

from amqpbroker.broker.broker import Broker
from amqpbroker.broker.policies.policies import Policy
from amqpbroker.broker.queues.kinds import policy_keys
from amqpbroker.broker.queues.lines.read_retry import RETRY_MS
from amqpbroker.broker.queues.local_queue import LocalQueue
from amqpbroker.broker.vhost import Vhost
from amqpbroker.clock import ManualClock
from amqpbroker.compat import COMPATS
from amqpbroker.config.bounds import BOUNDS, Bounds
from amqpbroker.errors import AmqpError
from amqpbroker.wire.values import longstr
from tests.broker.queueing import (
    Subscriber,
    clock_of,
    declare,
    get,
    make_vhost,
    message,
    publish,
    ready,
    reasons,
    table,
    with_graves,
)
from tests.broker.queues.lines.test_paging import Node as PagingNode
from tests.broker.storing import Node, bodies, depth
from tests.broker.storing import publish as send
from tests.fault_files import FlakyFiles
from tests.harness import make_broker

ANY: dict[str, Any] = {"message_ttl_mode": "any"}
KINDS: dict[str, dict[str, Any]] = {
    "classic": {},
    "priority": {"max_priority": 9},
    "quorum": {"queue_type": "quorum"},
    "strict quorum": {"queue_type": "quorum"},
    "single active consumer": {"single_active_consumer": True},
}


@pytest.fixture(params=KINDS)
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def broker(kind: str) -> Broker:
    compat = COMPATS["4.3" if kind == "strict quorum" else "4.0"].configured({"transient_nonexcl_queues": True})
    return make_broker(compat=compat)


@pytest.fixture
def vhost(broker: Broker) -> Vhost:
    return broker.vhosts["/"]


@pytest.fixture
def queues(kind: str, vhost: Vhost) -> tuple[LocalQueue, LocalQueue]:
    return with_graves(vhost, **ANY, **KINDS[kind])


def switch(broker: Broker, mode: str) -> None:
    broker.policies.put(Policy("/", "p", "^q$", {"message-ttl-mode": mode}, "queues"))


def dead(grave: LocalQueue) -> list[bytes]:
    return [body for body, reason in reasons(grave) if reason == "expired"]


# --- every kind of queue ----------------------------------------------------------------------------------------------


def test_messages_expire_in_order_of_deadline_at_any_position_and_priority(
    queues: tuple[LocalQueue, LocalQueue],
) -> None:
    queue, grave = queues
    clock = clock_of(queue.vhost)
    publish(queue, b"stays")
    for body, priority, expiration_ms in (b"c", 9, 30), (b"a", 0, 10), (b"d", 5, 40), (b"b", 2, 20):
        publish(queue, body, priority=priority, expiration_ms=expiration_ms)
    for body, left in (b"a", 4), (b"b", 3), (b"c", 2), (b"d", 1):
        clock.advance(9)
        assert queue.ready_count == left + 1
        clock.advance(1)
        assert dead(grave)[-1] == body
        assert (queue.ready_count, queue.ready.size) == (left, len(b"".join(ready(queue))))
    assert (dead(grave), ready(queue)) == ([b"a", b"b", b"c", b"d"], [b"stays"])
    assert queue.expiry.count == 0


def test_message_with_ttl_0_expires_behind_others(queues: tuple[LocalQueue, LocalQueue]) -> None:
    queue, grave = queues
    publish(queue, b"stays")
    publish(queue, b"now", expiration_ms=0)
    assert (dead(grave), ready(queue)) == ([b"now"], [b"stays"])


def test_delivered_message_expires_only_when_it_returns(queues: tuple[LocalQueue, LocalQueue]) -> None:
    queue, grave = queues
    clock = clock_of(queue.vhost)
    consumer = Subscriber(queue, limit=2).subscribe()
    publish(queue, b"x", expiration_ms=10)
    publish(queue, b"y")
    publish(queue, b"z", expiration_ms=30)
    clock.advance(20)
    assert dead(grave) == []
    consumer.limit = 0
    consumer.requeue(2)
    assert (dead(grave), sorted(ready(queue))) == ([b"x"], [b"y", b"z"])
    clock.advance(10)
    assert (dead(grave), ready(queue)) == ([b"x", b"z"], [b"y"])


def test_returned_message_expires_behind_other_returned_ones(queues: tuple[LocalQueue, LocalQueue]) -> None:
    queue, grave = queues
    clock = clock_of(queue.vhost)
    consumer = Subscriber(queue, limit=3).subscribe()
    publish(queue, b"x")
    publish(queue, b"y", expiration_ms=10)
    publish(queue, b"z")
    consumer.limit = 0
    consumer.requeue(3)
    clock.advance(10)
    assert (dead(grave), ready(queue)) == ([b"y"], [b"x", b"z"])
    consumer.relimit(2)
    assert consumer.take()[-2:] == [b"x", b"z"]


def test_many_messages_expire_in_several_iterations_before_consumers_get_others(kind: str) -> None:
    compat = COMPATS["4.3" if kind == "strict quorum" else "4.0"].configured({"transient_nonexcl_queues": True})
    vhost = make_broker(compat=compat, bounds=Bounds(expiries=10)).vhosts["/"]
    queue, grave = with_graves(vhost, **ANY, **KINDS[kind])
    consumer = Subscriber(queue, limit=1).subscribe()
    publish(queue, b"held")
    publish(queue, *[b"late"] * 40, expiration_ms=10)
    publish(queue, b"next")
    clock = clock_of(vhost)
    clock.advance(9)
    clock._now_ms += 1
    clock.fire_due()
    assert len(dead(grave)) == 10
    consumer.ack()
    assert (consumer.take(), len(dead(grave)) < 20) == ([b"held"], True)
    clock.advance(0)
    assert (consumer.take(), len(dead(grave)), queue.ready_count) == ([b"next"], 40, 0)


@pytest.mark.parametrize("no_ack", [False, True])
def test_message_behind_expired_ones_is_got_in_a_later_iteration(no_ack: bool) -> None:
    vhost = make_broker(bounds=Bounds(expiries=10)).vhosts["/"]
    queue, grave = with_graves(vhost, **ANY)
    publish(queue, *[b"late"] * 40, expiration_ms=10)
    publish(queue, b"next")
    clock_of(vhost)._now_ms += 10
    tries = 0
    while queue.get(no_ack) is None:
        assert queue.is_behind
        tries += 1
        clock_of(vhost).fire_due()
    assert (tries, queue.is_behind, queue.got_empty) == (3, False, 0)
    assert (len(dead(grave)), queue.ready_count) == (40, 0)


def test_consumer_gets_the_messages_that_have_not_expired(queues: tuple[LocalQueue, LocalQueue]) -> None:
    queue, grave = queues
    clock = clock_of(queue.vhost)
    for number in range(200):
        publish(queue, b"%d" % number, expiration_ms=10 if number % 2 else -1)
    clock.advance(10)
    assert dead(grave) == [b"%d" % number for number in range(1, 200, 2)]
    consumer = Subscriber(queue).subscribe()
    assert consumer.bodies == [b"%d" % number for number in range(0, 200, 2)]
    consumer.ack_all(100)
    publish(queue, b"last")
    assert consumer.bodies[-1] == b"last"


def test_get_and_purge_see_only_messages_that_have_not_expired(queues: tuple[LocalQueue, LocalQueue]) -> None:
    queue, grave = queues
    clock = clock_of(queue.vhost)
    publish(queue, b"1", expiration_ms=20)
    publish(queue, b"2")
    publish(queue, b"3", expiration_ms=10)
    publish(queue, b"4", expiration_ms=30)
    clock.advance(20)
    assert get(queue).message.body == b"2"
    assert queue.purge() == 1
    clock.advance(20)
    assert (dead(grave), queue.expiry.count, queue.ready_count) == ([b"3", b"1"], 0, 0)


@pytest.mark.parametrize("overflow", ["drop-head", "reject-publish"])
def test_expired_message_makes_space_in_a_limited_queue(overflow: str, vhost: Vhost, kind: str) -> None:
    queue, grave = with_graves(vhost, max_length=3, overflow=overflow, **ANY, **KINDS[kind])
    publish(queue, b"1", b"2")
    publish(queue, b"3", expiration_ms=10)
    clock_of(vhost).advance(10)
    publish(queue, b"4")
    assert (reasons(grave), ready(queue)) == ([(b"3", "expired")], [b"1", b"2", b"4"])


def test_policy_switches_the_mode_of_a_full_queue(broker: Broker, vhost: Vhost, kind: str) -> None:
    queue, grave = with_graves(vhost, **KINDS[kind])
    clock = clock_of(vhost)
    publish(queue, b"stays")
    publish(queue, b"2", expiration_ms=20)
    publish(queue, b"1", expiration_ms=10)
    publish(queue, b"3", expiration_ms=30)
    clock.advance(20)
    assert dead(grave) == []
    switch(broker, "any")
    assert (dead(grave), ready(queue)) == ([b"1", b"2"], [b"stays", b"3"])
    switch(broker, "head")
    clock.advance(20)
    assert ready(queue) == [b"stays", b"3"]


# --- pages ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["classic", "priority", "quorum"])
def test_long_line_is_divided_so_that_removals_stay_fast(broker: Broker, vhost: Vhost, kind: str) -> None:
    queue, grave = with_graves(vhost, **KINDS[kind])
    count = 5 * BOUNDS.page_count
    publish(queue, *[b"%d" % number for number in range(count)])
    publish(queue, b"x", expiration_ms=10)
    switch(broker, "any")
    publish(queue, *[b"%d" % number for number in range(count, 2 * count)])
    publish(queue, b"y", expiration_ms=5)
    clock_of(vhost).advance(10)
    assert dead(grave) == [b"y", b"x"]
    assert ready(queue) == [b"%d" % number for number in range(2 * count)]


@pytest.mark.parametrize("durable", [False, True])
@pytest.mark.parametrize("kind", ["classic", "priority"])
def test_messages_in_the_spill_file_expire(kind: str, durable: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(PagingNode, "bounds", Bounds(page_count=4, read_count=3, least_page_count=1))
    node = PagingNode(durable=durable, **ANY, **KINDS[kind])
    for number in range(100):
        made = message(b"%d" % number, expiration_ms=10 + number if number % 3 else -1)
        made.persistent = number % 2 == 0
        assert node.queue.publish(made)
    node.log.sync()
    node.page_out()
    for elapsed_ms in range(111):
        left = [b"%d" % number for number in range(100) if number % 3 == 0 or 10 + number > elapsed_ms]
        assert (node.queue.ready.count, ready(node.queue)) == (len(left), left)
        assert node.queue.ready.size == len(b"".join(left))
        node.clock.advance(1)
    assert node.in_memory < 20
    assert [entry.message.body for entry in node.take(100)] == [b"%d" % number for number in range(0, 100, 3)]
    assert [path for path in node.files.contents if path.parent == node.spill.directory] == []


# --- stored messages --------------------------------------------------------------------------------------------------


def arguments_of(kind: str, **more: Any) -> Any:
    return table(**ANY, dead_letter_exchange="", dead_letter_routing_key="grave", **KINDS[kind], **more)


def restarted(node: Node, after_ms: int = 0) -> Node:
    """Return a node on the same files after a power failure, with a clock of its own."""
    node.broker.sync()
    node.files.power_loss()
    return Node(node.files, ManualClock(node.clock.wall_ms() + after_ms), **node.queues)


@pytest.fixture(params=["classic", "priority", "quorum"])
def node(request: pytest.FixtureRequest) -> Node:
    return Node(q=arguments_of(request.param), grave=table())


def test_overdue_messages_expire_at_the_start_in_order_of_deadline_without_others_being_read(node: Node) -> None:
    client = node.client()
    send(client, "stays")
    for text, expiration in ("3", "30"), ("1", "10"), ("4", "500"), ("2", "20"):
        send(client, text, expiration=expiration, priority=int(text))
    again = restarted(node, after_ms=100)
    assert again.broker.vhosts["/"].queues["q"].counters()[8] == 3
    assert bodies(again, "grave") == ["1", "2", "3"]
    again.clock.advance(400)
    assert bodies(again, "grave") == ["4"]
    assert bodies(again) == ["stays"]


def test_recovered_messages_are_not_read_before_they_expire(node: Node) -> None:
    client = node.client()
    send(client, "stays")
    send(client, "1", expiration="100")
    again = restarted(node)
    assert again.broker.vhosts["/"].queues["q"].counters()[8] == 0
    again.clock.advance(100)
    assert bodies(again, "grave") == ["1"]


@pytest.mark.explore
def test_paged_messages_expire_one_by_one_and_the_others_stay_on_disk(node: Node) -> None:
    client = node.client()
    count = 6 * BOUNDS.page_count
    for number in range(count):
        send(client, str(number), **({"expiration": str(50 + number % 50)} if number % 100 == 99 else {}))
        if number % 500 == 0:
            node.broker.sync()
    node.broker.sync()
    queue = node.broker.vhosts["/"].queues["q"]
    assert isinstance(queue, LocalQueue)
    paged = queue.ready.paged_out
    assert paged > BOUNDS.page_count
    node.clock.advance(100)
    expired = [str(number) for number in range(count) if number % 100 == 99]
    assert queue.ready.paged_out >= paged - len(expired)
    assert bodies(node, "grave") == expired
    assert depth(node, "q") == count - len(expired)
    again = restarted(node)
    assert bodies(again) == [str(number) for number in range(count) if number % 100 != 99]


def test_policy_switch_finds_the_deadlines_of_paged_messages_without_reading_them(node: Node) -> None:
    queues = dict(node.queues)
    queues["q"] = {**queues["q"], "x-message-ttl-mode": longstr("head")}
    again = Node(node.files, node.clock, **queues)
    client = again.client()
    count = 6 * BOUNDS.page_count
    for number in range(count):
        send(client, str(number), **({"expiration": str(count - number)} if number % 1000 == 999 else {}))
        if number % 500 == 0:
            again.broker.sync()
    again.broker.sync()
    queue = again.broker.vhosts["/"].queues["q"]
    assert isinstance(queue, LocalQueue)
    queue.apply_settings(replace(queue.settings, message_ttl_mode="any"))
    assert (queue.ledger.loaded, queue.expiry.count) == (0, 6)
    again.clock.advance(count)
    assert bodies(again, "grave") == ["5999", "4999", "3999", "2999", "1999", "999"]


def test_message_that_temporarily_cannot_be_read_expires_when_it_can() -> None:
    node = Node(FlakyFiles(), q=arguments_of("classic"), grave=table())
    client = node.client()
    send(client, "stays")
    for number in range(10):
        send(client, str(number), expiration=str(10 + number))
    again = restarted(node)
    again.files.share = 1.0
    again.clock.advance(15)
    assert depth(again, "q") == 11
    # Nothing is tried before the next attempt to read.
    assert again.clock.next_due_ms() == again.clock.now_ms() - 5 + RETRY_MS
    again.files.share = 0.0
    again.clock.advance(RETRY_MS)
    assert bodies(again, "grave") == [str(number) for number in range(10)]
    assert bodies(again) == ["stays"]


# --- declaration ------------------------------------------------------------------------------------------------------


def test_other_modes_are_refused() -> None:
    with pytest.raises(AmqpError) as refused:
        declare(make_vhost(), message_ttl_mode="tail")
    assert refused.value.code == 406
    assert refused.value.text.endswith(
        "invalid arg 'x-message-ttl-mode' for queue 'q' in vhost '/': \"expected 'head' or 'any', got 'tail'\""
    )


def test_policy_with_another_mode_is_refused() -> None:
    problem = policy_keys(COMPATS["4.0"]).problem({"message-ttl-mode": "tail"}, operator=False)
    assert problem is not None
    assert "is not a valid message TTL mode. Must be one of: head, any" in problem


def test_mode_is_ignored_without_extensions() -> None:
    compat = COMPATS["4.0"].configured({"transient_nonexcl_queues": True})._replace(extensions=False)
    vhost = make_broker(compat=compat).vhosts["/"]
    queue = declare(vhost, message_ttl_mode="any")
    assert not queue.settings.expires_anywhere
