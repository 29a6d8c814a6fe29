"""Answers that are made of those of several brokers."""

from amqpbroker.cluster.requests.merged_answers import summed, union


def test_counts_rates_and_samples_are_added_up():
    here = {"publish": 1, "publish_details": {"rate": 0.5, "samples": [{"sample": 3, "timestamp": 5000}]}}
    other = {
        "publish": 2,
        "publish_details": {
            "rate": 1.0,
            "samples": [{"sample": 4, "timestamp": 10000}, {"sample": 2, "timestamp": 5000}],
        },
        "ack": 7,
    }
    assert summed([here, other]) == {
        "publish": 3,
        "publish_details": {
            "rate": 1.5,
            "samples": [{"sample": 4, "timestamp": 10000}, {"sample": 5, "timestamp": 5000}],
        },
        "ack": 7,
    }


def test_rows_that_several_brokers_have_are_shown_once():
    assert union([1], [[2, 1], [], [2]]) == [1, 2]
