"""The exchange and the queues of a run: declared before it, and deleted after it."""

import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import click

from amqpbroker.cli.perf.client import Access, Client
from amqpbroker.cli.perf.failure import PerfError
from amqpbroker.wire.values import Table

#: Number of names in the warning about objects that are not deleted.
_NAMED = 10


@dataclass(frozen=True)
class Declaration:
    """Declaration of queues. exchange: "" is the default one. routing_key: None for the name of each queue."""

    exchange: str = ""
    routing_key: str | None = None
    arguments: Table = field(default_factory=dict)
    #: The broker deletes the queue with its last consumer.
    auto_delete: bool = False
    #: The queue is exclusive to the connection that declares it, and not durable.
    exclusive: bool = False
    #: Bind to all keys that begin with the routing key, by a topic exchange.
    to_all_below: bool = False

    def key_of(self, queue: str) -> str:
        return queue if self.routing_key is None else self.routing_key

    def binding_key_of(self, queue: str) -> str:
        key = self.key_of(queue)
        return ".".join(filter(None, (key, "#"))) if self.to_all_below else key

    def declare(self, client: Client, queue: str) -> None:
        """Declare a queue on channel 1. Raises PerfError."""
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


def made_up_name() -> str:
    """Return a new name. It is short, because each published and delivered message has it."""
    return f"perf-{secrets.token_hex(4)}"


@dataclass(frozen=True)
class Topology:
    """Queues and exchange of a run. queues: names. declaration: that of each queue, with its binding."""

    queues: tuple[str, ...]
    declaration: Declaration
    #: True if the run declares them; else they exist.
    declared: bool = True
    #: True if the queues have generated names; such queues are always deleted.
    made_up: bool = True
    #: True if named queues and exchanges are deleted at the end, too.
    deleted: bool = False
    exchange_type: str = "direct"
    #: True if the exchange has a generated name as well.
    made_up_exchange: bool = False

    @property
    def left_to_users(self) -> Declaration | None:
        """The declaration that connections make of their own queues; None: the queues exist."""
        return self.declaration if self.declaration.exclusive else None

    @contextmanager
    def standing(self, access: Access) -> Iterator[None]:
        """Declare everything, and delete it at the end. Raises PerfError."""
        self.make(access)
        with self.cleared(access):
            yield

    @contextmanager
    def cleared(self, access: Access) -> Iterator[None]:
        """Delete temporary objects at the end, also after an error. Report remaining ones on stderr."""
        try:
            yield
        finally:
            left = self.unmake(access)
            if left:
                click.echo(f"warning: {left}", err=True)

    def make(self, access: Access) -> None:
        """Declare queues and exchange. After a PerfError, no object with a generated name is left."""
        if not self.declared or (not self._own and self._is_predeclared):
            return
        client = Client(access, "perf")
        try:
            self._declare(client)
        except PerfError:
            self._delete(access, self._own if self.made_up else (), self._made_up_exchange)
            raise
        client.close()

    def unmake(self, access: Access) -> str:
        """Delete temporary objects. Return the errors as a text, empty if there were none."""
        if not self.declared:
            return ""
        exchange = self._made_up_exchange
        if self.deleted and not self._is_predeclared:
            exchange = self.declaration.exchange
        return self._delete(access, self._own if self.made_up or self.deleted else (), exchange)

    @property
    def _own(self) -> tuple[str, ...]:
        """Return the queues to declare here. Consumers' connections declare exclusive queues, which end with them."""
        return () if self.declaration.exclusive else self.queues

    @property
    def _made_up_exchange(self) -> str:
        return self.declaration.exchange if self.made_up_exchange else ""

    @property
    def _is_predeclared(self) -> bool:
        """Return whether the exchange is a predeclared one."""
        exchange = self.declaration.exchange
        return not exchange or exchange.startswith("amq.")

    def _declare(self, client: Client) -> None:
        client.open_channel()
        if not self._is_predeclared:
            exchange, kind = self.declaration.exchange, self.exchange_type
            client.call("exchange.declare", exchange=exchange, exchange_type=kind, durable=True)
        for queue in self._own:
            self.declaration.declare(client, queue)

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
            names = [*queues, *filter(None, [exchange])]
            more = f" and {len(names) - _NAMED:,} more" if len(names) > _NAMED else ""
            return f"could not delete {', '.join(names[:_NAMED])}{more}: {error}"
        return ""
