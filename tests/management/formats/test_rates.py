import orjson
import pytest

from amqpbroker.broker.counters.rates import Rates
from amqpbroker.management.failure import ApiError
from amqpbroker.management.formats.rates import Range, Ranges, asked_ranges, listed, rates_of, sampled, with_details
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


def test_rate_of_a_counter_that_never_increased_is_0(broker, client):
    queue = broker.vhosts["/"].queues["q"]
    assert orjson.dumps(rates_of(broker.rates, queue)("publish")) == b'{"rate":0.0}'


def test_rate_is_that_of_the_last_interval(broker, client):
    publish(broker, client, 10)
    queue = broker.vhosts["/"].queues["q"]
    assert with_details({"publish": 10}, rates_of(broker.rates, queue)) == {
        "publish": 10,
        "publish_details": {"rate": 2.0},
    }


def test_samples_start_at_the_creation_of_the_object(broker, client):
    publish(broker, client, 10)
    queue = broker.vhosts["/"].queues["q"]
    wanted = Ranges(msg_rates=Range(2 * STEP, STEP))
    assert [sample["sample"] for sample in sampled(broker.rates, [queue], wanted)("publish")["samples"]] == [10, 0]
    publish(broker, client, 5)
    publish(broker, client, 0)
    details = sampled(broker.rates, [queue], wanted)("publish")
    assert [sample["sample"] for sample in details["samples"]] == [15, 15, 10]
    assert (details["rate"], details["avg"], details["avg_rate"]) == (0.0, 40 / 3, 0.5)


def test_samples_of_several_objects_are_summed(broker, client):
    publish(broker, client, 10)
    publish(broker, client, 5)
    details = sampled(broker.rates, [broker, broker], Ranges(msg_rates=Range(STEP, STEP)))("publish")
    assert [sample["sample"] for sample in details["samples"]] == [30, 20]
    assert (details["rate"], details["avg"], details["avg_rate"]) == (2.0, 25.0, 2.0)


def test_rates_are_0_before_the_first_sample():
    broker = make_broker()
    details = sampled(Rates(broker), [broker], Ranges(msg_rates=Range(STEP, STEP)))("publish")
    assert details == {"rate": 0.0, "samples": [], "avg_rate": 0.0, "avg": 0.0}


def test_each_statistic_uses_the_sample_range_of_its_kind(broker, client):
    publish(broker, client, 10)
    details = sampled(broker.rates, [broker], Ranges(lengths=Range(STEP, STEP), data_rates=Range(STEP, STEP)))
    assert [name for name in ("messages", "messages_ready", "publish", "recv_oct") if "samples" in details(name)] == [
        "messages",
        "messages_ready",
        "recv_oct",
    ]


def test_lists_show_existing_samples_but_do_not_start_sampling(broker, client):
    queue = broker.vhosts["/"].queues["q"]
    wanted = Ranges(msg_rates=Range(STEP, STEP))
    for _ in range(2):
        assert orjson.dumps(listed(broker.rates, queue, wanted)("publish")) == b'{"rate":0.0}'
    publish(broker, client, 10)
    assert [sample["sample"] for sample in listed(broker.rates, queue, wanted)("publish")["samples"]] == [10, 0]
    assert orjson.dumps(listed(broker.rates, queue, Ranges())("publish")) == b'{"rate":2.0}'


def test_sample_ranges_are_parsed_from_the_query():
    query = {"lengths_age": "60", "lengths_incr": "5", "msg_rates_age": "+1001", "msg_rates_incr": "2"}
    assert asked_ranges(query) == Ranges(lengths=Range(60_000, 5_000), msg_rates=Range(1_001_000, 2_000))
    assert asked_ranges({"data_rates_age": "5", "data_rates_incr": "60"}).data_rates == Range(5_000, 60_000)


@pytest.mark.parametrize(
    ("age", "step"),
    [
        ("", ""),
        ("60", ""),
        ("x", "5"),
        ("60", "x"),
        ("5.5", "5"),
        ("6_0", "5"),
        (" 60", "5"),
        ("9" * 16, "1"),
        ("60", "9" * 16),
    ],
)
def test_sample_range_that_is_no_number_is_ignored(age, step):
    assert asked_ranges({"lengths_age": age, "lengths_incr": step}) == Ranges()


@pytest.mark.parametrize(
    ("age", "step"), [("60", "0"), ("60", "-1"), ("-1", "5"), ("-60", "-5"), ("0", "5"), ("501", "1"), ("1002", "2")]
)
@pytest.mark.parametrize("kind", ["lengths", "msg_rates", "data_rates", "node_stats"])
def test_invalid_sample_range_is_refused(kind, age, step):
    with pytest.raises(ApiError) as caught:
        asked_ranges({f"{kind}_age": age, f"{kind}_incr": step})
    reason = f"Invalid range parameters: age {age}, incr {step}"
    assert (caught.value.status, caught.value.error, caught.value.reason) == (400, "bad_request", reason)


def test_invalid_sample_range_of_a_list_has_another_error_code():
    with pytest.raises(ApiError) as caught:
        asked_ranges({"lengths_age": "60", "lengths_incr": "0"}, listed=True)
    assert caught.value.error == "invalid_range_parameters"


def test_samples_with_the_longest_step_are_encoded(broker, client):
    publish(broker, client, 10)
    wanted = asked_ranges({"msg_rates_age": "9" * 15, "msg_rates_incr": "9" * 15})
    details = sampled(broker.rates, [broker], wanted)("publish")
    assert [sample["sample"] for sample in orjson.loads(orjson.dumps(details))["samples"]] == [10]
