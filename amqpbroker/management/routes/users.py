"""Users, and what each may do (rabbit_mgmt_wm_user*.erl)."""

from typing import Any

from amqpbroker.broker.users.users import User
from amqpbroker.management import failure
from amqpbroker.management.call import NO_CONTENT, Answer, Call, put_answer
from amqpbroker.management.formats.users import credentials, shown_permission, shown_topic_permission, shown_user
from amqpbroker.management.identity import Access
from amqpbroker.management.listing import Listing
from amqpbroker.management.resource import Resource


def _name(user: User) -> str:
    return user.name


def users(call: Call) -> Listing:
    return Listing(call.broker.users.list_users(), shown_user, _name)


def without_permissions(call: Call) -> Listing:
    """Return the users without permissions in any vhost."""
    having = {user for user, _, _ in call.broker.users.list_permissions()}
    found = [user for user in call.broker.users.list_users() if user.name not in having]
    return Listing(found, shown_user, _name)


def user(call: Call) -> dict[str, Any]:
    return shown_user(call.broker.users.user(call.path["user"]))


def put_user(call: Call) -> Answer:
    """Everything of it anew, but for its permissions and limits."""
    return put_answer(call.broker.users.put_user(call.path["user"], *credentials(call.body())))


def delete_user(call: Call) -> Answer:
    call.broker.users.delete_user(call.path["user"])
    return NO_CONTENT


def bulk_delete(call: Call) -> Answer:
    names = call.need("users")["users"]
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise failure.bad_request("users is to be a list of names")
    existing = {user.name for user in call.broker.users.list_users()}
    for name in dict.fromkeys(names):
        if name in existing:
            call.broker.users.delete_user(name)
    return NO_CONTENT


def permissions(call: Call) -> Listing:
    name = call.broker.users.user(call.path["user"]).name
    return Listing(call.broker.users.list_permissions(name), shown_permission, paged=False)


def topic_permissions(call: Call) -> Listing:
    name = call.broker.users.user(call.path["user"]).name
    return Listing(call.broker.users.list_topic_permissions(name), shown_topic_permission, paged=False)


RESOURCES = (
    Resource("/users", Access.ADMIN, get=users),
    Resource("/users/without-permissions", Access.ADMIN, get=without_permissions),
    Resource("/users/bulk-delete", Access.ADMIN, post=bulk_delete),
    Resource("/users/{user}", Access.ADMIN, get=user, put=put_user, delete=delete_user),
    Resource("/users/{user}/permissions", Access.ADMIN, get=permissions),
    Resource("/users/{user}/topic-permissions", Access.ADMIN, get=topic_permissions),
)
