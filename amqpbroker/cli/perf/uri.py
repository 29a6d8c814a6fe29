"""Where the broker is and who logs in: amqp://user:password@host:port/vhost."""

from dataclasses import dataclass, field
from urllib.parse import quote, unquote, urlsplit

FORM = "amqp://USER:PASSWORD@HOST:PORT/VHOST, or amqps:// for TLS"
PORTS = {"amqp": 5672, "amqps": 5671}


@dataclass(frozen=True)
class Uri:
    """One user of one vhost of one broker. Its text leaves the password out."""

    host: str = "127.0.0.1"
    port: int = 5672
    user: str = "guest"
    password: str = field(default="guest", repr=False)
    vhost: str = "/"
    tls: bool = False

    @classmethod
    def parse(cls, text: str) -> "Uri":
        """Every part but the scheme may be missing. Raises ValueError, whose text does not repeat the URI."""
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
