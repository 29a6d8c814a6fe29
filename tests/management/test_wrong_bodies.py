"""Routes that take a body, with every JSON type in every field of the body: none causes an internal error."""

import html
import json

import pytest

from tests.management.api import Api

pytestmark = pytest.mark.explore

VALUES = (None, True, 7, 1.5, 2**70, "x", [], [1], {"a": 1}, {"a": None})

POLICY = {"pattern": "x", "definition": {"max-length": 1, "overflow": "drop-head"}, "priority": 1, "apply-to": "all"}
SHOVEL = {
    "src-uri": "amqp://",
    "src-queue": "q",
    "dest-uri": "amqp://",
    "dest-queue": "to",
    "ack-mode": "on-confirm",
    "reconnect-delay": 1,
    "src-delete-after": "never",
    "dest-publish-properties": {"priority": 1},
}
PROPERTIES = {"headers": {"a": 1}, "priority": 1, "delivery_mode": 2, "content_type": "a", "expiration": "1000"}

BODIES = {
    "PUT queues/%2F/n": {"durable": True, "auto_delete": False, "arguments": {"x-max-length": 1}, "node": ""},
    "PUT exchanges/%2F/n": {
        "type": "topic",
        "durable": True,
        "auto_delete": False,
        "internal": False,
        "arguments": {"alternate-exchange": "x"},
    },
    "POST bindings/%2F/e/amq.topic/q/q": {"routing_key": "a", "arguments": {"a": 1}},
    "POST bindings/%2F/e/amq.topic/e/amq.direct": {"routing_key": "a", "arguments": {"a": 1}},
    "PUT policies/%2F/p": POLICY,
    "PUT operator-policies/%2F/p": {**POLICY, "definition": {"max-length": 1}},
    "PUT parameters/operator_policy/%2F/p": {"value": {**POLICY, "definition": {"max-length": 1}}},
    "PUT parameters/vhost-limits/%2F/limits": {"value": {"max-queues": 1}},
    "PUT parameters/shovel/%2F/s": {"value": SHOVEL},
    "PUT parameters/nothing/%2F/s": {"value": {"a": 1}},
    "PUT global-parameters/g": {"value": {"a": 1}},
    "PUT global-parameters/cluster_name": {"value": "x"},
    "PUT cluster-name": {"name": "x"},
    "PUT users/u": {"password": "p", "tags": "a"},
    "PUT users/v": {"password_hash": "AAAA", "hashing_algorithm": "x", "tags": ["a"]},
    "POST users/bulk-delete": {"users": ["x"]},
    "PUT permissions/%2F/guest": {"configure": ".*", "write": ".*", "read": ".*"},
    "PUT topic-permissions/%2F/guest": {"exchange": "amq.topic", "write": "", "read": ""},
    "PUT vhosts/v": {
        "description": "x",
        "tags": ["a"],
        "default_queue_type": "classic",
        "tracing": True,
        "protected_from_deletion": False,
    },
    "PUT vhost-limits/%2F/max-queues": {"value": 1},
    "PUT user-limits/guest/max-channels": {"value": 1},
    "POST exchanges/%2F/amq.default/publish": {
        "routing_key": "q",
        "properties": PROPERTIES,
        "payload": "x",
        "payload_encoding": "string",
    },
    "POST queues/%2F/q/get": {"count": 1, "ackmode": "ack_requeue_true", "encoding": "auto", "truncate": 1},
    "POST queues/%2F/q/move": {"destination": "to", "count": 1, "destination_vhost": "/"},
    "POST queues/%2F/q/actions": {"action": "sync"},
}

#: Paths that show every object that may have been created.
LISTS = ("definitions", "overview", "vhost-limits", "user-limits", "shovels", "queues", "exchanges", "bindings")


def changed(value):
    """Yield the value with one of its parts of another type, or without it."""
    yield from VALUES
    if isinstance(value, dict):
        for key, inner in value.items():
            yield {other: each for other, each in value.items() if other != key}
            for other in changed(inner):
                yield {**value, key: other}


@pytest.mark.parametrize("request_line", BODIES)
async def test_body_with_a_wrong_type_is_refused_or_accepted_and_shown(request_line):
    method, path = request_line.split()
    api = Api()
    for name in ("q", "to"):
        api.broker.vhosts["/"].declare_queue(name, True, False, False, {})
    right = await api.request(method, path, json=BODIES[request_line])
    assert right.status_code in (200, 201, 204) or "nothing" in path or "actions" in path, right.text
    refused = 0
    for body in changed(BODIES[request_line]):
        answer = await api.request(method, path, content=json.dumps(body))
        assert answer.status_code in (200, 201, 204, 400, 404), (body, answer.text)
        refused += answer.status_code == 400
        if answer.status_code >= 400:
            assert answer.json()["reason"], body
            continue
        for shown in LISTS:
            assert (await api.get(shown)).status_code == 200, (body, shown)
        if path == "vhosts/v":
            await api.delete(path)
    assert refused


@pytest.mark.parametrize("path", ["policies", "operator-policies"])
@pytest.mark.parametrize(
    ("definition", "problem"),
    [
        (None, "null"),
        (7, "7"),
        (True, "true"),
        ("x", '<<"x">>'),
        ([1], "definition must be a dictionary: [1]"),
        ([["max-length", 1]], "definition must be a dictionary: "),
        ([], "no policy provided"),
        ({}, "no policy provided"),
    ],
)
async def test_policy_whose_definition_is_no_object_is_refused(path, definition, problem):
    api = Api()
    answer = await api.put(f"{path}/%2F/p", {"pattern": "", "definition": definition})
    reason = html.unescape(answer.json()["reason"])
    assert answer.status_code == 400
    assert reason.startswith("Validation failed\n\n")
    assert problem in reason
    assert (await api.get(path)).json() == []
