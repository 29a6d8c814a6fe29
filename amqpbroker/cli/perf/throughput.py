"""`amqpbroker perf throughput` and `amqpbroker perf latency`: publishers and consumers at work."""

import os
import secrets
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import click

from amqpbroker.cli.perf import arguments
from amqpbroker.cli.perf.conduct import conduct
from amqpbroker.cli.perf.crew import Crew, Interrupt, Worker
from amqpbroker.cli.perf.failure import PerfError
from amqpbroker.cli.perf.options import (
    CHANNELS,
    COUNT,
    HELP,
    POSITIVE,
    RATE,
    SECONDS,
    access,
    duration,
    pairs,
    valid,
    with_access,
)
from amqpbroker.cli.perf.plan import Consuming, Plan, Publishing
from amqpbroker.cli.perf.progress import progress
from amqpbroker.cli.perf.share import Share
from amqpbroker.cli.perf.stamp import MARK_BYTES, STAMP
from amqpbroker.cli.perf.summary import show_json, show_tables, title
from amqpbroker.cli.perf.template import Kind
from amqpbroker.cli.perf.topology import Topology, made_up_name
from amqpbroker.cli.perf.worker import Job

Command = TypeVar("Command", bound=Callable[..., Any])

LATENCY_RATE = 1000.0
#: Of what names a queue, an exchange or a route, in octets.
LONGEST_NAME = 255
#: Once the publishers are done, consumers stop when nothing came for so long.
IDLE_S = 0.75

_OPTIONS = (
    click.option("-x", "--producers", type=COUNT, default=1, show_default=True, help="How many publish."),
    click.option("-y", "--consumers", type=COUNT, default=1, show_default=True, help="How many consume."),
    click.option("-X", "--producer-channel-count", type=CHANNELS, default=1, help="Channels of each.  [default: 1]"),
    click.option("-Y", "--consumer-channel-count", type=CHANNELS, default=1, help="Channels of each.  [default: 1]"),
    click.option("-s", "--size", type=COUNT, default=STAMP.size, show_default=True, help="Octets of a message's body."),
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
    click.option("-p", "--predeclared", is_flag=True, help="Declare nothing; queue and exchange are there."),
    click.option("--delete", is_flag=True, help="Delete queues and exchange at the end, though they have names."),
    click.option(
        "-r", "--rate", type=RATE, help="Messages a second that each producer publishes.  [default: no limit]"
    ),
    click.option("-R", "--consumer-rate", type=RATE, help="Messages a second that each consumer takes."),
)


def _with_load(command: Command) -> Command:
    for option in reversed(_OPTIONS):
        command = option(command)
    return with_access(command)


@click.command(context_settings=HELP)
@_with_load
@click.option("--measure-latency", is_flag=True, help="Measure how long messages take, too.")
def throughput(measure_latency: bool, as_json: bool, **given: Any) -> None:
    """Publish and consume as fast as it goes."""
    _run("throughput", measure_latency, as_json, given)


@click.command(context_settings=HELP)
@_with_load
def latency(as_json: bool, **given: Any) -> None:
    """Measure how long messages take, at a rate: 1000 a second unless --rate says otherwise."""
    given["rate"] = given["rate"] or LATENCY_RATE
    _run("latency", True, as_json, given)


def _run(command: str, measured: bool, as_json: bool, given: dict[str, Any]) -> None:
    _check(given, measured)
    where = access(given)
    seconds = duration(given["seconds"], bool(given["pmessages"] or given["cmessages"]))
    mark = secrets.token_bytes(MARK_BYTES) if measured else b""
    topology = _topology(given)
    producers, consumers = given["producers"], given["consumers"]
    plan = Plan(where, seconds)
    publishing, consuming = _publishing(given, topology, mark), _consuming(given, topology, mark)
    jobs: list[Job] = [Share(plan, publishing, numbers) for numbers in _shares(producers)]
    publishing_jobs = len(jobs)
    jobs += [Share(plan, consuming, numbers) for numbers in _shares(consumers)]
    interrupt = Interrupt()
    try:
        with interrupt.heeded():
            topology.make(where)
            try:
                with Crew(jobs, interrupt) as crew, progress(seconds, as_json) as shown:
                    superfluous = Superfluous(crew, publishing_jobs, given["pmessages"], given["cmessages"])
                    names = ["published"] * bool(producers) + ["confirmed"] * bool(given["confirm"] and producers)
                    names += ["consumed"] * bool(consumers)
                    if not interrupt.came:
                        conduct(crew, interrupt, shown, names, superfluous)
            finally:
                left = topology.unmake(where)
                if left:
                    click.echo(f"warning: {left}", err=True)
    except PerfError as error:
        raise click.ClickException(str(error)) from error
    result = _result(command, given, plan, crew, publishing_jobs, interrupt.came)
    if not all(worker.last.is_read for worker in crew.workers):
        click.echo("note: the broker has not read all that was published, which counts all the same", err=True)
    if as_json:
        show_json(result)
    else:
        _show(result)


class Superfluous:
    """Says who has nothing to do any more, as the other side is done."""

    def __init__(self, crew: Crew, publishing: int, pmessages: int | None, cmessages: int | None) -> None:
        self._publishers = crew.workers[:publishing]
        self._consumers = crew.workers[publishing:]
        self._pmessages, self._cmessages = pmessages, cmessages
        self._consumed = -1
        self._grew = 0.0

    def __call__(self, now: float) -> Sequence[Worker]:
        consumed = sum(worker.last.counts.get("consumed", 0) for worker in self._consumers)
        if consumed != self._consumed or not all(worker.is_over for worker in self._publishers):
            self._consumed, self._grew = consumed, now
        if self._publishers and self._cmessages is None and now - self._grew > IDLE_S:
            return self._consumers
        if self._consumers and self._pmessages is None and all(worker.is_over for worker in self._consumers):
            return self._publishers
        return ()


def _check(given: dict[str, Any], measured: bool) -> None:
    """Raises UsageError for what does not go together."""
    if not given["producers"] and not given["consumers"]:
        raise click.UsageError("nothing to do: give -x or -y at least 1")
    if measured and given["size"] < STAMP.size:
        raise click.UsageError(f"-s is to be at least {STAMP.size} to measure latencies: messages carry their time")
    if measured and not (given["producers"] and (given["consumers"] or given["confirm"])):
        raise click.UsageError("to measure latencies takes -x at least 1, and -y at least 1 or --confirm")
    if given["autoack"] and given["multi_ack_every"]:
        raise click.UsageError("--autoack and --multi-ack-every exclude each other")
    if 0 < given["qos"] < (given["multi_ack_every"] or 0):
        raise click.UsageError(
            "--multi-ack-every is to be at most --qos: else no more would come, and none be acknowledged"
        )
    if given["exchange_type"] and not given["exchange"]:
        raise click.UsageError("--type is that of an exchange: name it with --exchange")
    if given["predeclared"] and not (given["queue"] or given["queue_pattern"]):
        raise click.UsageError("--predeclared takes a queue that is there: name it with --queue")
    for name in ("queue", "exchange", "routing_key"):
        if len((given[name] or "").encode()) > LONGEST_NAME:
            raise click.UsageError(f"--{name.replace('_', '-')} is to be at most {LONGEST_NAME} octets")
    if given["queue"] and given["queue_pattern"]:
        raise click.UsageError("--queue and --queue-pattern exclude each other")
    if given["queue_pattern_to"] < given["queue_pattern_from"]:
        raise click.UsageError("--queue-pattern-to is to be at least --queue-pattern-from")


def _shares(count: int) -> list[range]:
    """Who is in which process: one for each, but no more than there are cores."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    processes = min(count, cores)
    return [range(first, count, processes) for first in range(processes)]


def _queues(given: dict[str, Any]) -> tuple[str, ...]:
    pattern = given["queue_pattern"]
    if not pattern:
        return (given["queue"] or made_up_name(),)
    try:
        numbers = range(given["queue_pattern_from"], given["queue_pattern_to"] + 1)
        return tuple(pattern % number for number in numbers)
    except (TypeError, ValueError):
        raise click.UsageError("--queue-pattern is to have one %d, such as perf-%d") from None


def _topology(given: dict[str, Any]) -> Topology:
    named = bool(given["queue"] or given["queue_pattern"])
    more = {} if given["max_priority"] is None else {"x-max-priority": given["max_priority"]}
    return Topology(
        _queues(given),
        declared=not given["predeclared"],
        made_up=not named,
        deleted=given["delete"],
        exchange=given["exchange"],
        exchange_type=given["exchange_type"] or "direct",
        routing_key=given["routing_key"],
        arguments=valid("--queue-args", arguments.table, given["queue_args"] | more),
    )


def _publishing(given: dict[str, Any], topology: Topology, mark: bytes) -> Publishing:
    properties = valid("--properties", arguments.properties, given["properties"])
    if "persistent" in given["flags"]:
        properties["delivery_mode"] = 2
    kinds = [
        Kind(
            topology.exchange,
            topology.key_of(queue),
            given["size"],
            properties,
            "mandatory" in given["flags"],
            given["max_priority"],
            mark,
        )
        for queue in topology.queues
    ]
    return Publishing(
        given["producers"],
        tuple(kinds),
        given["pmessages"],
        given["rate"],
        given["confirm"],
        given["producer_channel_count"],
    )


def _consuming(given: dict[str, Any], topology: Topology, mark: bytes) -> Consuming:
    return Consuming(
        topology.queues,
        given["autoack"],
        given["qos"],
        given["multi_ack_every"] or 0,
        given["cmessages"],
        given["consumer_rate"],
        valid("--consumer-args", arguments.table, given["consumer_args"]),
        mark,
        given["consumer_channel_count"],
    )


def _result(
    command: str, given: dict[str, Any], plan: Plan, crew: Crew, publishing: int, interrupted: bool
) -> dict[str, Any]:
    """The document that --json prints; its keys are documented."""
    counts = crew.counts()
    sides = {"published": crew.workers[:publishing], "consumed": crew.workers[publishing:]}
    seconds = {name: crew.took(workers) for name, workers in sides.items()}
    rates = {name: round(counts[name] / seconds[name], 1) if seconds[name] else 0.0 for name in sides}
    cpu_us = {
        name: round(sum(worker.last.cpu_s for worker in workers) / counts[name] * 1e6, 3) if counts[name] else None
        for name, workers in sides.items()
    }
    latencies = {name: some.summary_ms() for name, some in crew.latencies.items()}
    confirms = bool(given["confirm"])
    return {
        "command": command,
        "uri": str(plan.access.uri),
        "broker": crew.product,
        "interrupted": interrupted,
        "seconds": round(max(seconds.values()), 3),
        "producers": given["producers"],
        "consumers": given["consumers"],
        "size": given["size"],
        "published": counts["published"],
        "published_per_s": rates["published"],
        "confirmed": counts["confirmed"] if confirms else None,
        "refused": counts["refused"] if confirms else None,
        "returned": counts["returned"],
        "consumed": counts["consumed"],
        "consumed_per_s": rates["consumed"],
        "blocked_s": round(max((worker.last.blocked_s for worker in crew.workers), default=0.0), 3),
        "latency_ms": latencies.get("message"),
        "confirm_latency_ms": latencies.get("confirm"),
        "cpu_us_per_published": cpu_us["published"],
        "cpu_us_per_consumed": cpu_us["consumed"],
    }


def _show(result: dict[str, Any]) -> None:
    size = result["size"]
    rows = {}
    if result["producers"]:
        rows["published"] = f"{result['published']:,}"
        rows["  a second"] = _rate(result["published_per_s"], size)
    if result["confirmed"] is not None:
        rows["confirmed"] = f"{result['confirmed']:,}"
    for name in ("refused", "returned"):
        if result[name]:
            rows[name] = f"{result[name]:,}"
    if result["consumers"]:
        rows["consumed"] = f"{result['consumed']:,}"
        rows["  a second "] = _rate(result["consumed_per_s"], size)
    if result["blocked_s"]:
        rows["blocked by the broker"] = f"{result['blocked_s']:.1f} s"
    show_tables(title(result), rows, {"message": result["latency_ms"], "confirm": result["confirm_latency_ms"]})


def _rate(rate: float, size: int) -> str:
    return f"{rate:,.0f} ({rate * size / 1e6:,.1f} MB)"
