import json
import logging
from pathlib import Path

import pytest

from amqpbroker.broker.broker import Broker
from amqpbroker.broker.queues.kinds import STREAM
from amqpbroker.broker.shovels.shovels import ShovelRunner
from amqpbroker.clock import ManualClock
from amqpbroker.config import Config, Definitions
from amqpbroker.management.definitions.failure import DefinitionsError
from amqpbroker.management.definitions.importing import import_at_start, imported
from amqpbroker.management.definitions.plan import Plan
from amqpbroker.store.store import MemoryStore
from tests.management.api import Api

#: Exported by a RabbitMQ 4.0.5 with shovels, federation, sharding and the exchanges of its plugins.
PLUGINS = json.loads(Path(__file__).with_name("rabbitmq-4.0.5-plugins.json").read_text())

#: A queue that cannot be declared, since streams are durable.
TRANSIENT = {"vhost": "/", "name": "s", "durable": False, "arguments": {"x-queue-type": "stream"}}
BINDING = {"vhost": "/", "source": "amq.topic", "destination": "s", "destination_type": "queue", "routing_key": ""}


@pytest.fixture
def broker():
    return Broker(Config(), ManualClock(1_000_000), MemoryStore())


@pytest.fixture
def warnings(caplog):
    """Rows that `load` leaves out, with the reason, made as the test asks for it."""
    caplog.set_level(logging.WARNING)
    return lambda: [record.getMessage().removeprefix("left out of the definitions: ") for record in caplog.records]


async def load(broker, **document):
    await imported(Plan(broker, document), broker.config.bounds.rows)


async def test_import_omits_objects_of_plugins_and_keeps_the_rest(broker, warnings):
    await load(broker, **PLUGINS)
    vhost = broker.vhosts["/"]
    shards = [f"sharding: shards - rabbit@localhost - {number}" for number in (0, 1)]
    assert set(vhost.queues) == {"work", "events", *shards}
    assert vhost.queues["events"].kind is STREAM
    assert {name for name in vhost.exchanges if not name.startswith("amq.")} == {"", "own", "ring"}
    own = vhost.exchanges["own"].bindings.values()
    assert {(binding.destination.name, binding.routing_key) for binding in own} == {
        ("work", b"a.b"),
        ("events", b"a.b"),
    }
    assert len(vhost.exchanges["amq.rabbitmq.trace"].bindings) == 1
    policies = [(policy.name, policy.definition) for policy in broker.policies.list()]
    assert policies == [("aged", {"max-age": "1D"}), ("both", {"max-length": 1000})]
    assert [policy.name for policy in broker.policies.list(operator=True)] == ["cap"]
    assert broker.limits.vhost("/")["max-connections"] == 100
    assert [parameter.name for parameter in broker.parameters.list("shovel")] == ["move"]
    generated = next(queue["name"] for queue in PLUGINS["queues"] if queue["name"].startswith("amq.gen-"))
    at = 'in vhost "/"'
    assert sorted(warnings()) == sorted(
        [
            f'"federation-upstream" of policy "both" {at}: there are no such keys here',
            f'policy "federated" {at}: it has nothing but keys that do not exist here, "federation-upstream-set"',
            f'policy "sharded" {at}: it has nothing but keys that do not exist here, "routing-key", "shards-per-node"',
            f'parameter "up" of "federation-upstream" {at}: there is no such component here',
            f'parameter "ups" of "federation-upstream-set" {at}: there is no such component here',
            f'exchange "recent" {at}: there is no exchange type "x-recent-history" here',
            f'exchange "shards" {at}: there is no exchange type "x-modulus-hash" here',
            f'exchange "jms" {at}: there is no exchange type "x-jms-topic" here',
            f'queue "{generated}" {at}: its name is reserved for what the broker itself names',
            f'binding of exchange "amq.fanout" to queue "{generated}" {at}: queue "{generated}" is not here',
            f'binding of exchange "own" to exchange "shards" {at}: exchange "shards" is not here',
            f'binding of exchange "recent" to queue "work" {at}: exchange "recent" is not here',
            f'binding of exchange "shards" to exchange "own" {at}: exchange "shards" is not here',
            *[f'binding of exchange "shards" to queue "{q}" {at}: exchange "shards" is not here' for q in shards],
        ]
    )


async def test_definitions_with_objects_of_plugins_are_imported_over_http():
    api = Api()
    answer = await api.post("definitions", json=PLUGINS)
    assert (answer.status_code, answer.content) == (204, b"")
    assert "work" in api.broker.vhosts["/"].queues


def test_bindings_of_omitted_queues_are_omitted_also_in_another_file(tmp_path, broker, warnings):
    (tmp_path / "1.json").write_text(json.dumps({"queues": [TRANSIENT]}))
    (tmp_path / "2.json").write_text(json.dumps({"bindings": [BINDING]}))
    config = Config(definitions=Definitions((str(tmp_path),), False))
    broker = Broker(config, ManualClock(1_000_000), MemoryStore())
    import_at_start(broker, config.definitions.paths)
    assert len(warnings()) == 2
    assert not broker.vhosts["/"].queues


@pytest.mark.parametrize(
    ("properties", "arguments", "problem"),
    [
        ({"durable": False}, {}, "invalid property 'non-durable' for queue 's' in vhost '/'"),
        ({"auto_delete": True}, {}, "invalid property 'auto-delete' for queue 's' in vhost '/'"),
        (
            {},
            {"x-stream-max-segment-size-bytes": 3_000_000_001},
            "Exceeded max value for x-stream-max-segment-size-bytes",
        ),
    ],
)
async def test_import_omits_a_stream_with_wrong_properties(broker, warnings, properties, arguments, problem):
    given = {**TRANSIENT, "durable": True, **properties, "arguments": {"x-queue-type": "stream"} | arguments}
    await load(broker, queues=[given, {**given, "name": "q", "arguments": {}}])
    assert warnings() == [f'queue "s" in vhost "/": {problem}']
    assert set(broker.vhosts["/"].queues) == {"q"}


async def test_import_declares_a_stream_by_the_vhost_default(broker, warnings):
    vhost = {"name": "logs", "default_queue_type": "stream"}
    await load(broker, vhosts=[vhost], queues=[{"vhost": "logs", "name": "s", "durable": True}])
    assert warnings() == []
    assert broker.vhosts["logs"].queues["s"].kind is STREAM


async def test_import_omits_a_delayed_exchange_of_an_unknown_type(broker, warnings):
    arguments = {"x-delayed-type": "x-recent-history"}
    await load(broker, exchanges=[{"vhost": "/", "name": "x", "type": "x-delayed-message", "arguments": arguments}])
    assert warnings() == ['exchange "x" in vhost "/": there is no exchange type "x-recent-history" here']


async def test_import_omits_unknown_keys_of_operator_policies(broker, warnings):
    def parameter(name, **definition):
        value = {"pattern": "a", "definition": definition, "priority": 0, "apply-to": "queues"}
        return {"vhost": "/", "component": "operator_policy", "name": name, "value": value}

    await load(broker, parameters=[parameter("some", zzz=1, **{"max-length": 5}), parameter("none", zzz=1)])
    assert [policy.definition for policy in broker.policies.list(operator=True)] == [{"max-length": 5}]
    assert warnings() == [
        '"zzz" of parameter "some" of "operator_policy" in vhost "/": there are no such keys here',
        'parameter "none" of "operator_policy" in vhost "/": it has nothing but keys that do not exist here, "zzz"',
    ]


async def test_import_omits_shovels_that_use_amqp_1_0(broker, warnings):
    value = {"src-protocol": "amqp10", "src-uri": "amqp://", "src-address": "a", "dest-uri": "amqp://"}
    await load(broker, parameters=[{"vhost": "/", "component": "shovel", "name": "p", "value": value}])
    assert warnings() == ['parameter "p" of "shovel" in vhost "/": there is no AMQP 1.0 here']
    assert broker.parameters.list("shovel") == []


async def test_shovels_are_imported_after_queues(broker):
    class Runner(ShovelRunner):
        def start(self, vhost, name, definition):
            self.found = set(broker.vhosts[vhost].queues)

        def stop(self, vhost, name):
            pass

        def status(self, vhost, name):
            pass

    broker.shovels.run(runner := Runner())
    value = {"src-uri": "amqp://", "src-queue": "q", "dest-uri": "amqp://far"}
    shovel = {"vhost": "/", "component": "shovel", "name": "s", "value": value}
    await load(broker, parameters=[shovel], queues=[{"vhost": "/", "name": "q", "durable": True, "arguments": {}}])
    assert runner.found == {"q"}


async def test_warning_about_an_omitted_parameter_does_not_contain_its_value(broker, caplog):
    value = {"uri": "amqp://ann:s3cret@host"}
    await load(broker, parameters=[{"vhost": "/", "component": "federation-upstream", "name": "p", "value": value}])
    assert "s3cret" not in caplog.text


async def test_existing_queue_gets_the_bindings_imported_for_an_omitted_one(broker, warnings):
    queue = broker.vhosts["/"].declare_queue("s", True, False, False, {})
    await load(broker, queues=[TRANSIENT], bindings=[BINDING])
    assert warnings() == []
    assert [binding.destination for binding in broker.vhosts["/"].exchanges["amq.topic"].bindings.values()] == [queue]


async def test_refused_import_logs_no_warnings_about_omitted_objects(broker, warnings):
    with pytest.raises(DefinitionsError):
        await load(broker, queues=[TRANSIENT, {"vhost": "nope", "name": "q"}])
    assert warnings() == []
