"""Slices of deliveries that are settled together; tests/amqp/test_unfinished.py has their effects for clients."""

import pytest

from amqpbroker.broker.queues.local_queue import LocalQueue
from amqpbroker.broker.queues.queue import Queue
from amqpbroker.broker.queues.settlement import ACK, FAIL, REJECT, REQUEUE, Groups, settle, settle_in_slices
from amqpbroker.broker.vhost import Vhost
from amqpbroker.config.bounds import BOUNDS
from tests.broker.queueing import clock_of, declare, get, publish, ready
from tests.broker.queues.groups.grouped import declare as declare_grouped
from tests.broker.queues.groups.grouped import send
from tests.harness import make_broker

DELAYED = {"delayed_retry_type": "failed", "delayed_retry_min": 100}


@pytest.fixture
def vhost() -> Vhost:
    return make_broker(bounds=BOUNDS._replace(departures=4, deferred_free=6)).vhosts["/"]


def held(queue: LocalQueue, count: int) -> tuple[Queue, list]:
    publish(queue, *[b"%d" % number for number in range(count)])
    return queue, [get(queue) for _ in range(count)]


def slices(vhost: Vhost, groups: Groups, how: str) -> list[list[int]]:
    """Settle deliveries; return the unacknowledged messages of each queue, after each iteration."""
    some_left = settle_in_slices(vhost, groups, sum([len(group) for _, group in groups]), how)
    counts = [[queue.unacked_count for queue, _ in groups]]
    while vhost.deferred_free.is_recording:
        clock_of(vhost).fire_due()
        counts.append([queue.unacked_count for queue, _ in groups])
    assert some_left == (len(counts) > 1)
    return counts


@pytest.mark.parametrize(
    ("how", "count", "counts"),
    [
        (ACK, 6, [[0]]),
        (ACK, 13, [[13], [7], [1], [0]]),
        (REJECT, 4, [[0]]),
        (REJECT, 5, [[5], [1], [0]]),
        (FAIL, 4, [[0]]),
        (FAIL, 9, [[9], [5], [1], [0]]),
        (REQUEUE, 9, [[0]]),
    ],
)
def test_slices_depend_on_the_work_for_each_delivery(
    vhost: Vhost, how: str, count: int, counts: list[list[int]]
) -> None:
    groups = [held(declare(vhost, **DELAYED), count)]
    assert slices(vhost, groups, how) == counts


def test_small_groups_share_a_slice_in_order(vhost: Vhost) -> None:
    grave = declare(vhost, "grave")
    letters = {"dead_letter_exchange": "", "dead_letter_routing_key": "grave"}
    groups = [held(declare(vhost, f"q{number}", **letters), 2) for number in range(5)]
    assert slices(vhost, groups, REJECT) == [[2] * 5, [0, 0, 2, 2, 2], [0, 0, 0, 0, 2], [0] * 5]
    assert ready(grave) == [b"0", b"1"] * 5


def test_group_that_returns_in_place_is_not_divided(vhost: Vhost) -> None:
    groups = [held(declare(vhost, "a"), 9), held(declare(vhost, "b", **DELAYED), 9)]
    assert slices(vhost, groups, FAIL) == [[9, 9], [0, 9], [0, 5], [0, 1], [0, 0]]


def test_messages_of_a_message_group_are_settled_in_its_order(vhost: Vhost) -> None:
    queue = declare_grouped(vhost, group_prefetch=100, delayed_retry_type="all", delayed_retry_min=100)
    send(queue, *[f"a{number}" for number in range(6)])
    entries = list(queue.ready)
    assert queue.ranked(entries[::-1]) == entries


def test_deliveries_of_a_queue_that_is_deleted_between_slices_are_gone(vhost: Vhost) -> None:
    queue = declare(vhost, **DELAYED)
    assert settle_in_slices(vhost, [held(queue, 9)], 9, FAIL)
    clock_of(vhost).fire_due()
    vhost.delete_queue(queue)
    clock_of(vhost).advance(0)
    assert (queue.unacked_count, queue.delayed_count) == (0, 0)


@pytest.mark.parametrize(("how", "left"), [(ACK, 0), (REJECT, 0), (REQUEUE, 3), (FAIL, 3)])
def test_deliveries_are_settled_now_whatever_their_number(vhost: Vhost, how: str, left: int) -> None:
    queue = declare(vhost)
    settle([held(queue, 1), held(queue, 2)], how)
    assert (queue.unacked_count, queue.ready_count) == (0, left)
