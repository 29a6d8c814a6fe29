"""Begins an AMQP handshake, for `amqpbroker ping`: start scripts and health checks."""

import os
import socket
import sys
import time
from typing import NamedTuple

from amqpbroker.cli.number_range import LONGEST_S, PORTS, NumberRange

DEFAULT_HOST = "127.0.0.1"
DEFAULT_PORT = 5672
DEFAULT_TIMEOUT_S = 2.0
#: Environment variable with the port.
PORT_VARIABLE = "RABBITMQ_NODE_PORT"
TIMEOUTS = NumberRange(0.001, LONGEST_S)

PROTOCOL_HEADER = b"AMQP\x00\x00\x09\x01"

#: Beginning of connection.start: a method frame on channel 0 (its size is skipped), class 10, method 10.
START_FRAME = b"\x01\x00\x00"
START_METHOD = b"\x00\x0a\x00\x0a"
START_BYTES = 11


class PingError(Exception):
    """No AMQP 0-9-1 broker answered. The text says what happened instead."""


class Target(NamedTuple):
    """The broker to check, and the time limit."""

    host: str
    port: int
    timeout_s: float


def run(words: list[str]) -> int | None:
    """Check the broker that the options name. Return the exit status, or None unless they are valid and in full."""
    options = _options(words)
    if options is None:
        return None
    try:
        port = PORTS.parse(options.get("--port") or os.environ.get(PORT_VARIABLE) or str(DEFAULT_PORT))
        timeout_s = TIMEOUTS.parse(options.get("--timeout") or str(DEFAULT_TIMEOUT_S))
        host = options.get("--host", DEFAULT_HOST)
        if "--url" in options:
            host, port = address(options["--url"])
    except ValueError:
        return None
    return check(Target(host, port, timeout_s))


def check(target: Target) -> int:
    """Print whether a broker answers. Return the exit status: 0 if it does, else 1."""
    where = f"{target.host}:{target.port}"
    started = time.monotonic()
    try:
        _shake_hands(target)
    except PingError as error:
        print(f"{where}: {error}", file=sys.stderr)  # noqa: T201
        return 1
    print(f"{where} answers ({(time.monotonic() - started) * 1000:.0f} ms)")  # noqa: T201
    return 0


def address(url: str) -> tuple[str, int]:
    """Return host and port of amqp://HOST[:PORT]. Raises ValueError for any other URL."""
    from urllib.parse import urlsplit  # most checks name no URL

    parts = urlsplit(url)
    try:
        host, port = parts.hostname or DEFAULT_HOST, parts.port or DEFAULT_PORT
    except ValueError:  # a port that is not a number
        host, port = "", 0
    if parts.scheme != "amqp" or not host:
        raise ValueError(f"--url {url} must be of the form amqp://HOST[:PORT]")
    return host, port


def _options(words: list[str]) -> dict[str, str] | None:
    """Return the options with their values; None if there are other words."""
    options: dict[str, str] = {}
    rest = iter(words)
    for word in rest:
        name, equals, value = word.partition("=")
        given = value if equals else next(rest, None)
        if name not in ("--url", "--host", "--port", "--timeout") or not given:
            return None
        options[name] = given
    return options


def _shake_hands(target: Target) -> None:
    """Send the protocol header and wait for connection.start. Raises PingError."""
    host, port, timeout_s = target
    deadline = time.monotonic() + timeout_s
    received = b""
    try:
        with socket.create_connection((host, port), timeout_s) as sock:
            sock.sendall(PROTOCOL_HEADER)
            while len(received) < START_BYTES:
                sock.settimeout(max(deadline - time.monotonic(), 0.001))
                more = sock.recv(4096)
                if not more:
                    break
                received += more
    except TimeoutError as error:
        raise PingError(f"no answer within {timeout_s:g} s") from error
    except OSError as error:
        raise PingError((error.strerror or str(error)).lower()) from error
    if not received:
        raise PingError("closed the connection without an answer")
    if received[:3] != START_FRAME or received[7:START_BYTES] != START_METHOD:
        raise PingError("answers, but not with AMQP 0-9-1")
