"""What a policy can set: the keys of its definition, what each may be, and how two policies are merged.

Source: rabbit_policies.erl and rabbit_policy_merge_strategy.erl, tried on 4.0.5. Keys that mean nothing here are those
of streams and of what belongs to a cluster: they are accepted as RabbitMQ accepts them.
"""

import re
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from amqpbroker.wire.erlang import erlang_entries, erlang_json

_MAX_SEGMENT_SIZE_BYTES = 3_000_000_000

#: The policy's and the operator policy's value -> the one in force.
_Merge = Callable[[Any, Any], Any]


def finite(a: int, b: int) -> int:
    """The smaller limit; a negative one is none."""
    return max(a, b) if a < 0 or b < 0 else min(a, b)


def _operators(_: object, operator: object) -> object:
    return operator


def _string(value: object) -> bool:
    return isinstance(value, str)


def _one_of(*values: object) -> Callable[[object], bool]:
    # True is 1 to Python, but not to JSON.
    return lambda value: not isinstance(value, bool | float | list | dict) and value in values


def _integer(low: int | None = None, high: int | None = None) -> Callable[[object], bool]:
    def is_one(value: object) -> bool:
        return (
            isinstance(value, int)
            and not isinstance(value, bool)
            and (low is None or value >= low)
            and (high is None or value <= high)
        )

    return is_one


def _max_age(value: object) -> bool:
    return isinstance(value, str) and re.fullmatch("[0-9]+[YMDhms]", value, re.ASCII) is not None


_ALL = ("classic", "quorum", "stream")
_NO_STREAM = ("classic", "quorum")
_QUORUM = ("quorum",)


class _Key(NamedTuple):
    """accepts: whether a value will do. noun: what it is "not a valid" one of otherwise.

    queue_types: those whose queues take a policy with this key; no other queue takes anything of such a policy.
    merge: for keys that operator policies have, too.
    """

    accepts: Callable[[object], bool]
    noun: str
    queue_types: tuple[str, ...]
    merge: _Merge | None = None


_LOCATORS = ("client-local", "balanced", "random", "least-leaders")
_RETRIES = ("all", "failed", "returned", "disabled")
_RETRY = f"delayed retry type. Must be one of: {', '.join(_RETRIES)}"
_OVERFLOWS = ("drop-head", "reject-publish", "reject-publish-dlx")

_KEYS: dict[str, _Key] = {
    "alternate-exchange": _Key(_string, "alternate exchange name", _ALL),
    "consumer-timeout": _Key(_integer(0), "consumer timeout", _ALL),
    "dead-letter-exchange": _Key(_string, "dead letter exchange name", _NO_STREAM),
    "dead-letter-routing-key": _Key(_string, "dead letter routing key", _NO_STREAM),
    "dead-letter-strategy": _Key(_one_of("at-most-once", "at-least-once"), "dead letter strategy", _QUORUM),
    "message-ttl": _Key(_integer(0), "message TTL", _NO_STREAM, min),
    "expires": _Key(_integer(1), "queue expiry", _NO_STREAM, min),
    "max-length": _Key(_integer(0), "maximum length", _NO_STREAM, min),
    "max-length-bytes": _Key(_integer(0), "maximum length in bytes", _ALL, min),
    "max-in-memory-length": _Key(_integer(0), "maximum memory in bytes", _QUORUM, min),
    "max-in-memory-bytes": _Key(_integer(0), "maximum memory in bytes", _QUORUM, min),
    "overflow": _Key(_one_of(*_OVERFLOWS), "overflow value", _NO_STREAM, _operators),
    "delivery-limit": _Key(_integer(), "delivery limit", _QUORUM, finite),
    "queue-mode": _Key(_one_of("default", "lazy"), "queue-mode value", ("classic",)),
    "queue-version": _Key(_one_of(1, 2), "queue-version value", _ALL, _operators),
    "max-age": _Key(_max_age, "max age", ("stream",)),
    "stream-max-segment-size-bytes": _Key(_integer(0, _MAX_SEGMENT_SIZE_BYTES), "segment size", ("stream",)),
    "stream-filter-size-bytes": _Key(_integer(16, 255), "filter size. Valid range is 16-255", _ALL),
    "queue-leader-locator": _Key(_one_of(*_LOCATORS), "queue leader locator value", _ALL),
    "queue-master-locator": _Key(_one_of(*_LOCATORS, "min-masters"), "master locator", ("classic",), _operators),
    "delayed-retry-type": _Key(_one_of(*_RETRIES), _RETRY, _ALL, _operators),
    "delayed-retry-min": _Key(_integer(1), "delayed retry minimum delay. Must be a positive integer", _ALL, max),
    "delayed-retry-max": _Key(_integer(1), "delayed retry maximum delay. Must be a positive integer", _ALL, min),
    "consumer-disconnected-timeout": _Key(_integer(0), "consumer disconnected timeout", _ALL),
    "initial-cluster-size": _Key(_integer(0), "cluster size", ("stream",)),
    "target-group-size": _Key(_integer(1), "qq target count value", _QUORUM, _operators),
}

#: Policy keys added in RabbitMQ 4.3.
_KEYS_OF_4_3 = frozenset(
    ("delayed-retry-type", "delayed-retry-min", "delayed-retry-max", "consumer-disconnected-timeout")
)


def kinds_of(definition: Mapping[str, Any]) -> frozenset[str]:
    """What takes a policy with this definition: exchanges always, and queues of the types that take all its keys."""
    types = [kind for kind in _ALL if all(kind in _KEYS[name].queue_types for name in definition)]
    return frozenset(("exchange", *types))


def unknown_keys(definition: Mapping[str, Any], operator: bool, keys_of_4_3: bool) -> list[str]:
    """Return the keys that policies, or operator policies, do not support here, such as those of plugins.

    keys_of_4_3: the keys of RabbitMQ 4.3 are supported.
    """
    return [
        name
        for name in sorted(definition)
        if (key := _KEYS.get(name)) is None
        or (operator and key.merge is None)
        or (name in _KEYS_OF_4_3 and not keys_of_4_3)
    ]


def definition_problem(definition: object, operator: bool, keys_of_4_3: bool = False) -> str | None:
    """Return RabbitMQ's error for an invalid definition, None for a valid one. keys_of_4_3: see `unknown_keys`."""
    if definition == []:
        return "no policy provided"  # some clients write an empty object like this
    if isinstance(definition, list):
        return f"definition must be a dictionary: {erlang_json(definition)}"
    if not isinstance(definition, dict):
        if operator:
            shown = erlang_json(definition)
            return f"parse error while reading policy definition: {shown}. Validator: operator_policy_validator."
        return f"definition should be a map, actually was {erlang_json(definition)}"  # RabbitMQ crashes here
    if not definition:
        return "no policy provided"
    unknown = {name: definition[name] for name in unknown_keys(definition, operator, keys_of_4_3)}
    for name in sorted(definition.keys() - unknown.keys()):
        key = _KEYS[name]
        if not key.accepts(definition[name]):
            return f"{erlang_json(definition[name])} is not a valid {key.noun}"
    if keys_of_4_3 and (problem := _delayed_retry_problem(definition)) is not None:
        return problem
    return f"{erlang_entries(unknown)} are not recognised policy settings" if unknown else None


def _delayed_retry_problem(definition: Mapping[str, Any]) -> str | None:
    """Return the error of an invalid combination of keys (rabbit_quorum_queue:validate_delayed_retry_constraints/1)."""
    returns = definition.get("delayed-retry-type", "disabled")
    least, most = definition.get("delayed-retry-min"), definition.get("delayed-retry-max")
    if least is None:
        return None if returns == "disabled" else f"delayed-retry-min is required when delayed-retry-type is {returns}"
    if most is not None and most < least:
        return f"delayed-retry-max ({most}) must not be smaller than delayed-retry-min ({least})"
    return None


def merged(policy: Mapping[str, Any], operator: Mapping[str, Any]) -> dict[str, Any]:
    """The definition in force where both apply (rabbit_policy:merge_operator_definitions/2)."""
    both = {**policy, **operator}
    for name in policy.keys() & operator.keys():
        merge = _KEYS[name].merge
        if merge is not None:
            both[name] = merge(policy[name], operator[name])
    return both
