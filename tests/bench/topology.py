"""Queues, exchanges and bindings that a load runs on: declared before it and deleted afterwards."""

import contextlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from amqpbroker.wire.values import Table, longstr
from tests.bench.brokers import Running
from tests.bench.processes import wait_until_idle
from tests.load.client import LoadClient, request

EXCHANGE = "bench.exchange"
DEAD = "bench.dead"

_BATCH = 200


@dataclass(frozen=True)
class Binding:
    """A binding of a queue, by its number, to the exchange."""

    queue: int
    routing_key: str = ""
    arguments: Table = field(default_factory=dict)


@dataclass(frozen=True)
class Topology:
    """Equal queues, and an exchange if `kind` is the type of one.

    dead_letters: the queues have a dead letter exchange that routes to the queue `DEAD`.
    """

    queues: int = 1
    durable: bool = False
    arguments: Table = field(default_factory=dict)
    kind: str = ""
    exchange_arguments: Table = field(default_factory=dict)
    bindings: tuple[Binding, ...] = ()
    dead_letters: bool = False
    prefix: str = "bench"

    @property
    def names(self) -> list[str]:
        return [f"{self.prefix}.{i:05}" for i in range(self.queues)]

    @property
    def exchange(self) -> str:
        """The exchange that publishers use, empty for the default exchange."""
        return EXCHANGE if self.kind else ""

    @contextlib.contextmanager
    def declared(self, broker: Running) -> Iterator[list[str]]:
        """Yield the names of the empty queues; delete them afterwards and let the broker rest.

        They are not deleted if the block raises, because the broker may have ended too.
        """
        self._delete(broker.port)
        with LoadClient(broker.port) as client:
            self.declare(client)
            client.close()
        yield self.names
        self._delete(broker.port)
        wait_until_idle(broker.pids)

    def declare(self, client: LoadClient) -> None:
        """Declare everything, without deleting it later."""
        arguments = dict(self.arguments)
        if self.dead_letters:
            client.declare(DEAD, durable=self.durable)
            arguments |= {"x-dead-letter-exchange": longstr(""), "x-dead-letter-routing-key": longstr(DEAD)}
        declarations = [
            request("queue.declare", queue=name, durable=self.durable, arguments=arguments) for name in self.names
        ]
        request_all(client, declarations, "queue.declare-ok")
        if self.kind:
            client.call(
                "exchange.declare",
                "exchange.declare-ok",
                exchange=EXCHANGE,
                exchange_type=self.kind,
                durable=self.durable,
                arguments=self.exchange_arguments,
            )
        bind(client, EXCHANGE, ((self.names[each.queue], each.routing_key, each.arguments) for each in self.bindings))

    def _delete(self, port: int) -> None:
        with LoadClient(port) as client:
            for name in [*self.names, DEAD]:
                client.call("queue.delete", "queue.delete-ok", queue=name)
            client.call("exchange.delete", "exchange.delete-ok", exchange=EXCHANGE)
            client.close()


def bind(client: LoadClient, exchange: str, bindings: Iterable[tuple[str, str, Table]]) -> None:
    """Bind queues to an exchange, many bindings at a time: (queue, routing key, arguments)."""
    requests = [
        request("queue.bind", queue=queue, exchange=exchange, routing_key=key, arguments=arguments)
        for queue, key, arguments in bindings
    ]
    request_all(client, requests, "queue.bind-ok")


def request_all(client: LoadClient, requests: list[bytes], answer: str) -> None:
    """Send requests, many at a time, and wait until each is answered."""
    for first in range(0, len(requests), _BATCH):
        batch = requests[first : first + _BATCH]
        client.send(b"".join(batch))
        for _ in batch:
            client.expect(answer)
