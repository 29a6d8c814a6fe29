"""Texts for operators about a database and the errors of its servers. Nothing in them is secret."""

import re
from typing import Final

import psycopg

from amqpbroker.store.log import StoreError

#: psycopg's line about one of several hosts, and what it and libpq write before the reason.
_ATTEMPT: Final = re.compile(
    r"^- host: (?:'([^']*)'|None), port: (?:'([^']*)'|None), hostaddr: (?:'([^']*)'|None): (.*)", re.M
)
_BEFORE: Final = re.compile(r"^(?:connection failed: )?(?:connection to server [^\n]*? failed: )?(?:FATAL: +)?")
_NUMBER: Final = re.compile(r"\[Errno -?\d+\] ")


def described(url: str) -> str:
    """Return the database of a URL, without secrets, such as `postgresql://db.example:5432/broker`.

    Raises StoreError if it is not the URL of a PostgreSQL database.
    """
    try:
        parts = psycopg.conninfo.conninfo_to_dict(url)
    except psycopg.Error:
        parts = {}
    # libpq's error would show the part of the password that it cannot read, or takes for something else.
    shown = f"{parts.get('host', '')}{parts.get('port', '')}{parts.get('dbname', '')}"
    if not parts or "@" in shown or not re.fullmatch(r"[0-9,]*", str(parts.get("port", ""))):
        raise StoreError(
            "the URL of the store cannot be read; encode special characters of its password, such as %2F for /, and use"
            " only the parameters of libpq"
        ) from None
    hosts = str(parts.get("host") or "localhost").split(",")
    ports = [port or "5432" for port in str(parts.get("port") or "").split(",")]
    ports += ports[-1:] * (len(hosts) - len(ports))
    places = ",".join(_place(host, port) for host, port in zip(hosts, ports, strict=False))
    return f"postgresql://{places}/{parts.get('dbname') or parts.get('user') or ''}"


def hosts_of(url: str) -> list[str]:
    """Return the hosts of a URL that `described` accepts; a Unix socket's begins with a slash."""
    return str(psycopg.conninfo.conninfo_to_dict(url).get("host") or "localhost").split(",")


def reason(error: psycopg.Error) -> str:
    """Return the reason of an error in one line. If no host could be connected to, it is the reason of each host."""
    text = str(error).strip()
    attempts = [
        f"{_place(host or 'localhost', port or '5432')}{f' ({address})' if address not in ('', host) else ''}:"
        f" {_BEFORE.sub('', said, count=1)}"
        for host, port, address, said in _ATTEMPT.findall(text)
    ]
    found = "; ".join(dict.fromkeys(attempts)) or text.partition("\n")[0] or type(error).__name__
    return _NUMBER.sub("", found)


def _place(host: str, port: str) -> str:
    """Return `HOST:PORT`, an IPv6 address in brackets."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
