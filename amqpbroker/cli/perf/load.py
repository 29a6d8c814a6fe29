"""What the options of a load mean together."""

import re
from pathlib import Path
from typing import Any

import click

from amqpbroker.cli.perf import arguments
from amqpbroker.cli.perf.declaration import Declaration
from amqpbroker.cli.perf.options import OCTETS, QUEUES, RATE, valid
from amqpbroker.cli.perf.pace import Pace, Steady, Varying
from amqpbroker.cli.perf.plan import Consuming, Publishing
from amqpbroker.cli.perf.stamp import STAMP
from amqpbroker.cli.perf.template import Kind
from amqpbroker.cli.perf.topology import Topology, made_up_name

#: Of what names a queue, an exchange or a route, in octets.
LONGEST_NAME = 255
#: With one place for a number, as printf writes it.
_PATTERN = re.compile(r"([^%]|%%)*%[0-9]{0,3}d([^%]|%%)*")


def settle(given: dict[str, Any], measured: bool) -> None:
    """Fills in what follows from other options. Raises UsageError for what does not go together."""
    _check(given, measured)
    if given["quorum_queue"]:
        given["flags"] = (*given["flags"], "persistent")
        given["queue_args"] = {"x-queue-type": "quorum"} | given["queue_args"]
    if given["body_content_type"]:
        given["properties"] = given["properties"] | {"content-type": given["body_content_type"]}
    if given["consumer_latency"]:
        given["consumer_rate"] = 1e6 / given["consumer_latency"]
    given["body"] = _body(given["body"])
    if given["body"]:
        given["size"] = len(given["body"])
    elif given["size"] is None and not given["variable_size"]:
        given["size"] = STAMP.size


def _body(path: Path | None) -> bytes:
    if path is None:
        return b""
    most = int(OCTETS.high)
    try:
        with path.open("rb") as file:
            body = file.read(most + 1)
    except OSError as error:
        raise click.UsageError(f"--body: {path}: {error.strerror}") from None
    if len(body) > most:
        raise click.UsageError(f"--body: {path} is larger than {most:,} octets")
    return body


def _check(given: dict[str, Any], measured: bool) -> None:
    if not given["producers"] and not given["consumers"]:
        raise click.UsageError("nothing to do: give -x or -y at least 1")
    if given["size"] is not None and given["variable_size"]:
        raise click.UsageError("--size and --variable-size exclude each other")
    if given["body"] and (given["size"] is not None or given["variable_size"]):
        raise click.UsageError("--body has a size of its own: leave --size and --variable-size out")
    if given["body"] and measured:
        raise click.UsageError("--body: to measure latencies, messages carry their time in their body")
    if given["consumer_rate"] and given["consumer_latency"]:
        raise click.UsageError("--consumer-rate and --consumer-latency exclude each other")
    if given["exit_when"] and not given["consumers"]:
        raise click.UsageError("--exit-when looks at what consumers get: give -y at least 1")
    if given["rate"] is not None and given["variable_rate"]:
        raise click.UsageError("--rate and --variable-rate exclude each other")
    if given["variable_rate"] and not any(step.value >= RATE.low for step in given["variable_rate"]):
        raise click.UsageError(f"--variable-rate: one of the rates is to be at least {RATE.low:f}")
    _check_memory(given)
    least = min((step.value for step in given["variable_size"]), default=given["size"])
    if measured and least is not None and least < STAMP.size:
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
    _check_queues(given)
    for name in ("queue", "exchange", "routing_key"):
        if len((given[name] or "").encode()) > LONGEST_NAME:
            raise click.UsageError(f"--{name.replace('_', '-')} is to be at most {LONGEST_NAME} octets")


def _check_memory(given: dict[str, Any]) -> None:
    """A message of each size and priority is encoded before. Raises UsageError if that is more than one may be."""
    sizes = [step.value for step in given["variable_size"]] or [given["size"] or 0]
    octets = sum(sizes) * (1 + (given["max_priority"] or 0))
    if octets > OCTETS.high:
        raise click.UsageError(
            f"messages of all these sizes and priorities are {octets:,.0f} octets together, and may be {OCTETS.high:,}"
        )


def _check_queues(given: dict[str, Any]) -> None:
    named = given["queue"] or given["queue_pattern"]
    only_publishes = not given["consumers"] and given["exchange"] and given["routing_key"] is not None
    if given["predeclared"] and not (named or only_publishes):
        raise click.UsageError(
            "--predeclared takes a queue that is there: name it with --queue; "
            "or only publish, with -y 0, --exchange and --routing-key"
        )
    for name in ("exclusive", "auto_delete"):
        if given[name] and given["predeclared"]:
            raise click.UsageError(
                f"--{name.replace('_', '-')} is for queues that are declared: leave --predeclared out"
            )
    if given["exclusive"] and named:
        raise click.UsageError("--exclusive makes a queue for each consumer: leave --queue and --queue-pattern out")
    if given["exclusive"] and not given["consumers"]:
        raise click.UsageError("--exclusive takes consumers, whose connections have the queues: give -y at least 1")
    queues = given["consumers"] * given["consumer_channel_count"]
    if given["exclusive"] and queues > QUEUES.high:
        raise click.UsageError(
            f"--exclusive makes a queue for each of {queues:,} consumers, but {QUEUES.high:,} at most"
        )
    producers = given["producers"] * given["producer_channel_count"]
    if given["exclusive"] and not given["exchange"] and 0 < producers < queues:
        raise click.UsageError(
            f"--exclusive makes a queue for each of {queues} consumers, but only {producers} would get messages: "
            "give as many producers, or have all of them bound with -e amq.fanout"
        )
    if given["queue"] and given["queue_pattern"]:
        raise click.UsageError("--queue and --queue-pattern exclude each other")
    if given["queue_pattern_to"] < given["queue_pattern_from"]:
        raise click.UsageError("--queue-pattern-to is to be at least --queue-pattern-from")
    if given["queue_pattern_to"] - given["queue_pattern_from"] >= QUEUES.high:
        raise click.UsageError(f"--queue-pattern-to: {QUEUES.high:,} queues at most")
    if given["queue_pattern"] and not _PATTERN.fullmatch(given["queue_pattern"]):
        raise click.UsageError("--queue-pattern is to have one %d, such as perf-%d")


def _queues(given: dict[str, Any]) -> tuple[str, ...]:
    pattern = given["queue_pattern"]
    if given["exclusive"]:
        return tuple(made_up_name() for _ in range(given["consumers"] * given["consumer_channel_count"]))
    if not pattern:
        return (given["queue"] or made_up_name(),)
    numbers = range(given["queue_pattern_from"], given["queue_pattern_to"] + 1)
    if len((pattern % numbers[-1]).encode()) > LONGEST_NAME:
        raise click.UsageError(f"--queue-pattern: names of queues are to be at most {LONGEST_NAME} octets")
    return tuple(pattern % number for number in numbers)


def topology_of(given: dict[str, Any]) -> Topology:
    named = bool(given["queue"] or given["queue_pattern"])
    more = {} if given["max_priority"] is None else {"x-max-priority": given["max_priority"]}
    declaration = Declaration(
        given["exchange"],
        given["routing_key"],
        valid("--queue-args", arguments.table, given["queue_args"] | more),
        given["auto_delete"],
        given["exclusive"],
    )
    return Topology(
        _queues(given),
        declaration,
        declared=not given["predeclared"],
        made_up=not named,
        deleted=given["delete"],
        exchange_type=given["exchange_type"] or "direct",
    )


def _pace(given: dict[str, Any]) -> Pace | None:
    if given["variable_rate"]:
        return Varying(given["variable_rate"])
    return None if given["rate"] is None else Steady(given["rate"])


def publishing_of(given: dict[str, Any], topology: Topology, mark: bytes) -> Publishing:
    properties = valid("--properties", arguments.properties, given["properties"])
    if "persistent" in given["flags"]:
        properties["delivery_mode"] = 2
    kinds = [
        Kind(
            topology.declaration.exchange,
            topology.declaration.key_of(queue),
            given["size"] or 0,
            properties,
            "mandatory" in given["flags"],
            given["max_priority"],
            mark,
            given["body"],
        )
        for queue in topology.queues
    ]
    return Publishing(
        given["producers"],
        tuple(kinds),
        given["pmessages"],
        _pace(given),
        given["confirm"],
        given["producer_channel_count"],
        given["variable_size"],
        given["producer_random_start_delay"],
    )


def consuming_of(given: dict[str, Any], topology: Topology, mark: bytes) -> Consuming:
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
        topology.left_to_users,
    )
