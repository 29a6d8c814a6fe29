"""`amqpbroker tail`: messages as they come, without taking any from anybody."""

import signal
import sys
from types import FrameType

import click

from amqpbroker.cli.ctl.failure import CtlError
from amqpbroker.cli.number import COUNT, MOST, Number
from amqpbroker.cli.signals import ending

#: How many octets of a body are shown.
SHOWN_BYTES = 2000


@click.command()
@click.argument("name")
@click.option("-p", "--vhost", default="/", show_default=True, metavar="NAME", help="The virtual host.")
@click.option("-n", "--count", type=COUNT, help="End after so many messages.")
@click.option("--json", "as_json", is_flag=True, help="A JSON object in a line for each message, with its whole body.")
@click.option(
    "--queue", "kind", flag_value="queue", help="NAME is a queue, where there is an exchange of that name too."
)
@click.option("--exchange", "kind", flag_value="exchange", help="NAME is an exchange.")
@click.option(
    "--key", default="#", show_default=True, metavar="PATTERN", help="Only such routing keys, of a topic exchange."
)
@click.option(
    "--max-bytes",
    type=Number(0, MOST),
    default=SHOWN_BYTES,
    show_default=True,
    help="How many octets of a body are shown; 0 is all.",
)
@click.option("--url", metavar="URL", help="http://[USER:PASSWORD@]HOST:PORT of the management API.")
@click.option("--username", metavar="NAME", help="Who asks, with --url.")
@click.option("--password", metavar="PASSWORD", help="Who asks, with --url.")
@click.option("--cacertfile", metavar="FILE", help="Whose certificates are trusted, with https.")
@click.option("--data-dir", metavar="DIR", help="The broker that owns this data directory, as its owner.")
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
    """Show the messages of a queue or an exchange as they come.

    NAME is a queue or an exchange; amq.default is the default exchange. Nothing is taken out of a queue. Ctrl-C ends
    it. The broker is found as `amqpbroker ctl` finds it, and may be a RabbitMQ.
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
