"""`amqpbroker ping`: its options, for the help and the errors. `handshake` reads command lines without mistakes."""

import sys

import click

from amqpbroker.cli import handshake
from amqpbroker.cli.handshake import DEFAULT_HOST, DEFAULT_PORT, DEFAULT_TIMEOUT_S, PORT_VARIABLE, TIMEOUTS, Target
from amqpbroker.cli.number import PORT, Number


@click.command()
@click.option("--url", metavar="URL", help="amqp://HOST[:PORT], instead of --host and --port.")
@click.option("--host", default=DEFAULT_HOST, show_default=True, help="Host name or address.")
@click.option(
    "--port",
    type=PORT,
    default=DEFAULT_PORT,
    envvar=PORT_VARIABLE,
    show_default=True,
    show_envvar=True,
    help="Port.",
)
@click.option(
    "--timeout",
    "timeout_s",
    type=Number(TIMEOUTS.low, TIMEOUTS.high),
    default=DEFAULT_TIMEOUT_S,
    show_default=True,
    help="Time limit in seconds.",
)
def ping(url: str | None, host: str, port: int, timeout_s: float) -> None:
    """Check that a broker answers.

    The exit status is 0 if the broker answered the beginning of an AMQP handshake, and 1 if not. This does not log in.
    """
    if url is not None:
        try:
            host, port = handshake.address(url)
        except ValueError as error:
            raise click.UsageError(str(error)) from error
    sys.exit(handshake.check(Target(host, port, timeout_s)))
