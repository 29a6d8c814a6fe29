import pytest

from amqpbroker import __version__
from amqpbroker.broker.node import Listening
from amqpbroker.store.log import UnwrittenError
from tests.cluster.requests.brokers import LOST, Brokers
from tests.harness import Wire, lead_elsewhere
from tests.management.api import Api
from tests.management.cluster import add_cluster, member


@pytest.fixture
def api():
    return Api()


async def test_nodes_list_contains_the_single_node_with_its_values(api):
    (row,) = (await api.get("nodes")).json()
    assert row == (await api.get("nodes/rabbit@test")).json()
    assert (row["name"], row["running"], row["partitions"]) == ("rabbit@test", True, [])
    assert (row["mem_used"], row["mem_limit"], row["mem_alarm"]) == (600, 1000, False)
    assert (row["disk_free"], row["disk_free_limit"], row["disk_free_alarm"]) == (80_000_000, 50_000_000, False)
    assert (row["fd_used"], row["fd_total"]) == (10, 1024)
    assert row["uptime"] == 1_000_000
    assert (await api.get("nodes/rabbit@elsewhere")).status_code == 404


async def test_node_shows_its_own_version_besides_that_of_rabbitmq(api):
    (row,) = (await api.get("nodes")).json()
    assert row["applications"][0]["version"] == "4.0.5"
    assert row["amqpbroker"]["version"] == __version__
    assert (await api.get("overview")).json()["amqpbroker"]["version"] == __version__


async def test_alarms(api):
    api.broker.alarms.set("memory")
    api.broker.alarms.set("disk")
    row = (await api.get("nodes/rabbit@test")).json()
    assert (row["mem_alarm"], row["disk_free_alarm"]) == (True, True)


async def test_node_counts_created_connections_channels_and_queues(api):
    Wire(api.broker).log_in().declare("q")
    row = (await api.get("nodes/rabbit@test")).json()
    assert (row["connection_created"], row["channel_created"], row["queue_created"]) == (1, 1, 1)


async def test_disable_stats_omits_statistics(api):
    assert (await api.get("nodes?disable_stats=true")).json() == [
        {"name": "rabbit@test", "type": "disc", "running": True, "being_drained": False}
    ]


async def test_node_without_a_data_directory_shows_no_disk_space(api, monkeypatch):
    monkeypatch.setattr(type(api.node), "disk_free_bytes", lambda self: None)
    row = (await api.get("nodes/rabbit@test")).json()
    assert (row["disk_free"], row["disk_free_limit"]) == (0, 0)


async def test_node_memory_breakdown_names_streams(api):
    await api.put("queues/%2F/s", {"durable": True, "arguments": {"x-queue-type": "stream"}})
    taken = api.broker.vhosts["/"].queues["s"].info().memory
    memory = (await api.get("nodes/rabbit@test/memory")).json()["memory"]
    assert (memory["queue_procs"], memory["stream_queue_procs"]) == (0, taken)


async def test_node_memory_breakdown_adds_up_to_the_total(api, monkeypatch):
    await api.put("queues/%2F/q", {})
    taken = api.broker.vhosts["/"].queues["q"].info().memory
    monkeypatch.setattr(type(api.node), "memory_bytes", lambda self: 10 * taken)
    memory = (await api.get("nodes/rabbit@test/memory")).json()["memory"]
    assert (memory["queue_procs"], memory["quorum_queue_procs"], memory["other_system"]) == (taken, 0, 9 * taken)
    assert memory["stream_queue_procs"] == 0
    assert memory["total"] == {"erlang": 10 * taken, "rss": 10 * taken, "allocated": 10 * taken}
    relative = (await api.get("nodes/rabbit@test/memory/relative")).json()["memory"]
    assert (relative["queue_procs"], relative["other_system"], relative["total"]) == (10, 90, 100)
    assert (await api.get("nodes/nope/memory")).status_code == 404


async def test_node_shows_memory_and_binary_details_on_request(api):
    row = (await api.get("nodes/rabbit@test")).json()
    assert not {"memory", "binary"} & set(row)
    assert (await api.get("nodes/rabbit@test?memory=true&binary=false")).json() == {
        **row,
        **(await api.get("nodes/rabbit@test/memory")).json(),
    }
    binary = (await api.get("nodes/rabbit@test?binary=true")).json()["binary"]
    assert (len(binary), sum(binary.values())) == (15, 0)


@pytest.mark.parametrize("path", ["ets", "ets/msg_store"])
async def test_node_has_no_ets_tables(api, path):
    assert (await api.get(f"nodes/rabbit@test/memory/{path}")).json() == {"ets_tables_memory": "no_tables"}
    assert (await api.get(f"nodes/nope/memory/{path}")).status_code == 404


# --- several brokers --------------------------------------------------------------------------------------------------


async def test_all_brokers_with_one_database_are_nodes(api):
    (alone,) = (await api.get("nodes")).json()
    add_cluster(
        api,
        member("rabbit@test", leader=True, led=3),
        member("b", drained=True, lag_s=0.5),
        member("c", running=False),
    )
    answering, b, c = (await api.get("nodes")).json()
    more = {
        "led_vhosts": 3, "writes_definitions": True, "drained": False, "address": "rabbit@test:5672",
        "process": "process of rabbit@test", "started": 1, "last_seen": 2, "lag": None,
    }  # fmt: skip
    assert answering == {**alone, **more}
    assert b == {
        "name": "b", "type": "disc", "running": True, "being_drained": True, "led_vhosts": 0,
        "writes_definitions": False, "drained": True, "address": "b:5672", "process": "process of b", "started": 1,
        "last_seen": 2, "lag": 0.5, "amqpbroker": {"version": "1.2"},
    }  # fmt: skip
    assert (c["running"], c["drained"]) == (False, False)
    assert (await api.get("nodes/b")).json() == b
    assert (await api.get("nodes/rabbit@test")).json() == answering
    assert (await api.get("nodes/d")).status_code == 404
    assert (await api.get("nodes/b/memory")).status_code == 404
    assert (await api.get("nodes/rabbit@test/memory")).status_code == 200


async def test_answering_broker_is_found_by_both_of_its_names(api):
    add_cluster(api, member("rabbit@h:1", leader=True), member("rabbit@h:2"))
    for name in ("rabbit@h:1", "rabbit@test"):
        assert (await api.get(f"nodes/{name}")).json()["name"] == "rabbit@h:1"
        assert (await api.get(f"nodes/{name}/memory")).status_code == 200


async def test_a_broker_with_the_name_of_another_one_is_shown_with_its_address(api):
    add_cluster(api, member("rabbit@h:1", leader=True), member("rabbit@h:2"))
    api.node.listeners.append(Listening("http", "127.0.0.1", 15672))
    overview = (await api.get("overview")).json()
    assert overview["node"] == "rabbit@h:1"
    assert {each["node"] for each in overview["listeners"] + overview["contexts"]} == {"rabbit@h:1"}
    for name, status in (("rabbit@h:1", 200), ("rabbit@test", 200), ("rabbit@h:2", 404)):
        assert (await api.get(f"auth/attempts/{name}")).status_code == status
        assert (await api.get(f"healthchecks/node/{name}")).status_code == status
        assert (await api.delete(f"reset/{name}")).status_code == (204 if status == 200 else 404)
        assert (await api.post(f"vhosts/%2F/start/{name}")).status_code == (204 if status == 200 else 400)
        assert (await api.put("queues/%2F/q", {"node": name})).status_code in ((201, 204) if status == 200 else (400,))


async def test_only_the_answering_broker_is_a_node_while_the_database_is_away(api):
    (alone,) = (await api.get("nodes")).json()
    cluster = add_cluster(api, member("rabbit@h:1", leader=True), member("b"))
    cluster.error = UnwrittenError(5, "gone")
    assert (await api.get("nodes")).json() == [alone]
    assert (await api.get("nodes/b")).status_code == 404
    for name in ("rabbit@h:1", "rabbit@test"):
        assert (await api.get(f"nodes/{name}/memory")).status_code == 200
    cluster.error = None
    cluster.found = [member("b")]
    assert (await api.get("nodes")).json() == [alone]


async def test_a_broker_without_a_database_leads_all_vhosts(api):
    assert (await api.get("/leader/%2F")).json() == {"node": "rabbit@test"}


async def test_leader_of_a_vhost_that_another_broker_serves_is_not_this_one(api):
    lead_elsewhere(api.broker, "far away")
    add_cluster(api)
    answer = await api.get("/leader/far%20away")
    assert (answer.status_code, answer.json()["error"]) == (503, "not_leader")
    assert (await api.get("/leader/%2F")).json() == {"node": "rabbit@test"}


async def test_a_leader_that_the_database_does_not_answer_may_have_been_replaced(api):
    cluster = add_cluster(api)
    cluster.reaches = False
    answer = await api.get("/leader/%2F")
    assert (answer.status_code, answer.json()) == (
        503,
        {
            "error": "not_leader",
            "reason": "the database does not answer this broker, and another one may lead vhost '/'",
            "leader": None,
        },
    )


# --- several brokers that share vhosts --------------------------------------------------------------------------------


@pytest.fixture
def brokers():
    made = Brokers("a", "b")
    found = [member("a", leader=True, led=3), member("b", drained=True, led=2), member("c", running=False, led=0)]
    for number, api in enumerate(made.apis.values()):
        add_cluster(api, found[number], *found[:number], *found[number + 1 :])
    return made


async def test_each_broker_says_what_it_knows_of_itself(brokers):
    b, a, c = (await brokers["b"].get("nodes")).json()
    assert [each["name"] for each in (a, b, c)] == ["a", "b", "c"]
    assert [each["led_vhosts"] for each in (a, b, c)] == [3, 2, 0]
    assert [each["writes_definitions"] for each in (a, b, c)] == [True, False, False]
    assert [each["drained"] for each in (a, b, c)] == [False, True, False]
    assert [each["running"] for each in (a, b, c)] == [True, True, False]
    assert ["mem_used" in each for each in (a, b, c)] == [True, True, False]
    assert "leader" not in a
    assert (await brokers["b"].get("nodes/a")).json() == a
    assert (await brokers["b"].get("nodes/c")).json() == c
    assert (await brokers["b"].get("nodes/d")).status_code == 404
    assert (await brokers["b"].get("nodes/a/memory")).status_code == 200
    assert (await brokers["b"].get("nodes/c/memory")).status_code == 404


async def test_a_broker_that_does_not_answer_is_listed_with_what_the_others_know(brokers):
    brokers.faults["a"] = LOST
    answer = await brokers["b"].get("nodes")
    assert ["mem_used" in each for each in answer.json()] == [True, False, False]
    assert answer.headers["x-missing-brokers"] == "a"
    assert (await brokers["b"].get("nodes/a")).json()["led_vhosts"] == 3


async def test_load_balancers_learn_which_broker_leads_a_vhost(brokers):
    brokers.add("v", "a")
    brokers.add("free")
    assert (await brokers["a"].get("/leader/v")).json() == {"node": "a"}
    answer = await brokers["b"].get("/leader/v")
    assert (answer.status_code, answer.json()) == (
        503,
        {"error": "not_leader", "reason": "a leads vhost 'v'", "leader": {"node": "a"}},
    )
    answer = await brokers["b"].get("/leader/free")
    assert (answer.status_code, answer.json()["leader"]) == (503, None)
    assert (await brokers["b"].get("/leader/none")).status_code == 404
