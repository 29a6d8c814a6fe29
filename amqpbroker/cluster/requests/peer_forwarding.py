"""Requests of clients as peers get them, and the answers of peers as clients get them."""

import logging
from collections.abc import Callable, MutableMapping
from typing import Any, Final, final

from amqpbroker.cluster.requests.peers import Headers, PeerAnswer, PeerRequest
from amqpbroker.management.call import Call
from amqpbroker.management.failure import ApiError
from amqpbroker.management.peer_requests import Sender
from amqpbroker.management.streamed import ClosableResponse

log = logging.getLogger(__name__)

#: Headers of requests that concern the client's connection or login, or that were checked here.
_OWN_REQUEST: Final = frozenset(
    (
        "accept-encoding",
        "authorization",
        "connection",
        "content-length",
        "cookie",
        "expect",
        "keep-alive",
        "origin",
        "referer",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
    )
)
_OWN_PREFIXES: Final = ("proxy-", "sec-fetch-", "x-amqpbroker-", "x-forwarded-")
#: Headers of answers that are passed on. This broker adds those that all its answers have.
_PASSED_ON: Final = frozenset(
    (
        "allow",
        "cache-control",
        "content-disposition",
        "content-length",
        "content-type",
        "location",
        "retry-after",
        "www-authenticate",
    )
)


def passed_on(call: Call, *headers: tuple[str, str]) -> PeerRequest:
    """Return the request of a client as a peer gets it, with these further headers."""
    request = call.request
    target: str = request.scope["raw_path"].decode("latin-1")
    if request.scope["query_string"]:
        target += "?" + request.scope["query_string"].decode("latin-1")
    client = request.client
    return PeerRequest(
        request.method,
        target,
        [*_own(call), *headers],
        call.raw,
        ("", 0) if client is None else (client.host, client.port),
    )


def _own(call: Call) -> Headers:
    """Return the headers of a request for a peer, with its sender, who was authenticated here."""
    headers = [
        (name, value)
        for name, value in call.request.headers.items()
        if name not in _OWN_REQUEST and not name.startswith(_OWN_PREFIXES)
    ]
    identity = call.known_identity
    if identity is not None:
        headers.append(Sender(identity.user.name, identity.user.tags, identity.all_powerful).header())
    return headers


@final
class ForwardedAnswer(ClosableResponse):
    """The answer of a peer, passed on as it arrives."""

    def __init__(self, answer: PeerAnswer, check: Callable[[], object]) -> None:
        super().__init__(None, answer.status)
        self.raw_headers = [
            (name.lower().encode("latin-1"), value.encode("latin-1"))
            for name, value in answer.headers
            if name.lower() in _PASSED_ON
        ]
        self._parts = answer.parts
        self._check = check

    async def close(self) -> None:
        await self._parts.aclose()

    async def __call__(self, scope: MutableMapping[str, Any], receive: Any, send: Any) -> None:
        try:
            await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
            async for part in self._parts:
                self._check()
                await send({"type": "http.response.body", "body": part, "more_body": True})
            await send({"type": "http.response.body", "body": b""})
        except (ApiError, OSError) as error:
            log.warning("an answer is broken off: %s", error)  # the end is missing, so the client notices
        finally:
            await self._parts.aclose()
