"""Audit of what unauthorised users can access or infer over HTTP: every resource, and every method."""

import re

import pytest

from amqpbroker.management.identity import Access
from amqpbroker.management.routes import RESOURCES
from tests.management.api import Api

HASH = "password_hash"

#: Names in paths, of objects that exist.
NAMES = {
    "vhost": "%2F",
    "user": "guest",
    "node": "rabbit@test",
    "exchange": "amq.topic",
    "component": "vhost-limits",
    "name": "x",
    "password": "x",
    "unit": "days",
    "within": "1",
    "protocols": "amqp",
    "port": "5672",
}

#: Resources that anybody may ask for, and why.
OPEN = {"/login": "it is where users log in", "/version": "as in RabbitMQ", "/auth": "as in RabbitMQ"}


def requests():
    for resource in RESOURCES:
        path = re.sub(r"\{(\w+)(:\w+)?\}", lambda found: NAMES.get(found[1], "x"), resource.path)
        for method in resource.methods:
            if method not in ("HEAD", "OPTIONS"):
                yield pytest.param(resource, method, path[1:], id=f"{method} {resource.path}")


EVERY = pytest.mark.parametrize(("resource", "method", "path"), list(requests()))


@pytest.fixture
def api():
    return Api()


def state(api):
    users = api.broker.users
    return (
        users.list_users(),
        users.list_permissions(),
        users.list_topic_permissions(),
        list(api.broker.vhosts.items()),
        api.broker.parameters.list(),
        api.broker.policies.list(),
        api.broker.global_parameters.list(),
        [(queue.name, queue.ready_count) for queue in api.broker.queues()],
        [list(vhost.exchanges) for vhost in api.broker.vhosts.values()],
    )


@EVERY
async def test_request_without_a_login_gets_no_information(api, resource, method, path):
    if resource.path in OPEN:
        assert resource.access is Access.ANYBODY
        return
    before = state(api)
    answer = await api.request(method, path, auth=None, json={})
    assert (answer.status_code, answer.content) == (401, b"")
    assert state(api) == before


@EVERY
async def test_wrong_login_gets_no_information(api, resource, method, path):
    answer = await api.request(method, path, auth=("guest", "wrong"), json={})
    if resource.path in OPEN and answer.status_code != 401:
        return
    assert (answer.status_code, answer.json()["error"]) == (401, "not_authorized")


@EVERY
async def test_user_without_a_tag_is_refused(api, resource, method, path):
    nobody = api.user("nobody", tags=(), vhosts=["/"])
    if resource.path in OPEN:
        return
    before = state(api)
    answer = await api.request(method, path, auth=nobody, json={})
    assert (answer.status_code, answer.json()) == (
        401,
        {"error": "not_authorised", "reason": "Not management user"},
    )
    assert state(api) == before


@EVERY
async def test_user_without_permissions_sees_no_vhost_and_changes_nothing(api, resource, method, path):
    stranger = api.user("stranger")
    vhost = api.broker.vhosts["/"]
    vhost.declare_queue("very-secret", True, False, False, {})
    api.broker.limits.set_vhost("/", "max-queues", 77)
    before = state(api)
    answer = await api.request(method, path, auth=stranger, json={})
    if "{vhost}" in resource.path and answer.content != b"[]":
        assert answer.status_code == 401
    assert "very-secret" not in answer.text
    assert "77" not in answer.text
    assert state(api) == before


@EVERY
async def test_monitoring_user_changes_nothing(api, resource, method, path):
    watcher = api.user("watcher", tags=("monitoring",))
    if resource.path.startswith("/aliveness-test"):
        return
    before = state(api)
    await api.request(method, path, auth=watcher, json={})
    assert state(api) == before


@EVERY
async def test_only_administrators_see_password_hashes(api, resource, method, path):
    if method != "GET":
        return
    stored = (await api.get("users/guest")).json()[HASH]
    for tag in ("management", "policymaker", "monitoring"):
        answer = await api.get(path, auth=api.user(tag, tags=(tag,), vhosts=["/"]))
        assert HASH not in answer.text
        assert stored not in answer.text


@pytest.mark.parametrize(
    "path",
    [resource.path for resource in RESOURCES if re.match("/(users|permissions|topic-perm|definitions)", resource.path)],
)
def test_users_and_definitions_require_an_administrator(path):
    [resource] = [resource for resource in RESOURCES if resource.path == path]
    assert resource.access is Access.ADMIN
    assert resource.change in (None, Access.ADMIN)


async def test_every_user_with_a_tag_sees_vhost_existence_limits_and_ports(api):
    """As in RabbitMQ; docs/security.md says so."""
    stranger = api.user("stranger")
    api.broker.limits.set_user("guest", "max-channels", 3)
    assert (await api.get("queues/nope", auth=stranger)).status_code == 404
    assert (await api.get("queues/%2F", auth=stranger)).status_code == 401
    assert (await api.get("user-limits", auth=stranger)).json() == [{"user": "guest", "value": {"max-channels": 3}}]
    assert (await api.get("health/checks/port-listener/1", auth=stranger)).json()["ports"] == [5672]
