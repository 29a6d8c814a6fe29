"""Fields of every section, each with a value of every JSON type: over HTTP, and in a file at the start."""

import json

import pytest

from amqpbroker.broker.broker import Broker
from amqpbroker.clock import ManualClock
from amqpbroker.config import Config
from amqpbroker.management.definitions.failure import DefinitionsError
from amqpbroker.management.definitions.importing import import_at_start
from amqpbroker.management.failure import shown
from amqpbroker.store.definitions.definitions import MemoryDefinitions
from amqpbroker.store.store import MemoryStore
from amqpbroker.wire.erlang import erlang_json
from tests.management.api import Api

pytestmark = pytest.mark.explore

VALUES = {
    "null": None,
    "boolean": True,
    "number": 7,
    "fraction": 1.5,
    "string": "7",
    "list": [1],
    "empty list": [],
    "object": {"a": 1},
}
TEXT = {"string"}
FLAG = {"boolean"}
NUMBER = {"number", "fraction"}
EVERY = set(VALUES)

PLACE = {"vhost": TEXT, "name": TEXT}
ARGUMENTS = {"null", "empty list", "object"}

#: Section -> a valid entry, and the JSON types that each of its fields accepts.
SECTIONS = {
    "users": (
        {"name": "u", "tags": []},
        {"name": TEXT, "tags": {"string", "list", "empty list"}, "limits": {"empty list"}, "password": TEXT},
    ),
    "vhosts": (
        {"name": "v"},
        {
            "name": TEXT,
            "description": TEXT | {"null"},
            "tags": {"null", "string", "list", "empty list"},
            "default_queue_type": {"null"},
            "metadata": {"empty list", "object"},
        },
    ),
    "permissions": (
        {"user": "guest", "vhost": "/", "configure": "", "write": "", "read": ""},
        {"user": set(), "vhost": set(), "configure": TEXT, "write": TEXT, "read": TEXT},
    ),
    "topic_permissions": (
        {"user": "guest", "vhost": "/", "exchange": "amq.topic", "write": "", "read": ""},
        {"user": set(), "vhost": set(), "exchange": TEXT, "write": TEXT, "read": TEXT},
    ),
    "exchanges": (
        {"vhost": "/", "name": "e", "type": "topic"},
        {
            "vhost": set(),
            "name": TEXT,
            "type": TEXT,  # an unknown type is left out
            "durable": FLAG,
            "auto_delete": FLAG,
            "internal": FLAG,
            "arguments": ARGUMENTS,
        },
    ),
    "queues": (
        {"vhost": "/", "name": "n"},
        {"vhost": set(), "name": TEXT, "durable": FLAG, "auto_delete": FLAG, "arguments": ARGUMENTS},
    ),
    "bindings": (
        {"vhost": "/", "source": "amq.direct", "destination": "q", "destination_type": "queue", "routing_key": ""},
        {
            "vhost": set(),
            "source": set(),
            "destination": set(),
            "destination_type": set(),
            "routing_key": TEXT,
            "arguments": ARGUMENTS,
        },
    ),
    "global_parameters": ({"name": "g", "value": 1}, {"name": TEXT, "value": EVERY}),
    "policies": (
        {"vhost": "/", "name": "p", "pattern": "", "definition": {"max-length": 1}},
        {
            "vhost": set(),
            "name": TEXT,
            "pattern": TEXT,
            "definition": {"object"},  # a policy with unknown keys is left out
            "apply-to": set(),
            "priority": NUMBER,
        },
    ),
    "parameters": (
        {"vhost": "/", "component": "operator_policy", "name": "o", "value": {}},
        {"vhost": set(), "component": TEXT, "name": set(), "value": set()},
    ),
}

#: Valid values of parameters and definitions of policies, and the JSON types that their fields accept.
OPERATOR = {"pattern": "", "priority": 0, "definition": {"max-length": 1}}
POLICY = {
    "max-length": {"number"},
    "message-ttl": {"number"},
    "expires": {"number"},
    "overflow": set(),
    "dead-letter-exchange": TEXT,
    "dead-letter-routing-key": TEXT,
    "alternate-exchange": TEXT,
    "delivery-limit": {"number"},
    "queue-mode": set(),
    "queue-version": set(),
    "consumer-timeout": {"number"},
    "max-age": set(),
}


def documents():
    for section, (right, fields) in SECTIONS.items():
        for kind, value in VALUES.items():
            if kind != "empty list":
                yield section, {section: value}, kind == "null", value
            if kind != "object":
                yield f"{section}[0]", {section: [value]}, False, value
            for field, accepted in fields.items():
                yield f"{section}[0]", {section: [{**right, field: value}]}, kind in accepted, value
    parameter = SECTIONS["parameters"][0]
    policy = SECTIONS["policies"][0]
    for kind, value in VALUES.items():
        for field, accepted in {"pattern": TEXT, "priority": NUMBER, "definition": {"object"}, "apply-to": ()}.items():
            changed = {**parameter, "value": {**OPERATOR, field: value}}
            yield "parameters[0]", {"parameters": [changed]}, kind in accepted, value
        for limit in ("max-connections", "max-queues"):
            limits = {**parameter, "component": "vhost-limits", "name": "limits", "value": {limit: value}}
            yield "parameters[0]", {"parameters": [limits]}, kind == "number", value
        limits = {"name": "u", "tags": "", "limits": {"max-connections": value}}
        yield "users[0]", {"users": [limits]}, kind == "number", value
        for key in ("src-uri", "dest-uri", "src-queue", "src-prefetch-count", "ack-mode", "reconnect-delay"):
            shovel = {"src-uri": "amqp://", "dest-uri": "amqp://", "src-queue": "q", "dest-queue": "r", key: value}
            yield "parameters[0]", {"parameters": [{**parameter, "component": "shovel", "value": shovel}]}, None, value
        for key, accepted in POLICY.items():
            yield "policies[0]", {"policies": [{**policy, "definition": {key: value}}]}, kind in accepted, value
        for key in ("x-max-length", "x-overflow", "x-queue-type", "x-dead-letter-exchange", "x-max-priority"):
            queue = {"vhost": "/", "name": "n", "arguments": {key: value}}
            yield "queues[0]", {"queues": [queue]}, None, value
        for key in ("description", "tags", "default_queue_type", "protected_from_deletion"):
            vhost = {"name": "v", "metadata": {key: value}}
            yield "vhosts[0]", {"vhosts": [vhost]}, None, value


#: Tuples: place, document, True if it is imported or None if it may be either, value.
DOCUMENTS = list(documents())


def broker_of(definitions=None):
    return Broker(Config(), ManualClock(1_000_000), MemoryStore(), definitions or MemoryDefinitions())


@pytest.mark.parametrize("section", SECTIONS)
async def test_definitions_posted_over_http_are_imported_or_refused_with_a_reason(section):
    for place, document, imported, _ in DOCUMENTS:
        if not place.startswith(section):
            continue
        api = Api()
        api.broker.vhosts["/"].declare_queue("q", True, False, False, {})
        answer = await api.post("definitions", document)
        if imported is None:
            assert answer.status_code in (204, 400), (document, answer.text)
        else:
            assert answer.status_code == (204 if imported else 400), (document, answer.text)
        if answer.status_code == 400:
            assert isinstance(answer.json()["reason"], str), document
        else:
            assert (await api.get("definitions")).status_code == 200, document


@pytest.mark.parametrize("section", SECTIONS)
def test_definitions_file_is_imported_or_refused_with_place_and_reason(section, tmp_path):
    path = tmp_path / "definitions.json"
    for place, document, imported, value in DOCUMENTS:
        if not place.startswith(section):
            continue
        if section == "bindings":
            document = {**document, "queues": [{"vhost": "/", "name": "q"}]}
        path.write_text(json.dumps(document))
        try:
            import_at_start(broker_of(), [str(path)])
        except DefinitionsError as error:
            line = str(error)
            assert imported is not True, (document, line)
            assert "\n" not in line, line
            assert line.startswith(f"definitions {path}: {place}"), (document, line)
            if imported is False and section not in ("users", "bindings", "permissions", "topic_permissions"):
                forms = (shown(value), erlang_json(value), shown(value).strip('"[]'), "not found")
                assert any(form in line for form in forms), (document, line)
        else:
            assert imported is not False, document


@pytest.mark.parametrize("document", [None, 7, 1.5, "x", [], [1], True])
async def test_definitions_that_are_no_json_object_are_refused(document, tmp_path):
    answer = await Api().post("definitions", content=json.dumps(document))
    assert (answer.status_code, answer.json()["reason"]) == (400, "failed_to_parse_json")
    path = tmp_path / "definitions.json"
    path.write_text(json.dumps(document))
    with pytest.raises(DefinitionsError, match=f"definitions {path}: failed_to_parse_json"):
        import_at_start(broker_of(), [str(path)])
