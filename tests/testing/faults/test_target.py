"""The target of faults: alarms, copies and records."""

import pytest

from amqpbroker.testing.faults.target import Target
from tests.broker.queueing import message
from tests.harness import make_broker


def no_restart(down_s):
    pass


@pytest.fixture
def target():
    target = Target()
    target.attach(make_broker(), no_restart)
    return target


def test_an_alarm_is_cleared_with_the_last_fault_that_set_it(target):
    alarms = target.broker.alarms
    target.set_alarm("memory")
    target.set_alarm("memory")
    target.clear_alarm("memory")
    assert alarms.resources == ("memory",)
    target.clear_alarm("memory")
    assert alarms.resources == ()


def test_alarms_are_counted_anew_for_a_restarted_broker(target):
    target.set_alarm("disk")
    target.attach(make_broker(), no_restart)
    assert target.broker.alarms.resources == ()
    target.set_alarm("disk")
    target.clear_alarm("disk")
    assert target.broker.alarms.resources == ()


def test_alarms_without_a_broker_are_not_counted():
    target = Target()
    target.set_alarm("disk")
    target.clear_alarm("disk")
    target.attach(make_broker(), no_restart)
    target.set_alarm("disk")
    assert target.broker.alarms.resources == ("disk",)


def test_delivered_duplicate_is_recognised_only_once(target):
    copy = target.copy(message(b"x"))
    assert not target.copy_delivered(message(b"x"))
    assert target.copy_delivered(copy)
    assert not target.copy_delivered(copy)


def test_triggered_fault_is_recorded_with_the_time_of_the_broker(target):
    target.record("nack()", None, "at frame 3")
    (struck,) = target.happened
    assert struck.at.timestamp() * 1000 == pytest.approx(target.broker.clock.now_ms())
    assert str(struck).endswith("the broker: nack() at frame 3")
