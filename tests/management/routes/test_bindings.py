from urllib.parse import quote, urljoin

import pytest

from tests.management.api import Api

TO_QUEUE = "bindings/%2F/e/x/q/q%2F1"


@pytest.fixture
async def api():
    api = Api()
    for name in "xy":
        await api.put(f"exchanges/%2F/{name}", {})
    await api.put("queues/%2F/q%2F1", {})
    return api


@pytest.mark.parametrize(
    ("routing_key", "arguments", "key"),
    [
        ("", {}, "~"),
        ("k", {}, "k"),
        ("a.*", {}, "a.%2A"),
        ("x y/%~", {}, "x+y%2F%25%7E"),
        ("~", {}, "%7E"),
        ("ü+", {}, "%C3%BC%2B"),
        ("k", {"n": 1}, None),
        ("", {"n": 1}, None),
    ],
)
async def test_binding_is_found_and_deleted_by_its_properties_key(api, routing_key, arguments, key):
    answer = await api.post(TO_QUEUE, {"routing_key": routing_key, "arguments": arguments})
    assert answer.status_code == 201
    (row,) = (await api.get(TO_QUEUE)).json()
    assert (row["routing_key"], row["arguments"], row["source"]) == (routing_key, arguments, "x")
    assert (row["destination"], row["destination_type"], row["vhost"]) == ("q/1", "queue", "/")
    found = row["properties_key"]
    assert key in (None, found)
    assert ("~" in found) == (bool(arguments) or not routing_key)
    location = urljoin(f"/api/{TO_QUEUE}", answer.headers["location"])
    assert location == f"/api/{TO_QUEUE}/{quote(found, safe='~')}"
    for path in (location, f"/api/{TO_QUEUE}/{found}"):
        assert (await api.get(path)).json() == row
    assert (await api.delete(location)).status_code == 204
    assert (await api.delete(location)).status_code == 404
    assert (await api.get(TO_QUEUE)).json() == []


async def test_creating_the_same_binding_again_adds_none(api):
    for _ in range(2):
        assert (await api.post(TO_QUEUE, {"routing_key": "k"})).status_code == 201
    assert len((await api.get(TO_QUEUE)).json()) == 1


async def test_properties_keys_of_bindings_differ_by_arguments(api):
    for arguments in ({"n": 1}, {"n": 2}, {}):
        await api.post(TO_QUEUE, {"routing_key": "k", "arguments": arguments})
    rows = (await api.get(TO_QUEUE)).json()
    assert len({row["properties_key"] for row in rows}) == 3
    for row in rows:
        assert (await api.get(f"{TO_QUEUE}/{row['properties_key']}")).json() == row


async def test_binding_between_exchanges_is_created_listed_and_deleted(api):
    assert (await api.post("bindings/%2F/e/x/e/y", {"routing_key": "k"})).headers["location"] == "y/k"
    (row,) = (await api.get("bindings/%2F/e/x/e/y")).json()
    assert (row["destination"], row["destination_type"]) == ("y", "exchange")
    assert (await api.get("exchanges/%2F/x/bindings/source")).json() == [row]
    assert (await api.get("exchanges/%2F/y/bindings/destination")).json() == [row]
    assert (await api.get("bindings/%2F/e/x/e/y/k")).json() == row
    assert (await api.delete("bindings/%2F/e/x/e/y/k")).status_code == 204


async def test_every_queue_is_bound_to_the_default_exchange(api):
    implied = {
        "source": "",
        "vhost": "/",
        "destination": "q/1",
        "destination_type": "queue",
        "routing_key": "q/1",
        "arguments": {},
        "properties_key": "q%2F1",
    }
    for path in (
        "bindings",
        "bindings/%2F",
        "queues/%2F/q%2F1/bindings",
        "bindings/%2F/e/amq.default/q/q%2F1",
        "exchanges/%2F/amq.default/bindings/source",
    ):
        assert (await api.get(path)).json() == [implied], path


@pytest.mark.parametrize(
    ("path", "status", "error", "reason"),
    [
        ("bindings/%2F/e/nope/q/q%2F1", 404, "not_found", "no exchange 'nope' in vhost '/'"),
        ("bindings/%2F/e/x/q/nope", 404, "not_found", "no queue 'nope' in vhost '/'"),
        ("bindings/%2F/e/amq.default/q/q%2F1", 401, "not_authorised", "Access refused."),
        ("bindings/%2F/e/x/e/amq.default", 401, "not_authorised", "Access refused."),
        ("bindings/%2F/e/x/z/q", 404, "Object Not Found", "Not Found"),
        ("bindings/nope/e/x/q/q", 404, "not_found", "vhost_not_found"),
    ],
)
async def test_invalid_binding_is_refused_with_a_reason(api, path, status, error, reason):
    answer = await api.post(path, {})
    assert (answer.status_code, answer.json()) == (status, {"error": error, "reason": reason})


async def test_bindings_of_an_unknown_exchange_are_an_empty_list(api):
    for path in ("bindings/%2F/e/nope/q/nope", "exchanges/%2F/nope/bindings/source"):
        assert (await api.get(path)).json() == []


@pytest.mark.parametrize("path", ["queues/%2F/nope/bindings", "bindings/%2F/e/amq.default/q/nope"])
async def test_default_exchange_shows_a_binding_for_any_requested_queue_name(api, path):
    """RabbitMQ answers the same."""
    (row,) = (await api.get(path)).json()
    assert (row["source"], row["destination"], row["routing_key"]) == ("", "nope", "nope")


async def test_creating_a_binding_requires_permissions(api):
    auth = api.user("u")
    api.broker.users.set_permissions("u", "/", "", "^q", "")
    answer = await api.post(TO_QUEUE, {}, auth=auth)
    assert (answer.status_code, answer.json()["reason"]) == (401, "Access refused.")
    api.broker.users.set_permissions("u", "/", "", "^q", "^x$")
    assert (await api.post(TO_QUEUE, {}, auth=auth)).status_code == 201
