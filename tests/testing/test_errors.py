"""Errors of the testing API name the awaited condition, the timeout and the actual state."""

import re
import threading
import time

import pika
import pytest

from amqpbroker.testing import Broker, clock, time_travel
from amqpbroker.testing.in_flight import Sent


@pytest.fixture
def b():
    with Broker(vhosts=["v"]) as broker:
        yield broker


@pytest.fixture
def busy(b, monkeypatch):
    """Keep the broker's thread busy, and shorten the timeouts."""
    b.faults.nack(routing_key="nobody")
    monkeypatch.setattr(b._host, "patience_s", 0.05)
    monkeypatch.setattr(clock, "PATIENCE_S", 0.05)
    ending = threading.Event()
    started = threading.Event()

    def be_busy():
        started.set()
        while not ending.is_set():
            time.sleep(0.001)

    b._host.loop.call_soon_threadsafe(be_busy)
    started.wait()
    yield b
    ending.set()
    monkeypatch.undo()


CALLS = {
    "queues()": lambda b: b.queues(),
    "messages()": lambda b: b.messages("q"),
    "published()": lambda b: b.published(),
    "unroutable": lambda b: b.unroutable,
    "channel_errors": lambda b: b.channel_errors,
    "wait_until()": lambda b: b.wait_until(queue="q", timeout=0),
    "add_vhost()": lambda b: b.add_vhost("w"),
    "delete_vhost()": lambda b: b.delete_vhost("v"),
    "restart()": lambda b: b.restart(),
    "a change of faults": lambda b: b.faults.drop(),
    "clock.advance()": lambda b: b.clock.advance(seconds=1),
    "clock.freeze()": lambda b: b.clock.freeze(),
}


@pytest.mark.parametrize("what", CALLS)
def test_call_to_a_busy_broker_times_out_and_shows_what_it_does(busy, what):
    with pytest.raises(TimeoutError) as raised:
        CALLS[what](busy)
    text = str(raised.value)
    assert text.startswith(f"{what} has not returned after 0.05 s: the broker's thread is in be_busy, test_errors.py")
    assert "0 clients are connected" in text
    assert "active faults: nack(routing_key='nobody')" in text


def test_stop_of_a_busy_broker_times_out_and_shows_what_it_does(busy):
    with pytest.raises(TimeoutError, match=r"stop\(\) has not returned after 0.05 s: .* be_busy"):
        busy.stop()


def test_timeout_error_names_clients_with_unhandled_data(b, monkeypatch):
    monkeypatch.setattr(time_travel, "READ_S", 0.05)
    monkeypatch.setattr(Sent, "is_handled", False)
    with pika.BlockingConnection(pika.URLParameters(b.url)), pytest.raises(TimeoutError) as raised:
        b.queues()
    expected = r"after 0.05 s the broker has not handled all data of its clients: 127.0.0.1:\d+: 0 unhandled bytes"
    assert re.fullmatch(expected, str(raised.value))


WRONG = {
    "no queue": (lambda b: b.messages("q"), AssertionError, "there is no queue 'q'\nno queue is there"),
    "not there": (
        lambda b: b.wait_until(queue="q", timeout=0.01),
        AssertionError,
        "after 0.01 s there is no queue 'q'",
    ),
    "too few": (
        lambda b: b.published(count=2, exchange="e", timeout=0.01),
        AssertionError,
        "after 0.01 s 0 messages were published to exchange 'e', not 2\nnothing was published",
    ),
    "backwards": (
        lambda b: b.clock.advance(seconds=-2),
        ValueError,
        "advance by -2000 ms: the clock moves forward only",
    ),
    "too far": (lambda b: b.clock.advance(days=9_000_000), ValueError, "777600000000000 ms from "),
    "for ever": (
        lambda b: b.clock.advance(hours=float("inf")),
        ValueError,
        "advance(hours=inf): this must be a finite number, such as hours=1",
    ),
    "no number": (
        lambda b: b.clock.advance(seconds=float("nan")),
        ValueError,
        "advance(seconds=nan): this must be a finite number, such as seconds=1",
    ),
    "beyond": (
        lambda b: b.clock.advance(days=1e10),
        ValueError,
        "advance(days=10000000000.0) is more than time can be moved on, which ends with the year 9999",
    ),
    "no name": (lambda b: b.add_vhost(None), ValueError, "vhosts = (None,): this must be a list of names"),
    "no vhost": (lambda b: b.delete_vhost("nope"), LookupError, "vhost 'nope' does not exist"),
    "down": (lambda b: b.restart(down=-1), ValueError, "down = -1: this must be a number of seconds from 0 to 60"),
    "no api": (lambda b: b.http_url, RuntimeError, "no management API; make it with Broker(management=True)"),
    "running": (lambda b: b.start(), RuntimeError, "this broker is running already"),
}


@pytest.mark.parametrize("wrong", WRONG)
def test_error_of_the_testing_api_names_the_wrong_value_and_a_remedy(b, wrong):
    call, kind, text = WRONG[wrong]
    with pytest.raises(kind) as raised:
        call(b)
    assert text in str(raised.value)


def test_fault_report_shows_the_first_30_faults_and_counts_the_rest(b):
    for number in range(100):
        b.faults.nack(routing_key=f"q{number}")
    report = b.faults.report()
    assert report.endswith(", nack(routing_key='q29'), and 70 others")
