"""Scripts from seeds: the same from the same, of many kinds, and runnable."""

import inspect
import json
from collections import Counter

import pytest

from conformance.channel import Channel
from conformance.fuzz.generator import REPLY_TO, generate
from conformance.fuzz.step import CONNECTION_VERBS, HTTP, listing

SCRIPTS = [generate(seed) for seed in range(200)]
STEPS = [step for script in SCRIPTS for step in script]


@pytest.mark.parametrize("seed", [0, 1, 4711])
def test_a_seed_gives_the_same_script_every_time(seed):
    assert generate(seed) == generate(seed)
    assert listing(generate(seed)) == listing(generate(seed))


def test_seeds_give_different_scripts():
    assert len({listing(script) for script in SCRIPTS}) == len(SCRIPTS)


def test_scripts_use_every_verb():
    verbs = Counter(step.verb for step in STEPS)
    every = {
        *("queue", "exchange", "bind", "unbind", "exchange_bind", "exchange_unbind", "publish", "get", "consume"),
        *("cancel", "ack", "nack", "reject", "recover", "qos", "purge", "delete", "exchange_delete", "confirm", "tx"),
        *("commit", "rollback", "close", "flow", "recover_async", *CONNECTION_VERBS),
    }
    assert every <= set(verbs)


def test_scripts_use_every_kind_of_queue_and_limit():
    arguments = [step.arguments.get("arguments") or {} for step in STEPS if step.verb == "queue"]
    assert {"classic", "quorum"} <= {one.get("x-queue-type") for one in arguments if "x-queue-type" in one}
    names = {name for one in arguments for name in one}
    assert names >= {
        *("x-max-priority", "x-max-length", "x-max-length-bytes", "x-overflow", "x-message-ttl", "x-expires"),
        *("x-dead-letter-exchange", "x-dead-letter-routing-key", "x-single-active-consumer", "x-delivery-limit"),
    }
    kinds = {step.arguments.get("kind") for step in STEPS if step.verb == "exchange"}
    assert kinds >= {"direct", "fanout", "topic", "headers"}


def test_every_generated_step_is_a_valid_call_of_a_lab_channel():
    for step in STEPS:
        if step.verb not in CONNECTION_VERBS and step.on != HTTP:
            inspect.signature(getattr(Channel, step.verb)).bind(None, **step.arguments)


def test_scripts_do_every_kind_of_request():
    kinds = Counter(
        (step.arguments["method"], step.arguments["path"].partition("/")[0], step.arguments["path"].rpartition("/")[2])
        for step in STEPS
        if step.on == HTTP
    )
    by_resource = Counter((method, resource) for method, resource, _ in kinds.elements())
    assert by_resource.keys() >= {
        *(("PUT", resource) for resource in ("queues", "exchanges", "policies", "users", "permissions", "vhosts")),
        *(("DELETE", resource) for resource in ("queues", "exchanges", "bindings", "policies", "users", "permissions")),
        *(("DELETE", resource) for resource in ("vhosts", "connections")),
        *(("POST", resource) for resource in ("bindings", "exchanges", "queues", "definitions")),
        *(("GET", resource) for resource in ("bindings", "queues", "exchanges", "policies", "permissions")),
    }
    assert kinds.keys() >= {
        ("POST", "exchanges", "publish"),
        ("POST", "queues", "get"),
        ("DELETE", "queues", "contents"),
    }
    got = [step.arguments["body"] for step in STEPS if step.arguments.get("path", "").endswith("/get")]
    assert {-1, 0, 1, "x"} <= {one.get("count") for one in got}
    assert {one.get("ackmode") for one in got} >= {
        *("ack_requeue_true", "ack_requeue_false", "reject_requeue_true", "reject_requeue_false")
    }


def test_bodies_of_requests_are_json():
    for step in STEPS:
        if step.on == HTTP:
            assert json.loads(json.dumps(step.arguments)) == step.arguments


def test_without_a_management_api_there_are_no_requests():
    for seed in range(50):
        assert not [step for step in generate(seed, http=False) if step.on == HTTP or step.on.startswith("f")]


def test_generated_names_contain_the_seed():
    named = [step.arguments["name"] for step in generate(77) if step.verb == "queue" and step.arguments["name"]]
    named += [step.on for step in generate(77) if step.on.startswith("f")]
    assert named
    assert all(name.startswith(("f77.", "amq.")) for name in named)


def test_a_channel_never_consumes_two_queues_at_a_time():
    for script in SCRIPTS:
        consumed = {}
        for step in script:
            if step.verb in CONNECTION_VERBS:
                consumed = {on: queue for on, queue in consumed.items() if not on.startswith(f"{step.on}/")}
            elif step.verb == "close":
                consumed.pop(step.on, None)
            elif step.verb == "consume" and step.arguments["queue"] != REPLY_TO:
                assert consumed.setdefault(step.on, step.arguments["queue"]) == step.arguments["queue"]


def test_scripts_with_unacked_messages_on_two_channels_keep_connections():
    for script in SCRIPTS:
        holding = {step.on for step in script if step.verb in ("get", "consume") and not is_reply(step)}
        if "2" in {on.partition("/")[2] for on in holding}:
            assert not [step for step in script if step.verb in CONNECTION_VERBS]


def is_reply(step):
    return step.arguments["queue"] == REPLY_TO
