from urllib.parse import quote

import pytest

from amqpbroker.wire.values import Field, longstr
from tests.harness import Wire
from tests.management.api import Api


@pytest.fixture
def api():
    api = Api()
    api.user("u", tags=(), vhosts=["/"])
    return api


@pytest.fixture
def client(api):
    """Client from another address, with two channels and a consumer on the second."""
    client = Wire(api.broker, host="127.0.0.2").log_in()
    client.call(2, "channel.open")
    client.declare("q")
    client.call(2, "basic.qos", prefetch_count=5)
    client.consume("q", "tag", channel=2)
    client.publish("q", b"x")
    client.receive()
    return client


@pytest.fixture
def other(api):
    """Another user's."""
    api.broker.users.add_user("somebody", "p")
    api.broker.users.set_permissions("somebody", "/", ".*", ".*", ".*")
    return Wire(api.broker).log_in("somebody", "p")


def quoted(client, suffix=""):
    return quote(client.connection.name + suffix, safe="")


def names(answer):
    return [row["name"] for row in answer.json()]


async def test_connections(api, client):
    (row,) = (await api.get("connections")).json()
    assert row["name"] == client.connection.name == "127.0.0.2:40000 -> 127.0.0.1:5672"
    assert (row["user"], row["vhost"], row["node"], row["channels"]) == ("guest", "/", "rabbit@test", 2)
    assert (row["state"], row["protocol"], row["auth_mechanism"]) == ("running", "AMQP 0-9-1", "PLAIN")
    assert row["client_properties"]["capabilities"]["consumer_cancel_notify"] is True
    assert row["ssl_protocol"] is None
    alone = (await api.get(f"connections/{quoted(client)}")).json()
    assert alone == {**row, **{key: "" for key in row if row[key] is None}}
    assert (await api.get("vhosts/%2F/connections")).json() == [row]
    assert (await api.get("connections?disable_stats=true")).json() == [
        {"name": row["name"], "vhost": "/", "user": "guest", "node": "rabbit@test"}
    ]


async def test_channels(api, client):
    first, second = (await api.get("channels")).json()
    assert (first["number"], second["number"]) == (1, 2)
    assert second["name"] == f"{client.connection.name} (2)"
    assert (second["prefetch_count"], second["consumer_count"], second["messages_unacknowledged"]) == (5, 1, 1)
    assert second["connection_details"] == {
        "name": client.connection.name,
        "peer_host": "127.0.0.2",
        "peer_port": 40000,
    }
    assert first["message_stats"]["publish"] == 1
    assert second["message_stats"]["deliver"] == 1
    assert (await api.get(f"connections/{quoted(client)}/channels")).json() == [first, second]
    assert (await api.get("vhosts/%2F/channels")).json() == [first, second]
    alone = (await api.get(f"channels/{quoted(client, ' (2)')}")).json()
    assert [each["consumer_tag"] for each in alone["consumer_details"]] == ["tag"]
    assert (await api.get(f"channels/{quoted(client, ' (3)')}")).status_code == 404
    assert (await api.get("channels/nope")).status_code == 404


async def test_channels_and_consumers_show_the_client_provided_connection_name(api):
    client = Wire(api.broker).log_in(connection_name="till-7")
    client.declare("q")
    client.consume("q", "tag")
    (channel,) = (await api.get("channels")).json()
    assert channel["connection_details"]["user_provided_name"] == "till-7"
    for path in ("consumers", "consumers/%2F"):
        (consumer,) = (await api.get(path)).json()
        assert consumer["channel_details"]["user_provided_name"] == "till-7"


async def test_global_prefetch_count_of_a_channel_is_shown_only_if_set(api, client):
    assert "global_prefetch_count" not in (await api.get("channels")).json()[0]
    client.call(1, "basic.qos", prefetch_count=7, global_=True)
    assert (await api.get("channels")).json()[0]["global_prefetch_count"] == 7


async def test_consumers(api, client):
    rows = (await api.get("consumers")).json()
    assert [(row["consumer_tag"], row["queue"]["name"], row["prefetch_count"]) for row in rows] == [("tag", "q", 5)]
    assert (await api.get("consumers/%2F")).json() == rows
    assert (await api.get("consumers/nope")).status_code == 404


@pytest.mark.parametrize("path", ["channels", "consumers"])
async def test_channel_and_consumer_lists_are_refused_if_stats_are_disabled(api, path):
    answer = await api.get(f"{path}?disable_stats=true")
    assert (answer.status_code, answer.json()["reason"]) == (400, "Stats in management UI are disabled on this node")


async def test_connection_closed_over_http_gets_the_reason_of_the_request(api, client):
    path = f"connections/{quoted(client)}"
    assert (await api.delete(path, headers={"X-Reason": "because"})).status_code == 204
    (close,) = client.receive()
    assert close.arguments["reply_text"] == "CONNECTION_FORCED - because"
    assert (await api.get(path)).json()["state"] == "closing"
    client.send(0, "connection.close-ok")
    assert (await api.delete(path)).status_code == 404
    assert (await api.get(path)).status_code == 404


async def test_connection_closed_over_http_without_a_reason_gets_the_default(api, client):
    await api.delete(f"connections/{quoted(client)}")
    (close,) = client.receive()
    assert close.arguments["reply_text"] == "CONNECTION_FORCED - Closed via management plugin"


async def test_connections_of_a_user_are_listed_and_closed(api, client, other):
    row = {"name": other.connection.name, "vhost": "/", "user": "somebody", "node": "rabbit@test"}
    assert (await api.get("connections/username/somebody")).json() == [row]
    assert (await api.get("connections/username/nobody")).json() == []
    assert (await api.delete("connections/username/somebody")).status_code == 204
    other.send(0, "connection.close-ok")
    assert names(await api.get("connections")) == [client.connection.name]


# --- who sees and does what -------------------------------------------------------------------------------------------

OWN_ONLY = {"error": "not_authorised", "reason": "User not authorised to access object"}


async def test_management_user_sees_and_closes_only_its_own_connections(api, client, other):
    other.declare("own", exclusive=True)
    other.consume("own", "own")
    api.broker.users.set_tags("somebody", ["management"])
    auth = "somebody", "p"
    for path in ("connections", "vhosts/%2F/connections"):
        assert names(await api.get(path, auth=auth)) == [other.connection.name]
    for path in ("channels", "vhosts/%2F/channels"):
        assert names(await api.get(path, auth=auth)) == [f"{other.connection.name} (1)"]
    assert [row["consumer_tag"] for row in (await api.get("consumers", auth=auth)).json()] == ["own"]
    for path in (
        f"connections/{quoted(client)}",
        f"connections/{quoted(client)}/channels",
        f"channels/{quoted(client, ' (1)')}",
        "connections/username/guest",
    ):
        answer = await api.get(path, auth=auth)
        assert (answer.status_code, answer.json()) == (401, OWN_ONLY), path
    for path in (f"connections/{quoted(client)}", "connections/username/guest"):
        answer = await api.delete(path, auth=auth)
        assert (answer.status_code, answer.json()) == (401, OWN_ONLY), path
    assert (await api.delete(f"connections/{quoted(other)}", auth=auth)).status_code == 204


async def test_monitoring_user_sees_all_connections_and_closes_none(api, client, other):
    auth = api.user("watcher", tags=("monitoring",))
    assert len((await api.get("connections", auth=auth)).json()) == 2
    assert len((await api.get("channels", auth=auth)).json()) == 3
    assert (await api.get(f"connections/{quoted(client)}", auth=auth)).status_code == 200
    assert (await api.get("connections/username/guest", auth=auth)).status_code == 200
    for path in (f"connections/{quoted(client)}", "connections/username/guest"):
        answer = await api.delete(path, auth=auth)
        assert (answer.status_code, answer.json()) == (401, OWN_ONLY)
    assert (await api.get("vhosts/%2F/connections", auth=auth)).status_code == 401


# --- locks ------------------------------------------------------------------------------------------------------------


@pytest.fixture
def locked(api):
    """Client with a delivery whose lock lasts a second."""
    client = Wire(api.broker).log_in()
    arguments = {"x-consumer-timeout": Field("I", 1000), "x-consumer-timeout-action": longstr("return")}
    client.declare("locked", arguments=arguments)
    client.consume("locked", "tag")
    client.publish("locked", b"x")
    client.receive()
    return client


async def test_lock_is_renewed(api, locked):
    renew = f"channels/{quoted(locked, ' (1)')}/deliveries/1/renew"
    clock = api.broker.clock
    assert (await api.post(renew, {"timeout": 5000})).status_code == 204
    clock.advance(4999)
    assert (await api.post(renew)).status_code == 204
    clock.advance(999)
    assert locked.receive() == []
    clock.advance(1)
    assert [got.arguments["redelivered"] for got in locked.receive()] == [True]
    assert (await api.post(renew)).status_code == 404


async def test_lock_of_0_returns_the_message(api, locked):
    answer = await api.post(f"channels/{quoted(locked, ' (1)')}/deliveries/0/renew", {"timeout": 0})
    assert answer.status_code == 204
    assert [got.arguments["delivery_tag"] for got in locked.receive()] == [2]


@pytest.mark.parametrize("path", [" (2)/deliveries/1", " (1)/deliveries/2", " (1)/deliveries/x", " (1)/deliveries/-1"])
async def test_renewal_of_an_unknown_delivery(api, locked, path):
    suffix, _, rest = path.partition("/")
    assert (await api.post(f"channels/{quoted(locked, suffix)}/{rest}/renew")).status_code == 404


@pytest.mark.parametrize("timeout", ["1", -1, True, 1.5, 1 << 60])
async def test_renewal_for_an_invalid_time(api, locked, timeout):
    answer = await api.post(f"channels/{quoted(locked, ' (1)')}/deliveries/1/renew", {"timeout": timeout})
    assert answer.status_code == 400
    assert "this must be a whole number of milliseconds from 0 to " in answer.json()["reason"]


async def test_only_administrators_renew_locks_of_others(api, locked):
    api.user("monitor", tags=("monitoring",), vhosts=["/"])
    path = f"channels/{quoted(locked, ' (1)')}/deliveries/1/renew"
    for user in ("u", "monitor"):
        assert (await api.post(path, auth=(user, "p"))).status_code == 401


async def test_locks_are_shown(api, locked):
    locked.broker.clock.advance(1000)
    row = (await api.get("queues/%2F/locked")).json()
    assert (row["consumer_timeout_action"], row["consumer_timeout_renew"]) == ("return", None)
    assert row["deliveries_timed_out"] == 1
    (consumer,) = row["consumer_details"]
    assert (consumer["consumer_timeout"], consumer["consumer_timeout_action"]) == (1000, "return")
