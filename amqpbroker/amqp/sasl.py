"""SASL mechanisms of connection.start-ok: from a response or a certificate to the claimed identity."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import final

from amqpbroker.config import Config
from amqpbroker.wire.certificate import Certificate
from amqpbroker.wire.values import MalformedError, decode_table, text


@final
@dataclass(frozen=True, slots=True)
class Credentials:
    """The claimed user name, with the password as it was sent. No repr and no log shows the password."""

    username: str
    password: bytes = field(repr=False)


def plain(response: bytes) -> Credentials:
    """Parse NUL, user, NUL, password; RabbitMQ accepts no authorization identity (rabbit_auth_mechanism_plain.erl)."""
    parts = response.split(b"\0")
    if len(parts) != 3 or parts[0]:
        raise MalformedError("a PLAIN response is NUL, user, NUL, password")
    return Credentials(text(parts[1]), parts[2])


def amqplain(response: bytes) -> Credentials:
    """Parse a field table without its length, with strings LOGIN and PASSWORD (rabbit_auth_mechanism_amqplain.erl)."""
    table = decode_table(response, 0, len(response))
    values: list[bytes] = []
    for name in ("LOGIN", "PASSWORD"):
        given = table.get(name)
        if given is None or given.kind not in "Sx":
            raise MalformedError(f"an AMQPLAIN response has {name} as a string")
        values.append(given.value)
    return Credentials(text(values[0]), values[1])


#: Mechanism -> its function, which raises MalformedError for an invalid response. The configuration determines which of
#: them are offered.
MECHANISMS: dict[str, Callable[[bytes], Credentials]] = {
    "PLAIN": plain,
    "AMQPLAIN": amqplain,
}

#: The mechanism whose response (a trace, RFC 4505) is ignored: the configuration names its user.
ANONYMOUS = "ANONYMOUS"

#: The mechanism that uses the client's certificate instead of a response.
EXTERNAL = "EXTERNAL"


def external(certificate: Certificate | None, config: Config) -> str:
    """Return the user's name that ssl_cert_login_from selects, or "" for none (rabbit_auth_mechanism_ssl.erl)."""
    if certificate is None:
        return ""
    match config.ssl_cert_login_from:
        case "distinguished_name":
            return certificate.subject
        case "common_name":
            return ",".join(certificate.common_names)
        case _:
            wanted = config.ssl_cert_login_san_type
            names = [name for kind, name in certificate.alternative_names if kind == wanted]
            index = config.ssl_cert_login_san_index
            return names[index] if index < len(names) else ""
