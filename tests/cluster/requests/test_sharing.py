"""Requests to brokers that share vhosts."""

import asyncio
import json
from urllib.parse import quote

import pytest

from amqpbroker.broker.storage import Storage
from amqpbroker.cluster.requests import part_memory, sharing
from amqpbroker.config import Config, Management
from amqpbroker.management.peer_requests import PART, SENDER
from amqpbroker.store.log import FencedError
from amqpbroker.store.persistence import Persistence
from tests.broker.storing import StepCommitter
from tests.broker.test_storage import Kept
from tests.cluster.requests.brokers import LOST, REFUSED, Brokers
from tests.harness import Wire
from tests.management.api import Api
from tests.memory_log import MemoryLog


@pytest.fixture
def brokers():
    brokers = Brokers("a", "b", "c")
    brokers.serve("/", "a")
    brokers.add("v", "b")
    return brokers


@pytest.fixture
def impatient(monkeypatch):
    monkeypatch.setattr(sharing, "SERVED_S", 0.0)


# --- the broker of a vhost --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["a", "b", "c"])
async def test_any_broker_answers_for_a_vhost(brokers, name):
    assert (await brokers[name].put("queues/v/q", {"durable": True})).status_code == 201
    assert list(brokers["b"].broker.vhosts["v"].queues) == ["q"]
    head = await brokers[name].request("HEAD", "queues/v/q")
    assert (head.status_code, int(head.headers["content-length"]) > 100) == (200, True)
    answer = await brokers[name].get("queues/v/q")
    assert (answer.status_code, answer.json()["name"], answer.json()["node"]) == (200, "q", "b")
    assert (await brokers[name].get("queues/v?columns=name")).json() == [{"name": "q"}]
    body = {"routing_key": "q", "payload": "x", "payload_encoding": "string", "properties": {}}
    published = await brokers[name].post("exchanges/v/amq.default/publish", body)
    assert (published.status_code, published.json()) == (200, {"routed": True})
    assert (await brokers[name].delete("queues/v/q")).status_code == 204
    assert brokers.sent(name) == [] if name == "b" else len(brokers.sent(name)) == 6


async def test_a_request_is_passed_on_as_it_is(brokers):
    headers = {"X-Reason": "because", "Origin": "http://localhost:15672", "X-Amqpbroker-Part": "1"}
    await brokers["a"].get("queues/v/a%2Fb/bindings?columns=name&x=%20y", headers=headers)
    [(peer, request)] = brokers["a"].peers.requests
    assert (peer, request.method) == ("b", "GET")
    assert request.target == "/api/queues/v/a%2Fb/bindings?columns=name&x=%20y"
    assert request.client == ("127.0.0.1", 50_000)
    sent = dict(request.headers)
    assert (sent["x-reason"], sent[SENDER]) == ("because", '["guest", ["administrator"], false]')
    assert not {"authorization", "origin", PART} & set(sent)


async def test_errors_come_back_as_they_are(brokers):
    answer = await brokers["a"].get("queues/v/none")
    assert (answer.status_code, answer.json()["error"]) == (404, "Object Not Found")
    answer = await brokers["a"].put("queues/v/q", {"arguments": {"x-max-length": -1}})
    assert (answer.status_code, answer.json()["error"]) == (400, "bad_request")
    assert answer.headers.get_list("x-frame-options") == ["DENY"]


async def test_a_vhost_that_does_not_exist_is_not_found_at_once(brokers):
    assert (await brokers["a"].get("queues/none")).status_code == 404
    assert brokers.sent("a") == []


async def test_permissions_are_checked_before_a_request_is_passed_on(brokers):
    brokers["a"].user("ann")
    brokers.follow()
    assert (await brokers["a"].get("queues/v", auth=("ann", "p"))).status_code == 401
    assert (await brokers["a"].get("queues/v", auth=("ann", "wrong"))).status_code == 401
    assert (await brokers["a"].get("queues/v", auth=None)).status_code == 401
    assert brokers.sent("a") == []


async def test_the_token_of_a_broker_is_a_login_at_all(brokers):
    answer = await brokers["a"].get("queues/v", auth=None, headers={"Authorization": "Bearer the-token"})
    assert answer.status_code == 200


async def test_a_session_of_one_broker_is_a_login_at_all(brokers):
    form = {"username": "guest", "password": "guest"}
    await brokers["a"].client.post("/api/login", data=form, headers={"X-Requested-With": "x"})
    assert (await brokers["a"].get("whoami", auth=None)).status_code == 200
    headers = {"X-Requested-With": "x"}
    assert (await brokers["a"].put("queues/v/q", {}, auth=None, headers=headers)).status_code == 201
    assert (await brokers["a"].get("queues/v/q", auth=None)).status_code == 200


async def test_headers_of_peers_do_not_count_for_clients(brokers):
    headers = {SENDER: '["guest", ["administrator"], true]', PART: "1"}
    assert (await brokers["a"].get("users", auth=None, headers=headers)).status_code == 401
    assert (await brokers["a"].get("vhosts?columns=name", headers=headers)).json() == [{"name": "/"}, {"name": "v"}]


async def test_a_request_waits_for_a_broker_that_serves_the_vhost(brokers, monkeypatch):
    brokers.add("w")

    async def sleep(seconds):
        brokers.serve("w", "b")

    monkeypatch.setattr(sharing.asyncio, "sleep", sleep)
    assert (await brokers["a"].put("queues/w/q", {})).status_code == 201


async def test_a_vhost_that_comes_here_meanwhile_is_served_here(brokers, monkeypatch):
    brokers.add("w")

    async def sleep(seconds):
        brokers.serve("w", "a")

    with monkeypatch.context() as patched:
        patched.setattr(sharing.asyncio, "sleep", sleep)
        answer = await brokers["a"].get("queues/w")
    assert (answer.status_code, brokers.sent("a")) == (200, [])


@pytest.mark.usefixtures("impatient")
async def test_without_a_broker_for_the_vhost_the_client_is_to_repeat_the_request(brokers):
    brokers.add("w")
    answer = await brokers["a"].get("queues/w")
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "1")
    assert answer.json() == {
        "error": "service_unavailable",
        "reason": "vhost 'w' is served by no broker at the moment; repeat the request in a few seconds",
    }


@pytest.mark.usefixtures("impatient")
async def test_a_broker_that_has_just_lost_the_vhost_does_nothing(brokers):
    brokers.serving["v"] = "c"
    answer = await brokers["a"].put("queues/v/q", {})
    assert answer.status_code == 503
    assert brokers.sent("a") == [("c", "PUT", "/api/queues/v/q")]
    assert brokers.sent("c") == []


@pytest.mark.parametrize("name", ["a", "b"])
@pytest.mark.usefixtures("impatient")
async def test_a_vhost_that_moves_during_a_request(brokers, monkeypatch, name):
    def lose(call):
        brokers["b"].broker.close_vhost("v")
        raise LookupError

    monkeypatch.setattr("amqpbroker.management.resource.Resource.handler", lambda self, method: lose)
    answer = await brokers[name].put("queues/v/q", {})
    assert (answer.status_code, "check whether" in answer.json()["reason"]) == (503, True)
    brokers.serve("v", "b")
    answer = await brokers[name].get("queues/v/q")
    assert (answer.status_code, "repeat the request" in answer.json()["reason"]) == (503, True)


async def test_a_request_follows_a_vhost_that_moves(brokers, monkeypatch):
    brokers.serving["v"] = "c"

    async def sleep(seconds):
        brokers.serving["v"] = "b"

    with monkeypatch.context() as patched:
        patched.setattr(sharing.asyncio, "sleep", sleep)
        answer = await brokers["a"].put("queues/v/q", {})
    assert (answer.status_code, [sent[0] for sent in brokers.sent("a")]) == (201, ["c", "b"])


@pytest.mark.usefixtures("impatient")
async def test_a_broker_that_is_not_reached_has_changed_nothing(brokers):
    brokers.faults["b"] = REFUSED
    answer = await brokers["a"].put("queues/v/q", {})
    assert (answer.status_code, "no broker" in answer.json()["reason"]) == (503, True)


@pytest.mark.parametrize(("method", "advice"), [("GET", "; repeat"), ("PUT", "; it may have made the change")])
async def test_an_answer_that_does_not_come(brokers, method, advice):
    brokers.faults["b"] = LOST
    answer = await brokers["a"].request(method, "queues/v/q")
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "1")
    assert "broker 'b' did not answer in time" + advice in answer.json()["reason"]


@pytest.mark.usefixtures("impatient")
async def test_a_peer_catches_up_with_a_sender_or_vhost_that_it_does_not_know_yet(brokers):
    brokers["a"].user("ann", vhosts=["v"])
    assert (await brokers["a"].get("queues/v", auth=("ann", "p"))).status_code == 200
    assert (await brokers["a"].get("queues/v", auth=("ann", "p"))).status_code == 200
    assert brokers["b"].peers.catches == 1
    brokers["a"].broker.add_vhost("new", maker="guest")
    brokers.serving["new"] = "b"
    await brokers["a"].request("PUT", "queues/new/q", json={})
    assert "new" in brokers["b"].broker.defined_vhosts


async def test_a_broker_that_cannot_catch_up_answers_from_what_it_knows(brokers):
    brokers["b"].peers.catch_up_fault = OSError("no database")
    assert (await brokers["b"].put("users/ann", {"password": "p", "tags": ""})).status_code == 201
    assert (await brokers["b"].get("users/ann")).status_code == 404
    brokers["a"].user("eve", vhosts=["v"])
    assert (await brokers["a"].get("queues/v", auth=("eve", "p"))).status_code == 401


# --- the writer of definitions ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["a", "b"])
async def test_the_writer_changes_what_all_brokers_know(brokers, name):
    api = brokers[name]
    assert (await api.put("users/ann", {"password": "p", "tags": "management"})).status_code == 201
    assert (await api.get("users/ann")).json()["tags"] == ["management"]
    permission = {"configure": "", "write": "", "read": ".*"}
    assert (await api.put("permissions/v/ann", permission)).status_code == 201
    assert (await api.get("permissions/v/ann")).json()["read"] == ".*"
    topics = {"exchange": "amq.topic", "write": "", "read": "a"}
    assert (await api.put("topic-permissions/v/ann", topics)).status_code == 201
    assert len((await api.get("vhosts/v/topic-permissions")).json()) == 1
    policy = {"pattern": "q", "definition": {"max-length": 1}}
    for kind in ("policies", "operator-policies"):
        assert (await api.put(f"{kind}/v/p", policy)).status_code == 201
        assert [each["name"] for each in (await api.get(f"{kind}/v")).json()] == ["p"]
        assert (await api.get(f"{kind}/v/p")).status_code == 200
    assert (await api.put("vhost-limits/v/max-queues", {"value": 5})).status_code == 204
    assert (await api.get("vhost-limits")).json() == [{"vhost": "v", "value": {"max-queues": 5}}]
    assert (await api.get("vhost-limits/v")).json() == [{"vhost": "v", "value": {"max-queues": 5}}]
    assert (await api.put("user-limits/ann/max-channels", {"value": 7})).status_code == 204
    assert (await api.put("global-parameters/g", {"value": 1})).status_code == 201
    assert (await api.get("global-parameters/g")).json() == {"name": "g", "value": 1}
    assert (await api.put("cluster-name", {"name": "n"})).status_code == 204
    assert (await api.get("cluster-name")).json() == {"name": "n"}
    assert (await api.get("parameters/operator_policy/v/p")).status_code == 200
    assert (await api.post("vhosts/v/deletion/protection")).status_code == 204
    assert (await api.delete("vhosts/v")).status_code == 412
    assert (await api.delete("vhosts/v/deletion/protection")).status_code == 204
    for path in (
        "policies/v/p",
        "operator-policies/v/p",
        "permissions/v/ann",
        "users/ann",
        "vhost-limits/v/max-queues",
    ):
        assert (await api.delete(path)).status_code == 204
    assert (await api.get("users/ann")).status_code == 404
    assert (await api.delete("vhosts/v")).status_code == 204
    assert (await api.get("vhosts/v")).status_code == 404
    assert all(peer == "a" for peer, *_ in brokers.sent("b"))


async def test_policies_apply_at_the_broker_that_serves_the_vhost(brokers):
    await brokers["c"].put("queues/v/q", {})
    await brokers["c"].put("policies/v/p", {"pattern": "q", "definition": {"max-length": 1}})
    assert (await brokers["c"].get("queues/v/q")).json()["policy"] == "p"


async def test_a_vhost_is_created_through_any_broker(brokers):
    answer = await brokers["b"].put("vhosts/new", {"description": "d"})
    assert answer.status_code == 201
    assert brokers["c"].broker.defined_vhosts["new"].description == "d"
    assert (await brokers["b"].get("permissions/new/guest")).status_code == 200


@pytest.mark.usefixtures("impatient")
async def test_without_a_writer_the_client_is_to_repeat_a_change(brokers):
    brokers.writer = None
    answer = await brokers["b"].put("users/ann", {"password": "p", "tags": ""})
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "1")
    assert "definitions are written by no broker" in answer.json()["reason"]
    assert (await brokers["b"].get("users")).status_code == 200


@pytest.mark.parametrize("name", ["a", "b"])
async def test_a_change_waits_until_the_next_writer_has_read_what_is_stored(brokers, monkeypatch, name):
    writer = brokers["a"].peers.here
    ready = iter([None, None])
    monkeypatch.setattr(brokers["a"].peers, "writer", lambda: next(ready, writer))
    assert (await brokers[name].put("users/ann", {"password": "p", "tags": ""})).status_code == 201
    assert list(ready) == []
    assert brokers["a"].broker.users.has("ann")


@pytest.mark.parametrize("name", ["a", "b", "c"])
async def test_tracing_is_switched_by_the_broker_that_serves_the_vhost(brokers, name):
    answer = await brokers[name].put("vhosts/v", {"tracing": True, "description": "d"})
    assert answer.status_code == 204
    assert [other for other in "abc" if "v" in brokers[other].broker.tracing] == ["b"]
    brokers.follow()
    row = (await brokers[name].get("vhosts/v")).json()
    assert (row["tracing"], row["description"]) == (True, "d")
    await brokers[name].put("vhosts/v", {"tracing": False})
    assert (await brokers[name].get("vhosts/v")).json()["tracing"] is False


DOCUMENT = {
    "users": [{"name": "ann", "password": "p", "tags": ""}],
    "policies": [{"vhost": "v", "name": "p", "pattern": "q", "definition": {"max-length": 1}}],
    "queues": [{"vhost": "/", "name": "q"}, {"vhost": "v", "name": "q"}],
    "exchanges": [{"vhost": "v", "name": "e", "type": "direct"}],
    "bindings": [
        {"vhost": "v", "source": "e", "destination": "q", "destination_type": "queue", "routing_key": "k"},
    ],
}


@pytest.mark.parametrize("name", ["a", "b", "c"])
async def test_a_document_is_imported_by_all_brokers_whose_vhosts_it_has(brokers, name):
    answer = await brokers[name].post("definitions", DOCUMENT)
    assert (answer.status_code, answer.content) == (204, b"")
    brokers.follow()
    assert brokers["c"].broker.users.has("ann")
    assert list(brokers["a"].broker.vhosts["/"].queues) == ["q"]
    assert len(brokers["b"].broker.vhosts["v"].exchanges["e"].live_bindings()) == 1
    assert (await brokers["c"].get("queues/v/q")).json()["policy"] == "p"


@pytest.mark.parametrize("name", ["a", "b", "c"])
async def test_a_file_for_one_vhost_is_imported(brokers, name):
    document = {"queues": [{"name": "q"}], "policies": DOCUMENT["policies"]}
    files = {"file": ("x.json", json.dumps(document))}
    answer = await brokers[name].request("POST", "definitions/v", files=files)
    assert answer.status_code == 204
    brokers.follow()
    assert (await brokers["c"].get("queues/v/q")).json()["policy"] == "p"


@pytest.mark.parametrize("name", ["a", "c"])
async def test_an_import_ends_at_the_first_part_that_fails(brokers, name):
    wrong = {**DOCUMENT, "exchanges": []}
    answer = await brokers[name].post("definitions", wrong)
    assert (answer.status_code, "exchange" in answer.json()["reason"]) == (400, True)
    assert list(brokers["b"].broker.vhosts["v"].queues) == []
    answer = await brokers[name].post("definitions", {"queues": [{"vhost": "none", "name": "q"}]})
    assert (answer.status_code, "none" in answer.json()["reason"]) == (400, True)
    assert (await brokers[name].post("definitions/none", {})).status_code == 404


@pytest.mark.usefixtures("impatient")
async def test_an_import_needs_the_brokers_of_all_its_vhosts(brokers):
    brokers.add("w")
    answer = await brokers["c"].post("definitions", {"queues": [{"vhost": "w", "name": "q"}]})
    assert (answer.status_code, "vhost 'w' is served by no broker" in answer.json()["reason"]) == (503, True)
    brokers.serving["w"] = "b"
    answer = await brokers["c"].post("definitions", {"queues": [{"vhost": "w", "name": "q"}]})
    assert answer.status_code == 503
    answer = await brokers["c"].put("vhosts/w", {"tracing": True})
    assert answer.status_code == 503


# --- all brokers ------------------------------------------------------------------------------------------------------


@pytest.fixture
def filled(brokers):
    """Brokers whose three vhosts have queues; the vhosts of a and b have a client each."""
    brokers.add("w", "c")
    for name, vhost in (("a", "/"), ("b", "v"), ("c", "w")):
        served = brokers[name].broker.vhosts[vhost]
        for queue in ("q", f"q{name}"):
            served.declare_queue(queue, False, False, False, {})
    brokers.clients = {}
    for name, vhost in (("a", "/"), ("b", "v")):
        client = Wire(brokers[name].broker, host=f"127.0.0.{ord(name)}").log_in(vhost=vhost)
        client.consume("q", f"tag {name}")
        client.receive()
        brokers.clients[name] = client
    return brokers


def named(answer, *columns):
    return [tuple(row[column] for column in columns) for row in answer.json()]


@pytest.mark.parametrize("name", ["a", "b", "c"])
async def test_lists_have_the_objects_of_all_brokers(filled, name):
    api = filled[name]
    queues = [("/", "q"), ("/", "qa"), ("v", "q"), ("v", "qb"), ("w", "q"), ("w", "qc")]
    assert named(await api.get("queues"), "vhost", "name") == queues
    assert named(await api.get("queues/detailed"), "vhost", "name") == queues
    assert named(await api.get("bindings"), "vhost", "destination") == queues
    assert {row["vhost"] for row in (await api.get("exchanges")).json()} == {"/", "v", "w"}
    assert named(await api.get("connections"), "vhost", "node") == [("v", "b"), ("/", "a")][::-1]
    assert named(await api.get("channels"), "vhost") == [("/",), ("v",)]
    assert sorted(named(await api.get("consumers"), "consumer_tag")) == [("tag a",), ("tag b",)]
    assert named(await api.get("connections/username/guest"), "node") == [("a",), ("b",)]
    assert named(await api.get("deprecated-features/used"), "name") == [("transient_nonexcl_queues",)]
    for path in ("jobs", "batches", "shovels"):
        assert (await api.get(path)).json() == []


async def test_a_page_is_of_the_lists_of_all_brokers(filled):
    answer = (await filled["c"].get("queues?page=2&page_size=2&name=q&sort=name&columns=vhost,name")).json()
    assert answer["items"] == [{"vhost": "v", "name": "q"}, {"vhost": "v", "name": "qb"}]
    assert (answer["total_count"], answer["page_count"]) == (6, 3)


@pytest.mark.parametrize("name", ["a", "b", "c"])
async def test_vhosts_are_listed_with_the_counts_of_the_broker_that_serves_each(filled, name):
    rows = (await filled[name].get("vhosts")).json()
    assert [(row["name"], row["cluster_state"], row.get("messages")) for row in rows] == [
        ("/", {"a": "running"}, 0),
        ("v", {"b": "running"}, 0),
        ("w", {"c": "running"}, 0),
    ]
    assert (await filled[name].get("vhosts/v")).json()["cluster_state"] == {"b": "running"}


async def test_a_vhost_that_no_broker_serves_is_listed_and_its_objects_are_said_to_be_missing(filled):
    filled.add("none")
    answer = await filled["a"].get("vhosts")
    assert [(row["name"], row["cluster_state"]) for row in answer.json()][1] == ("none", {})
    answer = await filled["a"].get("queues")
    assert (len(answer.json()), answer.headers["x-missing-vhosts"]) == (6, "none")
    assert "x-missing-brokers" not in answer.headers


async def test_the_overview_has_the_sums_of_all_brokers(filled):
    for name in "abc":
        shown = (await filled[name].get("overview")).json()
        assert shown["object_totals"] == {
            "channels": 2,
            "connections": 2,
            "consumers": 2,
            "exchanges": 22,
            "queues": 6,
        }
        assert (shown["node"], len(shown["listeners"])) == (name, 3)


@pytest.mark.parametrize("fault", [REFUSED, LOST])
async def test_a_broker_that_does_not_answer_is_missing_in_lists(filled, fault):
    filled.faults["b"] = fault
    answer = await filled["a"].get("queues")
    assert named(answer, "vhost") == [("/",), ("/",), ("w",), ("w",)]
    assert answer.headers["x-missing-brokers"] == "b"
    answer = await filled["a"].get("overview")
    assert (answer.json()["object_totals"]["queues"], answer.headers["x-missing-brokers"]) == (4, "b")


async def test_a_part_that_is_none_is_missing(filled, monkeypatch):
    async def garbage(*arguments):
        return b"garbage"

    monkeypatch.setattr(sharing, "whole_of", garbage)
    answer = await filled["a"].get("queues")
    assert (len(answer.json()), answer.headers["x-missing-brokers"]) == (2, "b, c")


async def test_a_part_that_is_too_long_is_an_error(filled, monkeypatch):
    monkeypatch.setattr(part_memory, "MOST_PART_BYTES", 1_000)
    answer = await filled["a"].get("queues")
    assert (answer.status_code, "longer than 1000 bytes; request a page" in answer.json()["reason"]) == (400, True)
    assert (await filled["a"].get("queues?columns=name")).status_code == 200


async def test_parts_of_all_requests_have_a_limit_together(filled, monkeypatch):
    monkeypatch.setattr(part_memory, "MOST_HELD_BYTES", 100_000)
    for _ in range(50):
        assert (await filled["a"].get("queues")).status_code == 200
        assert (await filled["a"].get("overview")).status_code == 200
        assert (await filled["a"].get("queues?page=9")).status_code == 400
    monkeypatch.setattr(part_memory, "MOST_HELD_BYTES", 1_000)
    answer = await filled["a"].get("queues")
    assert (answer.status_code, "take 1000 bytes already" in answer.json()["reason"]) == (503, True)


async def test_headers_name_no_more_than_so_many(filled):
    for number in range(2 * sharing.MOST_NAMES):
        filled.add(f"none {number}")
    named_vhosts = (await filled["a"].get("queues")).headers["x-missing-vhosts"].split(", ")
    assert named_vhosts == [f"none%20{number}" for number in range(sharing.MOST_NAMES)]


async def test_users_see_their_own_vhosts_and_connections_at_all_brokers(filled):
    filled["a"].user("ann", vhosts=["v"])
    filled.follow()
    for name in "abc":
        assert named(await filled[name].get("queues", auth=("ann", "p")), "vhost") == [("v",), ("v",)]
        assert (await filled[name].get("connections", auth=("ann", "p"))).json() == []


async def test_connections_and_channels_are_found_at_any_broker(filled):
    client = filled.clients["b"]
    connection = quote(client.connection.name, safe="")
    channel = quote(f"{client.connection.name} (1)", safe="")
    for name in "abc":
        assert (await filled[name].get(f"connections/{connection}")).json()["node"] == "b"
        assert named(await filled[name].get(f"connections/{connection}/channels"), "number") == [(1,)]
        assert (await filled[name].get(f"channels/{channel}")).json()["number"] == 1
    renewed = await filled["c"].post(f"channels/{channel}/deliveries/7/renew", {})
    assert renewed.status_code == 404
    assert (await filled["c"].delete(f"connections/{connection}", headers={"X-Reason": "r"})).status_code == 204
    assert client.receive()[0].arguments["reply_text"] == "CONNECTION_FORCED - r"
    assert (await filled["c"].get("connections/none")).status_code == 404


async def test_a_connection_may_be_at_a_broker_that_does_not_answer(filled):
    filled.faults["b"] = REFUSED
    answer = await filled["a"].get("connections/none")
    assert (answer.status_code, "broker 'b' did not answer" in answer.json()["reason"]) == (503, True)


async def test_the_connections_of_a_user_are_closed_at_all_brokers(filled):
    assert (await filled["c"].delete("connections/username/guest")).status_code == 204
    for client in filled.clients.values():
        assert client.receive()[0].name == "connection.close"
    filled.faults["b"] = REFUSED
    assert (await filled["c"].delete("connections/username/guest")).status_code == 503


async def test_the_export_has_the_definitions_of_all_brokers(filled):
    for name in "abc":
        answer = await filled[name].get("definitions?download=x.json")
        assert answer.headers["content-disposition"] == "attachment; filename=x.json"
        found = answer.json()
        assert [row["name"] for row in found["vhosts"]] == ["/", "v", "w"]
        assert [row["name"] for row in found["users"]] == ["guest"]
        assert sorted((row["vhost"], row["name"]) for row in found["queues"]) == [
            ("/", "q"),
            ("/", "qa"),
            ("v", "q"),
            ("v", "qb"),
            ("w", "q"),
            ("w", "qc"),
        ]
        assert [row["name"] for row in (await filled[name].get("definitions/v")).json()["queues"]] == ["q", "qb"]


async def test_an_export_is_complete_or_an_error(filled):
    filled.add("none")
    answer = await filled["a"].get("definitions")
    assert (answer.status_code, "vhost 'none' is served by no broker" in answer.json()["reason"]) == (503, True)
    filled.faults["b"] = LOST
    answer = await filled["a"].get("definitions")
    assert (answer.status_code, "broker 'b' did not answer" in answer.json()["reason"]) == (503, True)


# --- only here --------------------------------------------------------------------------------------------------------


CHECK = "health/checks/quorum-queues-without-elected-leaders/vhost/v"


@pytest.mark.parametrize("path", ["whoami", "health/checks/local-alarms", CHECK, "users"])
async def test_these_are_answered_here(brokers, path):
    assert (await brokers["b"].get(path)).status_code == 200
    assert brokers.sent("b") == []


async def test_messages_do_not_move_to_vhosts_that_are_stored_apart(brokers):
    brokers.add("w", "b")
    for vhost in ("w", "v", "%2F"):
        await brokers["b"].put(f"queues/{vhost}/q", {})
    for vhost in ("/", "w"):
        answer = await brokers["b"].post("queues/v/q/move", {"destination": "q", "destination_vhost": vhost})
        assert (answer.status_code, "use a shovel" in answer.json()["reason"]) == (409, True)


async def test_a_broker_that_shares_no_vhosts_has_no_peers():
    api = Api(Config(management=Management(cors_allow_origins=("http://a",))))
    answer = await api.get("queues", headers={"Origin": "http://a"})
    assert answer.status_code == 200


def lose(storage):
    storage.store.writer._on_failure = lambda error: None
    storage.store.writer.fail(FencedError(1, "Another broker leads now"))


async def awaited(storage, sending):
    """Return once a request waits for a storage."""
    while not storage.awaiting_sync:
        assert not sending.done()
        await asyncio.sleep(0)


async def check_lost(brokers, storage, sending):
    """Check the answer to a change in vhost w of broker b, which loses the vhost before the change is stored."""
    await awaited(storage, sending)
    lose(storage)
    brokers["b"].broker.close_vhost("w")
    brokers.serving["w"] = None
    answer = await asyncio.wait_for(sending, 3)
    assert (answer.status_code, answer.json()["error"]) == (503, "service_unavailable")
    assert "check whether the change was made" in answer.json()["reason"]


async def put_user(api):
    return await api.put("users/ann", {"password": "p", "tags": ""})


async def import_user(api):
    return await api.post("definitions", {"users": DOCUMENT["users"]})


def gathering(broker, definitions):
    """Return a storage of definitions that are written when its committer says so, and the committer."""
    log = MemoryLog()
    committer = StepCommitter(log)
    store = Persistence(log, committer, pytest.fail, broker.clock, gathers_definitions=True)
    definitions.watch(store.definitions_changed)
    return Storage(store, definitions, True), committer


@pytest.mark.parametrize("name", ["a", "b"])
@pytest.mark.parametrize("change", [put_user, import_user])
@pytest.mark.parametrize("is_written", [True, False])
async def test_a_change_ends_when_another_broker_becomes_the_writer(brokers, name, change, is_written):
    broker = brokers["a"].broker
    storage, committer = gathering(broker, brokers.stored)
    broker.open_definitions(storage)
    sending = asyncio.ensure_future(change(brokers[name]))
    await awaited(storage, sending)
    # A change of something else must not wait for it any longer, either.
    other = asyncio.ensure_future(brokers["b"].put("queues/%2F/q", {}))
    broker.sync()
    if is_written:
        committer.finish()
        await asyncio.sleep(0)
    else:
        lose(storage)
    broker.definitions.write_to(None)
    broker.close_definitions(storage)
    assert broker.written_definitions is None
    assert storage not in broker.storages
    answer = await asyncio.wait_for(sending, 3)
    assert (await asyncio.wait_for(other, 3)).status_code == 201
    if is_written:
        assert answer.status_code in (201, 204)
    else:
        assert (answer.status_code, answer.headers["retry-after"]) == (503, "1")
        assert "check whether the change was made" in answer.json()["reason"]


@pytest.mark.parametrize("name", ["a", "b", "c"])
@pytest.mark.parametrize("section", ["queues", "exchanges", "bindings"])
async def test_an_import_whose_vhost_is_lost_meanwhile_is_to_be_repeated(brokers, name, section):
    """Not an error of the document, which would end a broker that imports it at its start."""
    v = brokers["b"].broker.vhosts["v"]
    rows = {
        "queues": [{"name": f"q{number}", "durable": True} for number in range(1000)],
        "exchanges": [{"name": f"e{number}", "type": "fanout", "durable": True} for number in range(1000)],
        "bindings": [
            {"source": "amq.topic", "destination": "q", "destination_type": "queue", "routing_key": str(number)}
            for number in range(1000)
        ],
    }
    await brokers["b"].put("queues/v/q", {"durable": True})

    def made():
        return len(v.queues), len(v.exchanges), len(v.exchanges["amq.topic"].live_bindings())

    before = made()
    sending = asyncio.ensure_future(brokers[name].post("definitions/v", {section: rows[section]}))
    while made() == before:
        await asyncio.sleep(0)
    assert not sending.done()
    brokers["b"].broker.close_vhost("v")
    brokers.serving["v"] = None
    answer = await asyncio.wait_for(sending, 5)
    assert (answer.status_code, "check whether the change was made" in answer.json()["reason"]) == (503, True)


@pytest.mark.parametrize("name", ["a", "b"])
async def test_an_import_that_was_not_stored_when_its_vhost_was_lost_is_no_success(brokers, name):
    brokers.add("w")
    broker, kept = brokers["b"].broker, Kept("w")
    storage, _ = kept.opened(broker, gathers_definitions=True)
    brokers.serving["w"] = "b"
    body = {"users": DOCUMENT["users"], "queues": [{"vhost": "w", "name": "q", "durable": True}]}
    sending = asyncio.ensure_future(brokers[name].post("definitions", body))
    await check_lost(brokers, storage, sending)


@pytest.mark.parametrize("name", ["a", "b"])
async def test_a_change_that_was_not_stored_when_its_vhost_was_lost_is_no_success(name):
    brokers = Brokers("a", "b")
    brokers.serve("/", "a")
    brokers.add("w")
    broker, kept = brokers["b"].broker, Kept("w")
    storage, _ = kept.opened(broker)
    brokers.serving["w"] = "b"
    Wire(broker).log_in(vhost="w").declare("q", durable=True)
    body = {"routing_key": "q", "payload": "x", "payload_encoding": "string", "properties": {"delivery_mode": 2}}
    sending = asyncio.ensure_future(brokers[name].post("exchanges/w/amq.default/publish", body))
    await check_lost(brokers, storage, sending)
