"""Tags and entries of a channel; test_channel.py has the effects of settling for clients."""

from typing import Any

import pytest

from amqpbroker.amqp.transaction import Transaction
from amqpbroker.amqp.unacked import Unacked
from amqpbroker.broker.queues.local_queue import LocalQueue
from amqpbroker.broker.vhost import Vhost
from amqpbroker.config.bounds import BOUNDS
from amqpbroker.errors import AmqpError
from tests.amqp.settling_parts import make_unacked
from tests.broker.queueing import clock_of, declare, get, make_vhost, publish, ready
from tests.harness import make_broker


@pytest.fixture
def queue() -> LocalQueue:
    queue = declare(make_vhost())
    publish(queue, b"1", b"2", b"3", b"4")
    return queue


@pytest.fixture
def unacked(queue: LocalQueue) -> Unacked:
    assert isinstance(queue.vhost, Vhost)
    return make_unacked(queue.vhost)


def hold(unacked: Unacked, queue: LocalQueue, count: int) -> list[int]:
    return [unacked.hold_got(get(queue)) for _ in range(count)]


def test_delivery_tags_count_deliveries_without_ack_too(unacked: Unacked, queue: LocalQueue) -> None:
    assert hold(unacked, queue, 2) == [1, 2]
    assert unacked.next_tag() == 3
    assert hold(unacked, queue, 1) == [4]
    assert list(unacked.entries) == [1, 2, 4]


def test_multiple_includes_all_deliveries_up_to_a_tag(unacked: Unacked, queue: LocalQueue) -> None:
    hold(unacked, queue, 4)
    unacked.ack(3, True)
    assert list(unacked.entries) == [4]
    assert queue.unacked_count == 1


@pytest.mark.parametrize("multiple", [True, False])
def test_an_unknown_tag_is_refused(unacked: Unacked, queue: LocalQueue, multiple: bool) -> None:
    hold(unacked, queue, 1)
    with pytest.raises(AmqpError) as caught:
        unacked.ack(2, multiple)
    assert caught.value.code == 406
    assert list(unacked.entries) == [1]


def test_a_transaction_holds_settled_deliveries_until_its_rollback(unacked: Unacked, queue: LocalQueue) -> None:
    transaction = Transaction()
    unacked.begin_transaction(transaction)
    hold(unacked, queue, 2)
    unacked.ack(1, False)
    assert list(unacked.entries) == [2]
    assert len(list(unacked.held())) == 2
    unacked.restore(transaction.rollback())
    assert list(unacked.entries) == [1, 2]


def test_release_requeues_all_unacknowledged_messages(unacked: Unacked, queue: LocalQueue) -> None:
    hold(unacked, queue, 3)
    unacked.release("a channel")
    assert unacked.entries == {}
    assert ready(queue) == [b"1", b"2", b"3", b"4"]


def released(**arguments: Any) -> tuple[Vhost, LocalQueue, Unacked]:
    """Return a queue with one ready message more than a channel held at its end, which is more than a slice."""
    vhost = make_broker(bounds=BOUNDS._replace(departures=3)).vhosts["/"]
    queue = declare(vhost, **arguments)
    publish(queue, *[b"%d" % number for number in range(9)])
    unacked = make_unacked(vhost)
    hold(unacked, queue, 8)
    unacked.release("a channel")
    return vhost, queue, unacked


def test_many_messages_return_in_slices_when_the_channel_ends() -> None:
    vhost, queue, unacked = released(delayed_retry_type="all", delayed_retry_min=100)
    assert unacked.entries == {}
    counts = [queue.delayed_count]
    while queue.unacked_count:
        clock_of(vhost).fire_due()
        counts.append(queue.delayed_count)
    assert counts == [0, 3, 6, 8]
    clock_of(vhost).advance(100)
    assert ready(queue) == [b"%d" % number for number in range(9)]


def test_messages_return_at_once_before_later_ones_are_delivered() -> None:
    _, queue, _ = released()
    assert ready(queue) == [b"%d" % number for number in range(9)]


def test_messages_of_a_queue_that_is_deleted_meanwhile_do_not_return() -> None:
    vhost, queue, _ = released(delayed_retry_type="all", delayed_retry_min=100)
    clock_of(vhost).fire_due()
    vhost.delete_queue(queue)
    clock_of(vhost).advance(0)
    assert (queue.unacked_count, queue.ready_count) == (0, 0)
