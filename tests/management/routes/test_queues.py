import asyncio

import pytest

from amqpbroker.compat import COMPATS
from amqpbroker.config import Config, Management
from amqpbroker.management.formats.queues import bare_row
from amqpbroker.wire.values import longstr
from tests.harness import Wire
from tests.management.api import Api

NOT_FOUND = (404, {"error": "Object Not Found", "reason": "Not Found"})
NOT_ALLOWED = (401, {"error": "not_authorised", "reason": "Access refused."})


@pytest.fixture
def api():
    return Api()


@pytest.fixture
def client(api):
    return Wire(api.broker).log_in()


def refused(answer):
    return answer.status_code, answer.json()


def bad_request(reason):
    return 400, {"error": "bad_request", "reason": reason}


# --- declaring --------------------------------------------------------------------------------------------------------


async def test_put_of_an_existing_queue_returns_204(api):
    assert (await api.put("queues/%2F/q", {"durable": True})).status_code == 201
    assert (await api.put("queues/%2F/q", {"durable": True})).status_code == 204
    assert api.broker.vhosts["/"].queues["q"].durable


async def test_queue_declared_without_a_body_is_transient_and_not_auto_delete(api):
    assert (await api.put("queues/%2F/q")).status_code == 201
    queue = api.broker.vhosts["/"].queues["q"]
    assert not queue.durable
    assert not queue.auto_delete
    assert queue.owner is None


@pytest.mark.parametrize("name", ["a/b", "a%b", "a b", "üml", "..", ".", "a?b#c", "quorum", "detailed", "x" * 255])
async def test_queue_with_any_name_is_created_shown_and_deleted(api, name):
    from urllib.parse import quote

    path = "queues/%2F/" + quote(name, safe="").replace(".", "%2E")
    assert (await api.put(path)).status_code == 201
    assert (await api.get(path)).json()["name"] == name
    assert [row["name"] for row in (await api.get("queues/%2F")).json()] == [name]
    assert (await api.delete(path)).status_code == 204
    assert not api.broker.vhosts["/"].queues


async def test_booleans_of_a_queue_declaration_can_be_strings(api):
    await api.put("queues/%2F/q", {"durable": "true", "auto_delete": "false"})
    queue = api.broker.vhosts["/"].queues["q"]
    assert (queue.durable, queue.auto_delete) == (True, False)


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ({"durable": "maybe"}, ["not_boolean", "maybe"]),
        ({"durable": 1}, ["not_boolean", 1]),
        ({"arguments": {"a": None}}, "null_not_allowed"),
        (
            {"arguments": {"x-message-ttl": "a"}},
            "invalid arg 'x-message-ttl' for queue 'q' in vhost '/': \"expected integer, got longstr\"",
        ),
        ({"node": "rabbit@elsewhere"}, "Node rabbit@elsewhere could not be contacted"),
    ],
)
async def test_invalid_declaration_is_refused_with_a_reason(api, body, reason):
    assert refused(await api.put("queues/%2F/q", body)) == bad_request(reason)
    assert not api.broker.vhosts["/"].queues


async def test_inequivalent_declaration_of_an_existing_queue_is_refused(api):
    await api.put("queues/%2F/q")
    assert refused(await api.put("queues/%2F/q", {"durable": True})) == bad_request(
        "inequivalent arg 'durable' for queue 'q' in vhost '/': received 'true' but current is 'false'"
    )


async def test_put_of_an_existing_queue_follows_the_redeclaration_mode():
    api = Api(Config(redeclare="update"))
    await api.put("queues/%2F/q", {"arguments": {"x-max-length": 5}})
    assert (await api.put("queues/%2F/q", {"arguments": {"x-max-length": 3}})).status_code == 204
    assert (await api.get("queues/%2F/q")).json()["arguments"]["x-max-length"] == 3
    await api.put("policies/%2F/p", {"pattern": ".*", "definition": {"redeclare": "strict"}})
    assert (await api.put("queues/%2F/q", {"arguments": {"x-max-length": 4}})).status_code == 400


async def test_queue_shows_the_differences_of_accepted_redeclarations():
    api = Api(Config(redeclare="warn"))
    await api.put("queues/%2F/q", {"arguments": {"x-max-length": 5}})
    assert "redeclared_with" not in (await api.get("queues/%2F/q")).json()
    await api.put("queues/%2F/q", {"arguments": {"x-overflow": "reject-publish", "x-max-length": 3}})
    differences = [
        {"argument": "x-max-length", "queue": 5, "declared": 3},
        {"argument": "x-overflow", "queue": None, "declared": "reject-publish"},
    ]
    assert (await api.get("queues/%2F/q")).json()["redeclared_with"] == differences
    (row,) = (await api.get("queues?columns=redeclared_with")).json()
    assert row == {"redeclared_with": differences}


async def test_queue_name_above_255_bytes_is_refused(api):
    assert refused(await api.put("queues/%2F/" + "x" * 300)) == bad_request(
        "queue should be less than 255 bytes, actually was 300\n"
    )


async def test_declaring_a_queue_with_a_reserved_name_is_refused(api):
    assert refused(await api.put("queues/%2F/amq.mine")) == NOT_ALLOWED


async def test_queue_in_an_unknown_vhost_is_not_found(api):
    assert refused(await api.put("queues/nope/q")) == (404, {"error": "not_found", "reason": "vhost_not_found"})
    assert refused(await api.get("queues/nope/q")) == NOT_FOUND


# --- deleting and purging ---------------------------------------------------------------------------------------------


async def test_queue_is_deleted_only_if_empty_and_unused_on_request(api, client):
    client.declare("q")
    client.publish("q", b"x")
    client.receive()
    assert refused(await api.delete("queues/%2F/q?if-empty=true")) == bad_request("queue 'q' in vhost '/' not empty")
    client.consume("q")
    assert refused(await api.delete("queues/%2F/q?if-unused=true")) == bad_request("queue 'q' in vhost '/' in use")
    assert (await api.delete("queues/%2F/q")).status_code == 204
    assert refused(await api.delete("queues/%2F/q")) == NOT_FOUND


async def test_purge_over_http_keeps_unacknowledged_messages(api, client):
    client.declare("q")
    for _ in range(3):
        client.publish("q", b"x")
    client.get("q", no_ack=False)
    assert (await api.delete("queues/%2F/q/contents")).status_code == 204
    row = (await api.get("queues/%2F/q")).json()
    assert (row["messages_ready"], row["messages_unacknowledged"]) == (0, 1)
    assert refused(await api.delete("queues/%2F/nope/contents")) == NOT_FOUND


async def test_exclusive_queue_cannot_be_deleted_or_purged_over_http(api, client):
    client.declare("q", exclusive=True)
    for answer in (await api.delete("queues/%2F/q"), await api.delete("queues/%2F/q/contents")):
        assert answer.status_code == 400
        assert answer.json()["reason"].startswith("cannot obtain exclusive access to locked queue 'q' in vhost '/'.")


# --- what is shown ----------------------------------------------------------------------------------------------------


async def test_message_counts_of_a_queue_are_exact_immediately(api, client):
    client.declare("q", durable=True)
    for size in (1, 2, 3):
        client.publish("q", b"x" * size, delivery_mode=2)
    client.get("q", no_ack=False)
    row = (await api.get("queues/%2F/q")).json()
    assert (row["messages"], row["messages_ready"], row["messages_unacknowledged"]) == (3, 2, 1)
    assert (row["message_bytes"], row["message_bytes_ready"], row["message_bytes_unacknowledged"]) == (6, 5, 1)
    assert row["message_stats"]["publish"] == 3
    assert row["message_stats"]["get"] == 1


async def test_queue_shows_its_policies_and_effective_definition(api, client):
    client.declare("q")
    row = (await api.get("queues/%2F")).json()[0]
    assert "policy" not in row
    from amqpbroker.broker.policies.policies import Policy

    api.broker.policies.put(Policy("/", "short", ".*", {"max-length": 9}))
    api.broker.policies.put(Policy("/", "shorter", ".*", {"max-length": 5}, operator=True))
    row = (await api.get("queues/%2F")).json()[0]
    assert (row["policy"], row["operator_policy"]) == ("short", "shorter")
    assert row["effective_policy_definition"] == {"max-length": 5}


async def test_queue_shows_its_consumers_and_owner(api, client):
    client.declare("q", exclusive=True)
    client.consume("q", "tag", exclusive=True)
    row = (await api.get("queues/%2F/q")).json()
    assert row["owner_pid_details"]["name"] == client.connection.name
    assert row["exclusive_consumer_tag"] == "tag"
    (consumer,) = row["consumer_details"]
    assert consumer["consumer_tag"] == "tag"
    assert consumer["queue"] == {"name": "q", "vhost": "/"}
    assert consumer["channel_details"]["name"] == f"{client.connection.name} (1)"


async def test_queue_list_shows_the_active_consumer_of_a_quorum_queue(api):
    await api.put("queues/%2F/q", {"durable": True, "arguments": {"x-queue-type": "quorum"}})
    assert "single_active_consumer_tag" not in (await api.get("queues/%2F")).json()[0]
    Wire(api.broker).log_in().consume("q", "tag")
    assert (await api.get("queues/%2F")).json()[0]["single_active_consumer_tag"] == "tag"
    assert (await api.get("queues/%2F/q")).json()["single_active_consumer_tag"] == "tag"


async def test_queue_shows_its_single_active_consumer(api):
    api.broker.vhosts["/"]
    first, second = Wire(api.broker).log_in(), Wire(api.broker).log_in()
    await api.put("queues/%2F/q", {"arguments": {"x-single-active-consumer": True}})
    first.consume("q", "first")
    second.consume("q", "second")
    row = (await api.get("queues/%2F/q")).json()
    assert row["single_active_consumer_tag"] == "first"
    assert {each["consumer_tag"]: each["activity_status"] for each in row["consumer_details"]} == {
        "first": "single_active",
        "second": "waiting",
    }


async def test_disable_stats_omits_statistics(api, client):
    client.declare("q")
    client.publish("q")
    client.receive()
    row = (await api.get("queues/%2F/q?disable_stats=true")).json()
    assert "messages" not in row
    row = (await api.get("queues?disable_stats=true&enable_queue_totals=true")).json()[0]
    assert (row["messages"], row["messages_ready"], row["messages_unacknowledged"]) == (1, 1, 0)
    assert "message_stats" not in row


async def test_queue_list_is_paged_and_filtered(api):
    for name in ("b1", "a1", "b2"):
        await api.put(f"queues/%2F/{name}")
    page = (await api.get("queues?page=1&page_size=1&name=b&columns=name")).json()
    assert page["items"] == [{"name": "b1"}]
    assert (page["filtered_count"], page["total_count"], page["page_count"]) == (2, 3, 2)


# --- who sees and does what -------------------------------------------------------------------------------------------


async def test_queues_are_listed_only_for_accessible_vhosts(api):
    api.broker.add_vhost("other")
    await api.put("queues/%2F/q")
    watcher = api.user("watcher", tags=("monitoring",))
    mine = api.user("mine", vhosts=["other"])
    root = api.user("root", tags=("administrator",))
    for auth, names in ((watcher, []), (mine, []), (root, ["q"])):
        assert [row["name"] for row in (await api.get("queues", auth=auth)).json()] == names
    assert (await api.get("queues/%2F/q", auth=mine)).status_code == 401
    assert (await api.get("queues/%2F/q", auth=root)).status_code == 200
    assert refused(await api.put("queues/%2F/q2", {}, auth=root)) == NOT_ALLOWED


async def test_queue_changes_over_http_require_the_permissions_of_amqp(api):
    auth = api.user("u")
    api.broker.users.set_permissions("u", "/", "^c", "^w", "^r")
    await api.put("queues/%2F/q")
    for answer in (
        await api.put("queues/%2F/w", {}, auth=auth),
        await api.put("queues/%2F/c", {"arguments": {"x-dead-letter-exchange": "w"}}, auth=auth),
        await api.delete("queues/%2F/q", auth=auth),
        await api.delete("queues/%2F/q/contents", auth=auth),
    ):
        assert refused(answer) == NOT_ALLOWED
    assert (await api.put("queues/%2F/c", {}, auth=auth)).status_code == 201


# --- the rest ---------------------------------------------------------------------------------------------------------


async def test_queue_actions_are_unknown(api):
    await api.put("queues/%2F/q")
    assert refused(await api.post("queues/%2F/q/actions", {"action": "sync"})) == bad_request(["unknown", "sync"])
    assert refused(await api.post("queues/%2F/q/actions", {})) == bad_request("[{key_missing,action}]")
    assert refused(await api.post("queues/%2F/nope/actions", {"action": "sync"})) == (
        404,
        {"error": "not_found", "reason": "queue_not_found"},
    )


async def test_quorum_queue_shows_messages_by_priority_from_4_3_on():
    """See rabbit_quorum_queue:handle_tick/3; returned messages are not counted in any priority."""
    for series, shown in ("4.2", False), ("4.3", True):
        api = Api(Config(compat=COMPATS[series]))
        await api.put("queues/%2F/q", {"durable": True, "arguments": {"x-queue-type": "quorum"}})
        client = Wire(api.broker).log_in()
        for properties in {"priority": 9}, {"priority": 9}, {}, {"priority": 0}:
            client.publish("q", b"x", **properties)
        client.get("q", no_ack=False)
        client.send(1, "basic.nack", delivery_tag=1, requeue=True)
        row = (await api.get("queues/%2F/q")).json()
        assert ("messages_by_priority" in row, "messages_ready_normal" in row) == (shown, not shown)
        if shown:
            assert row["messages_by_priority"] == {"0": 1, "4": 1, "9": 1}
            assert (row["messages_active_priorities"], row["messages_ready_returned"]) == (3, 1)


async def test_quorum_queue_shows_delayed_messages_from_4_3_on():
    declared = {"x-queue-type": "quorum", "x-delayed-retry-type": "all", "x-delayed-retry-min": 1000}
    for series in "4.2", "4.3":
        api = Api(Config(compat=COMPATS[series].configured({}, extensions=False)))
        await api.put("queues/%2F/q", {"durable": True, "arguments": declared})
        await api.put("queues/%2F/plain", {"durable": True, "arguments": {"x-queue-type": "quorum"}})
        await api.put("queues/%2F/classic", {"durable": True})
        client = Wire(api.broker).log_in()
        for body in b"1", b"22":
            client.publish("q", body)
        client.get("q", no_ack=False)
        client.send(1, "basic.nack", delivery_tag=1, requeue=True)
        now_ms = api.broker.clock.now_ms()
        rows = {row["name"]: row for row in (await api.get("queues")).json()}
        names = ("delayed_retry", "messages_delayed", "next_delayed_at", "last_delayed_at")
        shown = {name: [row.get(each) for each in names] for name, row in rows.items()}
        if series == "4.2":
            assert shown == dict.fromkeys(("q", "plain", "classic"), [None] * 4)
            assert (rows["q"]["messages"], rows["q"]["messages_ready"]) == (2, 2)
            continue
        assert shown == {
            "q": ["all (min: 1000ms, max: 1000ms)", 1, now_ms + 1000, now_ms + 1000],
            "plain": ["disabled", 0, None, None],
            "classic": [None] * 4,
        }
        row = rows["q"]
        assert (row["messages"], row["messages_ready"]) == (2, 1)
        assert (row["message_bytes"], row["message_bytes_ready"]) == (3, 3)
        assert (await api.get("queues/%2F/q")).json()["messages_delayed"] == 1
        totals = (await api.get("overview")).json()["queue_totals"]
        assert (totals["messages"], totals["messages_ready"], totals["messages_unacknowledged"]) == (2, 1, 0)
        assert (await api.get("vhosts/%2F")).json()["messages"] == 2
        assert bare_row("/", api.broker.vhosts["/"].queues["q"], "rabbit@test", totals=True)["messages"] == 2


@pytest.mark.parametrize("queue_type", ["classic", "quorum"])
async def test_queue_shows_its_delayed_retry_and_delivery_limit(api, queue_type):
    retry = {"x-delayed-retry-type": "failed", "x-delayed-retry-min": 10, "x-delayed-retry-multiplier": 1.5}
    arguments = {"x-queue-type": queue_type, "x-delivery-limit": 3, **retry}
    await api.put("queues/%2F/q", {"durable": True, "arguments": arguments})
    client = Wire(api.broker).log_in()
    client.publish("q", b"1")
    client.get("q", no_ack=False)
    client.send(1, "basic.reject", delivery_tag=1, requeue=True)
    row = (await api.get("queues/%2F/q")).json()
    due_ms = api.broker.clock.now_ms() + 10
    assert (row["delayed_retry"], row["messages_delayed"]) == ("failed (min: 10ms, max: 100ms, multiplier: 1.5)", 1)
    assert (row["next_delayed_at"], row["last_delayed_at"], row["delivery_limit"]) == (due_ms, due_ms, 3)


async def test_a_quorum_queue_has_one_replica(api):
    await api.put("queues/%2F/q", {"durable": True, "arguments": {"x-queue-type": "quorum"}})
    await api.put("queues/%2F/classic")
    (replica,) = (await api.get("queues/quorum/%2F/q/status")).json()
    assert (replica["Node Name"], replica["Raft State"]) == ("rabbit@test", "leader")
    row = (await api.get("queues/%2F/q")).json()
    assert (row["leader"], row["members"], row["delivery_limit"]) == ("rabbit@test", ["rabbit@test"], 20)
    assert refused(await api.get("queues/quorum/%2F/classic/status")) == (
        503,
        {"status": "failed", "reason": "classic_queue_not_supported"},
    )
    assert refused(await api.get("queues/quorum/%2F/nope/status")) == NOT_FOUND


async def test_queue_totals_can_be_enabled_while_stats_are_disabled():
    api = Api(Config(management=Management(disable_stats=True, enable_queue_totals=True)))
    api.broker.vhosts["/"].declare_queue("q", False, False, False, {})
    (shown,) = (await api.get("queues")).json()
    assert shown["messages"] == 0
    assert "message_stats" not in shown


async def test_queue_accepts_a_null_body_and_refuses_long_argument_names(api):
    assert (await api.put("queues/%2F/q", content="null")).status_code == 201
    long_name = {"arguments": {"n" * 300: 1}}
    reason = "the name of an argument should be less than 255 bytes, actually was 300\n"
    assert refused(await api.put("queues/%2F/other", long_name)) == bad_request(reason)
    assert refused(await api.post("bindings/%2F/e/amq.topic/q/q", long_name)) == bad_request(reason)


async def test_replaced_messages_are_shown_for_queues_in_which_messages_replace_others(api):
    client = Wire(api.broker).log_in()
    client.declare("q", arguments={"x-last-value-key": longstr("key")})
    client.declare("plain")
    for _ in range(3):
        client.publish("q", b"", headers={"key": longstr("a")})
    row = (await api.get("queues/%2F/q")).json()
    assert (row["messages_replaced"], row["messages"]) == (2, 1)
    assert "messages_replaced" not in (await api.get("queues/%2F/plain")).json()


# --- streams ----------------------------------------------------------------------------------------------------------

STREAM = {"x-queue-type": "stream"}


@pytest.fixture
async def stream(api, client):
    """The client of a broker with a stream of three messages."""
    assert (await api.put("queues/%2F/s", {"durable": True, "arguments": STREAM})).status_code == 201
    for body in (b"a", b"b", b"c"):
        client.publish("s", body)
    client.call(1, "basic.qos", prefetch_count=5)
    return client


def read(client, **flags):
    arguments = {"x-stream-offset": longstr("first")}
    return client.consume("s", arguments=arguments, **flags)


async def test_stream_shows_its_replica_its_readers_and_its_segments(api, stream):
    read(stream)
    for row in ((await api.get("queues/%2F/s")).json(), (await api.get("queues")).json()[0]):
        assert row["type"] == "stream"
        assert row["node"] == row["leader"] == "rabbit@test"
        assert row["members"] == row["online"] == ["rabbit@test"]
        assert row["readers"] == {"rabbit@test": 1}
        assert (row["consumers"], row["segments"]) == (1, 1)
        assert (row["messages"], row["messages_ready"], row["messages_unacknowledged"]) == (3, 3, 0)


@pytest.mark.parametrize("path", ["queues/%2F/s", "queues/%2F", "queues/detailed"])
async def test_stream_has_no_columns_that_rabbitmq_does_not_show(api, stream, path):
    read(stream, exclusive=True)
    found = (await api.get(path)).json()
    row = found if isinstance(found, dict) else found[0]
    assert [name for name in row if name.startswith("message_bytes")] == []
    others = {"messages_persistent", "messages_ram", "consumer_capacity", "consumer_utilisation", "idle_since"}
    of_consumers = {"exclusive_consumer_tag", "single_active_consumer_tag", "head_message_timestamp"}
    assert (others | of_consumers) & set(row) == set()


async def test_stream_counts_deliveries_and_acknowledgements_but_no_disk_writes(api, stream):
    *_, last = read(stream)
    stream.send(1, "basic.ack", delivery_tag=last.arguments["delivery_tag"], multiple=True)
    stats = (await api.get("queues/%2F/s")).json()["message_stats"]
    counted = {name: value for name, value in stats.items() if not name.endswith("_details") and value}
    assert counted == {"publish": 3, "deliver": 3, "deliver_get": 3, "ack": 3}
    assert "disk_writes" not in stats


@pytest.mark.parametrize(("compat", "shown"), [("4.0", False), ("4.1", False), ("4.2", True), ("4.3", True)])
async def test_stream_shows_when_its_oldest_message_was_stored(compat, shown):
    api = Api(Config(compat=COMPATS[compat]))
    await api.put("queues/%2F/s", {"durable": True, "arguments": STREAM})
    assert "first_timestamp" not in (await api.get("queues/%2F/s")).json()
    stored_ms = api.clock.wall_ms()
    for body in (b"a", b"b"):
        Wire(api.broker).log_in().publish("s", body)
        api.broker.sync()
        api.clock.advance(1000)
    row = (await api.get("queues/%2F/s")).json()
    assert row.get("first_timestamp") == (stored_ms if shown else None)


async def test_stream_shows_its_offsets_if_extensions_are_on(api, stream):
    row = (await api.get("queues/%2F/s")).json()
    assert (row["first_offset"], row["last_chunk"], row["last_offset"]) == (0, 0, 2)
    assert row["stored_bytes"] > 0
    await api.put("queues/%2F/empty", {"durable": True, "arguments": STREAM})
    row = (await api.get("queues/%2F/empty")).json()
    assert (row["first_offset"], row["last_chunk"], row["last_offset"]) == (0, None, None)


async def test_stream_shows_no_offsets_if_extensions_are_off():
    api = Api(Config(compat=COMPATS["4.0"].configured({}, extensions=False)))
    await api.put("queues/%2F/s", {"durable": True, "arguments": STREAM})
    assert {"first_offset", "last_chunk", "last_offset", "stored_bytes"} & set(
        (await api.get("queues/%2F/s")).json()
    ) == set()


async def test_stream_is_listed_with_other_queues_and_sorted_by_any_column(api, stream):
    await api.put("queues/%2F/classic", {"durable": True})
    for column in ("messages", "consumers", "message_bytes", "segments", "readers", "type", "consumer_utilisation"):
        rows = (await api.get(f"queues?sort={column}&sort_reverse=true&columns=name,{column}")).json()
        assert {row["name"] for row in rows} == {"s", "classic"}, column
    (row,) = (await api.get("queues?columns=type,segments,leader&name=^s&use_regex=true&page=1")).json()["items"]
    assert row == {"type": "stream", "segments": 1, "leader": "rabbit@test"}
    (row,) = (await api.get("queues?columns=type,message_bytes&name=^s&use_regex=true&page=1")).json()["items"]
    assert row == {"type": "stream"}


async def test_stream_without_statistics_shows_its_replica(api, stream):
    row = (await api.get("queues/%2F/s?disable_stats=true&enable_queue_totals=true")).json()
    assert (row["type"], row["leader"], row["members"], row["online"]) == (
        "stream",
        "rabbit@test",
        ["rabbit@test"],
        ["rabbit@test"],
    )
    assert row["messages"] == 3


@pytest.mark.parametrize(("compat", "active"), [("4.0", False), ("4.2", True)])
async def test_consumer_of_a_stream_is_active_only_in_newer_releases(compat, active):
    api = Api(Config(compat=COMPATS[compat]))
    await api.put("queues/%2F/s", {"durable": True, "arguments": STREAM})
    client = Wire(api.broker).log_in()
    client.call(1, "basic.qos", prefetch_count=5)
    read(client, exclusive=True)
    (row,) = (await api.get("consumers")).json()
    assert (row["active"], row["activity_status"]) == (active, "up")
    assert (row["exclusive"], row["ack_required"], row["prefetch_count"]) == (True, True, 5)
    assert row["arguments"] == {"x-stream-offset": "first"}
    assert (await api.get("queues/%2F/s")).json()["consumer_details"] == [row]


async def test_stream_refuses_purge_with_rabbitmqs_reason(api, stream):
    assert refused(await api.delete("queues/%2F/s/contents")) == bad_request(
        "queue.purge not supported by stream queues queue 's' in vhost '/'"
    )
    assert api.broker.vhosts["/"].queues["s"].ready_count == 3


@pytest.mark.parametrize("query", ["", "?if-empty=true", "?if-unused=true", "?if-empty=true&if-unused=true"])
async def test_stream_is_deleted_on_any_condition(api, stream, query):
    read(stream)
    assert (await api.delete("queues/%2F/s" + query)).status_code == 204
    assert not api.broker.vhosts["/"].queues
    assert [each.name for each in stream.receive()] == ["basic.cancel"]


async def test_stream_cannot_be_declared_with_arguments_of_other_queues(api):
    answer = await api.put("queues/%2F/s", {"durable": True, "arguments": STREAM | {"x-message-ttl": 5}})
    assert refused(answer) == bad_request(
        "invalid arg 'x-message-ttl' for queue 's' in vhost '/' of queue type rabbit_stream_queue"
    )
    assert refused(await api.put("queues/%2F/s", {"arguments": STREAM})) == bad_request(
        "invalid property 'non-durable' for queue 's' in vhost '/'"
    )


async def test_default_queue_type_of_a_vhost_can_be_stream(api):
    await api.put("vhosts/logs", {"default_queue_type": "stream"})
    await api.put("permissions/logs/guest", {"configure": ".*", "write": ".*", "read": ".*"})
    await api.put("queues/logs/s", {"durable": True})
    assert (await api.get("queues/logs/s")).json()["type"] == "stream"


async def test_status_of_a_streams_replica_is_refused_as_in_rabbitmq(api, stream):
    assert (await api.get("queues/quorum/%2F/s/status")).status_code == 503


async def test_purge_over_http_is_answered_when_everything_is_recorded(api, client):
    client.declare("q", durable=True)
    vhost = client.broker.vhosts["/"]
    vhost.deferred_free.most = 2
    for _ in range(5):
        client.publish("q", b"x", delivery_mode=2)
    client.receive()
    purge = asyncio.create_task(api.delete("queues/%2F/q/contents"))
    while vhost.queues["q"].ready_count:
        await asyncio.sleep(0.001)
    await asyncio.sleep(0.02)
    assert not purge.done()
    vhost.clock.advance(0)
    assert (await purge).status_code == 204
    assert vhost.queues["q"].ledger.persistent == 0
