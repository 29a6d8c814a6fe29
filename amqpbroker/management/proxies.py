"""Headers in which a proxy gives the origin of a request. Only proxies named in the settings are trusted."""

import ipaddress
import re
from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from typing import Any, final

_Scope = MutableMapping[str, Any]
_Headers = list[tuple[bytes, bytes]]
_App = Callable[[_Scope, Callable[..., Awaitable[Any]], Callable[..., Awaitable[Any]]], Awaitable[None]]

_PREFIX = b"x-forwarded-"
_FOR = b"x-forwarded-for"
_PROTO = b"x-forwarded-proto"

_HOST_PORT = re.compile(r"(?:\[(?P<bracketed>[^\]]+)\]|(?P<host>[^:\[]+))(?::(?P<port>[0-9]{1,5}))?")


@final
class Proxies:
    """Removes X-Forwarded headers from requests, unless a trusted proxy sends them: then they name the client.

    trusted: addresses and networks of proxies (management.trusted_proxies). In a chain of proxies each has to be
    trusted; the client is the last address that is not.
    """

    def __init__(self, app: _App, trusted: Iterable[str]) -> None:
        self._app = app
        self._networks = [ipaddress.ip_network(each) for each in trusted]

    async def __call__(self, scope: _Scope, receive: Any, send: Any) -> None:
        host, port = scope.get("client") or ("", 0)
        headers: _Headers = scope["headers"]
        if self._trusts(host):
            scope = {**scope, "client": self._client(headers) or (str(_address(host)), port)}
            schemes = [value.decode("latin-1").strip() for name, value in headers if name == _PROTO]
            if schemes and schemes[-1] in ("http", "https"):
                scope["scheme"] = schemes[-1]
        else:
            scope = {**scope, "headers": [header for header in headers if not header[0].startswith(_PREFIX)]}
        await self._app(scope, receive, send)

    def _client(self, headers: _Headers) -> tuple[str, int] | None:
        """Return the last forwarded address that is not a trusted proxy's, the first if all are, None without any."""
        chain = b",".join(value for name, value in headers if name == _FOR).decode("latin-1").split(",")
        forwarded = [_host_port(each.strip()) for each in chain]
        client = next((each for each in reversed(forwarded) if not self._trusts(each[0])), forwarded[0])
        return client if client[0] else None

    def _trusts(self, host: str) -> bool:
        address = _address(host) if self._networks else None
        return address is not None and any(address in network for network in self._networks)


def _host_port(text: str) -> tuple[str, int]:
    """Split `host`, `host:port`, `[host]` or `[host]:port`. The port is 0 if there is none."""
    if parts := _HOST_PORT.fullmatch(text):
        return parts["bracketed"] or parts["host"], int(parts["port"] or 0)
    return text, 0


def _address(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    """Return an IP address, None if the text is none. An IPv4-mapped IPv6 address is returned as IPv4."""
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return None
    return getattr(address, "ipv4_mapped", None) or address
