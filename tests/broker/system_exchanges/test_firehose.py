"""Messages of amq.rabbitmq.trace, in addition to the cases of conformance/cases/trace.py."""

import pytest

from amqpbroker.broker.broker import Broker
from amqpbroker.broker.system_exchanges.firehose import EXCHANGE
from amqpbroker.clock import ManualClock
from amqpbroker.config import Config
from amqpbroker.store.store import MemoryStore
from amqpbroker.wire.values import Field, Table
from tests.harness import Received, Wire


class Bench:
    """A broker whose vhost `/` is traced, into the queue `traces`."""

    def __init__(self, frame_max: int = 131_072) -> None:
        self.clock = ManualClock()
        self.broker = Broker(Config(frame_max=frame_max), self.clock, MemoryStore())
        self.vhost = self.broker.vhost("/")
        self.client = Wire(self.broker).log_in(frame_max=frame_max)
        self.client.declare("traces")
        self.bind("traces")
        self.broker.tracing.start(self.vhost)

    def bind(self, queue: str) -> None:
        self.client.send(1, "queue.bind", queue=queue, exchange=EXCHANGE, routing_key="#", arguments={})
        self.client.receive()

    def traces(self, queue: str = "traces") -> list[Received]:
        self.clock.advance(1)
        self.client.receive()
        return [self.client.get(queue) for _ in range(self.client.depth(queue))]

    def headers(self) -> Table:
        (trace,) = self.traces()
        assert trace.properties is not None
        headers: Table = trace.properties["headers"]
        return headers


@pytest.fixture
def bench() -> Bench:
    return Bench()


def deep(levels: int) -> Field:
    field = Field("t", True)
    for _ in range(levels):
        field = Field("F", {"in": field})
    return field


def test_no_traces_without_bindings(bench: Bench) -> None:
    bench.client.send(1, "queue.unbind", queue="traces", exchange=EXCHANGE, routing_key="#", arguments={})
    bench.client.publish("k", exchange="amq.direct")
    assert not bench.traces()


def test_trace_omits_headers_that_are_nested_too_deeply(bench: Bench) -> None:
    bench.client.publish("k", exchange="amq.direct", headers={"deep": deep(63)}, message_id=b"id")
    assert bench.headers()["properties"].value == {"message_id": Field("S", b"id")}
    bench.client.publish("k", exchange="amq.direct", headers={"deep": deep(60)})
    assert bench.headers()["properties"].value == {"headers": Field("F", {"deep": deep(60)})}


def test_headers_that_do_not_fit_into_a_frame_are_omitted(bench: Bench) -> None:
    bench.client.publish("k", exchange="amq.direct", headers={"much": Field("S", b"x" * 130_950)})
    told = bench.headers()
    assert told["properties"].value == {}
    assert "routed_queues" in told


def test_trace_omits_routed_queues_that_do_not_fit_into_a_frame() -> None:
    bench = Bench(frame_max=8192)
    for number in range(40):
        name = f"{number:0200d}"
        bench.client.declare(name)
        bench.client.call(1, "queue.bind", queue=name, exchange="amq.fanout", routing_key="", arguments={})
    bench.client.publish("k", exchange="amq.fanout")
    assert "routed_queues" not in bench.headers()


def test_trace_routing_key_with_a_too_long_queue_name_is_cut(bench: Bench) -> None:
    name = "x" * 255
    bench.client.declare(name)
    bench.client.publish(name)
    bench.client.get(name)
    keys = [trace.arguments["routing_key"] for trace in bench.traces()]
    assert keys == ["publish.", "deliver." + "x" * 247]


def test_trace_of_a_delayed_message_lists_no_routed_queues(bench: Bench) -> None:
    kind: Table = {"x-delayed-type": Field("S", b"direct")}
    bench.vhost.declare_exchange("later", "x-delayed-message", False, False, False, kind)
    bench.client.publish("k", exchange="later", headers={"x-delay": Field("I", 1000)})
    assert bench.headers()["routed_queues"].value == []


def test_traces_are_routed_by_their_headers(bench: Bench) -> None:
    bench.client.declare("by-header")
    bench.client.call(1, "exchange.bind", destination="amq.headers", source=EXCHANGE, routing_key="#", arguments={})
    arguments = {"x-match": Field("S", b"all"), "redelivered": Field("I", 1)}
    bench.client.call(1, "queue.bind", queue="by-header", exchange="amq.headers", routing_key="", arguments=arguments)
    bench.client.declare("q")
    bench.client.publish("q")
    tag = bench.client.get("q", no_ack=False).arguments["delivery_tag"]
    bench.client.send(1, "basic.nack", delivery_tag=tag, requeue=True)
    bench.client.get("q")
    assert [trace.arguments["routing_key"] for trace in bench.traces("by-header")] == ["deliver.q"]
    assert len(bench.traces()) == 3


def test_full_queue_of_traces_does_not_delay_publishers(bench: Bench) -> None:
    arguments = {"x-max-length": Field("I", 1), "x-overflow": Field("S", b"reject-publish")}
    bench.client.declare("small", arguments=arguments)
    bench.bind("small")
    bench.client.send(1, "confirm.select")
    bench.client.receive()
    for _ in range(100):
        bench.client.publish("k", exchange="amq.direct")
    assert {answer.name for answer in bench.client.receive()} == {"basic.ack"}
    assert len(bench.traces("small")) == 1
    assert len(bench.traces()) == 100


@pytest.mark.explore
def test_number_of_traces_is_bounded_by_the_length_limit_of_their_queue(bench: Bench) -> None:
    bench.client.declare("small", arguments={"x-max-length": Field("I", 10)})
    bench.bind("small")
    bench.client.send(1, "queue.unbind", queue="traces", exchange=EXCHANGE, routing_key="#", arguments={})
    for _ in range(100):
        for _ in range(100):
            bench.client.publish("k", exchange="amq.direct")
        bench.clock.advance(1)
    assert len(bench.traces("small")) == 10


def test_vhost_is_deleted_with_pending_traces(bench: Bench) -> None:
    bench.client.publish("k", exchange="amq.direct")
    bench.broker.delete_vhost("/")
    bench.clock.advance(1)
    assert "/" not in bench.broker.tracing
    assert not bench.broker.add_vhost("/").taps


def test_tracing_started_or_stopped_twice_has_no_further_effect(bench: Bench) -> None:
    bench.broker.tracing.start(bench.vhost)
    bench.client.publish("k", exchange="amq.direct")
    assert len(bench.traces()) == 1
    for _ in range(2):
        bench.broker.tracing.stop(bench.vhost)
    bench.client.publish("k", exchange="amq.direct")
    assert not bench.traces()
    assert not bench.vhost.taps


def test_tracing_for_certain_queues_ends_when_the_last_is_deleted(bench: Bench) -> None:
    tracing, vhost = bench.broker.tracing, bench.vhost
    tracing.stop(vhost)
    bench.client.declare("short", arguments={"x-expires": Field("I", 1000)})
    for queue in ("traces", "traces", "short"):
        tracing.start_for(vhost, vhost.queues[queue])
    bench.client.publish("k", exchange="amq.direct")
    assert len(bench.traces()) == 1
    vhost.delete_queue(vhost.queues["traces"])
    assert "/" in tracing
    bench.clock.advance(1001)
    assert "short" not in vhost.queues
    assert "/" not in tracing
    assert not vhost.taps
    assert not vhost.on_deleted


def test_tracing_of_a_vhost_continues_after_traced_queues_are_deleted(bench: Bench) -> None:
    bench.broker.tracing.start_for(bench.vhost, bench.vhost.queues["traces"])
    bench.vhost.delete_queue(bench.vhost.queues["traces"])
    assert "/" in bench.broker.tracing


def test_stopping_tracing_of_a_vhost_also_stops_tracing_for_queues(bench: Bench) -> None:
    tracing, vhost = bench.broker.tracing, bench.vhost
    tracing.start_for(vhost, vhost.queues["traces"])
    tracing.stop(vhost)
    assert "/" not in tracing
    assert not vhost.on_deleted
    tracing.start(vhost)
    vhost.delete_queue(vhost.queues["traces"])
    assert "/" in tracing


def test_deleting_a_vhost_stops_its_tracing_for_queues(bench: Bench) -> None:
    bench.broker.tracing.stop(bench.vhost)
    bench.broker.tracing.start_for(bench.vhost, bench.vhost.queues["traces"])
    bench.broker.delete_vhost("/")
    assert "/" not in bench.broker.tracing
    again = bench.broker.add_vhost("/")
    bench.broker.tracing.start(again)
    assert len(again.taps) == 1
