import time
from typing import Any

import pytest

from amqpbroker.broker.broker import Broker
from amqpbroker.broker.policies.policies import NO_POLICY, Policy
from amqpbroker.broker.queues.local_queue import LocalQueue
from amqpbroker.broker.queues.streams.queue import StreamQueue
from amqpbroker.broker.vhost import Vhost
from amqpbroker.compat import COMPATS, OLDEST_COMPAT
from amqpbroker.wire.values import longstr
from tests.broker.queueing import clock_of, declare, declare_stream, get, message, publish, ready
from tests.harness import Wire, make_broker
from tests.soak.census import census


@pytest.fixture
def broker() -> Broker:
    return make_broker()


@pytest.fixture
def vhost(broker: Broker) -> Vhost:
    return broker.vhosts["/"]


def put(broker: Broker, definition: dict[str, Any], name: str = "p", pattern: str = "^q", **more: Any) -> Policy:
    policy = Policy("/", name, pattern, definition, **more)
    broker.policies.put(policy)
    return policy


def refusal(broker: Broker, **given: Any) -> str:
    fields: dict[str, Any] = {"name": "p", "pattern": "^q", "definition": {"max-length": 5}}
    with pytest.raises(ValueError, match=r"^Validation failed\n\n") as refused:
        broker.policies.put(Policy("/", **fields | given))
    assert broker.policies.list() == broker.policies.list(operator=True) == []
    return str(refused.value)


# --- definitions ------------------------------------------------------------------------------------------------------


def test_policy_exists_until_it_is_deleted(broker: Broker) -> None:
    policy = put(broker, {"max-length": 5}, apply_to="queues", priority=3)
    operator = put(broker, {"max-length": 5}, operator=True)
    assert broker.policies.get("/", "p") == policy
    assert broker.policies.get("/", "p", operator=True) == operator
    assert broker.policies.list() == broker.policies.list("/") == [policy]
    assert broker.policies.list("other") == []
    broker.policies.delete("/", "p")
    assert (broker.policies.list(), broker.policies.list(operator=True)) == ([], [operator])
    for look in (broker.policies.get, broker.policies.delete):
        with pytest.raises(LookupError, match="policy 'p' in vhost '/' does not exist"):
            look("/", "p")


@pytest.mark.parametrize("operator", [False, True])
def test_deleted_policy_is_freed(broker: Broker, operator: bool) -> None:
    before = census(broker.policies)
    put(broker, {"max-length": 5}, operator=operator)
    broker.policies.delete("/", "p", operator)
    assert census(broker.policies) == before


def test_policy_for_a_missing_vhost_is_an_error(broker: Broker) -> None:
    with pytest.raises(LookupError, match="vhost 'nope' does not exist"):
        broker.policies.put(Policy("nope", "p", "", {"max-length": 5}))


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        ({"definition": {}}, "no policy provided"),
        ({"definition": {"foo": 1}}, '[{<<"foo">>,1}] are not recognised policy settings'),
        ({"pattern": 5}, "pattern should be a binary but was 5"),
        ({"pattern": None}, "pattern should be a binary but was null"),
        ({"pattern": "*"}, 'pattern should be regular expression but is invalid: {"nothing to repeat",0}'),
        ({"priority": "1"}, 'priority should be a number, actually was <<"1">>'),
        ({"priority": None}, "priority should be a number, actually was null"),
        ({"priority": True}, "priority should be a number, actually was true"),
        (
            {"apply_to": "foo"},
            "apply-to 'foo' unrecognised; should be one of: 'queues', 'classic_queues',  'quorum_queues', 'streams',"
            " 'exchanges', or 'all'",
        ),
        ({"operator": True, "definition": {"queue-mode": "lazy"}},
         '[{<<"queue-mode">>,<<"lazy">>}] are not recognised policy settings'),
    ],
)  # fmt: skip
def test_invalid_policy_is_refused(broker: Broker, given: dict[str, Any], reason: str) -> None:
    assert refusal(broker, **given) == f"Validation failed\n\n{reason}\n"


def test_error_for_an_invalid_policy_lists_all_problems(broker: Broker) -> None:
    assert refusal(broker, definition={"expires": 0}, pattern=1, priority="x", apply_to=None) == (
        "Validation failed\n\n0 is not a valid queue expiry\napply-to 'null' unrecognised; should be one of: 'queues',"
        " 'classic_queues',  'quorum_queues', 'streams', 'exchanges', or 'all'\npattern should be a binary but was 1\n"
        'priority should be a number, actually was <<"x">>\n'
    )


@pytest.mark.parametrize("priority", [-1, 1.5, 10**20])
def test_policy_priority_may_be_any_number(broker: Broker, vhost: Vhost, priority: float) -> None:
    policy = put(broker, {"max-length": 5}, priority=priority)
    assert declare(vhost).policy == policy


# --- choice of the policy in force ------------------------------------------------------------------------------------


def test_policy_of_highest_priority_then_first_name_is_in_force(broker: Broker, vhost: Vhost) -> None:
    put(broker, {"max-length": 1}, "low")
    high = put(broker, {"max-length-bytes": 2}, "high", priority=1)
    queue = declare(vhost)
    assert queue.policy == high
    assert (queue.settings.max_length, queue.settings.max_length_bytes) == (-1, 2)
    first = put(broker, {"expires": 5}, "a", priority=1)
    assert queue.policy == first
    broker.policies.delete("/", "a")
    assert queue.policy == high


@pytest.mark.parametrize(
    ("apply_to", "expected"),
    [
        ("all", ["classic", "quorum", "stream", "exchange"]),
        ("queues", ["classic", "quorum", "stream"]),
        ("classic_queues", ["classic"]),
        ("quorum_queues", ["quorum"]),
        ("exchanges", ["exchange"]),
        ("streams", ["stream"]),
    ],
)
def test_policy_applies_to_queues_and_exchanges_by_its_apply_to(
    broker: Broker, vhost: Vhost, apply_to: str, expected: list[str]
) -> None:
    things = {
        "classic": declare(vhost, "q1"),
        "quorum": declare(vhost, "q2", queue_type="quorum"),
        "stream": declare_stream(vhost, "q4"),
        "exchange": vhost.declare_exchange("q3", "direct", False, False, False, {}),
    }
    put(broker, {"max-length-bytes": 5}, apply_to=apply_to)
    assert [kind for kind, thing in things.items() if thing.policy is not None] == expected


def test_policy_with_an_unsupported_key_does_not_apply_to_a_queue() -> None:
    broker = make_broker(compat=OLDEST_COMPAT)
    vhost = broker.vhosts["/"]
    low = put(broker, {"max-length": 77}, "low", priority=-5)
    put(broker, {"max-length": 5, "delivery-limit": 3})
    assert declare(vhost, "q1").policy == low
    quorum = declare(vhost, "q2", queue_type="quorum")
    assert (quorum.settings.max_length, quorum.settings.delivery_limit) == (5, 3)


@pytest.mark.parametrize(
    "definition",
    [
        {"max-age": "1h", "message-ttl": 5},
        {"max-length": 5},
        {"max-age": "1h", "overflow": "drop-head"},
        {"max-age": "1h", "expires": 600_000},
        {"max-age": "1h", "dead-letter-exchange": "x"},
        {"max-length-bytes": 5, "delivery-limit": 3},
    ],
)
def test_policy_with_a_key_of_other_queues_does_not_apply_to_a_stream(
    broker: Broker, vhost: Vhost, definition: dict[str, Any]
) -> None:
    low = put(broker, {"max-age": "2h"}, "low", priority=-5)
    put(broker, definition)
    stream = declare_stream(vhost)
    assert stream.policy == low
    assert (stream.settings.max_age_ms, stream.settings.max_length_bytes) == (7_200_000, -1)


def test_policy_of_a_stream_wins_over_its_arguments(broker: Broker, vhost: Vhost) -> None:
    stream = declare_stream(vhost, max_age="1h", max_length_bytes=5000)
    assert (stream.settings.max_age_ms, stream.settings.max_length_bytes) == (3_600_000, 5000)
    put(broker, {"max-age": "2h", "max-length-bytes": 9000}, apply_to="streams")
    assert (stream.settings.max_age_ms, stream.settings.max_length_bytes) == (7_200_000, 9000)
    put(broker, {"max-age": "1m"})
    assert (stream.settings.max_age_ms, stream.settings.max_length_bytes) == (60_000, 5000)
    broker.policies.delete("/", "p")
    assert (stream.settings.max_age_ms, stream.settings.max_length_bytes) == (3_600_000, 5000)


def test_operator_policy_lowers_the_policy_of_a_stream(broker: Broker, vhost: Vhost) -> None:
    stream = declare_stream(vhost)
    put(broker, {"max-length-bytes": 9000})
    put(broker, {"max-length-bytes": 5000}, "op", operator=True)
    assert stream.settings.max_length_bytes == 5000


def test_segment_size_of_a_stream_is_that_of_its_policy_at_its_declaration(broker: Broker, vhost: Vhost) -> None:
    put(broker, {"stream-max-segment-size-bytes": 1000})
    small = declare_stream(vhost, "q1")
    put(broker, {"stream-max-segment-size-bytes": 100_000})
    large = declare_stream(vhost, "q2")
    assert [publish_and_count_segments(broker, small) for _ in range(5)] == [1, 1, 2, 2, 3]
    assert [publish_and_count_segments(broker, large) for _ in range(5)] == [1] * 5


def publish_and_count_segments(broker: Broker, stream: StreamQueue) -> int:
    """Publish a message that takes half of a segment of 1,000 bytes."""
    stream.publish(message(b"x" * 400))
    broker.sync()
    return stream.info().segments


def test_new_policy_removes_the_oldest_messages_of_a_stream_at_once(broker: Broker, vhost: Vhost) -> None:
    stream = declare_stream(vhost, stream_max_segment_size_bytes=1000)
    for _ in range(9):
        stream.publish(message(b"x" * 400))
        broker.sync()
    put(broker, {"max-length-bytes": 2000})
    assert 0 < stream.ready_count < 9


def test_policy_pattern_matches_anywhere_and_empty_one_matches_all(broker: Broker, vhost: Vhost) -> None:
    one, other = declare(vhost, "my.q"), declare(vhost, "mine")
    put(broker, {"max-length": 5}, pattern="q$")
    assert (one.settings.max_length, other.settings.max_length) == (5, -1)
    put(broker, {"max-length": 6}, pattern="")
    assert (one.settings.max_length, other.settings.max_length) == (6, 6)


def test_policy_does_not_apply_to_other_vhosts(broker: Broker, vhost: Vhost) -> None:
    other = declare(broker.add_vhost("other"))
    put(broker, {"max-length": 5})
    assert other.policy is None
    assert declare(broker.vhosts["other"], "q2").policy is None


def test_objects_without_policy_share_one_empty_object(vhost: Vhost) -> None:
    queue = declare(vhost)
    assert queue.effective is NO_POLICY
    assert (queue.policy, queue.operator_policy, queue.effective_policy) == (None, None, {})


def test_policy_and_operator_policy_are_merged(broker: Broker, vhost: Vhost) -> None:
    queue = declare(vhost)
    policy = put(broker, {"max-length": 5, "overflow": "drop-head"})
    operator = put(broker, {"max-length": 3, "overflow": "reject-publish", "expires": 1000}, "op", operator=True)
    assert (queue.policy, queue.operator_policy) == (policy, operator)
    assert queue.effective_policy == {"max-length": 3, "overflow": "reject-publish", "expires": 1000}
    assert (queue.settings.max_length, queue.settings.overflow, queue.settings.expires_ms) == (
        3,
        "reject-publish",
        1000,
    )
    broker.policies.delete("/", "p")
    broker.policies.put(Policy("/", "op", "^q", {"expires": 7}, operator=True))
    assert (queue.policy, queue.effective_policy) == (None, {"expires": 7})


def test_queues_with_the_same_policies_share_one_object(broker: Broker, vhost: Vhost) -> None:
    put(broker, {"max-length": 5})
    assert declare(vhost, "q1").effective is declare(vhost, "q2").effective


# --- immediate effect -------------------------------------------------------------------------------------------------


def test_max_length_policy_starts_and_ends_at_once(broker: Broker, vhost: Vhost) -> None:
    queue = declare(vhost)
    publish(queue, *[b"%d" % number for number in range(5)])
    put(broker, {"max-length": 2})
    assert ready(queue) == [b"3", b"4"]
    broker.policies.delete("/", "p")
    publish(queue, b"5")
    assert ready(queue) == [b"3", b"4", b"5"]


def test_messages_over_the_limit_are_dead_lettered_by_the_same_policy(broker: Broker, vhost: Vhost) -> None:
    grave, queue = declare(vhost, "grave"), declare(vhost)
    publish(queue, b"1", b"2")
    put(broker, {"max-length": 1, "dead-letter-exchange": "", "dead-letter-routing-key": "grave"})
    assert (ready(grave), ready(queue)) == ([b"1"], [b"2"])


def test_queue_expiry_starts_and_stops_with_the_policy(broker: Broker, vhost: Vhost) -> None:
    queue = declare(vhost)
    clock_of(vhost).advance(900)
    put(broker, {"expires": 1000})
    clock_of(vhost).advance(900)
    assert "q" in vhost.queues
    broker.policies.delete("/", "p")
    clock_of(vhost).advance(5000)
    assert vhost.queues["q"] is queue
    put(broker, {"expires": 1000})
    clock_of(vhost).advance(1000)
    assert vhost.queues == {}


def test_policy_change_for_other_queues_does_not_restart_queue_expiry(broker: Broker, vhost: Vhost) -> None:
    declare(vhost)
    put(broker, {"expires": 1000})
    clock_of(vhost).advance(900)
    put(broker, {"expires": 1000}, "other", "^other")
    clock_of(vhost).advance(100)
    assert vhost.queues == {}


def test_ttl_of_a_policy_applies_to_later_publishes_only(broker: Broker, vhost: Vhost) -> None:
    queue = declare(vhost)
    publish(queue, b"1")
    put(broker, {"message-ttl": 10})
    clock_of(vhost).advance(11)
    publish(queue, b"2")
    assert ready(queue) == [b"1", b"2"]
    queue.purge()
    publish(queue, b"3")
    clock_of(vhost).advance(11)
    assert ready(queue) == []


def test_policy_with_too_long_ttl_or_expiry_is_reduced_to_the_maximum(broker: Broker, vhost: Vhost) -> None:
    put(broker, {"message-ttl": 10**30, "expires": 10**30})
    queue = declare(vhost)
    publish(queue, b"1")
    assert queue.settings.message_ttl_ms == queue.settings.expires_ms == 315_360_000_000


# --- delayed retry ----------------------------------------------------------------------------------------------------


def test_policies_delay_returned_messages_from_4_3_on() -> None:
    broker = make_broker(compat=COMPATS["4.3"])
    vhost = broker.vhosts["/"]
    queue = declare(vhost, queue_type="quorum")
    put(broker, {"delayed-retry-type": "all", "delayed-retry-min": 10, "delayed-retry-max": 25})
    put(broker, {"delayed-retry-min": 20}, "op", operator=True)
    assert str(queue.returns.retry) == "all (min: 20ms, max: 25ms)"
    publish(queue, b"1")
    queue.requeue([get(queue)])
    clock_of(vhost).advance(19)
    assert ready(queue) == []
    clock_of(vhost).advance(1)
    assert ready(queue) == [b"1"]
    broker.policies.delete("/", "p")
    assert queue.returns.retry is None
    by_argument = declare(vhost, "q2", queue_type="quorum", delayed_retry_type="failed", delayed_retry_min=30)
    assert str(by_argument.returns.retry) == "failed (min: 20ms, max: 20ms)"


def test_policies_delay_returned_messages_of_all_queues_with_extensions(broker: Broker, vhost: Vhost) -> None:
    queues = [declare(vhost, "q1"), declare(vhost, "q2", max_priority=5), declare(vhost, "q3", queue_type="quorum")]
    put(broker, {"delayed-retry-type": "all", "delayed-retry-min": 10, "delayed-retry-multiplier": 3})
    put(broker, {"delayed-retry-multiplier": 2, "delayed-retry-jitter": 0.5}, "op", operator=True)
    assert {str(queue.returns.retry) for queue in queues} == {"all (min: 10ms, max: 100ms, multiplier: 2, jitter: 0.5)"}
    broker.policies.delete("/", "p")
    assert {queue.returns.retry for queue in queues} == {None}


@pytest.mark.parametrize(
    ("key", "value", "noun"),
    [
        ("multiplier", 0.5, "0.5 is not a valid delayed retry multiplier. Must be a number from 1 on"),
        ("multiplier", True, "true is not a valid delayed retry multiplier. Must be a number from 1 on"),
        ("multiplier", "2", '<<"2">> is not a valid delayed retry multiplier. Must be a number from 1 on'),
        ("jitter", 1.1, "1.1 is not a valid delayed retry jitter. Must be a number from 0 to 1"),
    ],
)
def test_policies_with_invalid_delayed_retry_numbers_are_refused(
    broker: Broker, key: str, value: object, noun: str
) -> None:
    assert noun in refusal(broker, definition={f"delayed-retry-{key}": value})


def test_policy_limits_deliveries_of_a_classic_queue_with_extensions(broker: Broker, vhost: Vhost) -> None:
    queue = declare(vhost)
    assert not queue.counts_returns
    put(broker, {"delivery-limit": 3})
    assert (queue.settings.delivery_limit, queue.counts_returns) == (3, True)
    broker.policies.delete("/", "p")
    assert (queue.settings.delivery_limit, queue.counts_returns) == (-1, False)


def test_policies_have_no_delayed_retry_before_4_3_without_extensions() -> None:
    broker = make_broker(compat=OLDEST_COMPAT)
    problem = '[{<<"delayed-retry-min">>,1}] are not recognised policy settings'
    for operator in (False, True):
        assert problem in refusal(broker, definition={"delayed-retry-min": 1}, operator=operator)


# --- exchanges --------------------------------------------------------------------------------------------------------


def test_alternate_exchange_is_set_and_unset_by_its_policy(broker: Broker, vhost: Vhost) -> None:
    client = Wire(broker).log_in()
    client.declare("lost")
    client.call(1, "queue.bind", queue="lost", exchange="amq.fanout", routing_key="")
    definition = {"alternate-exchange": "amq.fanout"}
    for present in (False, True, False):
        if present:
            put(broker, definition, pattern="", apply_to="exchanges")
        elif broker.policies.list():
            broker.policies.delete("/", "p")
        for exchange in ("amq.direct", ""):
            client.publish("nowhere", b"m", exchange)
            # The default exchange never has one.
            assert client.depth("lost") == (present and exchange == "amq.direct")
            vhost.queues["lost"].purge()
            client.publish("nowhere", b"m", exchange)
            client.receive()
            vhost.queues["lost"].purge()
    assert vhost.exchanges["amq.direct"].policy is None


def test_alternate_exchange_argument_overrides_the_policy(broker: Broker, vhost: Vhost) -> None:
    policy = put(broker, {"alternate-exchange": "theirs"}, pattern="^x")
    own = vhost.declare_exchange("x1", "direct", False, False, False, {"alternate-exchange": longstr("mine")})
    bare = vhost.declare_exchange("x2", "direct", False, False, False, {})
    assert (own.alternate, own.policy) == ("mine", policy)
    assert bare.alternate == "theirs"
    broker.policies.delete("/", "p")
    assert (own.alternate, bare.alternate) == ("mine", None)


# --- as parameters ----------------------------------------------------------------------------------------------------

VALUE: dict[str, Any] = {"pattern": "^q", "definition": {"max-length": 5}, "priority": 1, "apply-to": "queues"}


def test_policies_are_listed_as_parameters(broker: Broker) -> None:
    put(broker, {"max-length": 5}, apply_to="queues", priority=1)
    put(broker, {"max-length": 5}, "op", apply_to="queues", priority=1, operator=True)
    assert broker.parameters.list() == [("operator_policy", "/", "op", VALUE)]
    assert broker.parameters.list("policy") == [("policy", "/", "p", VALUE)]


def test_operator_policies_may_be_set_as_parameters_but_policies_may_not(broker: Broker, vhost: Vhost) -> None:
    queue: LocalQueue = declare(vhost)
    broker.parameters.put("operator_policy", "/", "op", VALUE)
    assert queue.settings.max_length == 5
    assert broker.policies.get("/", "op", operator=True).value == VALUE
    broker.parameters.delete("operator_policy", "/", "op")
    assert queue.settings.max_length == -1
    with pytest.raises(ValueError, match=r"^policies may not be set using this method$"):
        broker.parameters.put("policy", "/", "p", VALUE)
    assert broker.policies.list() == []


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (5, "x not a list 5"),
        ({"pattern": "", "definition": {"max-length": 5}}, 'Key "priority" not found in x'),
        (
            {"definition": {"foo": 5}, "bar": 1, "pattern": ""},
            'Unrecognised terms [{<<"bar">>,1}] in x\n[{<<"foo">>,5}] are not recognised policy settings\n'
            'Key "priority" not found in x',
        ),
    ],
)
def test_invalid_policy_parameter_is_refused(broker: Broker, value: object, reason: str) -> None:
    with pytest.raises(ValueError, match=r"^Validation failed\n\n") as refused:
        broker.parameters.put("operator_policy", "/", "x", value)
    assert str(refused.value) == f"Validation failed\n\n{reason}\n"


def test_apply_to_is_optional(broker: Broker) -> None:
    broker.parameters.put("operator_policy", "/", "op", {k: VALUE[k] for k in VALUE if k != "apply-to"})
    assert broker.policies.get("/", "op", operator=True).apply_to == "all"


@pytest.mark.parametrize("operator", [False, True])
@pytest.mark.parametrize("pattern", ["^(a+)+$", "^(a|aa)+$"])
def test_policy_pattern_that_never_ends_matches_nothing(
    broker: Broker, vhost: Vhost, pattern: str, operator: bool
) -> None:
    began = time.process_time()
    put(broker, {"max-length": 5}, pattern=pattern, operator=operator)
    for number in range(50):
        queue = declare(vhost, f"{'a' * 200}!{number}")
        assert (queue.policy, queue.operator_policy) == (None, None)
    assert time.process_time() - began < 2
