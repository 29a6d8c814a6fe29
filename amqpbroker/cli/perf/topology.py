"""The exchange and the queues of a run: declared before it, and deleted after it."""

import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import click

from amqpbroker.cli.perf.client import Access, Client
from amqpbroker.cli.perf.failure import PerfError
from amqpbroker.wire.values import Table

#: Of many things that are not deleted, so many are named.
_NAMED = 10


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


def made_up_name() -> str:
    """Short: it is a part of each message that is published and delivered."""
    return f"perf-{secrets.token_hex(4)}"


@dataclass(frozen=True)
class Topology:
    """queues: their names. declaration: how each is declared, and which exchange it is bound to."""

    queues: tuple[str, ...]
    declaration: Declaration
    #: Whether they are declared; else they are there.
    declared: bool = True
    #: Whether the queues have names made up for this run, which are deleted whatever happens.
    made_up: bool = True
    #: Whether queues and exchange are deleted at the end, though they have names.
    deleted: bool = False
    exchange_type: str = "direct"
    #: Whether the exchange has a name made up for this run, too.
    made_up_exchange: bool = False

    @property
    def left_to_users(self) -> Declaration | None:
        """How the connections that use the queues declare them, each its own; None: they are there."""
        return self.declaration if self.declaration.exclusive else None

    @contextmanager
    def standing(self, access: Access) -> Iterator[None]:
        """Makes it, and clears it afterwards. Raises PerfError."""
        self.make(access)
        with self.cleared(access):
            yield

    @contextmanager
    def cleared(self, access: Access) -> Iterator[None]:
        """Whatever happens, deletes afterwards what is to be deleted. What is left is told on stderr."""
        try:
            yield
        finally:
            left = self.unmake(access)
            if left:
                click.echo(f"warning: {left}", err=True)

    def make(self, access: Access) -> None:
        """Declare everything that is to be. Raises PerfError, and leaves nothing behind then that has no name."""
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
        """Delete what is to be deleted. Returns what went wrong; empty: nothing."""
        if not self.declared:
            return ""
        exchange = self._made_up_exchange
        if self.deleted and not self._is_predeclared:
            exchange = self.declaration.exchange
        return self._delete(access, self._own if self.made_up or self.deleted else (), exchange)

    @property
    def _own(self) -> tuple[str, ...]:
        """Those that are declared here; exclusive ones are by the connections that consume, and go with them."""
        return () if self.declaration.exclusive else self.queues

    @property
    def _made_up_exchange(self) -> str:
        return self.declaration.exchange if self.made_up_exchange else ""

    @property
    def _is_predeclared(self) -> bool:
        """Whether the exchange is one of those that are always there."""
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
