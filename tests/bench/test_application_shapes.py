"""Shapes of load with messages of an application: their targets, and short runs of some of them."""

from dataclasses import replace

import pytest

from tests.bench import application_shapes
from tests.bench.application_shapes import LATENCIES, SHAPES, Flow, has_delayed_exchanges
from tests.bench.brokers import Running, amqpbroker


def test_shapes_with_a_target_exist():
    assert {name: shape.targets[""] for name, shape in SHAPES.items()} == {
        "app-transient": 20,
        "app-acks": 12,
        "app-topic": 15,
        "app-100-queues": 15,
        "app-4-publishers": 20,
        "app-durable": 8,
        "app-durable-publish": 6,
        "app-durable-topic": 8,
        "app-quorum": 10,
        "app-topic-keys": 10,
        "app-4-120-kB": 3,
        "app-1-MiB": 1.5,
        "app-1-MB-confirmed": 1,
        "app-tls": 8,
        "app-tls-4-120-kB": None,
        "app-headers": 40,
        "app-wait": 8,
        "app-reject": 8,
        "app-requeue": None,
        "app-delayed": None,
        "app-request-1": 4,
        "app-request-10": 4,
        "app-request-100": 4,
        "app-prefetch-1": 1.5,
        "app-commit": None,
        "app-tls-connect": None,
    }
    assert list(LATENCIES) == ["app-beside-1", "app-beside-4", "app-beside-20"]


@pytest.fixture
def running(broker):
    return Running("amqpbroker", "", broker.port, [broker.process.pid], 0.0, 0)


@pytest.mark.parametrize(
    "name", ["app-durable-topic", "app-headers", "app-reject", "app-wait", "app-requeue", "app-delayed"]
)
def test_shape_with_its_own_queues_is_measured(running, name):
    assert SHAPES[name].run(running, 0.1)[""].rate > 0


@pytest.mark.parametrize("name", ["app-request-10", "app-commit"])
def test_shape_whose_clients_wait_for_answers_is_measured(running, name):
    assert SHAPES[name].run(running, 0.1)[""].rate > 0


def test_round_trips_beside_publishers_are_measured(running):
    # On a busy machine, a round trip takes longer than 0.1 s.
    found = LATENCIES["app-beside-4"][1](running, 1.0)
    assert 0 < found[50] <= found[99]


def test_broker_without_delayed_exchanges_is_skipped(running, monkeypatch):
    assert has_delayed_exchanges(running.port)
    unknown = replace(application_shapes.DELAYED, kind="x-no-such-type")
    monkeypatch.setattr(application_shapes, "DELAYED", unknown)
    assert SHAPES["app-delayed"].run(running, 0.1) == {}


def test_encrypted_connections_are_measured():
    with amqpbroker() as broker:
        assert Flow(tls=True).run(broker, 0.1)[""].rate > 0
        assert SHAPES["app-tls-connect"].run(broker, 0.1)[""].rate > 0
