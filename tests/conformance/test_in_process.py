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


def test_time_of_the_in_process_lab_passes_only_during_waits(lab):
    before = lab.network.now_s()
    ch = lab.channel()
    ch.queue("q", arguments={"x-message-ttl": 5000})
    ch.publish("", "q")
    ch.sync()
    assert lab.network.now_s() == before
    lab.wait_ready("q", 0)
    assert lab.network.now_s() - before == pytest.approx(5, abs=0.03)


def test_lab_wait_ends_with_the_expected_event_or_its_time_limit(lab):
    connection = lab.connect(heartbeat_s=20)
    before = lab.network.now_s()
    connection.wait(0, "heartbeat", within_s=15)
    assert lab.network.now_s() - before == pytest.approx(10)
    with pytest.raises(CaseStoppedError):
        connection.wait(0, "connection.blocked", within_s=3)
    assert lab.network.now_s() - before == pytest.approx(13)


def test_dropped_in_process_connection_deletes_its_exclusive_queue(lab):
    ch = lab.channel(lab.connect())
    ch.queue("q", exclusive=True)
    ch.connection.drop()
    assert lab.ready("q") == -1


def test_half_closed_connection_is_answered_and_then_closed(lab):
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


def test_data_sent_while_the_broker_does_not_read_is_handled_later(lab, target):
    ch = lab.channel()
    ch.queue("q")
    alarms = target.network.broker.alarms
    alarms.set("memory")
    ch.publish("", "q", "first, which makes the broker stop")
    ch.publish("", "q", "second")
    assert lab.ready("q") == 0
    alarms.clear("memory")
    lab.wait_ready("q", 2)


def test_in_process_broker_that_never_idles_fails_instead_of_hanging(target):
    clock = target.network.clock

    def again():
        clock.after(0, again)

    again()
    with pytest.raises(AssertionError, match="rest"):
        target.network.sleep(1)


def test_management_api_answers_in_the_in_process_lab(lab):
    lab.channel().queue("q")
    assert [queue["name"] for queue in lab.management.call("GET", "queues")] == ["q"]
    assert lab.management.status("GET", "queues/%2F/nothing") == 404
    lab.management.undo()


def test_in_process_broker_stores_messages_only_with_stored_true():
    network = InProcess(stored=True)
    target = TargetInProcess(within=network)
    ch = Lab("area/name", target, Timing(), Janitor(target, Timing())).channel()
    ch.queue("q", durable=True)
    ch.publish("", "q", delivery_mode=2)
    ch.sync()
    assert (network.broker.storage.store.stored, TargetInProcess().within.broker.storage.store.keeps) == (1, False)
