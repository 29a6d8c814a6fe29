"""Brokers that answer a request for a resource, if several share the vhosts."""

import pytest

from amqpbroker.cluster.requests.answered_by import ROWS, AnsweredBy, answered_by
from amqpbroker.management.routes import RESOURCES

#: Resources without a vhost in their path that are changed by the broker that gets the request.
HERE = {
    "/auth/attempts/{node}",
    "/auth/attempts/{node}/source",
    "/feature-flags/{name}/enable",
    "/leadership/rebalance",
    "/leadership/transfer",
    "/login",
    "/maintenance/drain",
    "/maintenance/revive",
    "/rebalance/queues",
    "/reset",
    "/reset/{node}",
}
#: Lists of all brokers.
ALL = {
    "/all-configuration",
    "/batches",
    "/bindings",
    "/channels",
    "/connections",
    "/connections/username/{user}",
    "/consumers",
    "/definitions",
    "/deprecated-features/used",
    "/exchanges",
    "/health/checks/alarms",
    "/jobs",
    "/nodes",
    "/nodes/{node}",
    "/overview",
    "/queues",
    "/queues/detailed",
    "/shovels",
    "/vhosts",
}
#: Definitions of vhosts that all brokers know.
KNOWN = (
    "/health/checks/",
    "/operator-policies/",
    "/parameters/",
    "/permissions/",
    "/policies/",
    "/topic-permissions/",
    "/vhost-limits/",
)


def paths(by, reading):
    return {each.path for each in RESOURCES if _exists(each, reading) and answered_by(each.path, reading) is by}


def _exists(resource, reading):
    changes = (resource.put, resource.post, resource.delete)
    return resource.get is not None if reading else any(each is not None for each in changes)


@pytest.mark.parametrize(
    ("path", "reading", "by"),
    [
        ("/x/{vhost}/{name}", True, AnsweredBy.VHOST),
        ("/x/{vhost}/{name}", False, AnsweredBy.VHOST),
        ("/x/{name}", True, AnsweredBy.HERE),
        ("/x/{name}", False, AnsweredBy.WRITER),
    ],
)
def test_the_path_and_the_method_name_the_broker(path, reading, by):
    assert answered_by(path, reading) is by


def test_the_table_may_name_another_broker():
    path = "/policies/{vhost}/{name}"
    assert (answered_by(path, True), answered_by(path, False)) == (AnsweredBy.HERE, AnsweredBy.WRITER)


def test_each_path_of_the_table_is_one_of_the_api():
    assert ROWS.keys() <= {each.path for each in RESOURCES}


def test_lists_of_all_brokers():
    assert paths(AnsweredBy.ALL, True) == ALL
    assert paths(AnsweredBy.ALL, False) == {"/connections/username/{user}"}


def test_connections_and_channels_are_at_any_broker():
    of_nodes = {path for path in paths(AnsweredBy.HOLDER, True) if path.startswith("/nodes/{node}/memory")}
    assert paths(AnsweredBy.HOLDER, True) - of_nodes == {
        "/connections/{name}",
        "/connections/{name}/channels",
        "/channels/{name}",
    }
    assert paths(AnsweredBy.HOLDER, False) == {"/connections/{name}", "/channels/{name}/deliveries/{tag}/renew"}


def test_definitions_of_vhosts_are_read_here():
    here = {path for path in paths(AnsweredBy.HERE, True) if "{vhost}" in path}
    others = {"/vhosts/{vhost}/permissions", "/vhosts/{vhost}/topic-permissions", "/shovels/vhost/{vhost}/{name}"}
    assert {path for path in here if not path.startswith(KNOWN)} == others
    assert not {path for path in paths(AnsweredBy.VHOST, True) if path.startswith(KNOWN)}


def test_changes_that_are_made_here():
    assert {path for path in paths(AnsweredBy.HERE, False) if "{vhost}" not in path} == HERE
    assert {path for path in paths(AnsweredBy.HERE, False) if "{vhost}" in path} == {"/vhosts/{vhost}/start/{node}"}


def test_changes_of_definitions_of_vhosts_are_made_by_the_writer():
    assert {path for path in paths(AnsweredBy.WRITER, False) if "{vhost}" in path} == {
        "/definitions/{vhost}",
        "/operator-policies/{vhost}/{name}",
        "/parameters/{component}/{vhost}/{name}",
        "/permissions/{vhost}/{user}",
        "/policies/{vhost}/{name}",
        "/shovels/vhost/{vhost}/{name}",
        "/topic-permissions/{vhost}/{user}",
        "/topic-permissions/{vhost}/{user}/{exchange}",
        "/vhost-limits/{vhost}/{name}",
        "/vhosts/{vhost}",
        "/vhosts/{vhost}/deletion/protection",
    }
