"""Peers: the other brokers that share vhosts with this one, for requests of HTTP."""

from abc import ABC, abstractmethod
from collections.abc import AsyncGenerator, Sequence
from typing import NamedTuple

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


class NotSentError(OSError):
    """A peer did not get a request, so that nothing has changed."""
