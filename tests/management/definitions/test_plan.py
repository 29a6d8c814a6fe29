import base64
import hashlib
import json
from pathlib import Path

import pytest

from amqpbroker.broker.broker import Broker
from amqpbroker.broker.queues.kinds import STREAM
from amqpbroker.clock import ManualClock
from amqpbroker.config import Config
from amqpbroker.management.definitions.export import exported, exported_vhost, written
from amqpbroker.management.definitions.failure import DefinitionsError
from amqpbroker.management.definitions.importing import imported
from amqpbroker.management.definitions.plan import Plan, parsed
from amqpbroker.management.nesting import MAX_DEFINITIONS_LEVELS
from amqpbroker.message.message import Message, encode_address
from amqpbroker.store.store import MemoryStore
from amqpbroker.wire.values import MAX_DEPTH, Field, longstr

HERE = Path(__file__).parent

#: Exported by a RabbitMQ 4.0.5: all of it, and its vhost `orders`.
WHOLE = json.loads((HERE / "rabbitmq-4.0.5.json").read_text())
ORDERS = json.loads((HERE / "rabbitmq-4.0.5-vhost.json").read_text())


def make_broker(**settings):
    return Broker(Config(**settings), ManualClock(1_000_000), MemoryStore())


@pytest.fixture
def broker():
    return make_broker()


async def load(broker, document, vhost=None, maker=None):
    await imported(Plan(broker, document, vhost, maker), broker.config.bounds.rows)


async def document_of(export):
    """Return the document as it is written."""
    return json.loads(b"".join([part async for part in written(export, 100)]))


def normal(document):
    """Lists in any order, for RabbitMQ has none."""

    def sort(values):
        return sorted(values, key=lambda value: json.dumps(value, sort_keys=True))

    return {section: sort(values) if isinstance(values, list) else values for section, values in document.items()}


# --- RabbitMQ's own ---------------------------------------------------------------------------------------------------


async def test_definitions_exported_by_rabbitmq_are_exported_unchanged(broker):
    await load(broker, WHOLE)
    assert normal(await document_of(exported(broker))) == normal(WHOLE)


async def test_streams_are_exported_with_their_arguments_and_imported(broker):
    arguments = {
        "x-queue-type": longstr("stream"),
        "x-max-age": longstr("7D"),
        "x-max-length-bytes": Field("l", 10**9),
        "x-stream-max-segment-size-bytes": Field("I", 10**6),
        "x-stream-filter-size-bytes": Field("I", 32),
        "x-initial-cluster-size": Field("I", 1),
        "x-queue-leader-locator": longstr("balanced"),
    }
    vhost = broker.vhosts["/"]
    stream = vhost.declare_queue("s", True, False, False, arguments)
    vhost.bind(vhost.exchange("amq.topic"), stream, b"a.#", {})
    stream.publish(Message(encode_address("", b"s"), b"\0\0", b"m"))
    document = await document_of(exported(broker))
    (row,) = document["queues"]
    shown = {
        name: value.value if isinstance(value.value, int) else value.value.decode() for name, value in arguments.items()
    }
    assert row == {"name": "s", "vhost": "/", "durable": True, "auto_delete": False, "arguments": shown}
    other = make_broker()
    await load(other, document)
    assert await document_of(exported(other)) == document
    found = other.vhosts["/"].queues["s"]
    assert (found.kind, found.ready_count) == (STREAM, 0)
    assert (found.settings.max_age_ms, found.settings.max_length_bytes) == (7 * 86_400_000, 10**9)
    await load(other, document)  # the stream exists
    assert set(other.vhosts["/"].queues) == {"s"}


async def test_default_queue_type_stream_is_exported_and_imported(broker):
    broker.add_vhost("logs", default_queue_type="stream")
    document = await document_of(exported(broker))
    other = make_broker()
    await load(other, document)
    assert other.vhosts["logs"].default_queue_type == "stream"
    found = other.vhosts["logs"].declare_queue("q", True, False, False, {})
    assert found.kind is STREAM


async def test_definitions_exported_by_rabbitmq_take_effect(broker):
    await load(broker, WHOLE)
    orders = broker.vhosts["orders"]
    assert orders.queues["in.classic"].settings.message_ttl_ms == 60_000
    assert orders.queues["in.quorum"].policy.name == "dlx"
    assert orders.queues["in.quorum"].effective_policy["max-length"] == 1000
    assert orders.exchanges["events"].alternate == "unrouted"
    assert broker.users.authenticate("ann", b"s3cret").tags == ("administrator",)
    assert broker.users.authenticate("bob", b"s3cret") is not None
    assert broker.users.authenticate("eve", b"s3cret") is not None
    assert broker.users.authenticate("nopass", b"") is None
    assert broker.limits.vhost("orders") == {"max-connections": -1, "max-queues": 100}
    assert broker.cluster_name == "shop"


async def test_importing_the_same_definitions_again_changes_nothing(broker):
    await load(broker, WHOLE)
    queue = broker.vhosts["orders"].queues["in.quorum"]
    await load(broker, WHOLE)
    assert broker.vhosts["orders"].queues["in.quorum"] is queue
    assert normal(await document_of(exported(broker))) == normal(WHOLE)


async def test_definitions_of_one_vhost_can_be_imported_into_another(broker):
    broker.add_vhost("copy", "Orders", ("prod", "eu"), "quorum")
    await load(broker, ORDERS, "copy")
    copy = await document_of(exported_vhost(broker, broker.vhosts["copy"]))
    assert copy.pop("original_vhost_name") == "copy"
    assert copy.pop("explanation") == "Definitions of virtual host 'copy'"
    assert normal(copy).items() <= normal(ORDERS).items()
    assert list(broker.vhosts) == ["/", "copy"]


async def test_import_into_one_vhost_ignores_vhost_names_and_users(broker):
    broker.add_vhost("copy")
    await load(broker, WHOLE | {"queues": [{"vhost": "/", "name": "q", "durable": True}], "bindings": []}, "copy")
    assert list(broker.vhosts["copy"].queues) == ["q"]
    assert [user.name for user in broker.users.list_users()] == ["guest"]


# --- additions --------------------------------------------------------------------------------------------------------


async def test_import_leaves_existing_queues_and_exchanges_unchanged(broker):
    vhost = broker.vhosts["/"]
    queue = vhost.declare_queue("q", True, False, False, {})
    vhost.declare_exchange("x", "fanout", True, False, False, {})
    document = {
        "queues": [{"vhost": "/", "name": "q", "durable": False, "arguments": {"x-max-length": 5}}],
        "exchanges": [{"vhost": "/", "name": "x", "type": "topic", "durable": True}],
    }
    await load(broker, document)
    assert vhost.queues["q"] is queue
    assert vhost.exchanges["x"].type.name == "fanout"


def declared_again(**queue):
    return {"queues": [{"vhost": "/", "name": "q", "durable": True, **queue}]}


async def test_import_updates_existing_queues_in_the_redeclaration_mode_update(caplog):
    broker = make_broker(redeclare="update")
    queue = broker.vhosts["/"].declare_queue("q", True, False, False, {})
    await load(broker, declared_again(arguments={"x-max-length": 5}))
    assert queue.settings.max_length == 5
    for refused in ({"durable": False}, {"arguments": {"x-max-priority": 5}}, {"arguments": {"x-max-length": -1}}):
        caplog.clear()
        await load(broker, declared_again(**refused))
        assert 'left out of the definitions: queue "q" in vhost "/": it exists: ' in caplog.text
    assert queue.settings.max_length == 5


async def test_import_records_differences_in_the_redeclaration_mode_warn(caplog):
    broker = make_broker(redeclare="warn")
    queue = broker.vhosts["/"].declare_queue("q", True, False, False, {})
    document = declared_again(arguments={"x-max-length": 5})
    document["policies"] = [
        {"vhost": "/", "name": "p", "pattern": "^r", "definition": {"redeclare": "strict"}, "apply-to": "queues"}
    ]
    await load(broker, document)
    assert (queue.settings.max_length, len(queue.differences)) == (-1, 1)
    assert "was declared by user 'rmq-internal' with arguments that differ" in caplog.text


async def test_import_omits_reserved_names_and_default_exchange_bindings(broker):
    document = {
        "exchanges": [{"vhost": "/", "name": name, "type": "direct"} for name in ("", "amq.direct", "amq.new")],
        "queues": [{"vhost": "/", "name": "amq.gen-x"}, {"vhost": "/", "name": "q"}],
        "bindings": [
            {"vhost": "/", "source": "", "destination": "q", "destination_type": "queue", "routing_key": "q"},
            {"vhost": "/", "source": "amq.topic", "destination": "q", "destination_type": "queue", "routing_key": "a"},
        ],
    }
    await load(broker, document)
    assert list(broker.vhosts["/"].queues) == ["q"]
    assert "amq.new" not in broker.vhosts["/"].exchanges
    assert len(broker.vhosts["/"].exchanges["amq.topic"].bindings) == 1


async def test_import_creates_queues_beyond_the_queue_limit_of_a_vhost(broker):
    broker.limits.set_vhost("/", "max-queues", 0)
    await load(broker, {"queues": [{"vhost": "/", "name": "q", "durable": True}]})
    assert list(broker.vhosts["/"].queues) == ["q"]


async def test_importing_user_gets_all_permissions_in_new_vhosts(broker):
    await load(broker, {"vhosts": [{"name": "new"}, {"name": "/"}]}, maker="guest")
    assert [vhost for _, vhost, _ in broker.users.list_permissions("guest")] == ["/", "new"]


async def test_unknown_keys_of_definitions_are_ignored(broker):
    await load(broker, {"federations": [1], "queues": [{"vhost": "/", "name": "q", "colour": "red"}]})
    assert list(broker.vhosts["/"].queues) == ["q"]


# --- older forms ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("version", "digest"), [("3.5.6", "md5"), ("3.6.0", "sha256"), ("4.0.5", "sha256"), (None, "sha256")]
)
async def test_password_hash_without_algorithm_uses_that_of_the_rabbitmq_version(broker, version, digest):
    encoded = base64.b64encode(b"salt" + hashlib.new(digest, b"salts3cret").digest()).decode()
    users = [{"name": "ann", "password_hash": encoded, "tags": "administrator, x"}]
    await load(broker, {"rabbit_version": version, "users": users})
    assert broker.users.authenticate("ann", b"s3cret").tags == ("administrator", "x")


async def test_definitions_with_plain_passwords_and_vhost_metadata_are_imported(broker):
    vhost = {"name": "new", "metadata": {"description": "d", "tags": ["t"], "default_queue_type": "quorum"}}
    await load(broker, {"users": [{"name": "ann", "password": "pw", "tags": []}], "vhosts": [vhost]})
    assert broker.users.authenticate("ann", b"pw") is not None
    new = broker.vhosts["new"]
    assert (new.description, new.tags, new.default_queue_type) == ("d", ("t",), "quorum")


async def test_imported_user_limits_are_added_to_existing_ones(broker):
    broker.limits.set_user("guest", "max-channels", 1)
    user = {"name": "guest", "password": "guest", "tags": [], "limits": {"max-connections": 2}}
    await load(broker, {"users": [user]})
    assert broker.limits.user("guest") == {"max-channels": 1, "max-connections": 2}


# --- refusals ---------------------------------------------------------------------------------------------------------

PERMISSION = {"user": "guest", "vhost": "/", "configure": "", "write": "", "read": ""}
QUEUE = {"vhost": "/", "name": "new", "durable": True}
BINDING = {"vhost": "/", "source": "x", "destination": "q", "destination_type": "queue", "routing_key": ""}


@pytest.mark.parametrize(
    ("section", "entry", "text"),
    [
        ("users", {"name": "ann"}, "tags_not_present"),
        ("users", {"name": "ann", "password_hash": "!!", "tags": ""}, '{not_base64,<<"!!">>}'),
        (
            "users",
            {"name": "ann", "tags": "", "limits": {"zz": 4}},
            'Unrecognised terms [{<<"zz">>,4}] in user-limits',
        ),
        ("users", {"tags": ""}, 'users[1]: "name" is missing'),
        ("vhosts", {"name": "new", "default_queue_type": "nope"}, "vhosts[1]: Unsupported queue type 'nope'"),
        ("permissions", {**PERMISSION, "user": "nope"}, '{no_such_user,<<"nope">>}'),
        (
            "permissions",
            {**PERMISSION, "vhost": "nope"},
            'Please create virtual host "nope" prior to importing definitions.',
        ),
        ("permissions", {"user": "guest"}, 'permissions[1]: "vhost" is missing'),
        (
            "topic_permissions",
            {**PERMISSION, "exchange": 5},
            'topic_permissions[1]: "exchange" is to be a string, not 5',
        ),
        (
            "policies",
            {"vhost": "/", "name": "p", "pattern": "a", "definition": {"zzz": 1, "max-length": "x"}},
            'Validation failed\n\n<<"x">> is not a valid maximum length\n (//p)',
        ),
        (
            "policies",
            {"vhost": "/", "name": "p", "pattern": "a", "definition": {}},
            "Validation failed\n\nno policy provided\n (//p)",
        ),
        (
            "policies",
            {"vhost": "nope", "name": "p", "pattern": "a", "definition": {"zzz": 1}},
            'Please create virtual host "nope" prior to importing definitions.',
        ),
        (
            "parameters",
            {"vhost": "/", "component": "vhost-limits", "name": "limits", "value": {"zz": 4}},
            'Validation failed\n\nUnrecognised terms [{<<"zz">>,4}] in limits\n (//vhost-limits/limits)',
        ),
        (
            "parameters",
            {"vhost": "/", "component": 5, "name": "p"},
            'parameters[1]: "component" is to be a string, not 5',
        ),
        ("queues", {**QUEUE, "vhost": "nope"}, 'Please create virtual host "nope" prior to importing definitions.'),
        ("queues", {**QUEUE, "durable": "yes"}, 'queues[1]: "durable" is to be true or false, not "yes"'),
        ("queues", "new", 'queues[1]: this is to be an object, not "new"'),
        (
            "queues",
            {**QUEUE, "durable": False, "arguments": {"x-queue-type": "stream", "x-max-age": "1x"}},
            "precondition_failed: invalid arg 'x-max-age' for queue 'new' in vhost '/': invalid_max_age",
        ),
        ("exchanges", {"vhost": "/", "name": "new"}, 'exchanges[1]: "type" is missing'),
        ("exchanges", {"vhost": "/", "name": "new", "type": 5}, 'exchanges[1]: "type" is to be a string, not 5'),
        (
            "bindings",
            {**BINDING, "source": "amq.topic"},
            '{resources_missing,[{not_found,{resource,<<"/">>,queue,<<"q">>}}]}',
        ),
        ("bindings", BINDING, '{resources_missing,[{not_found,{resource,<<"/">>,exchange,<<"x">>}}]}'),
    ],
)
async def test_definitions_with_an_invalid_entry_change_nothing(broker, section, entry, text):
    good = {
        "users": [{"name": "first", "tags": ""}],
        "vhosts": [{"name": "first"}],
        "permissions": [PERMISSION],
        "topic_permissions": [{**PERMISSION, "exchange": "x"}],
        "policies": [{"vhost": "/", "name": "first", "pattern": "a", "definition": {"max-length": 1}}],
        "parameters": [{"vhost": "/", "component": "vhost-limits", "name": "limits", "value": {"max-queues": 7}}],
        "exchanges": [{"vhost": "/", "name": "first", "type": "direct"}],
        "queues": [{"vhost": "/", "name": "first"}],
        "bindings": [{**BINDING, "source": "first", "destination": "first"}],
    }
    before = await document_of(exported(broker))
    await load(make_broker(), good)
    with pytest.raises(DefinitionsError) as refused:
        await load(broker, {**good, section: [*good[section], entry]})
    assert str(refused.value) == text
    assert await document_of(exported(broker)) == before


@pytest.mark.parametrize("section", [5, {"a": 1}, "x"])
async def test_definitions_section_that_is_no_list_is_refused(broker, section):
    with pytest.raises(DefinitionsError, match="users: this is to be a list"):
        await load(broker, {"users": section})


def test_empty_definitions_file_is_an_empty_document():
    assert parsed(b" \n") == {}


@pytest.mark.parametrize("text", [b"{", b"[]", b"5"])
def test_parsing_definitions_that_are_no_json_object_fails(text):
    with pytest.raises(DefinitionsError, match="failed_to_parse_json"):
        parsed(text)


def test_too_deeply_nested_definitions_are_refused():
    def document(levels):
        return b'{"a":' * levels + b"1" + b"}" * levels

    assert parsed(document(MAX_DEFINITIONS_LEVELS))
    with pytest.raises(DefinitionsError, match="nested too deeply: there may be 70 objects and lists"):
        parsed(document(MAX_DEFINITIONS_LEVELS + 1))


async def test_imported_arguments_nested_too_deeply_to_export_are_refused(broker):
    queue = {"vhost": "/", "name": "q", "durable": True, "arguments": {"x": nested(MAX_DEPTH)}}
    await load(broker, {"vhosts": [{"name": "/"}], "queues": [queue]})
    document = json.dumps(await document_of(exported(broker))).encode()
    other = make_broker()
    await load(other, parsed(document))
    assert other.vhosts["/"].queues["q"].arguments == broker.vhosts["/"].queues["q"].arguments
    deeper = {**queue, "name": "deeper", "arguments": {"x": nested(MAX_DEPTH + 1)}}
    with pytest.raises(DefinitionsError, match="nested too deeply"):
        await load(broker, {"queues": [deeper]})


def nested(levels):
    return {"a": nested(levels - 1)} if levels else 1
