"""Policies and operator policies (rabbit_mgmt_wm_polic*.erl, rabbit_mgmt_wm_operator_polic*.erl)."""

from functools import partial
from typing import Any

from amqpbroker.broker.policies.policies import Policy
from amqpbroker.management import failure
from amqpbroker.management.call import NO_CONTENT, Answer, Call, put_answer
from amqpbroker.management.formats.vhosts import shown_policy
from amqpbroker.management.identity import Access
from amqpbroker.management.listing import Listing
from amqpbroker.management.resource import Resource


def policies(call: Call, operator: bool) -> Listing:
    """Return the policies of the vhost in the path, or of all vhosts that the user may use."""
    found = [
        policy
        for policy in call.broker.policies.list(call.path.get("vhost"), operator)
        if call.identity.enters_vhost(policy.vhost)
    ]
    return Listing(found, shown_policy, lambda policy: (policy.vhost, policy.name), paged=False)


def policy(call: Call, operator: bool) -> dict[str, Any]:
    return shown_policy(call.broker.policies.get(call.definition.name, call.path["name"], operator))


def put(call: Call, operator: bool) -> Answer:
    _check_unlocked(call, operator)
    body = call.need("pattern", "definition")
    name = call.path["name"]
    created = all(other.name != name for other in call.broker.policies.list(call.definition.name, operator))
    described = Policy(
        call.definition.name,
        name,
        body["pattern"],
        body["definition"],
        body.get("apply-to", "all"),
        body.get("priority", 0),
        operator,
    )
    try:
        call.broker.policies.put(described)
    except ValueError as error:
        raise failure.bad_request(str(error)) if operator else failure.invalid(error) from error
    return put_answer(created)


def delete(call: Call, operator: bool) -> Answer:
    _check_unlocked(call, operator)
    call.broker.policies.delete(call.definition.name, call.path["name"], operator)
    return NO_CONTENT


def _check_unlocked(call: Call, operator: bool) -> None:
    """Raises ApiError 405 where the configuration has operator policies left as they are."""
    if operator and call.broker.config.management.operator_policy_changes_disabled:
        raise failure.operator_policies_locked()


def _resources(path: str, access: Access, operator: bool) -> tuple[Resource, ...]:
    """access: to a single one."""
    listed = partial(policies, operator=operator)
    return (
        Resource(path, Access.USER, get=listed),
        Resource(path + "/{vhost}", Access.VHOST, get=listed),
        Resource(
            path + "/{vhost}/{name}",
            access,
            get=partial(policy, operator=operator),
            put=partial(put, operator=operator),
            delete=partial(delete, operator=operator),
        ),
    )


RESOURCES = (
    *_resources("/policies", Access.POLICYMAKER, operator=False),
    *_resources("/operator-policies", Access.ADMIN, operator=True),
)
