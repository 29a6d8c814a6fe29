"""Policies as the API and definitions write them."""

from typing import Any

from amqpbroker.broker.policies.policies import Policy


def shown_policy(policy: Policy) -> dict[str, Any]:
    return {
        "vhost": policy.vhost,
        "name": policy.name,
        "pattern": policy.pattern,
        "apply-to": policy.apply_to,
        "definition": policy.definition,
        "priority": policy.priority,
    }
