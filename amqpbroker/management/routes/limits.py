"""Limits of vhosts and of users (rabbit_mgmt_wm_limit*.erl, rabbit_mgmt_wm_user_limit*.erl)."""

from typing import Any

from amqpbroker.management import failure
from amqpbroker.management.call import NO_CONTENT, Answer, Call
from amqpbroker.management.identity import Access
from amqpbroker.management.resource import Resource

_Rows = list[dict[str, Any]]


def vhost_limits(call: Call) -> _Rows:
    return [row for vhost in call.identity.vhosts() for row in _of_vhost(call, vhost.name)]


def vhost_limit(call: Call) -> _Rows:
    return _of_vhost(call, call.definition.name)


def _of_vhost(call: Call, vhost: str) -> _Rows:
    limits = call.broker.limits.vhost(vhost)
    return [{"value": limits, "vhost": vhost}] if limits else []


def put_vhost_limit(call: Call) -> Answer:
    call.broker.limits.set_vhost(call.definition.name, call.path["name"], call.need("value")["value"])
    return NO_CONTENT


def delete_vhost_limit(call: Call) -> Answer:
    call.broker.limits.clear_vhost(call.definition.name, call.path["name"])
    return NO_CONTENT


def user_limits(call: Call) -> _Rows:
    users = sorted(call.broker.users.list_users(), key=lambda user: user.name)
    return [{"user": user.name, "value": dict(user.limits)} for user in users if user.limits]


def user_limit(call: Call) -> _Rows:
    user = call.broker.users.user(call.path["user"])
    return [{"user": user.name, "value": dict(user.limits)}] if user.limits else []


def put_user_limit(call: Call) -> Answer:
    name, value = call.path["name"], call.need("value")["value"]
    try:
        call.broker.users.user(call.path["user"])
    except LookupError:
        raise failure.bad_request(["no_such_user", call.path["user"]]) from None
    call.broker.limits.set_user(call.path["user"], name, value)
    return NO_CONTENT


def delete_user_limit(call: Call) -> Answer:
    call.broker.limits.clear_user(call.path["user"], call.path["name"])
    return NO_CONTENT


RESOURCES = (
    Resource("/vhost-limits", Access.USER, get=vhost_limits),
    Resource("/vhost-limits/{vhost}", Access.VISIBLE, get=vhost_limit),
    Resource(
        "/vhost-limits/{vhost}/{name}",
        Access.ADMIN,
        put=put_vhost_limit,
        delete=delete_vhost_limit,
    ),
    Resource("/user-limits", Access.USER, get=user_limits),
    Resource("/user-limits/{user}", Access.USER, get=user_limit),
    Resource("/user-limits/{user}/{name}", Access.ADMIN, put=put_user_limit, delete=delete_user_limit),
)
