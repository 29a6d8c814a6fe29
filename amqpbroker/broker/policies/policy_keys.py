"""Keys of policy definitions: their valid values, and how two policies are merged.

Source: rabbit_policies.erl and rabbit_policy_merge_strategy.erl, tried on 4.0.5. The keys themselves are rows of the
table of queue arguments.
"""

import math
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final, NamedTuple, Protocol, final

from amqpbroker.broker.policies.ages import age_ms
from amqpbroker.compat import Compat
from amqpbroker.wire.erlang import erlang_entries, erlang_json

#: The name for exchanges, beside the names of the kinds of queues.
EXCHANGE: Final = "exchange"

#: (value of the policy, value of the operator policy) -> the value in force.
Merge = Callable[[Any, Any], Any]


class PolicyKey(NamedTuple):
    """A key of policies. accepts: whether a value is valid. noun: the word for a value in "is not a valid ...".

    merge: for keys that operator policies have, too. of_all: a policy with this key applies to queues of any kind,
    otherwise only to queues of kinds that know the key. of_4_3: the key was added in RabbitMQ 4.3. extension: the key
    is an extension of this broker; with `of_4_3` it is one if the broker behaves as an earlier release.
    """

    accepts: Callable[[object], bool]
    noun: str
    merge: Merge | None = None
    of_all: bool = False
    of_4_3: bool = False
    extension: bool = False

    def is_known(self, compat: Compat) -> bool:
        """Return whether policies can have the key."""
        if self.extension and compat.extensions:
            return True
        return compat.arguments_of_4_3 if self.of_4_3 else not self.extension


class PolicyKind(Protocol):
    """A kind of queue. apply_to: the value of apply-to for queues of this kind only, empty if there is none."""

    @property
    def name(self) -> str: ...
    @property
    def apply_to(self) -> str: ...
    def accepts(self, key: str, compat: Compat) -> bool:
        """Return whether policies with the key apply to queues of this kind, although not to every kind."""


def finite(a: int, b: int) -> int:
    """Return the smaller limit; a negative limit means no limit."""
    return max(a, b) if a < 0 or b < 0 else min(a, b)


def operators(_: object, operator: object) -> object:
    return operator


def is_text(value: object) -> bool:
    return isinstance(value, str)


def is_one_of(*values: object) -> Callable[[object], bool]:
    # True equals 1 in Python, but not in JSON.
    return lambda value: not isinstance(value, bool | float | list | dict) and value in values


def is_integer(low: int | None = None, high: int | None = None) -> Callable[[object], bool]:
    def is_one(value: object) -> bool:
        return (
            isinstance(value, int)
            and not isinstance(value, bool)
            and (low is None or value >= low)
            and (high is None or value <= high)
        )

    return is_one


def is_number(low: float, high: float) -> Callable[[object], bool]:
    """Return a check for numbers from `low` to `high`, which may be fractions, but not infinite."""
    return lambda value: (
        isinstance(value, int | float) and not isinstance(value, bool) and low <= value <= high and value < math.inf
    )


def is_age(value: object) -> bool:
    return isinstance(value, str) and age_ms(value) >= 0


@final
class PolicyKeys:
    """The keys that policies of one broker can have. compat: determines the supported ones."""

    def __init__(self, keys: Mapping[str, PolicyKey], kinds: Iterable[PolicyKind], compat: Compat) -> None:
        self._keys = keys
        self.compat = compat
        self._kinds = list(kinds)
        queues = tuple([kind.name for kind in self._kinds])
        #: apply-to -> exchanges, or kinds of queues.
        self._applies: dict[str, tuple[str, ...]] = {
            "queues": queues,
            **{kind.apply_to: (kind.name,) for kind in self._kinds if kind.apply_to},
            "exchanges": (EXCHANGE,),
            "all": (EXCHANGE, *queues),
        }

    @property
    def apply_to_names(self) -> list[str]:
        """Return the values of apply-to in the order in which RabbitMQ lists them."""
        return list(self._applies)

    def knows_apply_to(self, apply_to: str) -> bool:
        return apply_to in self._applies

    def kinds_of(self, definition: Mapping[str, Any], apply_to: str = "all") -> frozenset[str]:
        """Return what this definition applies to: exchanges, and kinds of queues that know all its keys."""
        keys = [name for name in definition if not self._keys[name].of_all]
        kinds = [kind.name for kind in self._kinds if all(kind.accepts(name, self.compat) for name in keys)]
        return frozenset((EXCHANGE, *kinds)).intersection(self._applies[apply_to])

    def unknown(self, definition: Mapping[str, Any], operator: bool, stored: bool = False) -> list[str]:
        """Return the keys that policies, or operator policies, do not support here, such as those of plugins.

        stored: the policy may have been accepted with another `compat`.
        """
        return [
            name
            for name in sorted(definition)
            if (key := self._keys.get(name)) is None
            or (operator and key.merge is None)
            or not (stored or key.is_known(self.compat))
        ]

    def problem(self, definition: object, operator: bool, stored: bool = False) -> str | None:
        """Return RabbitMQ's error for an invalid definition, None for a valid one. stored: see `unknown`."""
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
        unknown = {name: definition[name] for name in self.unknown(definition, operator, stored)}
        for name in sorted(definition.keys() - unknown.keys()):
            key = self._keys[name]
            if not key.accepts(definition[name]):
                return f"{erlang_json(definition[name])} is not a valid {key.noun}"
        known = {name: value for name, value in definition.items() if name not in unknown}
        if (problem := _delayed_retry_problem(known)) is not None:
            return problem
        if (problem := _group_problem(known)) is not None:
            return problem
        if known.get("consumer-timeout") == 0 and known.keys() & {"consumer-timeout-action", "consumer-timeout-renew"}:
            return "consumer-timeout must be 1 or more (milliseconds) with an action or a renewal"
        return f"{erlang_entries(unknown)} are not recognised policy settings" if unknown else None

    def merged(self, policy: Mapping[str, Any], operator: Mapping[str, Any]) -> dict[str, Any]:
        """Return the definition in force where both apply (rabbit_policy:merge_operator_definitions/2)."""
        both = {**policy, **operator}
        for name in policy.keys() & operator.keys():
            merge = self._keys[name].merge
            if merge is not None:
                both[name] = merge(policy[name], operator[name])
        return both


def _delayed_retry_problem(definition: Mapping[str, Any]) -> str | None:
    """Return the error of an invalid combination of keys (rabbit_quorum_queue:validate_delayed_retry_constraints/1)."""
    returns = definition.get("delayed-retry-type", "disabled")
    least, most = definition.get("delayed-retry-min"), definition.get("delayed-retry-max")
    if least is None:
        return None if returns == "disabled" else f"delayed-retry-min is required when delayed-retry-type is {returns}"
    if most is not None and most < least:
        return f"delayed-retry-max ({most}) must not be smaller than delayed-retry-min ({least})"
    return None


def _group_problem(definition: Mapping[str, Any]) -> str | None:
    """Return the error of keys for message groups that contradict each other, None if they do not."""
    on_dead = definition.get("group-on-dead", "skip")
    if definition.get("group-type") == "fair":
        if "group-prefetch" in definition:
            return "group-prefetch has no effect with group-type fair: leave out one of them"
        if on_dead != "skip":
            return f"group-on-dead {on_dead} needs an order to keep, and group-type fair keeps none"
    limited = "max-length" in definition or "max-length-bytes" in definition
    if on_dead != "skip" and limited and definition.get("overflow") != "reject-publish":
        return f"overflow must be reject-publish when group-on-dead is {on_dead} and the length is limited"
    return None
