"""`amqpbroker ping`: begins an AMQP handshake, for start scripts and health checks."""

import socket
import sys
import time
from urllib.parse import urlsplit

import click

from amqpbroker.cli.number import LONGEST_S, PORT, Number

DEFAULT_PORT = 5672
PROTOCOL_HEADER = b"AMQP\x00\x00\x09\x01"

#: Beginning of connection.start: a method frame on channel 0 (its size is skipped), class 10, method 10.
START_FRAME = b"\x01\x00\x00"
START_METHOD = b"\x00\x0a\x00\x0a"
START_BYTES = 11


class PingError(Exception):
    """No AMQP 0-9-1 broker answered. The text says what happened instead."""


@click.command()
@click.option("--url", metavar="URL", help="amqp://HOST[:PORT], instead of --host and --port.")
@click.option("--host", default="127.0.0.1", show_default=True, help="Host name or address.")
@click.option(
    "--port",
    type=PORT,
    default=DEFAULT_PORT,
    envvar="RABBITMQ_NODE_PORT",
    show_default=True,
    show_envvar=True,
    help="Port.",
)
@click.option(
    "--timeout",
    "timeout_s",
    type=Number(0.001, LONGEST_S),
    default=2.0,
    show_default=True,
    help="Time limit in seconds.",
)
def ping(url: str | None, host: str, port: int, timeout_s: float) -> None:
    """Check that a broker answers.

    The exit status is 0 if the broker answered the beginning of an AMQP handshake, and 1 if not. This does not log in.
    """
    if url is not None:
        host, port = _address(url)
    where = f"{host}:{port}"
    started = time.monotonic()
    try:
        _shake_hands(host, port, timeout_s)
    except PingError as error:
        click.echo(f"{where}: {error}", err=True)
        sys.exit(1)
    click.echo(f"{where} answers ({(time.monotonic() - started) * 1000:.0f} ms)")


def _address(url: str) -> tuple[str, int]:
    parts = urlsplit(url)
    try:
        host, port = parts.hostname or "127.0.0.1", parts.port or DEFAULT_PORT
    except ValueError:  # a port that is not a number
        host, port = "", 0
    if parts.scheme != "amqp" or not host:
        raise click.UsageError(f"--url {url} must be of the form amqp://HOST[:PORT]")
    return host, port


def _shake_hands(host: str, port: int, timeout_s: float) -> None:
    """Send the protocol header and wait for connection.start. Raises PingError."""
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
