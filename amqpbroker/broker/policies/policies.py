"""Policies and operator policies: settings for all queues and exchanges whose names match (rabbit_policy.erl).

At most one policy and one operator policy are in force for a queue or an exchange: the matching one of highest
priority.
"""

from collections.abc import Container, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol, final

from amqpbroker.broker.events.events import UNHEARD, Events
from amqpbroker.broker.policies.auto_dead_letters import form_of, has_form
from amqpbroker.broker.policies.parameters import Component, validation_failed
from amqpbroker.broker.policies.policy_keys import EXCHANGE, PolicyKeys
from amqpbroker.patterns import Pattern, PatternError
from amqpbroker.store.definitions.definitions import Definitions, ParameterDefinition
from amqpbroker.wire.erlang import erlang_characters, erlang_entries, erlang_json, erlang_string

POLICY = "policy"
OPERATOR_POLICY = "operator_policy"


@final
@dataclass(frozen=True, slots=True)
class Policy:
    """A policy as its author defined it. operator: it is an operator policy."""

    vhost: str
    name: str
    pattern: str
    definition: Mapping[str, Any] = field(hash=False)
    apply_to: str = "all"
    priority: float = 0
    operator: bool = False

    @property
    def value(self) -> dict[str, Any]:
        """Return the policy as the value of a parameter of the component policy or operator_policy."""
        return {
            "apply-to": self.apply_to,
            "priority": self.priority,
            "definition": self.definition,
            "pattern": self.pattern,
        }


@final
@dataclass(frozen=True, slots=True)
class Effective:
    """The policies in force for a queue or an exchange, one object for all with the same policies.

    definition: merged of both.
    """

    policy: Policy | None = None
    operator_policy: Policy | None = None
    definition: Mapping[str, Any] = field(default_factory=dict, hash=False)


NO_POLICY = Effective()


class Governed(Protocol):
    """A vhost, whose queues and exchanges the policies apply to."""

    def apply_policies(self) -> None:
        """Apply the policies that are in force now to every queue and exchange."""


@final
class Policies:
    """All policies and operator policies of a broker. A change takes effect at once, in the whole vhost.

    Methods raise LookupError if a policy does not exist, ValueError with RabbitMQ's text if a value is invalid, and
    AmqpError 506 if a change cannot be stored; then nothing has changed.
    """

    def __init__(
        self,
        definitions: Definitions,
        defined: Container[str],
        vhosts: Mapping[str, Governed],
        keys: PolicyKeys,
        events: Events = UNHEARD,
    ) -> None:
        """defined: names of all vhosts. vhosts: those that this broker serves."""
        self._keys = keys
        self._defined = defined
        self._definitions = definitions
        self._events = events
        self._vhosts = vhosts
        self._policies: dict[tuple[bool, str, str], Policy] = {}
        #: (operator, vhost) -> the policies, in order of precedence.
        self._ranked: dict[tuple[bool, str], list[_Ranked]] = {}
        self._effective: dict[tuple[Policy | None, Policy | None], Effective] = {}

    # --- changes ------------------------------------------------------------------------------------------------------

    def check(self, policy: Policy) -> None:
        """Check a policy. Raises ValueError if `put` would refuse it."""
        self.check_value(policy.name, policy.value, policy.operator)

    def check_value(self, name: str, value: object, operator: bool) -> None:
        """Check the value of a parameter. Raises ValueError if `put` would refuse it as a policy."""
        _check(self._keys, name, value, operator)

    def put(self, policy: Policy) -> None:
        """Add a policy, or replace the policy of the same name."""
        self.check(policy)
        if policy.vhost not in self._defined:
            raise LookupError(f"vhost '{policy.vhost}' does not exist")
        self._definitions.put(_stored(policy))
        self._policies[policy.operator, policy.vhost, policy.name] = policy
        self._events.policy_set(policy)
        self._changed(policy.operator, policy.vhost)

    def put_value(self, vhost: str, name: str, value: object, operator: bool) -> None:
        """Put a policy that is written as the value of a parameter."""
        self.check_value(name, value, operator)
        assert isinstance(value, dict)
        self.put(
            Policy(
                vhost,
                name,
                value["pattern"],
                value["definition"],
                value.get("apply-to", "all"),
                value["priority"],
                operator,
            )
        )

    def delete(self, vhost: str, name: str, operator: bool = False) -> None:
        policy = self.get(vhost, name, operator)
        self._definitions.remove(_stored(policy))
        del self._policies[operator, vhost, name]
        self._events.policy_cleared(policy)
        self._changed(operator, vhost)

    def restore(self, stored: ParameterDefinition) -> None:
        """Restore a policy from its stored definition, before there are queues and exchanges."""
        operator = stored.component == OPERATOR_POLICY
        _check(self._keys, stored.name, stored.value, operator, stored=True)
        value = stored.value
        policy = Policy(
            stored.vhost,
            stored.name,
            value["pattern"],
            value["definition"],
            value["apply-to"],
            value["priority"],
            operator,
        )
        self._policies[operator, stored.vhost, stored.name] = policy
        self._rank(operator, stored.vhost)

    def vhost_deleted(self, vhost: str) -> None:
        """Discard the policies of a vhost that is deleted, also from the definitions."""
        for key in [key for key in self._policies if key[1] == vhost]:
            del self._policies[key]
        for operator in (False, True):
            self._ranked.pop((operator, vhost), None)
        self._effective.clear()

    def _changed(self, operator: bool, vhost: str) -> None:
        self._rank(operator, vhost)
        if vhost in self._vhosts:
            self._vhosts[vhost].apply_policies()

    def _rank(self, operator: bool, vhost: str) -> None:
        self._effective.clear()
        ranked = sorted(self.list(vhost, operator), key=lambda policy: (-policy.priority, policy.name))
        if ranked:
            self._ranked[operator, vhost] = [_Ranked(policy, self._keys) for policy in ranked]
        else:
            self._ranked.pop((operator, vhost), None)

    # --- look-ups -----------------------------------------------------------------------------------------------------

    def unknown_keys(self, definition: Mapping[str, Any], operator: bool) -> "list[str]":
        """Return the keys of a definition that are not supported here, such as those of plugins."""
        return self._keys.unknown(definition, operator)

    def get(self, vhost: str, name: str, operator: bool = False) -> Policy:
        policy = self._policies.get((operator, vhost, name))
        if policy is None:
            raise LookupError(f"policy '{name}' in vhost '{vhost}' does not exist")
        return policy

    def list(self, vhost: str | None = None, operator: bool = False) -> "list[Policy]":
        """Return the policies of one vhost or of all vhosts, by vhost and name."""
        found = [
            policy
            for policy in self._policies.values()
            if policy.operator == operator and vhost in (None, policy.vhost)
        ]
        return sorted(found, key=lambda policy: (policy.vhost, policy.name))

    def effective(self, vhost: str, kind: str, name: str) -> Effective:
        """Return the policies in force for an exchange or a queue. kind: "exchange", or the type of the queue."""
        policy = self._matching(False, vhost, kind, name)
        operator_policy = self._matching(True, vhost, kind, name)
        if policy is None and operator_policy is None:
            return NO_POLICY
        effective = self._effective.get((policy, operator_policy))
        if effective is None:
            definition = self._keys.merged(
                {} if policy is None else policy.definition,
                {} if operator_policy is None else operator_policy.definition,
            )
            effective = self._effective[policy, operator_policy] = Effective(policy, operator_policy, definition)
        return effective

    def _matching(self, operator: bool, vhost: str, kind: str, name: str) -> Policy | None:
        for ranked in self._ranked.get((operator, vhost), ()):
            if kind in ranked.kinds and ranked.pattern.found_in(name):
                if ranked.form and kind != EXCHANGE and has_form(name, ranked.form):
                    continue
                return ranked.policy
        return None


class _Ranked:
    """A policy with the data that is needed to match it.

    kinds: the kinds of objects that it can apply to. form: of the names of dead letter queues that it does not apply
    to, "" for none.
    """

    __slots__ = ("form", "kinds", "pattern", "policy")

    def __init__(self, policy: Policy, keys: PolicyKeys) -> None:
        self.policy = policy
        self.pattern = Pattern(policy.pattern)
        self.kinds: frozenset[str] = keys.kinds_of(policy.definition, policy.apply_to)
        self.form: str = form_of(policy.definition, keys.compat)


class PolicyParameters(Component):
    """The policies, or the operator policies, as parameters."""

    def __init__(self, policies: Policies, operator: bool) -> None:
        self._policies = policies
        self._operator = operator

    def check(self, name: str, value: object) -> None:
        if not self._operator:
            raise ValueError("policies may not be set using this method")
        self._policies.check_value(name, value, self._operator)

    def put(self, vhost: str, name: str, value: object) -> None:
        self.check(name, value)
        self._policies.put_value(vhost, name, value, self._operator)

    def delete(self, vhost: str, name: str) -> None:
        self._policies.delete(vhost, name, self._operator)

    def values(self, vhost: str | None) -> list[tuple[str, str, object]]:
        return [(policy.vhost, policy.name, policy.value) for policy in self._policies.list(vhost, self._operator)]


def _stored(policy: Policy) -> ParameterDefinition:
    component = OPERATOR_POLICY if policy.operator else POLICY
    return ParameterDefinition(component, policy.vhost, policy.name, policy.value)


def _check(keys: PolicyKeys, name: str, value: object, operator: bool, stored: bool = False) -> None:
    """Check a policy. Raises ValueError that lists all errors (rabbit_parameter_validation:proplist/3).

    stored: see `PolicyKeys.unknown`.
    """
    if not isinstance(value, dict):
        raise validation_failed(f"{name} not a list {erlang_json(value)}")
    problems = []
    unknown = {key: value[key] for key in value if key not in ("pattern", "definition", "priority", "apply-to")}
    if unknown:
        problems.append(f"Unrecognised terms {erlang_entries(unknown)} in {name}")
    checks = {
        "definition": lambda given: keys.problem(given, operator, stored),
        "apply-to": lambda given: _apply_to_problem(keys, given),
        "pattern": _pattern_problem,
        "priority": _priority_problem,
    }
    for key, check in checks.items():
        problem = check(value[key]) if key in value else None
        if key not in value and key != "apply-to":
            problem = f'Key "{key}" not found in {name}'
        if problem is not None:
            problems.append(problem)
    if problems:
        raise validation_failed(*problems)


def _apply_to_problem(keys: PolicyKeys, given: object) -> str | None:
    if isinstance(given, str) and keys.knows_apply_to(given):
        return None
    shown = given if isinstance(given, str) else erlang_json(given)
    queues, first, *others, last = [f"'{name}'" for name in keys.apply_to_names]
    # RabbitMQ has two spaces here.
    return (
        f"apply-to '{erlang_characters(shown.encode())}' unrecognised; should be one of: {queues}, {first}, "
        f" {', '.join(others)}, or {last}"
    )


def _pattern_problem(given: object) -> str | None:
    if not isinstance(given, str):
        return f"pattern should be a binary but was {erlang_json(given)}"
    try:
        Pattern(given)
    except PatternError as error:
        return f"pattern should be regular expression but is invalid: {{{erlang_string(error.reason)},{error.at}}}"
    return None


def _priority_problem(given: object) -> str | None:
    if isinstance(given, int | float) and not isinstance(given, bool):
        return None
    return f"priority should be a number, actually was {erlang_json(given)}"
