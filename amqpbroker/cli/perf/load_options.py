"""The options that say what load there is to be."""

from collections.abc import Callable
from typing import Any, TypeVar

import click

from amqpbroker.cli.perf.options import CHANNELS, COUNT, POSITIVE, RATE, SECONDS, pairs, rates, sizes, with_access
from amqpbroker.cli.perf.stamp import STAMP

Command = TypeVar("Command", bound=Callable[..., Any])

_OPTIONS = (
    click.option("-x", "--producers", type=COUNT, default=1, show_default=True, help="How many publish."),
    click.option("-y", "--consumers", type=COUNT, default=1, show_default=True, help="How many consume."),
    click.option(
        "-X",
        "--producer-channel-count",
        type=CHANNELS,
        default=1,
        show_default=True,
        help="Channels of each; each channel is a producer of its own.",
    ),
    click.option(
        "-Y",
        "--consumer-channel-count",
        type=CHANNELS,
        default=1,
        show_default=True,
        help="Channels of each; each channel is a consumer of its own.",
    ),
    click.option("-s", "--size", type=COUNT, help=f"Octets of a message's body.  [default: {STAMP.size}]"),
    click.option(
        "-vs",
        "--variable-size",
        metavar="SIZE:SECONDS",
        callback=sizes,
        multiple=True,
        help="A size for so long; repeatable, for the next, and again from the first.",
    ),
    click.option(
        "-z", "--time", "seconds", type=SECONDS, help="Seconds; 0: until Ctrl-C.  [default: 10, or until -C, -D]"
    ),
    click.option("-C", "--pmessages", type=POSITIVE, help="Messages that each producer publishes."),
    click.option("-D", "--cmessages", type=POSITIVE, help="Messages that each consumer consumes."),
    click.option("-c", "--confirm", type=POSITIVE, help="Use confirms, with so many outstanding for each producer."),
    click.option(
        "-f",
        "--flag",
        "flags",
        type=click.Choice(["persistent", "mandatory"]),
        multiple=True,
        help="How to publish; repeatable.",
    ),
    click.option("-a", "--autoack", is_flag=True, help="Consume without acknowledgements."),
    click.option(
        "-A", "--multi-ack-every", type=POSITIVE, help="One acknowledgement for so many.  [default: one each]"
    ),
    click.option("-q", "--qos", type=click.IntRange(0, 65535), default=0, help="Prefetch; 0: no limit.  [default: 0]"),
    click.option("-u", "--queue", help="The queue, which is kept.  [default: one that is deleted at the end]"),
    click.option("--queue-pattern", help="Several queues, which are kept, such as perf-%d."),
    click.option("--queue-pattern-from", type=COUNT, default=1, show_default=True, help="The first number."),
    click.option("--queue-pattern-to", type=COUNT, default=1, show_default=True, help="The last number."),
    click.option(
        "--queue-args", metavar="KEY=VALUE,...", callback=pairs, help="Arguments of the queues, or a JSON object."
    ),
    click.option("--consumer-args", metavar="KEY=VALUE,...", callback=pairs, help="Arguments of the consumers."),
    click.option("--max-priority", type=click.IntRange(1, 255), help="Priority queues, and all priorities in turn."),
    click.option(
        "--properties", metavar="KEY=VALUE,...", callback=pairs, help="Properties of the messages; others are headers."
    ),
    click.option("-e", "--exchange", default="", help="The exchange, which is kept.  [default: the default one]"),
    click.option("-t", "--type", "exchange_type", help="Its type.  [default: direct]"),
    click.option("-k", "--routing-key", help="The routing key.  [default: the name of the queue]"),
    click.option(
        "-E", "--exclusive", is_flag=True, help="Exclusive queues, one for each consumer, which go with its connection."
    ),
    click.option(
        "-ad",
        "--auto-delete",
        type=bool,
        default=False,
        help="Whether queues go with their last consumer.  [default: no]",
    ),
    click.option("-p", "--predeclared", is_flag=True, help="Declare nothing; queue and exchange are there."),
    click.option("--delete", is_flag=True, help="Delete queues and exchange at the end, though they have names."),
    click.option(
        "-r", "--rate", type=RATE, help="Messages a second that each producer publishes.  [default: no limit]"
    ),
    click.option(
        "-vr",
        "--variable-rate",
        metavar="RATE:SECONDS",
        callback=rates,
        multiple=True,
        help="A rate for so long, 0 is a pause; repeatable, for the next, and again from the first.",
    ),
    click.option("-R", "--consumer-rate", type=RATE, help="Messages a second that each consumer takes."),
)


def with_load(command: Command) -> Command:
    for option in reversed(_OPTIONS):
        command = option(command)
    return with_access(command)
