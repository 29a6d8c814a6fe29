"""How the queues of a run are declared and bound."""

from dataclasses import dataclass, field

from amqpbroker.cli.perf.client import Client
from amqpbroker.wire.values import Table


@dataclass(frozen=True)
class Declaration:
    """exchange: empty is the default one, which takes no bindings. routing_key: None is each queue's name."""

    exchange: str = ""
    routing_key: str | None = None
    arguments: Table = field(default_factory=dict)
    #: Deleted by the broker when the last consumer goes.
    auto_delete: bool = False
    #: Of the connection that declares it, with which it goes; not durable then.
    exclusive: bool = False
    #: Bound to all keys of which this is the beginning, by a topic exchange.
    to_all_below: bool = False

    def key_of(self, queue: str) -> str:
        return queue if self.routing_key is None else self.routing_key

    def binding_key_of(self, queue: str) -> str:
        key = self.key_of(queue)
        return ".".join(filter(None, (key, "#"))) if self.to_all_below else key

    def declare(self, client: Client, queue: str) -> None:
        """On channel 1. Raises PerfError."""
        client.call(
            "queue.declare",
            queue=queue,
            durable=not self.exclusive,
            exclusive=self.exclusive,
            auto_delete=self.auto_delete,
            arguments=self.arguments,
        )
        if self.exchange:
            client.call("queue.bind", queue=queue, exchange=self.exchange, routing_key=self.binding_key_of(queue))
