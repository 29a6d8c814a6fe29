"""Consumers whose deliveries were taken back pause until the client has settled all of them."""

import pytest

from amqpbroker.amqp.overdue_deliveries import OverdueDeliveries
from tests.broker.queueing import Subscriber, declare, make_vhost, publish


class Pausing(Subscriber):
    def can_take(self) -> bool:
        return not self.paused


@pytest.fixture
def taken_back() -> OverdueDeliveries:
    return OverdueDeliveries()


@pytest.fixture
def subscriber() -> Subscriber:
    return Pausing(declare(make_vhost())).subscribe()


def test_consumer_pauses_until_its_last_taken_back_delivery_is_settled(
    taken_back: OverdueDeliveries, subscriber: Subscriber
) -> None:
    taken_back.add([3, 5], subscriber)
    assert subscriber.paused
    taken_back.settle(5, False)
    assert subscriber.paused
    assert list(taken_back.consumers) == [3]
    taken_back.settle(3, False)
    assert not subscriber.paused
    assert taken_back.consumers == {}


def test_multiple_settles_all_taken_back_deliveries_up_to_a_tag(
    taken_back: OverdueDeliveries, subscriber: Subscriber
) -> None:
    taken_back.add([3, 5], subscriber)
    taken_back.add([4], None)
    taken_back.settle(4, True)
    assert list(taken_back.consumers) == [5]
    assert subscriber.paused


def test_a_resumed_consumer_gets_waiting_messages(taken_back: OverdueDeliveries, subscriber: Subscriber) -> None:
    taken_back.add([1], subscriber)
    publish(subscriber.queue, b"waits")
    assert subscriber.bodies == []
    taken_back.settle(1, False)
    assert subscriber.bodies == [b"waits"]


def test_taken_back_deliveries_of_get_pause_no_consumer(taken_back: OverdueDeliveries, subscriber: Subscriber) -> None:
    taken_back.add([1], None)
    assert not subscriber.paused
    taken_back.settle(1, False)
    assert taken_back.consumers == {}
