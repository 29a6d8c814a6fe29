"""A kind of queue needs one file and one row: a ring (`ring`) works everywhere when its row is in the table."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pika
import pika.exceptions
import pytest

from amqpbroker.broker.broker import Broker
from amqpbroker.broker.policies.policies import Policy
from amqpbroker.broker.queues.kinds import KINDS
from amqpbroker.clock import ManualClock
from amqpbroker.config import Config
from amqpbroker.metrics.groups.everything import DEAD
from amqpbroker.metrics.snapshot import Snapshot
from amqpbroker.server.data import opened
from amqpbroker.store.committer import InlineCommitter
from amqpbroker.testing import Broker as RunningBroker
from amqpbroker.wire.values import Field, Table, longstr
from tests.broker.queues.ring import RING, RingQueue
from tests.harness import Wire, make_broker
from tests.management.api import Api

INVALID = "PRECONDITION_FAILED - invalid arg '{}' for queue 'r' in vhost '/'{}"
TYPE: Table = {"x-queue-type": longstr("ring")}
OF_TWO: Table = {**TYPE, "x-ring-length": Field("I", 2)}


@pytest.fixture(autouse=True)
def _kind(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(KINDS, "ring", RING)


def client(broker: Broker | None = None) -> Wire:
    return Wire(broker or make_broker()).log_in()


def declare(wire: Wire, arguments: Table = OF_TWO, **options: Any) -> Any:
    return wire.call(1, "queue.declare", queue="r", arguments=arguments, **{"durable": True} | options)


def bodies(wire: Wire) -> list[bytes | None]:
    got = []
    while (answer := wire.get("r")).name == "basic.get-ok":
        got.append(answer.body)
    return got


def test_ring_retains_the_last_messages() -> None:
    wire = client()
    assert declare(wire).name == "queue.declare-ok"
    for body in (b"1", b"2", b"3"):
        wire.publish("r", body)
    assert wire.depth("r") == 2
    assert bodies(wire) == [b"2", b"3"]


def test_ring_queue_delivers_requeues_and_acknowledges_messages() -> None:
    wire = client()
    declare(wire)
    wire.publish("r", b"1")
    wire.publish("r", b"2")
    wire.send(1, "basic.qos", prefetch_count=1)
    assert wire.receive()[0].name == "basic.qos-ok"
    (first,) = wire.consume("r")
    assert first.body == b"1"
    wire.send(1, "basic.nack", delivery_tag=1, requeue=True)
    (again,) = wire.receive()
    assert (again.body, again.arguments["redelivered"]) == (b"1", True)
    wire.send(1, "basic.ack", delivery_tag=2)
    (second,) = wire.receive()
    assert second.body == b"2"
    wire.send(1, "channel.close", reply_code=200, reply_text="", class_id=0, method_id=0)
    wire.receive()
    wire.call(1, "channel.open")
    assert bodies(wire) == [b"2"]


def test_ring_serves_several_consumers_and_cancels_all_when_deleted() -> None:
    wire = client()
    declare(wire)
    assert wire.consume("r", "a", no_ack=True) == []
    assert wire.consume("r", "b", no_ack=True) == []
    for body in (b"1", b"2"):
        wire.publish("r", body)
    assert [got.arguments["consumer_tag"] for got in wire.receive()] == ["a", "b"]
    wire.send(1, "queue.delete", queue="r")
    assert sorted(got.name for got in wire.receive()) == ["basic.cancel", "basic.cancel", "queue.delete-ok"]


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        ({**TYPE, "x-ring-length": Field("I", 0)}, INVALID.format("x-ring-length", ": {value_zero,0}")),
        ({**TYPE, "x-ring-length": Field("I", -1)}, INVALID.format("x-ring-length", ": {value_negative,-1}")),
        (
            {**TYPE, "x-ring-length": longstr("2")},
            INVALID.format("x-ring-length", ': "expected integer, got longstr"'),
        ),
        ({**TYPE, "x-max-length": Field("I", 2)}, INVALID.format("x-max-length", " of queue type rabbit_ring_queue")),
        ({"x-ring-length": Field("I", 2)}, INVALID.format("x-ring-length", " of queue type rabbit_classic_queue")),
        (
            {"x-queue-type": longstr("quorum"), "x-ring-length": Field("I", 2)},
            INVALID.format("x-ring-length", " of queue type rabbit_quorum_queue"),
        ),
    ],
)
def test_ring_queue_refuses_invalid_arguments_with_the_common_errors(arguments: Table, problem: str) -> None:
    answer = declare(client(), arguments)
    assert (answer.name, answer.arguments["reply_code"]) == ("channel.close", 406)
    assert answer.arguments["reply_text"] == problem


def test_ring_queue_type_is_unsupported_if_not_registered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(KINDS, "ring")
    answer = declare(client())
    assert answer.arguments["reply_text"] == INVALID.format("x-queue-type", ": \"unsupported queue type 'ring'\"")


def test_ring_redeclaration_must_be_equivalent() -> None:
    wire = client()
    declare(wire)
    assert declare(wire).name == "queue.declare-ok"
    assert declare(wire, {}, passive=True).arguments["consumer_count"] == 0
    answer = declare(wire, {**TYPE, "x-ring-length": Field("I", 3)})
    assert answer.arguments["reply_text"] == (
        "PRECONDITION_FAILED - inequivalent arg 'x-ring-length' for queue 'r' in vhost '/':"
        " received '3' but current is '2'"
    )
    wire.send(1, "channel.close-ok")
    wire.call(1, "channel.open")
    answer = declare(wire, {"x-queue-type": longstr("classic")})
    assert (answer.arguments["reply_code"], "'x-queue-type'" in answer.arguments["reply_text"]) == (406, True)


def test_exclusive_and_auto_delete_rings_are_deleted() -> None:
    broker = make_broker()
    wire = client(broker)
    declare(wire, durable=False, exclusive=True, auto_delete=True)
    wire.consume("r")
    assert wire.call(1, "basic.cancel", consumer_tag="c").name == "basic.cancel-ok"
    assert broker.vhosts["/"].queues == {}


def test_ring_can_be_the_default_type_of_a_vhost() -> None:
    broker = make_broker()
    vhost = broker.add_vhost("v", default_queue_type="ring")
    assert isinstance(vhost.declare_queue("q", True, False, False, {}), RingQueue)


def test_policies_apply_to_ring_queues_by_apply_to_and_supported_keys() -> None:
    broker = make_broker()
    vhost = broker.vhosts["/"]
    ring = vhost.declare_queue("r", True, False, False, TYPE)
    classic = vhost.declare_queue("c", True, False, False, {})
    assert ring.settings.max_length == 3
    broker.policies.put(Policy("/", "p", ".*", {"ring-length": 1}, "ring_queues"))
    assert (ring.settings.max_length, classic.settings.max_length) == (1, -1)
    broker.policies.put(Policy("/", "p", ".*", {"max-length": 1}, "queues"))
    assert (ring.settings.max_length, classic.settings.max_length) == (3, 1)
    broker.policies.put(Policy("/", "o", ".*", {"ring-length": 2}, operator=True))
    assert (ring.settings.max_length, classic.settings.max_length) == (2, 1)


def test_dead_letters_are_counted_under_the_name_of_the_ring() -> None:
    broker = make_broker()
    labels = {DEAD.labels(row) for row in DEAD.rows(Snapshot(broker, None))}  # type: ignore[arg-type]
    assert (("queue_type", "rabbit_ring_queue"), ("dead_letter_strategy", "disabled")) in labels
    assert (("queue_type", "rabbit_ring_queue"), ("dead_letter_strategy", "at_least_once")) not in labels


async def test_management_api_shows_and_imports_a_ring() -> None:
    api = Api()
    arguments = {"x-queue-type": "ring", "x-ring-length": 2}
    assert (await api.put("queues/%2F/r", json={"durable": True, "arguments": arguments})).status_code == 201
    wire = client(api.broker)
    wire.publish("r", b"1", delivery_mode=2)
    wire.receive()
    row = (await api.get("queues/%2F/r")).json()
    assert (row["type"], row["arguments"], row["messages_ready"]) == ("ring", arguments, 1)
    rows = (await api.get("queues?page=1&sort=type")).json()["items"]
    assert [each["type"] for each in rows] == ["ring"]
    definitions = (await api.get("definitions")).json()
    assert [(each["name"], each["arguments"]) for each in definitions["queues"]] == [("r", arguments)]
    other = Api()
    assert (await other.post("definitions", json=definitions)).status_code == 204
    assert isinstance(other.broker.vhosts["/"].queues["r"], RingQueue)
    refused = await api.put("queues/%2F/s", json={"durable": True, "arguments": {**arguments, "x-ring-length": 0}})
    assert (refused.status_code, "value_zero" in refused.text) == (400, True)


@contextmanager
def running(directory: Path) -> Iterator[Broker]:
    """Start a broker with files in a directory, as the server does, and end it."""
    with opened(Config(data_dir=str(directory))) as kept:
        failures: list[Exception] = []
        clock = ManualClock()
        store = kept.store(InlineCommitter, clock, failures.append)
        broker = Broker(Config(), clock, store, kept.definitions, kept.spill)
        broker.storage.recover(kept.found)
        yield broker
        broker.sync()
        store.close()
        assert failures == []


def test_durable_messages_of_a_ring_survive_a_restart(tmp_path: Path) -> None:
    with running(tmp_path) as broker:
        wire = client(broker)
        declare(wire)
        for body in (b"1", b"2", b"3"):
            wire.publish("r", body, delivery_mode=2)
        assert wire.get("r", no_ack=False).body == b"2"
    with running(tmp_path) as broker:
        wire = client(broker)
        assert declare(wire).arguments["message_count"] == 2
        found = [wire.get("r") for _ in range(2)]
        assert [(got.body, got.arguments["redelivered"]) for got in found] == [(b"2", True), (b"3", False)]
    with running(tmp_path) as broker:
        assert client(broker).depth("r") == 0


def test_pika_client_can_use_a_ring_queue_over_tcp() -> None:
    with RunningBroker() as broker, pika.BlockingConnection(pika.URLParameters(broker.url)) as connection:
        channel = connection.channel()
        channel.confirm_delivery()
        channel.queue_declare("r", arguments={"x-queue-type": "ring", "x-ring-length": 2})
        for body in (b"1", b"2", b"3"):
            channel.basic_publish("", "r", body)
        taken = [channel.basic_get("r") for _ in range(2)]
        assert [body for _, _, body in taken] == [b"2", b"3"]
        channel.basic_ack(taken[1][0].delivery_tag, multiple=True)
        assert channel.queue_declare("r", passive=True).method.message_count == 0
        with pytest.raises(pika.exceptions.ChannelClosedByBroker, match="inequivalent arg 'x-ring-length'"):
            channel.queue_declare("r", arguments={"x-queue-type": "ring", "x-ring-length": 3})


def test_testing_api_shows_messages_of_a_ring_also_after_a_restart() -> None:
    with RunningBroker() as broker:
        with pika.BlockingConnection(pika.URLParameters(broker.url)) as connection:
            channel = connection.channel()
            channel.queue_declare("r", durable=True, arguments={"x-queue-type": "ring", "x-ring-length": 4})
            for body, mode in ((b"1", 2), (b"2", 2), (b"3", 1), (b"4", 2), (b"5", 2)):
                channel.basic_publish("", "r", body, pika.BasicProperties(delivery_mode=mode))
            assert [got.body for got in broker.messages("r")] == [b"2", b"3", b"4", b"5"]
            assert channel.basic_get("r")[2] == b"2"
            assert broker.wait_until(queue="r", ready=3, unacked=1).consumers == 0
        broker.restart()
        assert [(got.body, got.redelivered) for got in broker.messages("r")] == [
            (b"2", True),
            (b"4", False),
            (b"5", False),
        ]
        with pika.BlockingConnection(pika.URLParameters(broker.url)) as connection:
            channel = connection.channel()
            channel.basic_publish("", "r", b"6")
            channel.basic_publish("", "r", b"7")
        assert [got.body for got in broker.messages("r")] == [b"4", b"5", b"6", b"7"]


async def test_policy_apply_to_accepts_ring_queues_and_its_error_lists_them() -> None:
    api = Api()
    body = {"pattern": "", "definition": {"ring-length": 1}, "apply-to": "ring_queues"}
    assert (await api.put("policies/%2F/p", body)).status_code == 201
    answer = await api.put("policies/%2F/p", {**body, "apply-to": "rings"})
    assert "'classic_queues',  'quorum_queues', 'streams', 'ring_queues', 'exchanges', or 'all'" in answer.text


async def test_management_overview_lists_the_ring_queue_type() -> None:
    shown = (await Api().get("overview")).json()["amqpbroker"]["queue_types"]
    arguments = ["x-queue-type", "x-ring-length"]
    ring = {"name": "ring", "durable_only": False, "apply_to": "ring_queues", "retains": False, "arguments": arguments}
    assert shown[-1] == ring
