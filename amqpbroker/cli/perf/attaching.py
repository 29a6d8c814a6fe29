"""What is attached to a queue that stays, and taken off again: bindings and consumers."""

from typing import Any

from amqpbroker.cli.perf.churn import Churn
from amqpbroker.cli.perf.client import Access
from amqpbroker.cli.perf.declaration import Declaration


class Attaching(Churn):
    """declaration: how the queue is declared by the connection that uses it; None: it is there."""

    def __init__(
        self, access: Access, seconds: float | None, limit: int | None, queue: str, declaration: Declaration | None
    ) -> None:
        super().__init__(access, seconds, limit)
        self._queue = queue
        self._declaration = declaration

    def set_up(self) -> str:
        product = super().set_up()
        if self._declaration is not None:
            self._declaration.declare(self.client, self._queue)
        return product


class BindingChurn(Attaching):
    """A binding to an exchange that is there, by another routing key each time."""

    def __init__(
        self,
        access: Access,
        seconds: float | None,
        limit: int | None,
        queue: str,
        declaration: Declaration | None,
        exchange: str,
    ) -> None:
        super().__init__(access, seconds, limit, queue, declaration)
        self._exchange = exchange

    def once(self) -> None:
        binding: dict[str, Any] = {
            "queue": self._queue,
            "exchange": self._exchange,
            "routing_key": f"{self._queue}.{self.count}",
        }
        self.client.call("queue.bind", **binding)
        self.client.call("queue.unbind", **binding)


class ConsumerChurn(Attaching):
    """A consumer, on one channel."""

    def once(self) -> None:
        self.client.call("basic.consume", queue=self._queue, consumer_tag="perf")
        self.client.call("basic.cancel", consumer_tag="perf")
