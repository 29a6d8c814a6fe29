"""Permissions and topic permissions (rabbit_mgmt_wm_permission*.erl, rabbit_mgmt_wm_topic_permission*.erl)."""

from typing import Any

from amqpbroker.management import failure
from amqpbroker.management.call import NO_CONTENT, Answer, Call, put_answer
from amqpbroker.management.formats.users import shown_permission, shown_topic_permission
from amqpbroker.management.identity import Access
from amqpbroker.management.listing import Listing
from amqpbroker.management.resource import Resource


def _patterns(call: Call, *names: str) -> list[str]:
    """These values of the body. Raises ApiError 400 if one is missing or no string."""
    body = call.need(*names)
    found = []
    for name in names:
        if not isinstance(body[name], str):
            raise failure.bad_request(f"{name} is to be a string")
        found.append(body[name])
    return found


def _to_change(call: Call) -> tuple[str, str]:
    """User and vhost of a PUT. Raises ApiError 400 if one of them is not there."""
    user, vhost = call.path["user"], call.path["vhost"]
    if vhost not in call.broker.defined_vhosts or all(each.name != user for each in call.broker.users.list_users()):
        raise failure.bad_request("vhost_or_user_not_found")
    return user, vhost


def permissions(call: Call) -> Listing:
    return Listing(call.broker.users.list_permissions(), shown_permission, lambda listed: listed[:2], paged=False)


def permission(call: Call) -> dict[str, Any]:
    for listed in call.broker.users.list_permissions(call.path["user"], call.path["vhost"]):
        return shown_permission(listed)
    raise failure.not_found()


def put_permission(call: Call) -> Answer:
    user, vhost = _to_change(call)
    patterns = _patterns(call, "configure", "write", "read")
    created = not call.broker.users.list_permissions(user, vhost)
    call.broker.users.set_permissions(user, vhost, *patterns)
    return put_answer(created)


def delete_permission(call: Call) -> Answer:
    permission(call)
    call.broker.users.clear_permissions(call.path["user"], call.path["vhost"])
    return NO_CONTENT


def topic_permissions(call: Call) -> Listing:
    listed = call.broker.users.list_topic_permissions()
    return Listing(listed, shown_topic_permission, lambda listed: listed[:3], paged=False)


def topic_permission(call: Call) -> Listing:
    """Return the user's topic permissions for all exchanges, even if the path names one, as in RabbitMQ."""
    found = call.broker.users.list_topic_permissions(call.path["user"], call.path["vhost"])
    if not found:
        raise failure.not_found()
    return Listing(found, shown_topic_permission, paged=False)


def put_topic_permission(call: Call) -> Answer:
    user, vhost = _to_change(call)
    patterns = _patterns(call, "exchange", "write", "read")
    created = not call.broker.users.list_topic_permissions(user, vhost)
    call.broker.users.set_topic_permissions(user, vhost, *patterns)
    return put_answer(created)


def delete_topic_permission(call: Call) -> Answer:
    """For the exchange of the path, or for all."""
    topic_permission(call)
    call.broker.users.clear_topic_permissions(call.path["user"], call.path["vhost"], call.path.get("exchange"))
    return NO_CONTENT


def _topic(path: str) -> Resource:
    return Resource(
        path,
        Access.ADMIN,
        get=topic_permission,
        put=put_topic_permission,
        delete=delete_topic_permission,
        any_vhost=True,
    )


RESOURCES = (
    Resource("/permissions", Access.ADMIN, get=permissions),
    Resource(
        "/permissions/{vhost}/{user}",
        Access.ADMIN,
        get=permission,
        put=put_permission,
        delete=delete_permission,
        any_vhost=True,
    ),
    Resource("/topic-permissions", Access.ADMIN, get=topic_permissions),
    _topic("/topic-permissions/{vhost}/{user}"),
    _topic("/topic-permissions/{vhost}/{user}/{exchange}"),
)
