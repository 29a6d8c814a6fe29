"""Kinds of values: the accepted texts of a setting, and their parsing."""

import ipaddress
import re
import socket
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from amqpbroker.compat import COMPATS, Compat


class Accepted(NamedTuple):
    """A kind of values: `parse` raises ValueError for a text that `text` does not describe."""

    text: str
    parse: Callable[[str], Any]


class LeftOut(NamedTuple):
    """A list item that RabbitMQ accepts and this broker ignores with a warning, which states `reason`."""

    reason: str


MAX_INT = 2**31 - 1
#: Largest integer that is exact in every implementation of JSON.
MOST_BYTES = 2**53


def integer(low: int, high: int, unit: str = "", **words: int) -> Accepted:
    """Return the kind of integers from `low` to `high`; `words` are accepted words, such as infinity for no limit."""

    def parse(text: str) -> int:
        if text in words:
            return words[text]
        if not re.fullmatch("[0-9]{1,18}", text) or not low <= int(text) <= high:
            raise ValueError(text)
        return int(text)

    number = f"a whole number from {low} to {high}" + (f" ({unit})" if unit else "")
    return Accepted(" or ".join((*words, number)), parse)


_BYTE_UNITS = {"": 1, "kb": 1024, "mb": 1024**2, "gb": 1024**3}


def bytesize(low: int, high: int, **words: int) -> Accepted:
    """Return the kind of numbers of bytes as cuttlefish reads them: units are powers of 1024."""

    def parse(text: str) -> int:
        if text in words:
            return words[text]
        match = re.fullmatch("([0-9]{1,18})(|kb|mb|gb)", text.lower())
        if match is None or not low <= (size := int(match[1]) * _BYTE_UNITS[match[2]]) <= high:
            raise ValueError(text)
        return size

    number = f"a number of bytes from {low} to {high}, which may end in kB, MB or GB"
    return Accepted(" or ".join((*words, number)), parse)


_DURATION_UNITS_MS = {
    "ms": 1,
    "s": 1_000,
    "m": 60_000,
    "h": 3_600_000,
    "d": 86_400_000,
    "w": 604_800_000,
    "f": 1_209_600_000,
}


#: Ten years, the maximum of a TTL.
_LONGEST_MS = 315_360_000_000


def duration_ms(least_ms: int) -> Accepted:
    """Return the kind of durations as cuttlefish reads them, such as 1h30m; a number without a unit is in ms."""

    def parse(text: str) -> int:
        if re.fullmatch("[0-9]{1,18}", text):
            found_ms: float = int(text)
        elif re.fullmatch(r"([0-9]+(\.[0-9]+)?(ms|s|m|h|d|w|f))+", text):
            parts = re.findall(r"([0-9.]+)(ms|s|m|h|d|w|f)", text)
            found_ms = sum(float(number) * _DURATION_UNITS_MS[unit] for number, unit in parts)
        else:
            raise ValueError(text)
        if not least_ms <= found_ms <= _LONGEST_MS:
            raise ValueError(text)
        return round(found_ms)

    return Accepted(f"a duration from {least_ms}ms to 3650d, such as 5d or 1h30m", parse)


_INFORMATION_UNITS = ("", "k", "m", "g", "t", "p")


def _information(text: str) -> int:
    """Parse a number of bytes as rabbit_resource_monitor_misc does: 1 kB is 1000 bytes, 1 KiB is 1024 bytes."""
    match = re.fullmatch("([0-9]{1,18})(?:([kmgtp])(i?)b?)?", text.lower())
    if match is None:
        raise ValueError(text)
    factor: int = (1024 if match[3] else 1000) ** _INFORMATION_UNITS.index(match[2] or "")
    if (size := int(match[1]) * factor) > MOST_BYTES:
        raise ValueError(text)
    return size


def fraction(high: float) -> Accepted:
    def parse(text: str) -> float:
        if not re.fullmatch(r"[0-9]{1,9}(\.[0-9]{1,9})?", text) or float(text) > high:
            raise ValueError(text)
        return float(text)

    return Accepted(f"a number from 0 to {high:g}, such as 0.5", parse)


def or_none(accepted: Accepted) -> Accepted:
    """Return the kind that also accepts `none`, which is None."""
    return Accepted(f"{accepted.text}, or none", lambda text: None if text == "none" else accepted.parse(text))


def one_of(*words: str) -> Accepted:
    return Accepted(" or ".join(words), lambda text: words[words.index(text)])


def some_of(*words: str, left_out: Mapping[str, str]) -> Accepted:
    """Accept one of the words; ignore RabbitMQ's words in `left_out`, each for the reason it is mapped to."""

    def parse(text: str) -> str | LeftOut:
        return LeftOut(left_out[text]) if text in left_out else words[words.index(text)]

    return Accepted(" or ".join(words), parse)


def choice(values: Mapping[str, Any]) -> Accepted:
    """Accept one of the words, and return the value that it is mapped to."""

    def parse(text: str) -> Any:
        if text not in values:
            raise ValueError(text)
        return values[text]

    return Accepted(" or ".join(values), parse)


def _name(text: str) -> str:
    if not 1 <= len(text.encode()) <= 255:
        raise ValueError(text)
    return text


def _regex(text: str) -> str:
    try:
        re.compile(text)
    except re.error as error:
        raise ValueError(text) from error
    return text


def _is_ipv6(text: str) -> bool:
    try:
        socket.inet_pton(socket.AF_INET6, text.partition("%")[0])
    except OSError:
        return False
    return True


def _is_number(text: str) -> bool:
    return re.fullmatch("[0-9]{1,18}", text) is not None


def _listener(text: str) -> tuple[str, int | None]:
    """Return (host or "", port or None). An IPv6 address needs no brackets, as in RabbitMQ: `:::5672`."""
    if bracketed := re.fullmatch(r"\[([^\[\]]+)\](?::([0-9]{1,5}))?", text):
        host, port = bracketed[1], bracketed[2] or ""
    else:
        host, colon, port = text.rpartition(":")
        if not (colon and _is_number(port)) or (":" in host and not _is_ipv6(host)):
            host, port = ("", text) if _is_number(text) else (text, "")
    if not (_is_ipv6(host) or re.fullmatch(r"\w[\w.-]*", host) or (port and not host)):
        raise ValueError(text)
    if not port:
        return host, None
    if not 0 <= int(port) <= 65535:
        raise ValueError(text)
    return host, int(port)


def _address(text: str) -> str:
    host, _ = _listener(text)
    if not host:
        raise ValueError(text)
    return text


def _host(text: str) -> str:
    if not (_is_ipv6(text) or re.fullmatch(r"\w[\w.-]*", text)):
        raise ValueError(text)
    return text


def _network(text: str) -> str:
    return str(ipaddress.ip_network(text))


def _database(text: str) -> str:
    if not re.match(r"postgres(ql)?://", text):
        raise ValueError(text)
    return text


def _file(text: str) -> str:
    if not text or "\0" in text:
        raise ValueError(text)
    return text


def _log_file(text: str) -> str:
    """Return the file, without one for `-`, as in RabbitMQ's environment."""
    return "" if text in ("false", "-") else _file(text)


def _path(text: str) -> str:
    path = text.rstrip("/")
    if not re.fullmatch(r"(/[\w.~%-]+)*", path):
        raise ValueError(text)
    return path


def _compat(text: str) -> Compat:
    if text not in COMPATS:
        raise ValueError(text)
    return COMPATS[text]


ANY = Accepted("any text", str)
BOOLEAN = Accepted("true or false", lambda text: ("false", "true").index(text) == 1)
ON_OFF = Accepted("on or off", lambda text: ("off", "on").index(text) == 1)
COMPAT = Accepted(" or ".join(COMPATS), _compat)
ADDRESS = Accepted("HOST or HOST:PORT, with a port from 0 to 65535", _address)
DATABASE = Accepted("the URL of a PostgreSQL database, such as postgresql://user@host/database", _database)
FILE = Accepted("the name of a file", _file)
HOST = Accepted("an address or a host name of this machine", _host)
INFORMATION = Accepted(
    f"a number of bytes up to {MOST_BYTES}, which may end in kB, MB or GB, or KiB, MiB or GiB", _information
)
LISTENER = Accepted("PORT, HOST or HOST:PORT, with a port from 0 to 65535", _listener)
LOG_FILE = Accepted("the name of a file, or false", _log_file)
NAME = Accepted("a name of 1 to 255 bytes", _name)
NETWORK = Accepted("an IP address or a network, such as 10.0.0.1 or 10.0.0.0/8", _network)
PATH = Accepted("a path that begins with /, such as /rabbit", _path)
PORT = integer(0, 65535)
REGEX = Accepted("a regular expression", _regex)
TAGS = Accepted("tags, separated by commas", lambda text: tuple(re.findall(r"[^,\s]+", text)))
