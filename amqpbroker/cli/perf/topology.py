"""The exchange and the queues of a run: made before, and deleted after."""

import secrets
from dataclasses import dataclass, field

from amqpbroker.cli.perf.client import Access, Client
from amqpbroker.cli.perf.failure import PerfError
from amqpbroker.wire.values import Table


def made_up_name() -> str:
    """Short: it is a part of each message that is published and delivered."""
    return f"perf-{secrets.token_hex(4)}"


@dataclass(frozen=True)
class Topology:
    """queues: their names. exchange: empty is the default one. routing_key: None is each queue's name."""

    queues: tuple[str, ...]
    #: Whether they are declared; else they are there.
    declared: bool = True
    #: Whether the queues have names made up for this run, which are deleted whatever happens.
    made_up: bool = True
    #: Whether queues and exchange are deleted at the end, though they have names.
    deleted: bool = False
    exchange: str = ""
    exchange_type: str = "direct"
    routing_key: str | None = None
    arguments: Table = field(default_factory=dict)

    def key_of(self, queue: str) -> str:
        return queue if self.routing_key is None else self.routing_key

    def make(self, access: Access) -> None:
        """Declare everything that is to be. Raises PerfError, and leaves nothing behind then that has no name."""
        if not self.declared:
            return
        client = Client(access, "perf")
        try:
            self._declare(client)
        except PerfError:
            if self.made_up:
                self._delete(access, self.queues, "")
            raise
        client.close()

    def unmake(self, access: Access) -> str:
        """Delete what is to be deleted. Returns what went wrong; empty: nothing."""
        if not self.declared:
            return ""
        exchange = self.exchange if self.deleted and not self._is_predeclared else ""
        return self._delete(access, self.queues if self.made_up or self.deleted else (), exchange)

    @property
    def _is_predeclared(self) -> bool:
        """Whether the exchange is one of those that are always there."""
        return not self.exchange or self.exchange.startswith("amq.")

    def _declare(self, client: Client) -> None:
        client.open_channel()
        if not self._is_predeclared:
            client.call("exchange.declare", exchange=self.exchange, exchange_type=self.exchange_type, durable=True)
        for queue in self.queues:
            client.call("queue.declare", queue=queue, durable=True, arguments=self.arguments)
            if self.exchange:
                client.call("queue.bind", queue=queue, exchange=self.exchange, routing_key=self.key_of(queue))

    def _delete(self, access: Access, queues: tuple[str, ...], exchange: str) -> str:
        if not queues and not exchange:
            return ""
        try:
            client = Client(access, "perf")
            client.open_channel()
            for queue in queues:
                client.call("queue.delete", queue=queue)
            if exchange:
                client.call("exchange.delete", exchange=exchange)
            client.close()
        except PerfError as error:
            return f"could not delete {', '.join([*queues, *filter(None, [exchange])])}: {error}"
        return ""
