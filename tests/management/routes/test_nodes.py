import pytest

from amqpbroker import __version__
from tests.harness import Wire
from tests.management.api import Api


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
