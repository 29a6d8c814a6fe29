"""Several messages of a group for one consumer (x-group-prefetch), and fair dispatch (x-group-type)."""

from dataclasses import replace
from itertools import pairwise
from typing import Any

import pytest

from amqpbroker.broker.queues.expiry import BEHIND
from amqpbroker.broker.queues.local_queue import LocalQueue
from amqpbroker.broker.vhost import Vhost
from amqpbroker.config.bounds import BOUNDS
from tests.broker.queueing import clock_of, get, ready
from tests.broker.queueing import declare as declare_plain
from tests.broker.queues.groups.grouped import (
    KINDS,
    STORED_KINDS,
    TO_GRAVE,
    declare,
    group,
    message,
    send,
    work,
)
from tests.harness import make_broker

# --- several messages of a group --------------------------------------------------------------------------------------


@STORED_KINDS
def test_group_prefetch_gives_several_messages_of_a_group_to_one_consumer(vhost: Vhost, kind: dict[str, Any]) -> None:
    queue = declare(vhost, group_prefetch=2, **kind)
    first, second = work(queue, 3, "c1"), work(queue, 3, "c2")
    send(queue, "a1", "a2", "a3", "b1", "b2")
    assert (first.texts(), second.texts()) == (["a1", "a2"], ["b1", "b2"])
    first.ack_text("a2")
    assert first.texts() == ["a3"]
    first.requeue_text("a1")
    assert (first.texts(), second.texts()) == (["a1"], [])


@STORED_KINDS
def test_group_with_room_waits_until_its_consumer_can_take_more(vhost: Vhost, kind: dict[str, Any]) -> None:
    queue = declare(vhost, group_prefetch=5, **kind)
    first = work(queue, 2, "c1")
    send(queue, "a1", "b1", "a2", "b2", "a3")
    assert first.texts() == ["a1", "b1"]
    second = work(queue, 2, "c2")
    assert second.texts() == []
    first.ack_text("b1")
    assert (first.texts(), second.texts()) == (["a2"], ["b2"])
    first.ack_text("a1")
    assert first.texts() == ["a3"]


@STORED_KINDS
def test_group_goes_to_another_consumer_when_its_messages_are_settled(vhost: Vhost, kind: dict[str, Any]) -> None:
    queue = declare(vhost, group_prefetch=2, **kind)
    first, second = work(queue, 2, "c1"), work(queue, 2, "c2")
    send(queue, "a1", "a2", "a3")
    first.limit = 0
    first.ack(2)
    assert second.texts() == ["a3"]


def test_active_consumer_that_a_higher_priority_replaces_gets_no_more_of_its_group(vhost: Vhost) -> None:
    queue = declare(vhost, group_prefetch=2, single_active_consumer=True, queue_type="quorum")
    first = work(queue, 2, "c1")
    send(queue, "a1", "a2", "a3", "a4")
    second = work(queue, 2, "c2", priority=1)
    first.ack_text("a1")
    assert (first.texts(), second.texts()) == (["a1", "a2"], [])
    first.ack_text("a2")
    assert second.texts() == ["a3", "a4"]


@pytest.mark.parametrize("other", [[], ["b1"]])
def test_active_consumer_gets_more_of_its_group_when_the_one_that_would_replace_it_leaves(
    vhost: Vhost, other: list[str]
) -> None:
    queue = declare(vhost, group_prefetch=2, single_active_consumer=True, queue_type="quorum")
    first = work(queue, tag="c1")
    send(queue, "a1")
    second = work(queue, tag="c2", priority=1)
    send(queue, *other, "a2")
    assert first.texts() == ["a1"]
    queue.remove_consumer(second)
    assert first.texts() == ["a2", *other]


@KINDS
def test_consumer_of_a_group_gets_its_delayed_message_when_that_is_due(vhost: Vhost, kind: dict[str, Any]) -> None:
    queue = declare(vhost, group_prefetch=2, delayed_retry_type="all", delayed_retry_min=1000, **kind)
    worker = work(queue)
    send(queue, "a1", "a2")
    worker.requeue_text("a2")
    clock_of(vhost).advance(1000)
    assert worker.texts() == ["a1", "a2", "a2"]


@STORED_KINDS
@pytest.mark.parametrize("lost", [False, True], ids=["returned", "channel-lost"])
def test_messages_over_the_delivery_limit_leave_in_the_order_of_their_group(
    vhost: Vhost, kind: dict[str, Any], lost: bool
) -> None:
    grave = declare_plain(vhost, "grave")
    queue = declare(vhost, group_prefetch=3, delivery_limit=1, **TO_GRAVE, **kind)
    worker = work(queue)
    send(queue, "a1", "a2", "a3")
    for text in ("a2", "a3", "a1"):
        worker.requeue_text(text)
    assert [entry.message.body for entry in worker.held] == [b"a2", b"a3", b"a1"]
    if lost:
        queue.reclaim(worker.held)
    else:
        queue.requeue(worker.held)
    assert ready(grave) == [b"a1", b"a2", b"a3"]


# --- fair dispatch ----------------------------------------------------------------------------------------------------


@STORED_KINDS
def test_fair_queue_delivers_the_group_with_the_fewest_unacknowledged_messages(
    vhost: Vhost, kind: dict[str, Any]
) -> None:
    queue = declare(vhost, group_type="fair", **kind)
    send(queue, "a1", "a2", "a3", "a4", "b1", "c1", "b2")
    worker = work(queue, limit=4)
    assert worker.texts() == ["a1", "b1", "c1", "a2"]
    worker.ack_text("b1")
    assert worker.texts() == ["b2"]
    worker.ack_text("a1")
    assert worker.texts() == ["a3"]


@STORED_KINDS
def test_fair_queue_does_not_lock_a_group(vhost: Vhost, kind: dict[str, Any]) -> None:
    queue = declare(vhost, group_type="fair", **kind)
    worker = work(queue)
    send(queue, "a1", "a2", "a3")
    assert worker.texts() == ["a1", "a2", "a3"]
    worker.requeue_text("a2")
    assert worker.texts() == ["a2"]


@KINDS
@pytest.mark.parametrize("on_dead", ["park", "follow"])
def test_idle_consumer_of_a_fair_queue_gets_messages_beside_stopped_groups(
    vhost: Vhost, kind: dict[str, Any], on_dead: str
) -> None:
    grave = declare_plain(vhost, "grave", max_length=1, overflow="reject-publish")
    queue = declare(vhost, **TO_GRAVE, **kind)
    options = queue.settings.groups
    assert options is not None
    queue.apply_settings(replace(queue.settings, groups=options._replace(on_dead=on_dead)))
    send(queue, "a1", "a2", "a3")
    queue.reject([get(queue)])
    worker = work(queue, limit=1)
    queue.apply_settings(replace(queue.settings, groups=options._replace(fair=True)))
    send(queue, "b1")
    assert worker.texts() == ["b1"]
    worker.ack_text("b1")
    send(queue, "b2")
    assert worker.texts() == ["b2"]
    worker.ack_text("b2")
    queue.redrive_group(group(queue, "a"), [grave])
    # Nothing is counted as stopped any more.
    assert (queue.ready.waiting, queue.ready.count) == (2, 2)
    queue.purge()
    assert (queue.ready.waiting, queue.ready.count) == (0, 0)


def longest_wait_ms(vhost: Vhost, queue: LocalQueue, count: int) -> int:
    """Return the longest time that messages of a quiet tenant wait behind `count` messages of a noisy one.

    Ten workers need 10 ms for each message.
    """
    workers = [work(queue, 1, f"c{number}") for number in range(10)]
    noisy = message("n")
    for _ in range(count):
        queue.publish(noisy)
    clock = clock_of(vhost)
    sent_ms: dict[bytes, int] = {}
    longest_ms = 0
    for turn in range(500):
        if turn % 7 == 0 and turn < 400:
            text = f"q{turn}"
            queue.publish(message(text))
            sent_ms[text.encode()] = clock.now_ms()
        clock.advance(1)
        worker = workers[turn % 10]
        worker.ack()
        body = worker.held[0].message.body
        if body in sent_ms:
            longest_ms = max(longest_ms, clock.now_ms() - sent_ms.pop(body))
    return 10**9 if sent_ms else longest_ms


def test_quiet_tenant_waits_less_than_10_ms_behind_100000_messages_of_a_noisy_one(vhost: Vhost) -> None:
    assert longest_wait_ms(vhost, declare(vhost, group_type="fair"), 100_000) < 10
    # They wait for all of the noisy ones in an ordinary queue.
    assert longest_wait_ms(vhost, declare_plain(vhost, "plain"), 1_000) == 10**9


# --- many expired messages of a group ---------------------------------------------------------------------------------


def expired_behind(vhost: Vhost, count: int, **arguments: Any) -> tuple[LocalQueue, LocalQueue]:
    """Return a queue with a group of expired messages, the last of which has not, although the timer has not fired."""
    grave = declare_plain(vhost, "grave")
    queue = declare(vhost, **TO_GRAVE, **arguments)
    for number in range(count):
        queue.publish(message(f"a{number}", expiration_ms=10))
    queue.publish(message("a-last"))
    clock_of(vhost)._now_ms += 10
    return queue, grave


@KINDS
def test_consumer_waits_while_many_messages_of_a_group_expire(kind: dict[str, Any]) -> None:
    vhost = make_broker(bounds=BOUNDS._replace(expiries=4)).vhosts["/"]
    queue, grave = expired_behind(vhost, 21, **kind)
    consumer = work(queue, 1, "c")
    counts = [grave.ready_count]
    while clock_of(vhost).next_due_ms() == clock_of(vhost).now_ms():
        clock_of(vhost).fire_due()
        counts.append(grave.ready_count)
    assert consumer.texts() == ["a-last"]
    assert counts[-1] == 21
    assert max([after - before for before, after in pairwise([0, *counts])]) <= 2 * 4 + BEHIND


@KINDS
def test_holder_of_a_group_waits_while_many_of_its_messages_expire(kind: dict[str, Any]) -> None:
    vhost = make_broker(bounds=BOUNDS._replace(expiries=4)).vhosts["/"]
    queue = declare(vhost, group_prefetch=5, **TO_GRAVE, **kind)
    grave = declare_plain(vhost, "grave")
    consumer = work(queue, 1, "c")
    send(queue, "a-first")
    for number in range(21):
        queue.publish(message(f"a{number}", expiration_ms=10))
    queue.publish(message("a-last"))
    clock_of(vhost)._now_ms += 10
    consumer.limit = 2
    queue.offer(consumer)
    counts = [grave.ready_count]
    while clock_of(vhost).next_due_ms() == clock_of(vhost).now_ms():
        clock_of(vhost).fire_due()
        counts.append(grave.ready_count)
    assert consumer.texts() == ["a-first", "a-last"]
    assert counts[-1] == 21
    assert max([after - before for before, after in pairwise([0, *counts])]) <= 2 * 4 + BEHIND
