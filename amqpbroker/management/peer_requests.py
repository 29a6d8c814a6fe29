"""Requests between brokers that share the vhosts of a database: who sends them, and their headers."""

import json
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
#: Headers with the names of brokers that did not answer, and of vhosts that no broker serves at the moment. The answer
#: lacks their objects.
MISSING_BROKERS: Final = "x-missing-brokers"
MISSING_VHOSTS: Final = "x-missing-vhosts"


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
