"""Options of a load."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from amqpbroker.cli.number import COUNT, MOST, SECONDS, Number
from amqpbroker.cli.perf.options import (
    CHANNELS,
    CONNECTIONS,
    RATE,
    SIZE,
    pairs,
    rates,
    size_range,
    sizes,
    time_option,
    with_access,
)
from amqpbroker.cli.perf.template import STAMP
from amqpbroker.cli.perf.variety import DEFAULT_SEED

Command = TypeVar("Command", bound=Callable[..., Any])

_PEERS = Number(0, CONNECTIONS)
#: Number in the name of a queue.
_NUMBER = Number(0, MOST)

#: Options by part of the load.
_WHO = (
    click.option(
        "-o",
        "--output-file",
        metavar="FILE",
        type=click.Path(dir_okay=False, path_type=Path),
        help="Write the progress to this file, too, as comma-separated values.",
    ),
    click.option("-d", "--id", metavar="TEXT", help="Name of the run, shown with its result."),
    click.option(
        "-x", "--producers", metavar="N", type=_PEERS, default=1, show_default=True, help="Number of producers."
    ),
    click.option(
        "-y", "--consumers", metavar="N", type=_PEERS, default=1, show_default=True, help="Number of consumers."
    ),
    click.option(
        "-X",
        "--producer-channel-count",
        metavar="N",
        type=CHANNELS,
        default=1,
        show_default=True,
        help="Channels of each producer's connection; each channel is a producer.",
    ),
    click.option(
        "-Y",
        "--consumer-channel-count",
        metavar="N",
        type=CHANNELS,
        default=1,
        show_default=True,
        help="Channels of each consumer's connection; each channel is a consumer.",
    ),
)
_HOW_LONG = (
    time_option("How long", "-C", "-D", "--exit-when"),
    click.option("-C", "--pmessages", metavar="N", type=COUNT, help="Messages that each producer publishes."),
    click.option("-D", "--cmessages", metavar="N", type=COUNT, help="Messages that each consumer consumes."),
    click.option(
        "-ew",
        "--exit-when",
        type=click.Choice(["empty", "idle"]),
        help="End when consumers receive no more messages; both words mean the same.",
    ),
)
_MESSAGES = (
    click.option(
        "-s", "--size", metavar="BYTES", type=SIZE, help=f"Size of a message's body.  [default: {STAMP.size}]"
    ),
    click.option(
        "-vs",
        "--variable-size",
        metavar="SIZE:SECONDS",
        callback=sizes,
        multiple=True,
        help="Size for a time; repeatable for further sizes, which are used in rotation.",
    ),
    click.option(
        "-B",
        "--body",
        metavar="FILE",
        type=click.Path(exists=True, dir_okay=False, path_type=Path),
        help="File with the body of all messages.",
    ),
    click.option("-T", "--body-content-type", metavar="TYPE", help="Content type of the messages."),
    click.option(
        "-f",
        "--flag",
        "flags",
        type=click.Choice(["persistent", "mandatory"]),
        multiple=True,
        help="Flag of the messages; repeatable.",
    ),
    click.option(
        "-mp",
        "--message-properties",
        "--properties",
        "properties",
        metavar="KEY=VALUE,...",
        callback=pairs,
        help="Properties of the messages, or a JSON object; others are headers.",
    ),
    click.option(
        "--max-priority",
        metavar="N",
        type=Number(1, 255),
        help="Priority queues, and all priorities from 0 to N in turn.",
    ),
    click.option(
        "--random-body-size",
        metavar="MIN:MAX",
        callback=size_range,
        help="Bodies of random bytes, each of a random size from MIN to MAX bytes.",
    ),
    click.option(
        "--random-properties",
        is_flag=True,
        help="Each message has a content type, ids, a timestamp, a type and three headers that differ.",
    ),
    click.option(
        "-K",
        "--unique-keys",
        "--random-routing-key",
        "unique_keys",
        is_flag=True,
        help="Unique routing key for each message: that of -k with a number. Queues are bound to all of them.",
    ),
    click.option(
        "--seed",
        metavar="N",
        type=Number(0, MOST),
        help=f"Another number makes other random messages; the same number the same ones.  [default: {DEFAULT_SEED}]",
    ),
)
_PUBLISHING = (
    click.option(
        "-c", "--confirm", metavar="N", type=COUNT, help="Use confirms, at most N outstanding for each producer."
    ),
    click.option(
        "-r", "--rate", metavar="N", type=RATE, help="Messages a second of each producer.  [default: no limit]"
    ),
    click.option(
        "-vr",
        "--variable-rate",
        metavar="RATE:SECONDS",
        callback=rates,
        multiple=True,
        help="Rate for a time, 0 for a pause; repeatable for further rates, which are used in rotation.",
    ),
    click.option(
        "-prsd",
        "--producer-random-start-delay",
        metavar="SECONDS",
        type=SECONDS,
        default=0.0,
        help="Longest random delay of each producer's start.  [default: 0]",
    ),
)
_CONSUMING = (
    click.option("-a", "--autoack", is_flag=True, help="Consume without acknowledgements."),
    click.option(
        "-A",
        "--multi-ack-every",
        metavar="N",
        type=COUNT,
        help="Acknowledge N messages at once.  [default: each one]",
    ),
    click.option(
        "-q",
        "--qos",
        "--prefetch",
        "qos",
        metavar="N",
        type=Number(0, 65_535),
        default=0,
        help="Prefetch; 0: no limit.  [default: 0]",
    ),
    click.option(
        "-R", "--consumer-rate", metavar="N", type=RATE, help="Messages a second of each consumer.  [default: no limit]"
    ),
    click.option(
        "-L",
        "--consumer-latency",
        metavar="MICROSECONDS",
        type=Number(1e6 / RATE.high, 1e6 / RATE.low),
        help="Time that a consumer needs for a message; instead of --consumer-rate.",
    ),
    click.option("-ca", "--consumer-args", metavar="KEY=VALUE,...", callback=pairs, help="Arguments of the consumers."),
)
_QUEUES = (
    click.option(
        "-u",
        "--queue",
        metavar="NAME",
        help="Name of the queue, which is not deleted.  [default: a queue that is deleted at the end]",
    ),
    click.option(
        "-qp",
        "--queue-pattern",
        metavar="PATTERN",
        help="Names of several queues, which are not deleted, such as perf-%d.",
    ),
    click.option(
        "-qpf",
        "--queue-pattern-from",
        metavar="N",
        type=_NUMBER,
        default=1,
        show_default=True,
        help="First number in the pattern.",
    ),
    click.option(
        "-qpt",
        "--queue-pattern-to",
        metavar="N",
        type=_NUMBER,
        default=1,
        show_default=True,
        help="Last number in the pattern.",
    ),
    click.option("-qq", "--quorum-queue", is_flag=True, help="Quorum queues, and persistent messages."),
    click.option(
        "-qa",
        "--queue-args",
        metavar="KEY=VALUE,...",
        callback=pairs,
        help="Arguments of the queues, or a JSON object.",
    ),
    click.option(
        "-e",
        "--exchange",
        metavar="NAME",
        default="",
        help="Name of the exchange, which is not deleted.  [default: the default exchange; with -K, a new one]",
    ),
    click.option(
        "-t", "--type", "exchange_type", metavar="TYPE", help="Type of the exchange.  [default: direct; with -K, topic]"
    ),
    click.option("-k", "--routing-key", metavar="KEY", help="The routing key.  [default: the name of the queue]"),
    click.option(
        "-E", "--exclusive", is_flag=True, help="Exclusive queues, one for each consumer, deleted with its connection."
    ),
    click.option(
        "-ad",
        "--auto-delete",
        metavar="BOOLEAN",
        type=bool,
        default=False,
        help="true: delete queues with their last consumer.  [default: false]",
    ),
    click.option("-p", "--predeclared", is_flag=True, help="Declare nothing; queue and exchange exist."),
    click.option("--delete", is_flag=True, help="Delete named queues and exchanges at the end, too."),
)
_OPTIONS = (*_WHO, *_HOW_LONG, *_MESSAGES, *_PUBLISHING, *_CONSUMING, *_QUEUES)


def with_load(command: Command) -> Command:
    for option in reversed(_OPTIONS):
        command = option(command)
    return with_access(command)
