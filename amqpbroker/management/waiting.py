"""The HTTP application of a broker that waits until it leads: every request is answered with 503."""

from collections.abc import Awaitable, Callable, MutableMapping
from typing import TYPE_CHECKING, Any

from starlette.applications import Starlette
from starlette.responses import JSONResponse
from starlette.routing import Route

if TYPE_CHECKING:
    from starlette.requests import Request

_METHODS = ["GET", "HEAD", "PUT", "POST", "DELETE", "OPTIONS", "PATCH"]

_App = Callable[
    [
        MutableMapping[str, Any],
        Callable[[], Awaitable[MutableMapping[str, Any]]],
        Callable[[MutableMapping[str, Any]], Awaitable[None]],
    ],
    Awaitable[None],
]


def build_waiting_app(leader: Callable[[], dict[str, Any]]) -> _App:
    """Return the application. leader: returns facts about the present leader, such as its node; empty without one."""

    async def refuse(request: "Request") -> JSONResponse:
        facts = leader()
        reason = f"{facts['node']} leads, and this broker waits" if facts else "no broker leads yet"
        answer = {"status": "failed", "error": "not_leader", "reason": reason, "leader": facts or None}
        return JSONResponse(answer, status_code=503, headers={"retry-after": "1"})

    return Starlette(routes=[Route("/{path:path}", refuse, methods=_METHODS)])
