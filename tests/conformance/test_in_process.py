"""The broker in process that cases are replayed on does what sockets and a clock would do."""

import pytest

from conformance.client import CLOSED, Timing
from conformance.errors import CaseStoppedError
from conformance.janitor import Janitor
from conformance.lab import Lab
from tests.conformance.in_process import InProcess, TargetInProcess


@pytest.fixture
def target():
    return TargetInProcess()


@pytest.fixture
def lab(target):
    return Lab("area/name", target, Timing(), Janitor(target, Timing()))


def test_time_passes_only_while_something_is_waited_for(lab):
    before = lab.network.now_s()
    ch = lab.channel()
    ch.queue("q", arguments={"x-message-ttl": 5000})
    ch.publish("", "q")
    ch.sync()
    assert lab.network.now_s() == before
    lab.wait_ready("q", 0)
    assert lab.network.now_s() - before == pytest.approx(5, abs=0.03)


def test_a_wait_ends_when_it_happens_or_when_it_is_over(lab):
    connection = lab.connect(heartbeat_s=20)
    before = lab.network.now_s()
    connection.wait(0, "heartbeat", within_s=15)
    assert lab.network.now_s() - before == pytest.approx(10)
    with pytest.raises(CaseStoppedError):
        connection.wait(0, "connection.blocked", within_s=3)
    assert lab.network.now_s() - before == pytest.approx(13)


def test_a_client_that_goes_is_lost_to_the_broker(lab):
    ch = lab.channel(lab.connect())
    ch.queue("q", exclusive=True)
    ch.connection.drop()
    assert lab.ready("q") == -1


def test_a_client_that_shuts_its_half_is_answered_and_then_closed(lab):
    connection = lab.raw()
    connection.send(b"AMQP\0\0\x09\x01")
    connection.shut()
    assert connection.wait(0, "connection.start").name == "connection.start"
    connection.wait_lost()


def test_a_client_that_the_broker_closed_cannot_send(lab):
    connection = lab.raw()
    connection.send(b"HTTP/1.1")
    connection.wait_lost()
    connection.lost = False
    connection.send(b"more")
    assert connection.lost
    assert connection.events[-1].name == CLOSED


def test_what_is_sent_waits_while_the_broker_does_not_read(lab, target):
    ch = lab.channel()
    ch.queue("q")
    alarms = target.network.broker.alarms
    alarms.set("memory")
    ch.publish("", "q", "first, which makes the broker stop")
    ch.publish("", "q", "second")
    assert lab.ready("q") == 0
    alarms.clear("memory")
    lab.wait_ready("q", 2)


def test_a_broker_that_never_rests_fails_instead_of_hanging(target):
    clock = target.network.clock

    def again():
        clock.after(0, again)

    again()
    with pytest.raises(AssertionError, match="rest"):
        target.network.sleep(1)


def test_the_management_api_answers(lab):
    lab.channel().queue("q")
    assert [queue["name"] for queue in lab.management.call("GET", "queues")] == ["q"]
    assert lab.management.status("GET", "queues/%2F/nothing") == 404
    lab.management.undo()


def test_durable_messages_are_stored_if_wanted():
    network = InProcess(stored=True)
    target = TargetInProcess(within=network)
    ch = Lab("area/name", target, Timing(), Janitor(target, Timing())).channel()
    ch.queue("q", durable=True)
    ch.publish("", "q", delivery_mode=2)
    ch.sync()
    assert (network.broker.store.stored, TargetInProcess().within.broker.store.keeps) == (1, False)
