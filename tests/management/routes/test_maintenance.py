"""Requests to change the leadership, with brokers that are what a test says."""

import pytest

from amqpbroker.broker.cluster import RefusedError, UnknownBrokerError, UnknownVhostError
from amqpbroker.store.log import UnwrittenError
from tests.management.api import Api
from tests.management.cluster import add_cluster

PATHS = ("leadership/transfer", "maintenance/drain", "maintenance/revive")


@pytest.fixture
def api():
    return Api()


@pytest.fixture
def cluster(api):
    return add_cluster(api)


async def test_requests_name_a_broker_or_leave_the_choice_to_the_cluster(api, cluster):
    transferred = await api.post("leadership/transfer", {"vhost": "v", "broker": "b"})
    assert transferred.json() == {"broker": "b", "hands_over": True}
    assert (await api.post("leadership/transfer", {"vhost": "v"})).status_code == 200
    drained = await api.post("maintenance/drain", {"broker": "b"})
    assert drained.json() == {"broker": "b", "hands_over": False, "vhosts": ["v", "w"]}
    assert (await api.post("maintenance/revive", {"broker": "b"})).json() == {"broker": "b", "hands_over": False}
    rebalanced = await api.post("leadership/rebalance")
    assert rebalanced.json() == {"moves": [{"vhost": "v", "from": "a", "to": "b"}]}
    assert (await api.post("rebalance/queues")).status_code == 204
    assert cluster.requests == [
        ("transfer", "v", "b"),
        ("transfer", "v", ""),
        ("drain", "b"),
        ("revive", "b"),
        ("rebalance",),
        ("rebalance",),
    ]


async def test_leaders_are_shown_as_the_broker_has_last_read_them(api, cluster):
    cluster.led = [("", "a", 3), ("v", "b", 2)]
    assert (await api.get("leadership")).json() == [
        {"vhost": "", "log": "log of ", "leader": "a", "process": "process of a", "epoch": 3},
        {"vhost": "v", "log": "log of v", "leader": "b", "process": "process of b", "epoch": 2},
    ]
    assert (await Api().get("leadership")).json() == []


async def test_a_transfer_names_the_vhost(api, cluster):
    for body, reason in (
        ({"broker": "b"}, "vhost is missing: name the vhost that another broker is to lead"),
        ({"vhosts": "v"}, "vhosts is not known here; the keys are vhost and broker"),
        ({"vhost": 1}, "vhost = 1: this must be the name of a vhost"),
    ):
        answer = await api.post("leadership/transfer", body)
        assert (answer.status_code, answer.json()["reason"]) == (400, reason)
    cluster.error = UnknownVhostError("there is none")
    answer = await api.post("leadership/transfer", {"vhost": "v"})
    assert (answer.status_code, answer.json()["reason"]) == (404, "there is none")


async def test_a_rebalance_without_others_succeeds_as_in_rabbitmq(api):
    assert (await api.post("rebalance/queues")).status_code == 204
    assert (await api.post("leadership/rebalance")).status_code == 409


@pytest.mark.parametrize("body", [None, {}, {"broker": None}])
async def test_the_default_is_the_broker_that_gets_the_request(api, cluster, body):
    for path in PATHS[1:]:
        assert (await api.post(path, body)).status_code == 200
    assert cluster.requests == [("drain", ""), ("revive", "")]


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize(
    ("error", "status", "reason"),
    [
        (RefusedError("start one"), 409, "start one"),
        (UnknownBrokerError("x is none"), 404, "x is none"),
        (UnwrittenError(5, "no answer"), 503, "no answer; repeat the request later"),
    ],
)
async def test_refusals(api, cluster, path, error, status, reason):
    cluster.error = error
    answer = await api.post(path, {"vhost": "v"} if "transfer" in path else {})
    assert (answer.status_code, answer.json()["reason"]) == (status, reason)


@pytest.mark.parametrize("path", PATHS)
async def test_a_broker_without_a_database_refuses(api, path):
    answer = await api.post(path, {})
    assert (answer.status_code, answer.json()["error"]) == (409, "conflict")
    assert "start it and others with one database (store.url)" in answer.json()["reason"]


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ({"brokers": "b"}, "brokers is not known here; the only key is broker"),
        ({"broker": 1}, "broker = 1: this must be the name of a broker"),
    ],
)
async def test_wrong_bodies(api, cluster, body, reason):
    answer = await api.post("maintenance/drain", body)
    assert (answer.status_code, answer.json()["reason"]) == (400, reason)
    assert cluster.requests == []


async def test_only_administrators_may_change_the_leadership(api, cluster):
    api.user("m", tags=("monitoring", "policymaker"))
    for path in PATHS:
        assert (await api.post(path, {}, auth=("m", "p"))).status_code == 401
    assert cluster.requests == []
