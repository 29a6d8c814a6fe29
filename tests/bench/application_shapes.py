"""Shapes of load with messages of an application, 4,000 different ones in rotation; application.py has their content.

Their names begin with `app-`. Bodies have 20 to 2,000 bytes, and messages are transient, unless a shape says otherwise.
"""

from dataclasses import dataclass, field

from amqpbroker.wire.values import Field, Table, longstr
from tests.bench.application import DIFFERENT, LARGEST_BYTES, SMALLEST_BYTES
from tests.bench.brokers import Running
from tests.bench.client_processes import CONTEXT, Client, ClientProcesses, Measured, measure
from tests.bench.clients import Consuming, churn, consume, publish
from tests.bench.deliveries import acknowledge, reject, requeue
from tests.bench.round_trips import commit, echo, run_clients, serve
from tests.bench.routing import (
    HEADERS_QUEUES,
    QUEUES,
    TOPIC_KEYS,
    headers_bindings,
    own_key_bindings,
    own_keys,
    topic_bindings,
)
from tests.bench.sending import Different
from tests.bench.shapes import LATENCY_SAMPLES, MIB, Shape, measure_latency
from tests.bench.topology import DEAD, Binding, Topology
from tests.load.client import LoadClient

KB, MB = 1_000, 1_000_000
OWN_KEYS = 40_000
#: Limit for the publisher of persistent messages, so that it is not ahead without bound.
IN_FLIGHT = 1_000
PREFETCH = 1_000
REJECTED_AT_ONCE = 200
GIVEN_BACK = 2_000
WAIT_MS = 200
DELAY_MS = 200
COMMITTED_AT_ONCE = 10

PLAIN = Topology()
DURABLE = Topology(durable=True)
TOPIC = Topology(QUEUES, kind="topic", bindings=tuple(Binding(*each) for each in topic_bindings()))
DURABLE_TOPIC = Topology(QUEUES, durable=True, kind="topic", bindings=TOPIC.bindings)
OWN_KEYS_TOPIC = Topology(QUEUES, kind="topic", bindings=tuple(Binding(*each) for each in own_key_bindings()))
QUORUM = Topology(durable=True, arguments={"x-queue-type": longstr("quorum")})
HEADERS = Topology(
    HEADERS_QUEUES,
    kind="headers",
    bindings=tuple(Binding(queue, "", arguments) for queue, arguments in headers_bindings()),
)
WAITING = Topology(arguments={"x-message-ttl": Field("I", WAIT_MS)}, dead_letters=True)
REJECTING = Topology(dead_letters=True)
DELAYED = Topology(
    kind="x-delayed-message",
    exchange_arguments={"x-delayed-type": longstr("direct")},
    bindings=(Binding(0, "bench.00000"),),
)


@dataclass(frozen=True)
class Content:
    """Messages of a publisher, see `Different`."""

    different: int = DIFFERENT
    smallest: int = SMALLEST_BYTES
    largest: int = LARGEST_BYTES
    headers: Table = field(default_factory=dict)


@dataclass(frozen=True)
class Flow:
    """Publishers and consumers that never stop.

    keys: routing keys, the names of the queues by default. own_keys: number of messages with a unique routing key.
    in_flight: messages that may wait for their confirm, 0 for no confirms. prefetch: 0 for auto-ack. consumers: number
    of connections, among which the queues are divided. They count the measured messages, unless there is none, or
    `dead_letters` of the topology is set: then a further consumer counts the dead letters.
    """

    topology: Topology = PLAIN
    content: Content = Content()
    keys: tuple[str, ...] = ()
    own_keys: int = 0
    publishers: int = 1
    consumers: int = 1
    in_flight: int = 0
    prefetch: int = 0
    rejecting: bool = False
    tls: bool = False

    def run(self, broker: Running, seconds: float) -> dict[str, Measured]:
        port = broker.tls_port if self.tls else broker.port
        with self.topology.declared(broker) as names, ClientProcesses(port) as processes:
            takers = self._consume(processes, names)
            processes.ready()
            senders = [processes.add(publish, self._sending(names, number)) for number in range(self.publishers)]
            return {"": measure(takers or senders, broker.pids, seconds)}

    def _consume(self, processes: ClientProcesses, names: list[str]) -> list[Client]:
        """Add the consumers; return those that count the measured messages."""
        every, answer = (REJECTED_AT_ONCE, reject) if self.rejecting else (1, acknowledge)
        takers = [
            processes.add(
                consume,
                Consuming(tuple(names[i :: self.consumers]), self.prefetch, every, answer=answer, tls=self.tls),
            )
            for i in range(self.consumers)
        ]
        if self.topology.dead_letters:
            takers = [processes.add(consume, Consuming((DEAD,)))]
        return takers

    def _sending(self, names: list[str], number: int) -> Different:
        """Return the messages of a publisher by its number: each publisher has its own."""
        return Different(
            tuple(own_keys(self.own_keys)) or self.keys or tuple(names),
            self.topology.exchange,
            number + 1,
            self.content.different,
            self.content.smallest,
            self.content.largest,
            self.topology.durable,
            self.content.headers,
            self.in_flight,
            tls=self.tls,
        )


def run_requeue(broker: Running, seconds: float) -> dict[str, Measured]:
    """Measure messages that are requeued when 200 of them were delivered, without end."""
    with PLAIN.declared(broker) as names, ClientProcesses(broker.port) as processes:
        processes.add(publish, Different(tuple(names), different=GIVEN_BACK, count=GIVEN_BACK))
        what = Consuming(tuple(names), REJECTED_AT_ONCE, REJECTED_AT_ONCE, answer=requeue)
        return {"": measure([processes.add(consume, what)], broker.pids, seconds)}


def run_delayed(broker: Running, seconds: float) -> dict[str, Measured]:
    if not has_delayed_exchanges(broker.port):
        return {}
    headers: Table = {"x-delay": Field("I", DELAY_MS)}
    return Flow(DELAYED, Content(headers=headers), in_flight=IN_FLIGHT).run(broker, seconds)


def has_delayed_exchanges(port: int) -> bool:
    """Return whether the broker supports the exchange type. RabbitMQ does if its plugin is enabled."""
    arguments = DELAYED.exchange_arguments
    with LoadClient(port) as client:
        try:
            client.call(
                "exchange.declare",
                "exchange.declare-ok",
                exchange="bench.delayed",
                exchange_type=DELAYED.kind,
                arguments=arguments,
                auto_delete=True,
            )
        except AssertionError:
            return False
        client.call("exchange.delete", "exchange.delete-ok", exchange="bench.delayed")
        return True


@dataclass(frozen=True)
class Requests:
    """Requests to one server over direct reply-to, by clients with one outstanding request each."""

    clients: int

    def run(self, broker: Running, seconds: float) -> dict[str, Measured]:
        with PLAIN.declared(broker) as (queue,), ClientProcesses(broker.port) as processes:
            processes.add(serve, queue)
            processes.ready()
            return {"": measure([processes.add(run_clients, queue, self.clients)], broker.pids, seconds)}


@dataclass(frozen=True)
class Beside:
    """Round trips of a message, one at a time, beside publishers that send continuously to another queue."""

    publishers: int

    def run(self, broker: Running, seconds: float) -> dict[float, float]:
        samples_ns = CONTEXT.RawArray("Q", LATENCY_SAMPLES)
        with Topology(2).declared(broker) as (busy, queue), ClientProcesses(broker.port) as processes:
            processes.add(consume, Consuming((busy,)))
            processes.ready()
            for number in range(self.publishers):
                processes.add(publish, Different((busy,), seed=number + 1, different=DIFFERENT // self.publishers))
            processes.ready()
            return measure_latency(processes.add(echo, queue, samples_ns), samples_ns, broker, seconds)


def run_commits(broker: Running, seconds: float) -> dict[str, Measured]:
    with DURABLE.declared(broker) as names, ClientProcesses(broker.port) as processes:
        processes.add(consume, Consuming(tuple(names)))
        processes.ready()
        what = Different(tuple(names), persistent=True)
        return {"": measure([processes.add(commit, what, COMMITTED_AT_ONCE)], broker.pids, seconds)}


def run_tls_connects(broker: Running, seconds: float) -> dict[str, Measured]:
    with ClientProcesses(broker.tls_port) as processes:
        return {"": measure([processes.add(churn, True)], broker.pids, seconds)}


#: 248 MB of 4,000 messages would not stay in a processor's cache anyway, and take seconds to create.
MEDIUM = Content(400, 4 * KB, 120 * KB)
LARGE = Content(16, MIB, MIB)

SHAPES = {
    "app-transient": Shape("one publisher, one auto-ack consumer", {"": 20}, Flow().run),
    "app-acks": Shape("each message acknowledged alone, prefetch 1,000", {"": 12}, Flow(prefetch=PREFETCH).run),
    "app-topic": Shape(
        "topic exchange, 240 keys, 204 bindings, 4 queues",
        {"": 15},
        Flow(TOPIC, keys=TOPIC_KEYS, consumers=QUEUES).run,
    ),
    "app-100-queues": Shape("100 queues, one consuming connection", {"": 15}, Flow(Topology(100)).run),
    "app-4-publishers": Shape("four publishers, one queue", {"": 20}, Flow(publishers=4).run),
    "app-durable": Shape(
        "persistent, confirms, each acknowledged alone",
        {"": 8},
        Flow(DURABLE, in_flight=IN_FLIGHT, prefetch=PREFETCH).run,
    ),
    "app-durable-publish": Shape(
        "persistent, confirms, no consumer", {"": 6}, Flow(DURABLE, consumers=0, in_flight=IN_FLIGHT).run
    ),
    "app-durable-topic": Shape(
        "persistent, confirms, topic exchange, 4 queues, each acknowledged alone",
        {"": 8},
        Flow(DURABLE_TOPIC, keys=TOPIC_KEYS, consumers=QUEUES, in_flight=IN_FLIGHT, prefetch=PREFETCH).run,
    ),
    "app-quorum": Shape(
        "quorum queue, confirms, each acknowledged alone",
        {"": 10},
        Flow(QUORUM, in_flight=IN_FLIGHT, prefetch=PREFETCH).run,
    ),
    "app-topic-keys": Shape(
        "topic exchange, 40,000 keys of 20 to 200 bytes in turn, 204 bindings, 4 queues",
        {"": 10},
        Flow(OWN_KEYS_TOPIC, own_keys=OWN_KEYS, consumers=QUEUES).run,
    ),
    "app-4-120-kB": Shape("bodies of 4 to 120 kB", {"": 3}, Flow(content=MEDIUM).run),
    "app-1-MiB": Shape("bodies of 1 MiB", {"": 1.5}, Flow(content=LARGE).run),
    "app-1-MB-confirmed": Shape(
        "persistent, 1 MB, each confirmed before the next",
        {"": 1},
        Flow(DURABLE, Content(16, MB, MB), consumers=0, in_flight=1).run,
    ),
    "app-tls": Shape("over TLS", {"": 8}, Flow(tls=True).run),
    "app-tls-4-120-kB": Shape("over TLS, bodies of 4 to 120 kB", {"": None}, Flow(content=MEDIUM, tls=True).run),
    "app-headers": Shape("headers exchange, 1,000 bindings, 10 queues", {"": 40}, Flow(HEADERS).run),
    "app-wait": Shape(
        "expired after 200 ms in a queue without consumers, then consumed as dead letters",
        {"": 8},
        Flow(WAITING, consumers=0).run,
    ),
    "app-reject": Shape(
        "rejected 200 at a time, then consumed as dead letters",
        {"": 8},
        Flow(REJECTING, prefetch=PREFETCH, rejecting=True).run,
    ),
    "app-requeue": Shape("2,000 messages, requeued 200 at a time and delivered again", {"": None}, run_requeue),
    "app-delayed": Shape("delayed by 200 ms (x-delayed-message), confirms", {"": None}, run_delayed),
    "app-request-1": Shape("requests with direct reply-to, 1 client", {"": 4}, Requests(1).run),
    "app-request-10": Shape("requests with direct reply-to, 10 clients", {"": 4}, Requests(10).run),
    "app-request-100": Shape("requests with direct reply-to, 100 clients", {"": 4}, Requests(100).run),
    "app-prefetch-1": Shape("prefetch 1 beside a fast publisher", {"": 1.5}, Flow(prefetch=1).run),
    "app-commit": Shape("transactions of 10 persistent messages, one after another", {"": None}, run_commits),
    "app-tls-connect": Shape("connect by TLS, open a channel, close", {"": None}, run_tls_connects),
}

LATENCIES = {
    f"app-beside-{count}": (f"round trip beside {count} fast publisher{'s' * (count > 1)}", Beside(count).run)
    for count in (1, 4, 20)
}
