import itertools
import platform

import pytest

from amqpbroker import __version__
from amqpbroker.compiled import how_it_runs
from amqpbroker.config import Config, Management
from amqpbroker.config.identity import python
from tests.harness import Wire
from tests.management.api import Api

SECOND = 1000


@pytest.fixture
def api():
    return Api()


async def test_overview_shows_that_the_broker_has_the_testing_api(api):
    api.node.has_testing_api = True
    assert (await api.get("overview")).json()["amqpbroker"]["testing"] is True


async def test_overview_shows_versions_listeners_and_exchange_types(api):
    shown = (await api.get("overview")).json()
    assert (shown["product_name"], shown["rabbitmq_version"]) == ("RabbitMQ", "4.0.5")
    assert shown["erlang_version"] == "27.3.4.1"
    assert shown["erlang_full_version"].startswith("Erlang/OTP 27 [erts-15.2.7] [source] [64-bit] [smp:")
    arguments = {each["name"]: each.pop("arguments") for each in shown["amqpbroker"]["queue_types"]}
    assert {"x-max-age", "x-max-length-bytes", "x-stream-filter-size-bytes"} <= set(arguments["stream"])
    assert "x-max-age" not in arguments["classic"]
    assert "x-message-ttl" not in arguments["stream"]
    assert shown["amqpbroker"] == {
        "version": __version__,
        "python": python(),
        "runs": how_it_runs(),
        "testing": False,
        "extensions": True,
        "queue_types": [
            {"name": "classic", "durable_only": False, "apply_to": "classic_queues", "retains": False},
            {"name": "quorum", "durable_only": True, "apply_to": "quorum_queues", "retains": False},
            {"name": "stream", "durable_only": True, "apply_to": "streams", "retains": True},
        ],
    }
    assert (shown["node"], shown["cluster_name"]) == ("rabbit@test", "amqpbroker@localhost")
    assert [(each["protocol"], each["port"]) for each in shown["listeners"]] == [("amqp", 5672)]
    assert {"direct", "topic", "fanout", "headers", "x-delayed-message"} <= {
        each["name"] for each in shown["exchange_types"]
    }


async def test_overview_shows_the_brokers_own_names_if_configured():
    api = Api(Config(product_identity="amqpbroker"))
    shown = (await api.get("overview")).json()
    assert (shown["product_name"], shown["product_version"]) == ("amqpbroker", __version__)
    assert (shown["erlang_version"], shown["erlang_full_version"]) == (platform.python_version(), python())
    assert (shown["rabbitmq_version"], shown["management_version"]) == ("4.0.5", "4.0.5")


async def test_configured_product_does_not_change_rabbitmq_version():
    """RabbitMQ with product.version = 7.1 answered the same."""
    api = Api(Config(product_name="Acme", product_version="7.1"))
    shown = (await api.get("overview")).json()
    assert (shown["product_name"], shown["product_version"]) == ("Acme", "7.1")
    assert (shown["rabbitmq_version"], shown["management_version"]) == ("4.0.5", "4.0.5")
    assert (await api.get("version")).json() == "7.1"
    exported = (await api.get("definitions")).json()
    assert [exported[key] for key in ("product_name", "product_version", "rabbitmq_version")] == [
        "Acme",
        "7.1",
        "4.0.5",
    ]


async def test_overview_counts_objects_and_messages(api):
    client = Wire(api.broker).log_in()
    client.declare("q")
    client.publish("q", b"x")
    client.publish("q", b"x")
    client.consume("q", "c", channel=1)
    shown = (await api.get("overview")).json()
    assert shown["object_totals"] == {"channels": 1, "connections": 1, "consumers": 1, "exchanges": 8, "queues": 1}
    assert {key: shown["queue_totals"][key] for key in ("messages", "messages_ready", "messages_unacknowledged")} == {
        "messages": 2,
        "messages_ready": 0,
        "messages_unacknowledged": 2,
    }
    assert shown["message_stats"]["publish"] == 2
    assert shown["churn_rates"]["connection_created"] == 1


async def test_overview_shows_rates_and_samples(api):
    api.broker.rates.start()
    client = Wire(api.broker).log_in()
    client.declare("q")
    api.clock.advance(5 * SECOND + 500)
    for _ in range(10):
        client.publish("q")
    api.clock.advance(5 * SECOND + 500)
    query = "msg_rates_age=10&msg_rates_incr=5&lengths_age=10&lengths_incr=5"
    shown = (await api.get(f"overview?{query}")).json()
    details = shown["message_stats"]["publish_details"]
    assert details["rate"] == 2.0
    assert [sample["sample"] for sample in details["samples"]] == [10, 0, 0]
    assert details["avg_rate"] == 1.0
    times = [sample["timestamp"] for sample in details["samples"]]
    assert [later - earlier for later, earlier in itertools.pairwise(times)] == [5000, 5000]
    assert [each["sample"] for each in shown["queue_totals"]["messages_details"]["samples"]] == [10, 0, 0]
    assert "samples" not in (await api.get("overview")).json()["message_stats"]["publish_details"]


@pytest.mark.parametrize("query", ["msg_rates_age=60&msg_rates_incr=0", "node_stats_age=600&node_stats_incr=1"])
async def test_overview_refuses_an_invalid_sample_range(api, query):
    assert (await api.get(f"overview?{query}")).status_code == 400
    assert (await api.get(f"overview?{query}&disable_stats=true")).status_code == 200


@pytest.mark.parametrize(
    ("path", "error"),
    [
        ("queues", "invalid_range_parameters"),
        ("queues/detailed", "invalid_range_parameters"),
        ("queues/%2F", "invalid_range_parameters"),
        ("queues/%2F/q", "bad_request"),
        ("exchanges", "invalid_range_parameters"),
        ("exchanges/%2F/amq.topic", "bad_request"),
        ("vhosts", "invalid_range_parameters"),
        ("vhosts/%2F", "bad_request"),
        ("connections", "bad_request"),
        ("channels", "bad_request"),
        ("nodes", "bad_request"),
    ],
)
async def test_every_resource_with_samples_refuses_an_invalid_sample_range(api, path, error):
    await api.put("queues/%2F/q")
    answer = await api.get(f"{path}?lengths_age=-60&lengths_incr=-5")
    assert answer.status_code == 400
    assert answer.json() == {"error": error, "reason": "Invalid range parameters: age -60, incr -5"}


async def test_management_user_sees_only_its_vhosts_in_the_overview(api):
    api.broker.add_vhost("other")
    guest = Wire(api.broker).log_in()
    guest.declare("q")
    guest.publish("q")
    guest.receive()
    auth = api.user("u", vhosts=["other"])
    shown = (await api.get("overview", auth=auth)).json()
    assert not {"node", "listeners", "contexts"} & set(shown)
    assert shown["object_totals"] == {"channels": 0, "connections": 0, "exchanges": 7, "queues": 0}
    assert shown["message_stats"] == {}
    assert shown["queue_totals"]["messages"] == 0


async def test_disable_stats_omits_statistics(api):
    for each, query in ((api, "?disable_stats=true"), (Api(Config(management=Management(disable_stats=True))), "")):
        shown = (await each.get(f"overview{query}")).json()
        assert not {"message_stats", "queue_totals", "object_totals", "churn_rates"} & set(shown)


async def test_version_extensions_rebalance_and_reset_are_answered(api):
    assert (await api.get("version", auth=None)).json() == "4.0.5"
    assert (await api.get("extensions")).json() == [{"javascript": "dispatcher.js"}]
    for method, path in (("POST", "rebalance/queues"), ("DELETE", "reset"), ("DELETE", "reset/rabbit@test")):
        assert (await api.request(method, path)).status_code == 204
    assert (await api.delete("reset/nope")).status_code == 404


async def test_cluster_name_can_be_changed_by_an_administrator(api):
    assert (await api.put("cluster-name", {"name": "mine"})).status_code == 204
    assert (await api.get("cluster-name")).json() == {"name": "mine"}
    assert (await api.put("cluster-name", {})).json()["reason"] == "[{key_missing,name}]"
    auth = api.user("watcher", tags=("monitoring",))
    assert (await api.put("cluster-name", {"name": "x"}, auth=auth)).status_code == 401


@pytest.mark.parametrize("path", ["federation-links", "traces", "stream/connections", "queues/quorum"])
async def test_resources_of_missing_plugins_are_not_found(api, path):
    assert (await api.get(path)).status_code == 404


async def test_overview_shows_the_configured_cluster_and_node_tags():
    shown = (await Api(Config(cluster_tags=(("region", "eu"),), node_tags=(("zone", "a"),))).get("overview")).json()
    assert (shown["cluster_tags"], shown["node_tags"]) == ({"region": "eu"}, {"zone": "a"})
