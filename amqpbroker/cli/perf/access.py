"""Address, user and TLS of the broker under load, from the options of `amqpbroker perf`."""

import ssl
from dataclasses import dataclass, field
from urllib.parse import quote, unquote, urlsplit

from amqpbroker.cli.perf.failure import PerfError

FORM = "amqp://USER:PASSWORD@HOST:PORT/VHOST, or amqps:// for TLS"
PORTS = {"amqp": 5672, "amqps": 5671}


@dataclass(frozen=True)
class Uri:
    """A user of a vhost of a broker. Its text has no password."""

    host: str = "127.0.0.1"
    port: int = 5672
    user: str = "guest"
    password: str = field(default="guest", repr=False)
    vhost: str = "/"
    tls: bool = False

    @classmethod
    def parse(cls, text: str) -> "Uri":
        """Parse a URI; only the scheme is required. Raises ValueError, whose text does not repeat the URI."""
        try:
            parts = urlsplit(text)
            port = parts.port
        except ValueError:
            raise ValueError(f"its host or port is none; write {FORM}") from None
        if parts.scheme not in PORTS:
            raise ValueError(f"write {FORM}")
        return cls(
            parts.hostname or "127.0.0.1",
            port or PORTS[parts.scheme],
            unquote(parts.username or "guest"),
            unquote(parts.password or "guest"),
            unquote(parts.path[1:]) or "/",
            parts.scheme == "amqps",
        )

    @property
    def address(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}"

    def __str__(self) -> str:
        vhost = "" if self.vhost == "/" else quote(self.vhost, safe="")
        user = f"{quote(self.user, safe='')}@" if self.user else ""
        return f"amqp{'s' if self.tls else ''}://{user}{self.address}/{vhost}"


@dataclass(frozen=True)
class Tls:
    """Files of certificates: trusted ones (None: those of the system), and the own one (None: none)."""

    cacertfile: str | None = None
    certfile: str | None = None
    keyfile: str | None = None
    #: Do not verify the broker's certificate.
    insecure: bool = False

    def context(self) -> ssl.SSLContext:
        """Return the TLS context. Raises PerfError for files without certificates or keys, and OSError."""
        try:
            context = ssl.create_default_context(cafile=self.cacertfile)
        except ssl.SSLError:
            raise PerfError(f"{self.cacertfile} has no certificates") from None
        if self.insecure:
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        if self.certfile is not None:
            try:
                context.load_cert_chain(self.certfile, self.keyfile, password=_no_password)
            except ssl.SSLError as error:
                why = "the key is of another certificate" if error.reason == "KEY_VALUES_MISMATCH" else "no PEM"
                files = " and ".join(filter(None, (self.certfile, self.keyfile)))
                raise PerfError(f"{files}: no certificate with its key: {why}") from None
        return context


def _no_password() -> str:
    """Raise PerfError instead of letting OpenSSL ask for a password on the terminal."""
    raise PerfError("the key is encrypted; give an unencrypted one with --keyfile")
