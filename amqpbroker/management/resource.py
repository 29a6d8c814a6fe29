"""A resource of the API: its path, who may use it, and what each method does. Tables of these are the API."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from amqpbroker.management.bodies import MAX_LOGIN_BYTES
from amqpbroker.management.identity import Access

if TYPE_CHECKING:
    from amqpbroker.management.call import Call


#: Handler of a request: returns a value for the JSON of a 200, a Listing, or an Answer; may be a coroutine function.
Handler = Callable[["Call"], Any] | Callable[["Call"], Awaitable[Any]]


@dataclass(frozen=True, slots=True)
class Resource:
    """Resource at `path` below /api, with {names} for its parts, which are unquoted."""

    path: str
    #: Required to read.
    access: Access
    get: Handler | None = None
    put: Handler | None = None
    post: Handler | None = None
    delete: Handler | None = None
    #: Required to do anything else; None: the same as `access`.
    change: Access | None = None
    #: A path with {vhost} is 404 if there is no such vhost, unless this is set.
    any_vhost: bool = False
    #: Called before a large body of PUT and POST is read; raises an error if the user has no permission for the object
    #: in the path.
    may_send: Callable[["Call"], object] | None = None
    #: Maximum size of a body of PUT and POST; None for the general limit. With 0 the body is not read.
    max_body_bytes: int | None = None
    #: Returns whether the request may hold its connection for long, so that it counts in `Waiting`; None for no.
    waits: Callable[["Call"], bool] | None = None

    @property
    def methods(self) -> list[str]:
        """In RabbitMQ's order."""
        present = [("HEAD", self.get), ("GET", self.get), ("PUT", self.put), ("POST", self.post)]
        present.append(("DELETE", self.delete))
        return [name for name, handler in present if handler is not None] + ["OPTIONS"]

    def handler(self, method: str) -> Handler | None:
        return {"GET": self.get, "HEAD": self.get, "PUT": self.put, "POST": self.post, "DELETE": self.delete}.get(
            method
        )

    def max_body(self, logged_in: bool, general: int) -> int:
        """Return the most bytes of a body, from a sender that is logged in or not. general: limit of any body."""
        most = general if logged_in else MAX_LOGIN_BYTES
        return most if self.max_body_bytes is None else min(most, self.max_body_bytes)
