"""Keys of policies, with the texts and values of RabbitMQ 4.0.5."""

import pytest

from amqpbroker.broker.policies.policy_keys import finite
from amqpbroker.broker.queues.kinds import policy_keys
from amqpbroker.compat import NEWEST_COMPAT, OLDEST_COMPAT

KEYS = policy_keys(OLDEST_COMPAT)
NEW_KEYS = policy_keys(NEWEST_COMPAT.configured({}, extensions=False))

ACCEPTED: dict[str, list[object]] = {
    "alternate-exchange": ["", "x"],
    "consumer-timeout": [0, 10**13],
    "dead-letter-exchange": ["", "x"],
    "dead-letter-routing-key": ["", "k"],
    "dead-letter-strategy": ["at-most-once", "at-least-once"],
    "message-ttl": [0, 315360000001],
    "expires": [1, 315360000001],
    "max-length": [0, 10**30],
    "max-length-bytes": [0, 5],
    "max-in-memory-length": [0, 5],
    "max-in-memory-bytes": [0, 5],
    "overflow": ["drop-head", "reject-publish", "reject-publish-dlx"],
    "delivery-limit": [-1, 0, 5],
    "queue-mode": ["default", "lazy"],
    "queue-version": [1, 2],
    "max-age": ["1Y", "10s"],
    "stream-max-segment-size-bytes": [0, 3_000_000_000],
    "stream-filter-size-bytes": [16, 255],
    "queue-leader-locator": ["client-local", "balanced", "random", "least-leaders"],
    "queue-master-locator": ["client-local", "balanced", "random", "least-leaders", "min-masters"],
    "initial-cluster-size": [0, 1],
    "target-group-size": [1, 5],
}

REFUSED: list[tuple[str, object, str]] = [
    ("alternate-exchange", 5, "5 is not a valid alternate exchange name"),
    ("consumer-timeout", -1, "-1 is not a valid consumer timeout"),
    ("dead-letter-exchange", [], "[] is not a valid dead letter exchange name"),
    ("dead-letter-routing-key", None, "null is not a valid dead letter routing key"),
    ("dead-letter-strategy", "", "<<>> is not a valid dead letter strategy"),
    ("message-ttl", 1.5, "1.5 is not a valid message TTL"),
    ("expires", 0, "0 is not a valid queue expiry"),
    ("max-length", True, "true is not a valid maximum length"),
    ("max-length", "5", '<<"5">> is not a valid maximum length'),
    ("max-length-bytes", -1, "-1 is not a valid maximum length in bytes"),
    ("max-in-memory-length", {}, "#{} is not a valid maximum memory in bytes"),
    ("max-in-memory-bytes", ["a"], '[<<"a">>] is not a valid maximum memory in bytes'),
    ("overflow", "lazy", '<<"lazy">> is not a valid overflow value'),
    ("delivery-limit", "1", '<<"1">> is not a valid delivery limit'),
    ("queue-mode", 1, "1 is not a valid queue-mode value"),
    ("queue-version", 3, "3 is not a valid queue-version value"),
    ("queue-version", True, "true is not a valid queue-version value"),
    ("queue-version", 1.0, "1.0 is not a valid queue-version value"),
    ("max-age", "1.5h", '<<"1.5h">> is not a valid max age'),
    ("stream-max-segment-size-bytes", 3_000_000_001, "3000000001 is not a valid segment size"),
    ("stream-filter-size-bytes", 256, "256 is not a valid filter size. Valid range is 16-255"),
    ("queue-leader-locator", "min-masters", '<<"min-masters">> is not a valid queue leader locator value'),
    ("queue-master-locator", "foo", '<<"foo">> is not a valid master locator'),
    ("initial-cluster-size", -1, "-1 is not a valid cluster size"),
    ("target-group-size", 0, "0 is not a valid qq target count value"),
]

OPERATORS = {
    "expires",
    "message-ttl",
    "max-length",
    "max-length-bytes",
    "max-in-memory-length",
    "max-in-memory-bytes",
    "overflow",
    "delivery-limit",
    "queue-version",
    "queue-master-locator",
    "target-group-size",
}


@pytest.mark.parametrize("key", ACCEPTED)
def test_valid_value_of_a_policy_key_is_accepted(key: str) -> None:
    for value in ACCEPTED[key]:
        assert KEYS.problem({key: value}, operator=False) is None
        assert (KEYS.problem({key: value}, operator=True) is None) == (key in OPERATORS)


@pytest.mark.parametrize(("key", "value", "problem"), REFUSED)
def test_invalid_value_of_a_policy_key_is_refused(key: str, value: object, problem: str) -> None:
    assert KEYS.problem({key: value}, operator=False) == problem
    if key in OPERATORS:
        assert KEYS.problem({key: value}, operator=True) == problem


def test_empty_policy_definition_is_refused() -> None:
    assert KEYS.problem({}, operator=False) == "no policy provided"
    assert KEYS.problem([], operator=False) == "no policy provided"
    assert KEYS.problem([1], operator=False) == "definition must be a dictionary: [1]"
    assert KEYS.problem(None, operator=False) == "definition should be a map, actually was null"
    problem = "parse error while reading policy definition: null. Validator: operator_policy_validator."
    assert KEYS.problem(None, operator=True) == problem


def test_unknown_policy_keys_are_refused() -> None:
    assert KEYS.problem({"ha-mode": "all", "a": {"b": [None]}, "max-length": 5}, operator=False) == (
        '[{<<"a">>,#{<<"b">> => [null]}},{<<"ha-mode">>,<<"all">>}] are not recognised policy settings'
    )
    assert KEYS.problem({"alternate-exchange": "x"}, operator=True) == (
        '[{<<"alternate-exchange">>,<<"x">>}] are not recognised policy settings'
    )


def test_first_invalid_value_by_name_is_reported_before_unknown_keys() -> None:
    assert KEYS.problem({"max-length": "x", "expires": "y", "foo": 1}, operator=False) == (
        '<<"y">> is not a valid queue expiry'
    )


MIN, MAX = "delayed-retry-min", "delayed-retry-max"


@pytest.mark.parametrize(
    ("definition", "problem"),
    [
        ({"delayed-retry-type": "all", MIN: 1}, None),
        ({"delayed-retry-type": "failed", MIN: 2, MAX: 2}, None),
        ({"delayed-retry-type": "returned", MIN: 2, MAX: 3}, None),
        ({"delayed-retry-type": "disabled"}, None),
        ({"delayed-retry-type": "disabled", MAX: 3}, None),
        ({MIN: 1}, None),
        ({MAX: 1}, None),
        ({"delayed-retry-type": "all"}, "delayed-retry-min is required when delayed-retry-type is all"),
        ({"delayed-retry-type": "failed", MAX: 1}, "delayed-retry-min is required when delayed-retry-type is failed"),
        ({MIN: 2, MAX: 1}, "delayed-retry-max (1) must not be smaller than delayed-retry-min (2)"),
        (
            {"delayed-retry-type": "x"},
            '<<"x">> is not a valid delayed retry type. Must be one of: all, failed, returned, disabled',
        ),
        ({MIN: 0}, "0 is not a valid delayed retry minimum delay. Must be a positive integer"),
        ({MIN: True}, "true is not a valid delayed retry minimum delay. Must be a positive integer"),
        ({MAX: "1"}, '<<"1">> is not a valid delayed retry maximum delay. Must be a positive integer'),
        ({MAX: 1, "foo": 1}, '[{<<"foo">>,1}] are not recognised policy settings'),
    ],
)
@pytest.mark.parametrize("operator", [False, True])
def test_delayed_retry_policy_keys_are_validated_from_4_3_on(
    definition: dict[str, object], problem: str | None, operator: bool
) -> None:
    """Check the rules of rabbit_quorum_queue:validate_policy/1 of 4.3.5, for policies of both kinds."""
    assert NEW_KEYS.problem(definition, operator) == problem
    before = KEYS.problem(definition, operator)
    assert before is not None
    assert before.endswith(" are not recognised policy settings")


def test_operator_policies_have_no_consumer_disconnected_timeout() -> None:
    key = "consumer-disconnected-timeout"
    assert NEW_KEYS.problem({key: 0}, operator=False) is None
    problem = "-1 is not a valid consumer disconnected timeout"
    assert NEW_KEYS.problem({key: -1}, operator=False) == problem
    unknown = '[{<<"consumer-disconnected-timeout">>,0}] are not recognised policy settings'
    assert NEW_KEYS.problem({key: 0}, operator=True) == unknown
    assert KEYS.problem({key: 0}, operator=False) == unknown


@pytest.mark.parametrize(
    ("key", "policy", "operator", "both"),
    [
        ("delayed-retry-type", "all", "failed", "failed"),
        ("delayed-retry-type", "all", "disabled", "disabled"),
        (MIN, 1, 2, 2),
        (MIN, 2, 1, 2),
        (MAX, 1, 2, 1),
        (MAX, 2, 1, 1),
        ("max-length", 5, 7, 5),
        ("max-length", 7, 5, 5),
        ("message-ttl", 1, 2, 1),
        ("expires", 2, 1, 1),
        ("max-length-bytes", 1, 2, 1),
        ("max-in-memory-bytes", 3, 2, 2),
        ("overflow", "drop-head", "reject-publish", "reject-publish"),
        ("queue-version", 2, 1, 1),
        ("delivery-limit", 5, -1, 5),
        ("delivery-limit", -1, 5, 5),
        ("delivery-limit", 3, 5, 3),
        ("delivery-limit", -5, -2, -2),
    ],
)
def test_operator_policy_merges_with_policy_to_the_stricter_value(
    key: str, policy: object, operator: object, both: object
) -> None:
    assert KEYS.merged({key: policy}, {key: operator}) == {key: both}


def test_merged_policies_keep_keys_that_only_one_defines() -> None:
    assert KEYS.merged({"overflow": "drop-head"}, {"expires": 5}) == {"overflow": "drop-head", "expires": 5}


@pytest.mark.parametrize(
    ("keys", "kinds"),
    [
        (["max-length"], {"exchange", "classic", "quorum"}),
        (["max-length", "delivery-limit"], {"exchange", "quorum"}),
        (["queue-mode"], {"exchange", "classic"}),
        ([MIN, "max-length"], {"exchange", "classic", "quorum"}),
        (["consumer-disconnected-timeout"], {"exchange", "classic", "quorum", "stream"}),
        (["max-age", "max-length-bytes"], {"exchange", "stream"}),
        (["max-age", "delivery-limit"], {"exchange"}),
        (["alternate-exchange", "queue-version"], {"exchange", "classic", "quorum", "stream"}),
    ],
)
def test_policy_applies_only_to_queue_types_that_know_all_its_keys(keys: list[str], kinds: set[str]) -> None:
    assert KEYS.kinds_of(dict.fromkeys(keys)) == kinds


def test_negative_limit_means_no_limit() -> None:
    assert (finite(-1, 5), finite(5, -1), finite(3, 5), finite(-1, -1)) == (5, 5, 3, -1)
