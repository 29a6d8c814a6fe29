import orjson
import pytest

from amqpbroker.broker.rates import Rates
from amqpbroker.management.failure import ApiError
from amqpbroker.management.formats.rates import Range, asked_range, rates_of, sampled, with_details
from tests.harness import Wire, make_broker

STEP = 5_000


@pytest.fixture
def broker():
    broker = make_broker()
    broker.rates.start()
    return broker


def publish(broker, client, count):
    """So many within one interval, whose look is over then."""
    for _ in range(count):
        client.publish("q")
    client.receive()
    broker.clock.advance(STEP)


@pytest.fixture
def client(broker):
    client = Wire(broker).log_in()
    client.declare("q")
    broker.clock.advance(STEP + 500)
    return client


def test_what_never_happened_has_a_rate_of_0(broker, client):
    queue = broker.vhosts["/"].queues["q"]
    assert orjson.dumps(rates_of(broker.rates, queue)("publish")) == b'{"rate":0.0}'


def test_the_rate_of_the_last_interval(broker, client):
    publish(broker, client, 10)
    queue = broker.vhosts["/"].queues["q"]
    assert with_details({"publish": 10}, rates_of(broker.rates, queue)) == {
        "publish": 10,
        "publish_details": {"rate": 2.0},
    }


def test_samples_begin_when_they_are_first_asked_for(broker, client):
    publish(broker, client, 10)
    queue = broker.vhosts["/"].queues["q"]
    wanted = Range(2 * STEP, STEP)
    assert [sample["sample"] for sample in sampled(broker.rates, [queue], wanted)("publish")["samples"]] == [10]
    publish(broker, client, 5)
    publish(broker, client, 0)
    details = sampled(broker.rates, [queue], wanted)("publish")
    assert [sample["sample"] for sample in details["samples"]] == [15, 15]
    assert (details["rate"], details["avg"], details["avg_rate"]) == (0.0, 15.0, 0.0)


def test_several_are_summed(broker, client):
    publish(broker, client, 10)
    publish(broker, client, 5)
    details = sampled(broker.rates, [broker, broker], Range(STEP, STEP))("publish")
    assert [sample["sample"] for sample in details["samples"]] == [30, 20]
    assert (details["rate"], details["avg"], details["avg_rate"]) == (2.0, 25.0, 2.0)


def test_nothing_is_known_before_the_first_look():
    broker = make_broker()
    details = sampled(Rates(broker), [broker], Range(STEP, STEP))("publish")
    assert details == {"rate": 0.0, "samples": [], "avg_rate": 0.0, "avg": 0.0}


def test_what_is_asked_for():
    assert asked_range({"lengths_age": "60", "lengths_incr": "5"}, "lengths") == Range(60_000, 5_000)
    assert asked_range({"lengths_age": "60"}, "lengths") is None
    assert asked_range({"lengths_age": "60", "lengths_incr": "5"}, "msg_rates") is None


@pytest.mark.parametrize(
    ("age", "step"), [("x", "5"), ("60", "x"), ("60", "0"), ("60", "-1"), ("-1", "5"), ("9999", "1")]
)
def test_what_cannot_be_asked_for(age, step):
    with pytest.raises(ApiError):
        asked_range({"lengths_age": age, "lengths_incr": step}, "lengths")
