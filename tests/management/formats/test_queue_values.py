"""Columns of queues that are had without a row: they must be those of the row."""

import json

import orjson
import pytest

from amqpbroker.management.formats.queue_values import value_of
from amqpbroker.management.formats.queues import queue_row
from amqpbroker.management.formats.rates import rates_of
from amqpbroker.wire.values import longstr
from tests.harness import Wire, make_broker

STEP_MS = 5_000
STATS = ("publish", "deliver", "deliver_get", "ack", "disk_reads", "no_such")
COLUMNS = (
    *("name", "vhost", "type", "durable", "auto_delete", "exclusive", "consumers", "memory", "message_bytes", "state"),
    *("messages", "messages_ready", "messages_unacknowledged"),
    *(f"message_stats.{name}" for name in STATS),
    *(f"message_stats.{name}_details.rate" for name in STATS),
)


def at(row, column):
    for part in column.split("."):
        row = row.get(part) if isinstance(row, dict) else None
    return row


@pytest.fixture
def broker():
    """Vhost with queues of all types: new, full, consumed, exclusive, and published to within the last interval."""
    broker = make_broker()
    broker.rates.start()
    client = Wire(broker).log_in()
    for name in ("new", "full", "taken", "busy"):
        client.declare(name, durable=True)
    client.declare("mine", exclusive=True, auto_delete=True)
    client.declare("stream", durable=True, arguments={"x-queue-type": longstr("stream")})
    client.declare("quorum", durable=True, arguments={"x-queue-type": longstr("quorum")})
    for name in ("full", "taken", "stream", "quorum", "quorum"):
        client.publish(name)
    for name in ("taken", "quorum"):
        client.send(1, "basic.qos", prefetch_count=1)
        client.send(1, "basic.consume", queue=name, consumer_tag=name)
    client.receive()
    broker.clock.advance(STEP_MS + 500)
    for _ in range(10):
        client.publish("busy")
    client.receive()
    broker.clock.advance(STEP_MS)
    client.declare("newest")
    client.publish("newest")
    client.receive()
    return broker


def found(broker):
    vhost = broker.vhosts["/"]
    return [(vhost, queue) for queue in vhost.queues.values()]


@pytest.mark.parametrize("column", COLUMNS)
def test_queue_column_value_without_a_row_equals_that_of_the_row(broker, column):
    value = value_of(column, broker.rates)
    shown = {}
    for vhost, queue in found(broker):
        row = queue_row(vhost.name, queue, "rabbit@test", rates_of(broker.rates, queue))
        shown[queue.name] = at(json.loads(orjson.dumps(row)), column)
        assert value((vhost, queue)) == shown[queue.name], queue.name
    assert len(shown) == 8
    assert "no_such" in column or "disk_reads" in column or any(each is not None for each in shown.values())


def test_queue_column_values_differ_between_queues(broker):
    rate = value_of("message_stats.publish_details.rate", broker.rates)
    rates = {queue.name: rate((vhost, queue)) for vhost, queue in found(broker)}
    assert (rates["busy"], rates["full"], rates["newest"], rates["new"]) == (2.0, 0.0, 0.0, None)
    unacked = value_of("messages_unacknowledged", broker.rates)
    assert sum(unacked(each) for each in found(broker)) == 2


@pytest.mark.parametrize(
    "column",
    [
        "",
        "arguments",
        "messages_details.rate",
        "name.x",
        "message_stats",
        "message_stats.",
        "message_stats.publish_details",
    ],
)
def test_other_queue_columns_require_a_row(broker, column):
    value = value_of(column, broker.rates)
    assert value is None or [value(each) for each in found(broker)] == [None] * 8
