"""Headers in which a proxy gives the origin of a request. Only proxies named in the settings are trusted."""

import ipaddress
from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from typing import Any, final

from uvicorn.middleware.proxy_headers import ProxyHeadersMiddleware

_Scope = MutableMapping[str, Any]
_App = Callable[[_Scope, Callable[..., Awaitable[Any]], Callable[..., Awaitable[Any]]], Awaitable[None]]

#: X-Forwarded-Host, and uvicorn's X-Forwarded-For and X-Forwarded-Proto.
_PREFIX = b"x-forwarded-"


@final
class Proxies:
    """Removes X-Forwarded headers from requests, unless a trusted proxy sends them: then they name the client.

    trusted: addresses and networks of proxies (management.trusted_proxies). In a chain of proxies each has to be
    trusted; the client is the last address that is not.
    """

    def __init__(self, app: _App, trusted: Iterable[str]) -> None:
        self._app = app
        self._networks = [ipaddress.ip_network(each) for each in trusted]
        self._believing: Any = ProxyHeadersMiddleware(app, [str(network) for network in self._networks])  # type: ignore[arg-type]

    async def __call__(self, scope: _Scope, receive: Any, send: Any) -> None:
        host, port = scope.get("client") or ("", 0)
        address = _address(host) if self._networks else None
        if address is not None and any(address in network for network in self._networks):
            await self._believing({**scope, "client": (str(address), port)}, receive, send)
            return
        headers = [header for header in scope["headers"] if not header[0].startswith(_PREFIX)]
        await self._app({**scope, "headers": headers}, receive, send)


def _address(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    """Return an IP address, None if the text is none. An IPv4-mapped IPv6 address is returned as IPv4."""
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return None
    return getattr(address, "ipv4_mapped", None) or address
