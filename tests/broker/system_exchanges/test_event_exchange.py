"""Messages of amq.rabbitmq.event. The expectations are from 4.0.5 with the plugin rabbitmq_event_exchange."""

from typing import Any

import pytest

from amqpbroker.broker.broker import Broker
from amqpbroker.broker.events.events import Events
from amqpbroker.broker.policies.policies import Policy
from amqpbroker.broker.system_exchanges import event_facts
from amqpbroker.broker.system_exchanges.event_exchange import EventExchange
from amqpbroker.broker.vhost import EVENT_EXCHANGE
from amqpbroker.clock import ManualClock
from amqpbroker.compat import COMPATS
from amqpbroker.config import Config
from amqpbroker.store.store import MemoryStore
from amqpbroker.wire.values import Field, longstr
from tests.harness import Received, Wire


class Bench:
    """A broker whose events are routed to the queue `events`."""

    def __init__(self, **settings: Any) -> None:
        self.clock = ManualClock()
        self.broker = Broker(Config(**settings), self.clock, MemoryStore())
        self.vhost = self.broker.vhost("/")
        self.client = Wire(self.broker).log_in()
        self.client.declare("events")
        self.client.call(1, "queue.bind", queue="events", exchange=EVENT_EXCHANGE, routing_key="#", arguments={})
        self.messages()

    def messages(self) -> list[Received]:
        self.clock.advance(1)
        return [self.client.get("events") for _ in range(self.client.depth("events"))]

    def events(self) -> list[tuple[str, dict[str, Any]]]:
        """Return (routing key, headers as Python values, without the time) of each event."""
        found = []
        for message in self.messages():
            assert message.properties is not None
            told = {name: plain(field) for name, field in message.properties["headers"].items()}
            assert told.pop("timestamp_in_ms") <= self.clock.now_ms()
            found.append((message.arguments["routing_key"], told))
        return found

    def names(self) -> list[str]:
        return [name for name, _ in self.events()]


def plain(field: Field) -> Any:
    if field.kind == "S":
        return field.value.decode()
    if field.kind == "A":
        return [plain(each) for each in field.value]
    if field.kind == "F":
        return {name: plain(each) for name, each in field.value.items()}
    return field.value


@pytest.fixture
def bench() -> Bench:
    return Bench()


BY_GUEST = {"user_who_performed_action": "guest"}
INTERNALLY = {"user_who_performed_action": "rmq-internal"}


def test_an_event_is_a_persistent_message_without_a_body(bench: Bench) -> None:
    bench.client.declare("q", arguments={"x-max-length": Field("I", 5)})
    (message,) = bench.messages()
    assert (message.arguments["exchange"], message.arguments["routing_key"]) == (EVENT_EXCHANGE, "queue.created")
    assert message.body == b""
    assert message.properties is not None
    headers = message.properties.pop("headers")
    assert message.properties == {"delivery_mode": 2, "timestamp": 1_700_000_000}
    assert headers == {
        "arguments": Field(
            "A",
            [
                Field("S", b'{<<"x-max-length">>,signedint,5}'),
                Field("S", b'{<<"x-queue-type">>,longstr,<<"classic">>}'),
            ],
        ),
        "auto_delete": Field("t", False),
        "durable": Field("t", False),
        "exclusive": Field("t", False),
        "leader": Field("S", b"amqpbroker@localhost"),
        "members": Field("A", [Field("S", b"amqpbroker@localhost")]),
        "name": Field("S", b"q"),
        "owner_pid": Field("S", b""),
        "timestamp_in_ms": Field("l", 1_700_000_000_001),
        "type": Field("S", b"rabbit_classic_queue"),
        "user_who_performed_action": Field("S", b"guest"),
        "vhost": Field("S", b"/"),
    }
    assert list(headers) == sorted(headers)


def test_queues_exchanges_and_bindings_emit_events(bench: Bench) -> None:
    client = bench.client
    client.call(1, "exchange.declare", exchange="x", exchange_type="topic", arguments={})
    client.call(1, "exchange.declare", exchange="x", exchange_type="topic", arguments={})
    client.declare("q", durable=True, arguments={"x-queue-type": Field("S", b"quorum")})
    client.call(1, "queue.bind", queue="q", exchange="x", routing_key="a.#", arguments={"n": Field("I", 1)})
    client.call(1, "queue.delete", queue="q")
    client.call(1, "exchange.delete", exchange="x")
    binding = {
        "arguments": ['{<<"n">>,signedint,1}'],
        "destination_kind": "queue",
        "destination_name": "q",
        "routing_key": "a.#",
        "source_kind": "exchange",
        "source_name": "x",
        "vhost": "/",
        **BY_GUEST,
    }
    queue = {"name": "q", "type": "rabbit_quorum_queue", "vhost": "/", **BY_GUEST}
    exchange = {"name": "x", "vhost": "/", **BY_GUEST}
    kind = {"type": "topic", "auto_delete": False, "durable": False, "internal": False, "policy": "", "arguments": []}
    made = {"arguments": ['{<<"x-queue-type">>,longstr,<<"quorum">>}'], "auto_delete": False, "durable": True}
    assert bench.events() == [
        ("exchange.created", {**exchange, **kind}),
        ("queue.created", {**queue, **made, "exclusive": False}),
        ("binding.created", binding),
        ("binding.deleted", {**binding, **INTERNALLY}),
        ("queue.deleted", queue),
        ("exchange.deleted", exchange),
    ]


def test_consumer_and_its_auto_deleted_queue_emit_events(bench: Bench) -> None:
    bench.client.declare("q", auto_delete=True)
    bench.client.send(1, "basic.qos", prefetch_count=7)
    bench.client.receive()
    bench.client.consume("q", "tag", arguments={"x-priority": Field("I", 3)})
    bench.client.call(1, "basic.cancel", consumer_tag="tag")
    channel = "127.0.0.1:40000 -> 127.0.0.1:5672 (1)"
    gone = {"channel": channel, "consumer_tag": "tag", "queue": "q", "vhost": "/"}
    arguments = ['{<<"x-priority">>,signedint,3}']
    there = {**gone, "ack_required": True, "arguments": arguments, "exclusive": False, "prefetch_count": 7}
    assert bench.events()[1:] == [
        ("consumer.created", {**there, **BY_GUEST}),
        ("consumer.deleted", {**gone, **BY_GUEST}),
        ("queue.deleted", {"name": "q", "type": "rabbit_classic_queue", "vhost": "/", **INTERNALLY}),
    ]


@pytest.mark.parametrize("compat", ["4.0", "4.2"])
def test_stream_and_its_consumer_emit_events(compat: str) -> None:
    bench = Bench(compat=COMPATS[compat])
    bench.client.declare("q", durable=True, arguments={"x-queue-type": longstr("stream")})
    bench.client.call(1, "basic.qos", prefetch_count=7)
    bench.client.consume("q", "tag", exclusive=True, arguments={"x-stream-offset": longstr("first")})
    bench.client.call(1, "basic.cancel", consumer_tag="tag")
    bench.client.call(1, "queue.delete", queue="q")
    queue = {"name": "q", "type": "rabbit_stream_queue", "vhost": "/", **BY_GUEST}
    made = {"arguments": ['{<<"x-queue-type">>,longstr,<<"stream">>}'], "auto_delete": False, "durable": True}
    gone = {"channel": "127.0.0.1:40000 -> 127.0.0.1:5672 (1)", "consumer_tag": "tag", "queue": "q", "vhost": "/"}
    arguments = ['{<<"x-stream-offset">>,longstr,<<"first">>}']
    there = {**gone, "ack_required": True, "arguments": arguments, "exclusive": True, "prefetch_count": 7}
    created = [("consumer.created", {**there, **BY_GUEST})] if compat == "4.2" else []
    assert bench.events() == [
        ("queue.created", {**queue, **made}),
        *created,
        ("consumer.deleted", {**gone, **BY_GUEST}),
        ("queue.deleted", queue),
    ]


def test_connections_and_channels_emit_events(bench: Bench) -> None:
    other = Wire(bench.broker, host="10.0.0.7")
    bench.broker.users.add_user("ann", "secret")
    bench.broker.users.set_permissions("ann", "/", ".*", ".*", ".*")
    other.log_in("ann", "secret")
    other.declare("mine", exclusive=True)
    other.consume("mine")
    other.send(0, "connection.close", reply_code=200, reply_text="")
    other.receive()
    events = bench.events()
    assert [name for name, _ in events] == [
        "user.created",
        "permission.created",
        "user.authentication.success",
        "connection.created",
        "channel.created",
        "queue.created",
        "consumer.created",
        "consumer.deleted",
        "channel.closed",
        "connection.closed",
        "queue.deleted",
    ]
    found = dict(events)
    connection = "10.0.0.7:40000 -> 127.0.0.1:5672"
    assert (
        found["connection.created"].items()
        >= {
            "name": connection,
            "pid": connection,
            "peer_host": "{10,0,0,7}",
            "peer_port": 40000,
            "protocol": "{0,9,1}",
            "ssl": False,
            "ssl_cipher": "",
            "user": "ann",
            "vhost": "/",
            "user_who_performed_action": "ann",
        }.items()
    )
    assert found["channel.created"]["pid"] == found["channel.closed"]["pid"] == f"{connection} (1)"
    assert found["channel.closed"]["consumer_count"] == 1
    assert found["queue.created"]["owner_pid"] == connection
    assert "user_who_performed_action" not in found["connection.closed"]
    assert found["user.authentication.success"].items() >= {"name": "ann", "auth_mechanism": "PLAIN"}.items()


def test_failed_login_emits_an_event_without_the_password(bench: Bench) -> None:
    with pytest.raises(AssertionError):
        Wire(bench.broker).log_in("guest", "wrong")
    ((name, facts),) = bench.events()
    assert name == "user.authentication.failure"
    assert facts["error"] == "user 'guest' - invalid credentials"
    assert "wrong" not in str(facts)


def test_users_and_permissions_emit_events(bench: Bench) -> None:
    users = bench.broker.users
    users.add_user("ann", "secret", ["management"])
    users.change_password("ann", "other")
    users.clear_password("ann")
    users.set_tags("ann", [])
    bench.broker.limits.set_user("ann", "max-channels", 5)
    bench.broker.limits.clear_user("ann")
    users.set_topic_permissions("ann", "/", "amq.topic", "w", "r")
    users.clear_topic_permissions("ann", "/")
    users.set_permissions("ann", "/", "c", "w", "r")
    users.clear_permissions("ann", "/")
    users.delete_user("ann")
    name, place = {"name": "ann", **INTERNALLY}, {"user": "ann", "vhost": "/", **INTERNALLY}
    limits = {"name": "limits", "username": "ann", **INTERNALLY}
    assert bench.events() == [
        ("user.created", name),
        ("user.tags.set", {**name, "tags": ["management"]}),
        ("user.password.changed", name),
        ("user.password.cleared", name),
        ("user.tags.set", {**name, "tags": []}),
        ("user.limits.set", {**limits, "max-channels": 5}),
        ("user.limits.cleared", limits),
        ("topic.permission.created", {**place, "exchange": "amq.topic", "write": "w", "read": "r"}),
        ("topic.permission.deleted", place),
        ("permission.created", {**place, "configure": "c", "write": "w", "read": "r"}),
        ("permission.deleted", place),
        ("user.deleted", name),
    ]


def test_policies_and_parameters_emit_events(bench: Bench) -> None:
    broker = bench.broker
    broker.policies.put(Policy("/", "p", "^x", {"max-length": 5}, "queues", 1))
    broker.policies.delete("/", "p")
    broker.policies.put(Policy("/", "o", "^x", {"max-length": 5}, "queues", 1, operator=True))
    broker.policies.delete("/", "o", operator=True)
    broker.limits.set_vhost("/", "max-queues", 100)
    broker.limits.clear_vhost("/")
    shovel = {"src-uri": "amqp:///", "src-queue": "a", "dest-uri": "amqp://ann:secret@there", "dest-queue": "b"}
    broker.parameters.put("shovel", "/", "s", shovel)
    broker.parameters.delete("shovel", "/", "s")
    broker.global_parameters.put("g", {"a": [1, 1.5, None]})
    broker.global_parameters.delete("g")
    events = bench.events()
    value = {"pattern": "^x", "definition": {"max-length": 5}, "priority": 1, "apply-to": "queues"}
    assert [name for name, _ in events] == [
        "policy.set",
        "policy.cleared",
        "parameter.set",
        "policy.set",
        "parameter.cleared",
        "operator.policy.cleared",
        "parameter.set",
        "vhost.limits.set",
        "parameter.cleared",
        "vhost.limits.cleared",
        "parameter.set",
        "parameter.cleared",
        "parameter.set",
        "parameter.cleared",
    ]
    assert events[0][1] == {"name": "p", "vhost": "/", **value, **INTERNALLY}
    assert events[2][1] == {"component": "operator_policy", "name": "o", "vhost": "/", "value": value, **INTERNALLY}
    assert events[7][1] == {"name": "limits", "vhost": "/", "max-queues": 100, **INTERNALLY}
    assert events[10][1] == {"component": "shovel", "name": "s", "vhost": "/", **INTERNALLY}
    assert events[12][1] == {"component": "global", "name": "g", "value": {"a": [1, 1.5, "null"]}, **INTERNALLY}


def test_created_updated_and_deleted_vhosts_emit_events(bench: Bench) -> None:
    bench.broker.add_vhost("v", "d", ["a"])
    bench.broker.update_vhost("v", "other")
    bench.broker.vhost("v").declare_queue("q", False, False, False, {})
    bench.broker.delete_vhost("v")
    events = bench.events()
    assert [name for name, _ in events] == [
        *["exchange.created"] * 6,
        "vhost.created",
        "vhost.updated",
        "queue.created",
        "queue.deleted",
        *["exchange.deleted"] * 7,
        "vhost.deleted",
    ]
    assert events[6][1].items() >= {"name": "v", "description": "d", "tags": ["a"], "tracing": False}.items()


def test_events_of_a_vhost_have_the_queue_type_that_applies(bench: Bench) -> None:
    bench.broker.add_vhost("v", default_queue_type="undefined")
    bench.broker.update_vhost("v", "other")
    shown = [facts["default_queue_type"] for name, facts in bench.events() if name.startswith("vhost.")]
    assert shown == ["classic", "classic"]


def test_alarms(bench: Bench) -> None:
    for _ in range(2):
        bench.broker.alarms.set("memory")
    for _ in range(2):
        bench.broker.alarms.clear("memory")
    facts = {"node": "amqpbroker@localhost", "source": "memory"}
    assert bench.events() == [("alarm.set", facts), ("alarm.cleared", facts)]


def test_no_events_are_created_while_the_event_exchange_has_no_bindings(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench.client.call(1, "queue.unbind", queue="events", exchange=EVENT_EXCHANGE, routing_key="#", arguments={})
    monkeypatch.setattr(event_facts, "queue_created", pytest.fail)
    bench.client.declare("q")
    assert not bench.messages()


def test_only_the_configured_vhost_has_the_event_exchange() -> None:
    broker = Broker(Config(event_exchange_vhost="ops"), ManualClock(), MemoryStore())
    assert EVENT_EXCHANGE not in broker.vhost("/").exchanges
    assert EVENT_EXCHANGE in broker.add_vhost("ops").exchanges
    broker.delete_vhost("ops")
    broker.alarms.set("disk")


def test_headers_that_do_not_fit_into_a_frame_are_omitted(bench: Bench) -> None:
    bench.broker.global_parameters.put("g", {"much": ["x" * 1000] * 200})
    deep: Any = 1
    for _ in range(70):
        deep = [deep]
    bench.broker.global_parameters.put("h", deep)
    facts = {"component": "global", **INTERNALLY}
    assert bench.events() == [("parameter.set", {**facts, "name": "g"}), ("parameter.set", {**facts, "name": "h"})]


def test_event_that_cannot_be_created_does_not_undo_the_operation(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(*_: object) -> None:
        raise RuntimeError("no facts")

    monkeypatch.setattr(event_facts, "queue_created", fail)
    bench.client.declare("q")
    assert bench.vhost.queue("q", None).name == "q"
    assert bench.names() == []
    assert "event queue.created could not be published" in caplog.text


def test_event_describes_its_object_at_the_time_of_the_event(bench: Bench) -> None:
    bench.client.declare("q")
    queue = bench.vhost.queue("q", None)
    bench.broker.events.queue_deleted("/", queue)
    queue.name = "other"
    assert [facts["name"] for name, facts in bench.events() if name == "queue.deleted"] == ["q"]


def test_event_exchange_has_a_method_for_every_event() -> None:
    events = {name for name, member in vars(Events).items() if callable(member) and not name.startswith("_")}
    events.remove("act_as")
    assert events
    assert events <= vars(EventExchange).keys()


def test_event_may_contain_names_that_are_not_utf_8(bench: Bench) -> None:
    bench.vhost.bind(bench.vhost.exchange("amq.fanout"), bench.vhost.queue("events", None), b"\xff", {})
    (message,) = bench.messages()
    assert message.properties is not None
    assert message.properties["headers"]["routing_key"] == Field("S", b"\xff")


def test_vhost_is_deleted_with_pending_events(bench: Bench) -> None:
    bench.client.declare("q")
    bench.broker.delete_vhost("/")
    bench.clock.advance(1)
