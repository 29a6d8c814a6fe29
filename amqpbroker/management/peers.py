"""Peers: the other brokers that share vhosts with this one, as the management API sees them."""

import json
from abc import ABC, abstractmethod
from collections.abc import AsyncGenerator, Sequence
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from starlette.requests import Request

#: Key of the state of a request's scope: whether a peer sends the request, on behalf of a client.
FROM_PEER: Final = "from_peer"

#: Headers of requests between peers. They count only if the scope of the request has FROM_PEER.
SENDER: Final = "x-amqpbroker-sender"
PART: Final = "x-amqpbroker-part"
#: Header of an answer: the vhost of the request has moved to another broker, so that nothing was done.
MOVED: Final = "x-amqpbroker-moved"

Headers = Sequence[tuple[str, str]]


class Peer(NamedTuple):
    """A broker that shares vhosts. name: of its node, as users know it. process: unique to the process."""

    name: str
    process: str


class PeerRequest(NamedTuple):
    """A request of HTTP. target: path, still quoted, with the query. client: address and port of the client."""

    method: str
    target: str
    headers: Headers
    body: bytes
    client: tuple[str, int]


class PeerAnswer(NamedTuple):
    """An answer of a peer. parts: its body, which raises OSError if it breaks off; close it if it is not read."""

    status: int
    headers: Headers
    parts: AsyncGenerator[bytes, None]

    def header(self, name: str) -> str:
        """Return the value of a header, empty if there is none. name: in lower case."""
        return next((value for found, value in self.headers if found.lower() == name), "")


class Peers(ABC):
    """Finds the broker for a request, and sends requests to it.

    here: this broker. A vhost has one broker that serves it, and all definitions that concern more than one vhost have
    one broker that writes them; while either moves, there is none.
    """

    here: Peer

    @abstractmethod
    def serving(self, vhost: str) -> Peer | None:
        """Return the broker that serves a vhost, which may be this one; None if there is none at the moment."""

    @abstractmethod
    def writer(self) -> Peer | None:
        """Return the broker that writes definitions of all vhosts; None if there is none at the moment.

        A broker names itself only if it can write them already.
        """

    @abstractmethod
    def others(self) -> list[Peer]:
        """Return all running brokers except this one."""

    @abstractmethod
    async def request(self, peer: Peer, request: PeerRequest, limit_s: float) -> PeerAnswer:
        """Send a request; return the answer once its head is there. limit_s: time limit for that.

        Raises NotSentError if the peer did not get the request, and other OSErrors, as TimeoutError, if it may have
        got it.
        """

    @abstractmethod
    async def catch_up(self) -> None:
        """Return once this broker knows the definitions that the writer has stored so far. Raises OSError."""


def is_from_peer(request: "Request") -> bool:
    """Return whether a peer sends the request, so that this broker answers it alone."""
    return bool(request.scope.get("state", {}).get(FROM_PEER))


class Sender(NamedTuple):
    """The user who has sent a request to a peer. all_powerful: see Identity."""

    name: str
    tags: tuple[str, ...]
    all_powerful: bool

    def header(self) -> tuple[str, str]:
        """Return the header that names the sender."""
        return SENDER, json.dumps(self)


def sender_of(request: "Request") -> Sender | None:
    """Return the sender of a request from a peer, None if nobody has logged in."""
    given = request.headers.get(SENDER)
    if given is None:
        return None
    name, tags, all_powerful = json.loads(given)
    return Sender(name, tuple(tags), all_powerful)


class NotSentError(OSError):
    """A peer did not get a request, so that nothing has changed."""
