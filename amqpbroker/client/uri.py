"""AMQP URIs as RabbitMQ parses them (amqp_uri.erl): amqp://user:password@host:port/vhost?heartbeat=10."""

import re
from dataclasses import dataclass, field
from urllib.parse import parse_qsl, unquote, urlsplit

from amqpbroker.wire.erlang import erlang_string

PORTS = {"amqp": 5672, "amqps": 5671}
MECHANISMS = ("PLAIN", "AMQPLAIN", "EXTERNAL")

#: The default credentials for other brokers.
_GUEST = ("guest", "guest")
_HEARTBEAT_S = 10
_CONNECTION_TIMEOUT_MS = 60_000
_CREDENTIALS = re.compile(r"(?<=://)[^/?]*@|(?<=://).*@(?=[^@]*$)")
_INTEGER = re.compile("[0-9]{1,18}", re.ASCII)
_PARAMETER_SECRETS = re.compile(r"(?<=[?&])password=[^&]*&?")


class UriError(ValueError):
    """An invalid URI. The text is the reason as an Erlang term, without the URI and its secrets."""


@dataclass(frozen=True, slots=True)
class TlsOptions:
    """TLS parameters.

    Files are paths on this machine, "" for none. server_name: name that the certificate must have, "" for the host.
    """

    cacertfile: str = ""
    certfile: str = ""
    keyfile: str = ""
    password: str = field(default="", repr=False)
    verify: bool = True
    server_name: str = ""


@dataclass(frozen=True, slots=True)
class AmqpUri:
    """A parsed URI. host: None means this broker itself; then user None means the broker, without permission checks.

    mechanisms: authentication mechanisms in order of preference. frame_max and heartbeat_s: upper limits for the
    negotiation; 0 means no limit, and no heartbeat unless the other side insists. tls: None without TLS. The repr has
    no secrets.
    """

    text: str = field(repr=False)
    host: str | None
    port: int
    vhost: str
    user: str | None = None
    password: str | None = field(default=None, repr=False)
    mechanisms: tuple[str, ...] = ("PLAIN", "AMQPLAIN")
    heartbeat_s: int = _HEARTBEAT_S
    frame_max: int = 0
    connection_timeout_ms: int = _CONNECTION_TIMEOUT_MS
    tls: TlsOptions | None = None

    @property
    def shown(self) -> str:
        """The URI without credentials and parameters, as RabbitMQ shows it."""
        return without_credentials(self.text).partition("?")[0]


def without_credentials(text: str) -> str:
    """Return a URI, even a malformed one, without everything that may be a user, a password or a key's password."""
    return _PARAMETER_SECRETS.sub("", _CREDENTIALS.sub("", text))


def parse(text: str) -> AmqpUri:
    """Parse a URI. Raises UriError. An empty path means the vhost / (in RabbitMQ, a vhost with an empty name)."""
    try:
        parts = urlsplit(text)
    except ValueError:
        raise UriError("unable_to_parse_uri") from None
    host = parts.hostname
    try:
        port = parts.port
    except ValueError:
        given = parts.netloc.rpartition(":")[2]
        raise UriError(f"{{port_out_of_range,{given}}}" if given.isdigit() else "unable_to_parse_uri") from None
    if not parts.scheme:
        raise UriError("{unable_to_parse_uri,no_scheme}")
    if parts.scheme not in PORTS:
        raise UriError(f"{{unexpected_uri_scheme,{erlang_string(parts.scheme)}}}")
    if port == 0:
        raise UriError("{port_out_of_range,0}")
    if "/" in parts.path[1:]:
        # A path with an @ may be a part of a password with a slash.
        raise UriError("invalid_vhost" if "@" in parts.path else f"{{invalid_vhost,{erlang_string(parts.path[1:])}}}")
    query = dict(parse_qsl(parts.query, keep_blank_values=True))
    user = None if parts.username is None else unquote(parts.username)
    password = None if parts.password is None else unquote(parts.password)
    if host is not None and user is None:
        user, password = _GUEST
    return AmqpUri(
        text,
        None if host is None else unquote(host),
        port or PORTS[parts.scheme],
        unquote(parts.path[1:]) or "/",
        user,
        password,
        _mechanisms(query.get("auth_mechanism")),
        _integer(query, "heartbeat", _HEARTBEAT_S),
        _integer(query, "frame_max", 0),
        _integer(query, "connection_timeout", _CONNECTION_TIMEOUT_MS),
        _tls(query) if parts.scheme == "amqps" else None,
    )


def _integer(query: dict[str, str], name: str, otherwise: int) -> int:
    given = query.get(name)
    if given is None:
        return otherwise
    if not _INTEGER.fullmatch(given):
        raise UriError(f"{{invalid_amqp_params_parameter,{name},{erlang_string(given)}}}")
    return int(given)


def _mechanisms(given: str | None) -> tuple[str, ...]:
    if given is None:
        return ("PLAIN", "AMQPLAIN")
    if given.upper() not in MECHANISMS:
        raise UriError(f"{{invalid_amqp_params_parameter,auth_mechanism,{erlang_string(given)}}}")
    return (given.upper(),)


def _tls(query: dict[str, str]) -> TlsOptions:
    verify = query.get("verify", "verify_peer")
    if verify not in ("verify_peer", "verify_none"):
        raise UriError(f"{{invalid_amqp_params_parameter,verify,{erlang_string(verify)}}}")
    return TlsOptions(
        query.get("cacertfile", ""),
        query.get("certfile", ""),
        query.get("keyfile", ""),
        query.get("password", ""),
        verify == "verify_peer",
        query.get("server_name_indication", ""),
    )
