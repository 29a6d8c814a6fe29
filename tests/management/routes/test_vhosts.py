import pytest

from amqpbroker.errors import not_stored
from amqpbroker.store.definitions.definitions import PermissionDefinition
from tests.cluster.requests.brokers import Brokers
from tests.harness import Wire
from tests.management.api import Api
from tests.management.cluster import add_cluster, member


@pytest.fixture
def api():
    return Api()


async def test_user_who_creates_a_vhost_gets_all_permissions_in_it(api):
    assert (await api.put("vhosts/new")).status_code == 201
    assert (await api.get("permissions/new/guest")).json()["configure"] == ".*"
    await api.delete("permissions/new/guest")
    assert (await api.put("vhosts/new")).status_code == 204
    assert (await api.get("permissions/new/guest")).status_code == 404


async def test_vhost_created_with_the_node_token_has_no_permissions(api):
    headers = {"Authorization": "Bearer the-token"}
    assert (await api.put("vhosts/new", auth=None, headers=headers)).status_code == 201
    assert (await api.get("vhosts/new/permissions")).json() == []


async def test_vhost_shows_its_metadata_and_counts(api):
    body = {"description": "d", "tags": "a, b", "default_queue_type": "quorum"}
    await api.put("vhosts/new", body)
    shown = (await api.get("vhosts/new")).json()
    said = {"description": "d", "tags": ["a", "b"], "default_queue_type": "quorum"}
    assert shown.items() >= {"name": "new", **said, "metadata": said, "tracing": False, "messages": 0}.items()
    assert shown["cluster_state"] == {"rabbit@test": "running"}
    assert shown["messages_ready_details"] == {"rate": 0.0}
    assert shown["message_stats"] == {}
    assert shown["recv_oct"] == 0
    assert "messages" not in (await api.get("vhosts/new?disable_stats=true")).json()
    await api.put("vhosts/new", {"tags": ["x"]})
    shown = (await api.get("vhosts/new")).json()
    assert (shown["description"], shown["tags"], shown["default_queue_type"]) == ("", ["x"], "quorum")


async def test_vhost_tracing_changes_only_if_given(api):
    for body, traced in (({"tracing": True}, True), ({}, True), ({"tracing": "false"}, False), ({}, False)):
        assert (await api.put("vhosts/new", body)).status_code in (201, 204)
        assert (await api.get("vhosts/new")).json()["tracing"] is traced
    answer = await api.put("vhosts/other", {"tracing": 5})
    assert (answer.status_code, answer.json()["reason"]) == (400, ["not_boolean", 5])
    assert (await api.get("vhosts/other")).status_code == 404


async def test_vhosts_show_samples_and_rates(api):
    api.broker.rates.start()
    client = Wire(api.broker).log_in()
    client.declare("q")
    query = "lengths_age=10&lengths_incr=5&msg_rates_age=10&msg_rates_incr=5&data_rates_age=10&data_rates_incr=5"
    assert "samples" not in (await api.get(f"vhosts?{query}")).json()[0]["messages_details"]
    await api.get(f"vhosts/%2F?{query}")
    for _ in range(10):
        client.publish("q")
    api.clock.advance(5_500)
    (listed,) = (await api.get(f"vhosts?{query}")).json()
    for shown in (listed, (await api.get(f"vhosts/%2F?{query}")).json()):
        for details in (shown["messages_details"], shown["message_stats"]["publish_details"]):
            assert [sample["sample"] for sample in details["samples"]] == [10, 0, 0]
            assert (details["avg"], details["avg_rate"]) == (10 / 3, 1.0)
        assert shown["recv_oct_details"]["samples"]
    assert (await api.get("vhosts/%2F")).json()["messages_details"] == {"rate": 2.0}


@pytest.mark.parametrize("body", [{"default_queue_type": "nope"}, {"description": 5}, {"tags": 5}])
async def test_refused_vhost_is_not_created(api, body):
    answer = await api.put("vhosts/new", body)
    assert (answer.status_code, answer.json()["error"]) == (400, "bad_request")
    assert (await api.get("vhosts/new")).status_code == 404


async def test_vhost_is_not_created_if_the_permissions_of_its_maker_cannot_be_stored(api, monkeypatch):
    put = api.broker.definitions.put

    def refuse(*definitions):
        if isinstance(definitions[0], PermissionDefinition):
            raise not_stored("disk full")
        put(*definitions)

    with monkeypatch.context() as full:
        full.setattr(api.broker.definitions, "put", refuse)
        assert (await api.put("vhosts/new")).status_code == 503
    assert (await api.get("vhosts/new")).status_code == 404
    assert (await api.put("vhosts/new")).status_code == 201
    assert (await api.get("permissions/new/guest")).json()["configure"] == ".*"


async def test_user_sees_only_accessible_vhosts(api):
    await api.put("vhosts/new")
    ann = api.user("ann", vhosts=["new"])
    watcher = api.user("watcher", tags=("monitoring",))

    async def names(auth):
        return [row["name"] for row in (await api.get("vhosts", auth=auth)).json()]

    assert await names(ann) == ["new"]
    assert await names(watcher) == ["/", "new"]


async def test_permissions_of_a_vhost_are_listed(api):
    assert (await api.get("vhosts/%2F/permissions")).json() == [
        {"user": "guest", "vhost": "/", "configure": ".*", "write": ".*", "read": ".*"}
    ]
    api.broker.users.set_topic_permissions("guest", "/", "x", "w", "r")
    assert (await api.get("vhosts/%2F/topic-permissions")).json() == [
        {"user": "guest", "vhost": "/", "exchange": "x", "write": "w", "read": "r"}
    ]
    assert (await api.get("vhosts/nope/permissions")).status_code == 404


async def test_deleted_object_is_gone(api):
    await api.put("vhosts/new")
    assert (await api.delete("vhosts/new")).status_code == 204
    assert (await api.delete("vhosts/new")).json() == {"error": "Object Not Found", "reason": "Not Found"}


async def test_protected_vhost_is_not_deleted(api):
    await api.put("vhosts/new")
    assert (await api.post("vhosts/new/deletion/protection")).status_code == 204
    assert (await api.get("vhosts/new")).json()["metadata"]["protected_from_deletion"]
    answer = await api.delete("vhosts/new")
    assert (answer.status_code, answer.json()["error"]) == (412, "precondition_failed")
    assert (await api.delete("vhosts/new/deletion/protection")).status_code == 204
    assert (await api.delete("vhosts/new")).status_code == 204


async def test_starting_a_running_vhost_succeeds(api):
    assert (await api.post("vhosts/%2F/start/rabbit@test")).status_code == 204
    answer = await api.post("vhosts/%2F/start/other")
    assert (answer.status_code, answer.json()["reason"]) == (400, "Request to node other failed with nodedown")


async def test_tracing_of_a_queue_ends_when_the_queue_is_deleted(api):
    assert (await api.put("vhosts/%2F/tracing/q")).status_code == 404
    await api.put("queues/%2F/q", {})
    assert (await api.put("vhosts/%2F/tracing/q")).status_code == 204
    assert (await api.get("vhosts/%2F")).json()["tracing"]
    await api.delete("queues/%2F/q")
    assert not (await api.get("vhosts/%2F")).json()["tracing"]


async def test_tracing_of_a_queue_requires_an_administrator(api):
    await api.put("queues/%2F/q", {})
    api.broker.users.add_user("m", "m", ("monitoring", "policymaker"))
    api.broker.users.set_permissions("m", "/", ".*", ".*", ".*")
    assert (await api.put("vhosts/%2F/tracing/q", auth=("m", "m"))).status_code == 401
    assert "/" not in api.broker.tracing


async def test_vhosts_show_their_leaders_if_brokers_share_them(api):
    assert "leader" not in (await api.get("vhosts/%2F")).json()
    brokers = Brokers("a", "b")
    brokers.add("v", "b")
    brokers.add("free")
    for name in "ab":
        add_cluster(brokers[name], member(name, led=1)).led = [("v", "b", 1)]
    found = {each["name"]: each for each in (await brokers["a"].get("vhosts")).json()}
    assert (found["v"]["leader"], found["free"]["leader"]) == ("b", "")
    assert (found["v"]["cluster_state"], found["free"]["cluster_state"]) == ({"b": "running"}, {})
    assert (await brokers["a"].get("vhosts/v")).json()["leader"] == "b"
