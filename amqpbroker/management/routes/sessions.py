"""The current user (whoami), logging in and logging out."""

from typing import Any
from urllib.parse import parse_qs

from amqpbroker.management import failure
from amqpbroker.management.bodies import MAX_LOGIN_BYTES
from amqpbroker.management.call import Answer, Call
from amqpbroker.management.identity import Access
from amqpbroker.management.resource import Resource
from amqpbroker.management.sessions import COOKIE


def whoami(call: Call) -> dict[str, Any]:
    user = call.identity.user
    return {"name": user.name, "tags": list(user.tags), "is_internal_user": True}


async def log_in(call: Call) -> Answer:
    """The form fields username and password; the answer brings a cookie that counts as this login."""
    form = parse_qs(call.raw.decode("utf-8", "replace"), keep_blank_values=True)
    try:
        name, password = form["username"][0], form["password"][0]
    except KeyError:
        raise failure.bad_request("username and password are needed") from None
    identity = await call.authenticator.by_password(name, password.encode(), call.host)
    token = call.authenticator.sessions.open(identity.user)
    return Answer(200, "ok", {"set-cookie": _cookie(call, token, call.authenticator.sessions.timeout_ms // 1000)})


def log_out(call: Call) -> Answer:
    call.authenticator.sessions.close(call.request.cookies.get(COOKIE, ""))
    return Answer(204, headers={"set-cookie": _cookie(call, "", 0)})


def _cookie(call: Call, token: str, max_age_s: int) -> str:
    """Out of reach of scripts and of other sites (their requests do not bring it along)."""
    secure = "; Secure" if call.request.url.scheme == "https" else ""
    path = call.broker.config.management.path_prefix.rstrip("/") + "/api"
    return f"{COOKIE}={token}; Path={path}; Max-Age={max_age_s}; HttpOnly; SameSite=Strict{secure}"


RESOURCES = (
    Resource("/whoami", Access.USER, get=whoami),
    Resource(
        "/login",
        Access.ANYBODY,
        post=log_in,
        delete=log_out,
        max_body_bytes=MAX_LOGIN_BYTES,
    ),
)
