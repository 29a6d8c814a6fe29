"""Interface to `cluster.requests`: HTTP requests that brokers answer which share the vhosts of a database."""

from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response

    from amqpbroker.broker.broker import Broker
    from amqpbroker.management.call import Call
    from amqpbroker.management.resource import Handler, Resource

#: Runs a handler; returns what it returns, once its changes are safe.
Run = Callable[["Handler", "Call"], Awaitable[Any]]
#: Makes the response of what a handler returns.
Respond = Callable[[Any, "Call"], Awaitable["Response"]]


class SharedRequests(ABC):
    """Answers requests whose vhosts several brokers share."""

    @abstractmethod
    async def answer(
        self, resource: "Resource", handler: "Handler", call: "Call", run: Run, respond: Respond
    ) -> "Response":
        """Return the response of the broker, or brokers, that answer requests of the resource.

        Raises the errors of handlers, and ApiError 503 if a broker does not answer.
        """

    @abstractmethod
    async def catch_up_for(self, broker: "Broker", request: "Request", vhost: str | None) -> None:
        """Catch up with the writer if a peer knows the vhost, or the sender, of its request before this broker does."""

    @abstractmethod
    def leader_of(self, vhost: str) -> str | None:
        """Return the name of the other broker that serves a vhost; None if there is none at the moment."""
