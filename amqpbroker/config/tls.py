"""TLS settings of a listener."""

from dataclasses import dataclass, field
from typing import NamedTuple


class SniHost(NamedTuple):
    """The certificate for clients that request this host name."""

    host: str
    certfile: str = ""
    keyfile: str = ""


@dataclass(frozen=True, slots=True)
class Tls:
    """RabbitMQ's ssl_options. Files are PEM; an empty name means no file.

    ciphers: OpenSSL's names, in order of preference, with at least one suite for each of `versions`; if empty, OpenSSL
    decides.
    """

    cacertfile: str = ""
    certfile: str = ""
    keyfile: str = ""
    password: str = field(default="", repr=False)
    depth: int = 10
    verify_peer: bool = False
    fail_if_no_peer_cert: bool = False
    versions: tuple[str, ...] = ("tlsv1.3", "tlsv1.2")
    ciphers: tuple[str, ...] = ()
    honor_cipher_order: bool = False
    sni: tuple[SniHost, ...] = ()
