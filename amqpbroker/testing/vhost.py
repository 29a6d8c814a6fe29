"""A vhost of a broker for tests."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from amqpbroker.testing.broker import Broker
    from amqpbroker.testing.faults.api import Faults
    from amqpbroker.testing.inspector import QueueState
    from amqpbroker.testing.message import Message
    from amqpbroker.testing.recorder import Refusal


class Vhost:
    """`str()` of it is its name, as clients want to have it."""

    def __init__(self, broker: "Broker", name: str) -> None:
        self.broker = broker
        self.name = name

    @property
    def url(self) -> str:
        """As the first user: amqp://guest:guest@127.0.0.1:PORT/VHOST"""
        return self.broker.url_of(self.name)

    def wait_until(
        self,
        *,
        queue: str,
        ready: int | None = None,
        unacked: int | None = None,
        consumers: int | None = None,
        timeout: float = 5,
    ) -> "QueueState":
        """See Broker.wait_until; so it is with the others: in this vhost."""
        __tracebackhide__ = True
        return self.broker.wait_until(
            queue=queue, ready=ready, unacked=unacked, consumers=consumers, vhost=self.name, timeout=timeout
        )

    def published(
        self,
        *,
        exchange: str | None = None,
        routing_key: str | None = None,
        count: int | None = None,
        timeout: float = 5,
    ) -> "list[Message]":
        __tracebackhide__ = True
        return self.broker.published(
            exchange=exchange, routing_key=routing_key, vhost=self.name, count=count, timeout=timeout
        )

    def messages(self, queue: str) -> "list[Message]":
        __tracebackhide__ = True
        return self.broker.messages(queue, vhost=self.name)

    def queues(self) -> "list[QueueState]":
        return self.broker.queues(vhost=self.name)

    @property
    def unroutable(self) -> "list[Message]":
        return self.broker.unroutable_in(self.name)

    @property
    def channel_errors(self) -> "list[Refusal]":
        return self.broker.channel_errors_in(self.name)

    @property
    def faults(self) -> "Faults":
        """What is to go wrong here: `Broker.faults` for connections to this vhost alone."""
        return self.broker.faults.only(vhost=self.name)

    def __str__(self) -> str:
        return self.name

    def __repr__(self) -> str:
        return f"<vhost {self.name}>"
