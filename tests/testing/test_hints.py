"""Hints: the name that was probably meant, and the accepted arguments."""

import pytest

from amqpbroker import testing
from amqpbroker.testing import Broker
from amqpbroker.testing.hints import checked_arguments, choices, did_you_mean, nearest


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("basic.pubish", "basic.publish"),
        ("basic_publish", "basic.publish"),
        ("BasicPublish", "basic.publish"),
        ("queue-declare", "queue.declare"),
        ("zzz", None),
        ("", None),
        (None, None),
        (3, None),
    ],
)
def test_the_nearest_name_ignores_case_and_separators(name, found):
    assert nearest(name, ["basic.publish", "queue.declare"]) == found


def test_hint_suggests_the_nearest_name_or_lists_accepted_names():
    assert did_you_mean("hour", ["hours", "days"], "=") == "; did you mean hours=?"
    assert did_you_mean("ordres", ["orders"], quoted=True) == "; did you mean 'orders'?"
    assert did_you_mean("x", ["hours"]) == ""
    assert choices("hour", ["hours", "days"]) == "; did you mean hours? Accepted: hours, days"
    assert choices("x", ["hours"]) == "; accepted: hours"
    assert choices("x", []) == "; accepted: none"


class Example:
    @checked_arguments
    def call(self, first, second=2, *, third=3):
        return first, second, third


def test_right_arguments_are_passed_on():
    assert Example().call(1, 4, third=5) == (1, 4, 5)
    assert Example().call(first=1) == (1, 2, 3)
    assert Example.call.__name__ == "call"


def test_error_for_a_wrong_argument_lists_the_accepted_arguments():
    with pytest.raises(TypeError) as raised:
        Example().call(1, thrid=2)
    assert str(raised.value) == "call() has no argument 'thrid'; did you mean third=? Accepted: first, second, third"
    with pytest.raises(TypeError) as raised:
        Example().call(1, 2, 3)
    assert str(raised.value) == "call(3): name the argument; call() takes third="
    with pytest.raises(TypeError, match="missing 1 required positional argument: 'first'"):
        Example().call()


@pytest.mark.parametrize(
    ("call", "text"),
    [
        (
            lambda b: b.clock.advance(hour=1),
            "advance() has no argument 'hour'; did you mean hours=? Accepted: delta, days",
        ),
        (lambda b: b.clock.advance(60), "advance(60) has no unit: advance(seconds=60), or one of days, hours"),
        (lambda b: b.clock.advance("1 h"), "advance('1 h'): this must be a timedelta, or a number by its unit"),
        (lambda b: b.clock.advance(hours="1"), "advance(hours='1'): this must be a number, such as hours=1"),
        (lambda b: b.clock.advance(seconds=True), "advance(seconds=True): this must be a number, such as seconds=1"),
        (lambda b: b.wait_until("q"), "wait_until('q'): name the argument; wait_until() takes queue=, ready="),
        (
            lambda b: b.wait_until(queue="q", message=1),
            "wait_until() has no argument 'message'; accepted: queue, ready",
        ),
        (lambda b: b.published("orders"), "published('orders'): name the argument; published() takes exchange="),
        (lambda b: b.published(key="orders"), "published() has no argument 'key'"),
        (
            lambda b: b.faults.nack(queue="q"),
            "nack() has no argument 'queue'; accepted: publish, exchange, routing_key",
        ),
        (lambda b: b.faults.reset("basic.publish"), "reset('basic.publish'): name the argument; reset() takes on="),
        (lambda b: b.restart(dwon=1), "restart() has no argument 'dwon'; did you mean down=? Accepted: down"),
    ],
)
def test_wrong_arguments_of_testing_api_calls_are_explained(call, text):
    with Broker() as b, pytest.raises(TypeError) as raised:
        call(b)
    assert text in str(raised.value)


@pytest.mark.parametrize(
    ("look", "text"),
    [
        (lambda b: b.faults.nak, "Faults has no attribute 'nak'; did you mean nack?"),
        (lambda b: b.wait_untl, "Broker has no attribute 'wait_untl'; did you mean wait_until?"),
        (lambda b: b.clock.advanced, "BrokerClock has no attribute 'advanced'; did you mean advance?"),
        (lambda b: b.advance, "Broker has no attribute 'advance'; did you mean clock.advance?"),
        (lambda b: b.zzz, "Broker has no attribute 'zzz'"),
        (lambda b: b._private, "Broker has no attribute '_private'"),
        (lambda b: testing.Brocker, "has no attribute 'Brocker'; did you mean Broker?"),
        (
            lambda b: testing.zzz,
            "has no attribute 'zzz'; it has AsyncBroker, AsyncStream, AsyncVhost, BatchState, Broker,",
        ),
    ],
)
def test_error_for_a_missing_attribute_suggests_an_existing_one(look, text):
    with pytest.raises(AttributeError) as raised:
        look(Broker())
    assert str(raised.value).endswith(text) or text in str(raised.value)


def test_misspelled_broker_setting_is_an_error_with_a_suggestion():
    for name, meant in (("prot", "port"), ("managment", "management"), ("consumer_timout", "consumer_timeout")):
        with pytest.raises(ValueError, match=f"there is no setting {name}; did you mean {meant}"):
            Broker(**{name: 1})
