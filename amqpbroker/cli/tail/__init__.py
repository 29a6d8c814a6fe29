"""`amqpbroker tail`: shows messages as they are published or delivered, and removes none."""

import signal
import sys
from types import FrameType

import click

from amqpbroker.cli.ctl.failure import CtlError
from amqpbroker.cli.number import COUNT, MOST, Number
from amqpbroker.cli.signals import ending

#: Number of bytes of a body that are shown.
SHOWN_BYTES = 2000


@click.command()
@click.argument("name")
@click.option("-p", "--vhost", default="/", show_default=True, metavar="NAME", help="Virtual host.")
@click.option("-n", "--count", type=COUNT, help="Exit after this many messages.")
@click.option("--json", "as_json", is_flag=True, help="Print a JSON object in a line for each message.")
@click.option("--queue", "kind", flag_value="queue", help="NAME is a queue, if an exchange has this name as well.")
@click.option(
    "--exchange", "kind", flag_value="exchange", help="NAME is an exchange, if a queue has this name as well."
)
@click.option(
    "--key", default="#", show_default=True, metavar="PATTERN", help="Show only these routing keys of a topic exchange."
)
@click.option(
    "--max-bytes",
    type=Number(0, MOST),
    default=SHOWN_BYTES,
    show_default=True,
    help="Number of bytes of a body to show; 0 for all.",
)
@click.option("--url", metavar="URL", help="Management API: http://[USER:PASSWORD@]HOST:PORT.")
@click.option("--username", metavar="NAME", help="User name, with --url.")
@click.option("--password", metavar="PASSWORD", help="Password, with --url.")
@click.option("--cacertfile", metavar="FILE", help="Trusted certificates, with https.")
@click.option("--data-dir", metavar="DIR", help="Use the broker that owns this data directory.")
def tail(
    name: str,
    vhost: str,
    count: int | None,
    as_json: bool,
    kind: str | None,
    key: str,
    max_bytes: int,
    **where: str | None,
) -> None:
    """Show the messages of a queue or an exchange as they arrive.

    NAME is a queue or an exchange; amq.default is the default exchange. No message is removed from a
    queue. Ctrl-C ends the command. It finds the broker as `amqpbroker ctl` does, and works with RabbitMQ as well.
    """
    from amqpbroker.cli.ctl.api import find
    from amqpbroker.cli.tail.follow import follow
    from amqpbroker.cli.tail.output import JsonLines, Readable
    from amqpbroker.cli.tail.source import found

    for number in ending():
        signal.signal(number, _interrupted)
    options = {option.replace("_", "-"): value for option, value in where.items() if value is not None}
    try:
        source = found(find(options, timeout_s=10.0), vhost, name, kind, key)
        follow(source, JsonLines() if as_json else Readable(max_bytes or None), count)
    except CtlError as error:
        click.echo(str(error), err=True)
        sys.exit(error.status)


def _interrupted(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt
