"""A resource of the API: its path, who may use it, and what each method does. Tables of these are the API."""

import enum
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

from amqpbroker.management.bodies import MAX_LOGIN_BYTES
from amqpbroker.management.identity import Access

if TYPE_CHECKING:
    from amqpbroker.management.call import Call


#: Handler of a request: returns a value for the JSON of a 200, a Listing, or an Answer; may be a coroutine function.
Handler = Callable[["Call"], Any] | Callable[["Call"], Awaitable[Any]]


class AnsweredBy(enum.Enum):
    """Brokers that answer a request, if several share the vhosts.

    HERE: the broker that gets it. VHOST: the one that serves the vhost of the path. WRITER: the one that writes the
    definitions of all vhosts, which all others know. ALL: each for its own part. HOLDER: any that has the object.
    """

    HERE = "here"
    VHOST = "vhost"
    WRITER = "writer"
    ALL = "all"
    HOLDER = "holder"


class SubRequest(NamedTuple):
    """A part of a change that several brokers make.

    vhost: whose broker makes it, None for the writer of definitions. path: below /api, quoted. body: JSON. here: makes
    it at this broker.
    """

    vhost: str | None
    path: str
    body: bytes
    here: Handler


@dataclass(frozen=True, slots=True)
class Resource:
    """Resource at `path` below /api, with {names} for its parts, which are unquoted.

    A path with {vhost} is 404 if there is no such vhost, unless any_vhost. access: required to read. change: required
    to do anything else, the same as `access` if None. may_send: called before a large body of PUT and POST is read;
    raises an error if the user has no permission for the object in the path. max_body_bytes: the largest body of PUT
    and POST, None for the general limit; with 0 the body is not read. read_by, changed_by: brokers that answer, if
    several share the vhosts; by default the one that serves the vhost of the path, and without a vhost the one that
    gets a request to read, and the writer for a change. merged: merges the answer of this broker and those of others
    for AnsweredBy.ALL, unless it is a Listing. complete: the answer of AnsweredBy.ALL is an error if a part of it is
    missing. pieces: divides a PUT or POST that several brokers have to make, in the order of its parts; empty if one is
    enough. waits: returns whether the request may hold its connection for long, so that it counts in `Waiting`; None
    for no.
    """

    path: str
    access: Access
    get: Handler | None = None
    put: Handler | None = None
    post: Handler | None = None
    delete: Handler | None = None
    change: Access | None = None
    any_vhost: bool = False
    may_send: Callable[["Call"], object] | None = None
    max_body_bytes: int | None = None
    read_by: AnsweredBy | None = None
    changed_by: AnsweredBy | None = None
    merged: Callable[[Any, list[Any]], Any] | None = None
    complete: bool = False
    pieces: Callable[["Call"], list[SubRequest]] | None = None
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

    def answered_by(self, reading: bool) -> AnsweredBy:
        """Return the brokers that answer a request that only reads, or one that changes something."""
        by = self.read_by if reading else self.changed_by
        if by is not None:
            return by
        if "{vhost}" in self.path:
            return AnsweredBy.VHOST
        return AnsweredBy.HERE if reading else AnsweredBy.WRITER

    def max_body(self, logged_in: bool, general: int) -> int:
        """Return the most bytes of a body, from a sender that is logged in or not. general: limit of any body."""
        most = general if logged_in else MAX_LOGIN_BYTES
        return most if self.max_body_bytes is None else min(most, self.max_body_bytes)
