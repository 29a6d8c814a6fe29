"""Senders of requests: basic authentication, the cookie of the page, the token of the data directory, other sites."""

import base64
import binascii
import hmac
import logging
from collections.abc import Collection, Mapping
from functools import partial
from typing import TYPE_CHECKING, final
from urllib.parse import urlsplit

from amqpbroker.broker.users.logins import HTTP
from amqpbroker.broker.users.users import User
from amqpbroker.management import failure
from amqpbroker.management.backend_answer import answered
from amqpbroker.management.identity import Identity
from amqpbroker.management.peer_requests import is_from_peer, sender_of
from amqpbroker.management.sessions import COOKIE, Sessions

if TYPE_CHECKING:
    from starlette.requests import Request

    from amqpbroker.broker.broker import Broker

log = logging.getLogger(__name__)

#: A request that changes something by the cookie alone needs this header, which no form of another site can send.
CSRF_HEADER = "x-requested-with"

#: Types that a form can send, or a script without asking first whether it may (Fetch standard, CORS-safelisted).
_SIMPLE = ("", "application/x-www-form-urlencoded", "multipart/form-data", "text/plain")


@final
class Authenticator:
    """Tells who sends a request. token: see Node; empty for none."""

    def __init__(self, broker: "Broker", sessions: Sessions, token: str) -> None:
        self.sessions = sessions
        self._broker = broker
        self._token = token

    async def by_password(self, name: str, password: bytes, host: str) -> Identity:
        """Return the user with the name and password, from that address. Raises ApiError 401 or 503."""
        user = await answered(self._broker, partial(self._broker.logins.identify, name, password, host, HTTP))
        if user is None:
            log.warning("HTTP access denied: user '%s' - invalid credentials", name)
            raise failure.wrong_login()
        return Identity(self._broker, user)

    async def identify(self, request: "Request") -> Identity | None:
        """Return the sender of a request, None if it has no login. Raises ApiError 401 if the login is wrong, 503."""
        if is_from_peer(request):
            return self._by_peer(request)
        scheme, _, given = request.headers.get("authorization", "").partition(" ")
        host = request.client.host if request.client is not None else ""
        match scheme.lower():
            case "basic":
                try:
                    name, colon, password = base64.b64decode(given, validate=True).partition(b":")
                    if not colon:
                        raise failure.wrong_login()
                    return await self.by_password(name.decode(), password, host)
                except (binascii.Error, UnicodeDecodeError):
                    raise failure.wrong_login() from None
            case "bearer":
                if not self._token or not hmac.compare_digest(given.encode(), self._token.encode()):
                    raise failure.wrong_login()
                return self._all_powerful()
            case "":
                user = self._by_cookie(request)
                return None if user is None else Identity(self._broker, user)
            case _:
                raise failure.wrong_login()

    def still(self, request: "Request", identity: Identity | None) -> Identity | None:
        """Return the current state of the sender that `identify` returned at the start of the request.

        Raises ApiError 401 if the user was deleted or its password was changed. Returns None if the login has expired.
        """
        if identity is None or identity.all_powerful:
            return identity
        if "authorization" not in request.headers and not is_from_peer(request):
            user = self._by_cookie(request)
            return None if user is None else identity.renewed(user)
        user = self._broker.logins.current(identity.user)
        if user is None:
            raise failure.wrong_login()
        return identity.renewed(user)

    def _all_powerful(self) -> Identity:
        return Identity(self._broker, User("amqpbroker", tags=("administrator",)), all_powerful=True)

    def _by_peer(self, request: "Request") -> Identity | None:
        """Return the sender, whom the peer has authenticated. Raises ApiError 401 if this broker does not know it."""
        sender = sender_of(request)
        if sender is None:
            return None
        if sender.all_powerful:
            return self._all_powerful()
        users = self._broker.users
        if not self._broker.logins.answers_at_once:
            return Identity(self._broker, User(sender.name, tags=sender.tags))
        if not users.has(sender.name):
            raise failure.wrong_login()
        return Identity(self._broker, users.user(sender.name))

    def _by_cookie(self, request: "Request") -> User | None:
        found = self.sessions.find(request.cookies.get(COOKIE, ""))
        if found is None:
            return None
        if request.method not in ("GET", "HEAD") and CSRF_HEADER not in request.headers:
            raise failure.not_authorised(f"a request by cookie needs the header {CSRF_HEADER}")
        return self._broker.logins.current(found)


def comes_from_elsewhere(headers: Mapping[str, str], allowed: Collection[str]) -> bool:
    """Return whether another site sent it that is not allowed to (management.cors.allow_origins; "*" is any).

    The browser says so in Sec-Fetch-Site or, where it does not send that, by an Origin that is not the Host. A
    request with neither does not come from a page. If any site is allowed, requests that a browser sends without a
    preflight are still refused: they may carry a remembered password.
    """
    origin = headers.get("origin", "")
    site = headers.get("sec-fetch-site", "")
    if site in ("same-origin", "none") or not (site or origin):
        return False
    if not site and origin != "null":
        hosts = (headers.get("host", ""), headers.get("x-forwarded-host", ""))
        if urlsplit(origin).netloc in hosts:
            return False
    if origin in allowed:
        return False
    kind = headers.get("content-type", "").partition(";")[0].strip().lower()
    return "*" not in allowed or kind in _SIMPLE
