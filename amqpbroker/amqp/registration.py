"""The entry of a connection in the broker: the list of connections, limits, totals, events, exclusive queues."""

from functools import partial
from typing import TYPE_CHECKING

from amqpbroker import errors
from amqpbroker.amqp.client import Client
from amqpbroker.amqp.connection_log import Step, run_all
from amqpbroker.broker.session import Session

if TYPE_CHECKING:
    from amqpbroker.broker.broker import Broker


class Registration:
    """Registers a connection from its opening until its socket closes.

    As in RabbitMQ, a closing connection counts until its socket closes. Otherwise a client that does not answer
    connection.close could open more connections than its user's limit allows.
    """

    __slots__ = ("_broker", "_client", "_session")

    def __init__(self, broker: "Broker", client: Client, session: Session) -> None:
        self._broker = broker
        self._client = client
        #: None after `leave`, so that the connection is freed without the garbage collector.
        self._session: Session | None = session

    @property
    def session(self) -> Session:
        """The connection as the broker sees it."""
        assert self._session is not None, "the connection has left"
        return self._session

    def check_limits(self) -> None:
        """Raise AmqpError if the node, the vhost or the user has as many connections as allowed."""
        broker, client = self._broker, self._client
        user = client.user.name
        broker.limits.check_vhost_connections(client.vhost.name, user)
        broker.limits.check_user_connections(user)

    def check_node_limit(self) -> None:
        """Raise AmqpError if the node has as many connections as allowed."""
        limit = self._broker.config.max_connections
        if limit and len(self._broker.sessions) >= limit:
            raise errors.node_connection_limit(limit)

    def enter(self) -> None:
        """Count the connection and list it."""
        broker, client, session = self._broker, self._client, self.session
        broker.sessions[session] = None
        broker.limits.connection_opened(client.vhost.name, client.user.name)
        for totals in (client.vhost.byte_totals, broker.totals.byte_totals):
            totals.add(session)
        broker.totals.churn.count_connection_created()

    def announce(self) -> None:
        """Emit the event `connection.created`."""
        self._broker.events.connection_created(self.session)

    def release(self) -> list[Step]:
        """Return the steps that release the resources of an open connection, except for its channels, and emit the
        event `connection.closed`.
        """
        return [self._emit_closed, partial(self._client.vhost.delete_exclusive_queues, self._session)]

    def _emit_closed(self) -> None:
        self._broker.events.connection_closed(self.session)

    def leave(self) -> None:
        """Stop counting the connection. Never raises."""
        broker, client, session = self._broker, self._client, self._session
        self._session = None
        if session is None or session not in broker.sessions:
            return
        del broker.sessions[session]
        broker.totals.churn.count_connection_closed()
        steps: list[Step] = [
            partial(broker.limits.connection_closed, client.vhost.name, client.user.name),
            partial(client.vhost.byte_totals.remove, session),
            partial(broker.totals.byte_totals.remove, session),
        ]
        run_all(steps, client.name)
