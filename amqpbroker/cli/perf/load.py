"""Checks and completion of the options of a load."""

import re
from pathlib import Path
from typing import Any

import click

from amqpbroker.cli.perf.options import QUEUES, RATE, SIZE, properties_of, table_of, valid
from amqpbroker.cli.perf.plan import Consuming, Publishing
from amqpbroker.cli.perf.pool import LEAST_POOL_MESSAGES, UNIQUE_KEY_BYTES
from amqpbroker.cli.perf.schedule import Pace, Steady, Varying
from amqpbroker.cli.perf.template import STAMP, Kind
from amqpbroker.cli.perf.topology import Declaration, Topology, made_up_name
from amqpbroker.cli.perf.variety import DEFAULT_SEED, Variety

#: Longest name of a queue or an exchange, and longest routing key, in bytes.
LONGEST_NAME = 255
#: Pattern with one place for a number, as in printf.
_PATTERN = re.compile(r"([^%]|%%)*%[0-9]{0,3}d([^%]|%%)*")


def complete(given: dict[str, Any], measured: bool) -> None:
    """Fill in options that follow from others. Raises UsageError for options that exclude each other."""
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
    elif given["size"] is None and not given["variable_size"] and not given["random_body_size"]:
        given["size"] = STAMP.size
    _check_memory(given)
    if _is_random(given) and given["seed"] is None:
        given["seed"] = DEFAULT_SEED


def _body(path: Path | None) -> bytes:
    if path is None:
        return b""
    most = int(SIZE.high)
    try:
        with path.open("rb") as file:
            body = file.read(most + 1)
    except OSError as error:
        raise click.UsageError(f"--body: {path}: {error.strerror}") from None
    if len(body) > most:
        raise click.UsageError(f"--body: {path} is larger than {most:,} bytes")
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
        raise click.UsageError(f"--variable-rate: one of the rates must be at least {RATE.low:f}")
    _check_variety(given)
    least = min((step.value for step in given["variable_size"]), default=given["size"])
    if given["random_body_size"]:
        least, _ = given["random_body_size"]
    if measured and least is not None and least < STAMP.size:
        raise click.UsageError(
            f"{'--random-body-size' if given['random_body_size'] else '-s'} must be at least {STAMP.size} "
            "to measure latencies: messages carry their time"
        )
    if measured and not (given["producers"] and (given["consumers"] or given["confirm"])):
        raise click.UsageError("to measure latencies takes -x at least 1, and -y at least 1 or --confirm")
    if given["autoack"] and given["multi_ack_every"]:
        raise click.UsageError("--autoack and --multi-ack-every exclude each other")
    if 0 < given["qos"] < (given["multi_ack_every"] or 0):
        raise click.UsageError(
            "--multi-ack-every must be at most --qos: else no more would come, and none be acknowledged"
        )
    if given["exchange_type"] and not given["exchange"]:
        raise click.UsageError("--type is that of an exchange: name it with --exchange")
    _check_queues(given)
    longest = {"queue": LONGEST_NAME, "exchange": LONGEST_NAME, "routing_key": LONGEST_NAME}
    longest["queue" if given["routing_key"] is None else "routing_key"] = _longest_key(given)
    for name, most in longest.items():
        if len((given[name] or "").encode()) > most:
            raise click.UsageError(f"--{name.replace('_', '-')} must be at most {most} bytes{_why(most)}")


def _longest_key(given: dict[str, Any]) -> int:
    return LONGEST_NAME - (UNIQUE_KEY_BYTES if given["unique_keys"] else 0)


def _why(most: int) -> str:
    return " with --unique-keys, which add to it" if most < LONGEST_NAME else ""


def _check_variety(given: dict[str, Any]) -> None:
    if given["random_body_size"]:
        for name in ("size", "variable_size", "body"):
            if given[name] or given[name] == 0:
                option = name.replace("_", "-")
                raise click.UsageError(f"--{option} and --random-body-size exclude each other: leave one of them out")
    if given["seed"] is not None and not _is_random(given):
        raise click.UsageError(
            "--seed is for messages that are made up: give --random-body-size or --random-properties, too"
        )
    if not given["unique_keys"]:
        return
    if given["predeclared"] and not given["exchange"]:
        raise click.UsageError(
            "--unique-keys: the default exchange routes to the queue that a key names, and no queue has such a name: "
            "name an exchange that is there with --exchange, or leave --predeclared out"
        )
    if not given["predeclared"] and _exchange_type(given) == "direct":
        raise click.UsageError(
            "--unique-keys: a direct exchange routes only keys that queues are bound to one by one: "
            "leave --type out for a topic exchange, name another one than amq.direct, or give --predeclared"
        )


def _is_random(given: dict[str, Any]) -> bool:
    """Return whether anything is generated from the seed."""
    return bool(given["random_body_size"] or given["random_properties"])


def _exchange_type(given: dict[str, Any]) -> str:
    """Return the type of the exchange, which the name of a predeclared exchange shows."""
    exchange: str = given["exchange"]
    if exchange.startswith("amq.rabbitmq."):
        return "topic"
    if exchange.startswith("amq."):
        return exchange.removeprefix("amq.")
    kind: str | None = given["exchange_type"]
    return kind or ("topic" if given["unique_keys"] else "direct")


def _check_memory(given: dict[str, Any]) -> None:
    """Raise UsageError if the messages of all sizes and priorities, which are encoded before the run, are too large."""
    random = given["random_body_size"]
    sizes = [step.value for step in given["variable_size"]] or [random[1] if random else given["size"] or 0]
    priorities = 1 + (given["max_priority"] or 0)
    different = random or given["random_properties"] or given["unique_keys"]
    total = sum(sizes) * (max(LEAST_POOL_MESSAGES, priorities) if different else priorities)
    if total > SIZE.high:
        raise click.UsageError(
            f"messages of all these sizes and priorities are {total:,.0f} bytes together, and may be {SIZE.high:,}"
            + f": give a size of at most {SIZE.high // LEAST_POOL_MESSAGES:,} bytes" * bool(different)
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
        raise click.UsageError("--queue-pattern-to must be at least --queue-pattern-from")
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
    most = _longest_key(given) if given["routing_key"] is None else LONGEST_NAME
    if len((pattern % numbers[-1]).encode()) > most:
        raise click.UsageError(f"--queue-pattern: names of queues must be at most {most} bytes{_why(most)}")
    return tuple(pattern % number for number in numbers)


def topology_of(given: dict[str, Any]) -> Topology:
    named = bool(given["queue"] or given["queue_pattern"])
    more = {} if given["max_priority"] is None else {"x-max-priority": given["max_priority"]}
    makes_exchange = given["unique_keys"] and not given["exchange"]
    kind = _exchange_type(given)
    declaration = Declaration(
        made_up_name() if makes_exchange else given["exchange"],
        given["routing_key"],
        valid("--queue-args", table_of, given["queue_args"] | more),
        given["auto_delete"],
        given["exclusive"],
        to_all_below=given["unique_keys"] and kind == "topic",
    )
    return Topology(
        _queues(given),
        declaration,
        declared=not given["predeclared"],
        made_up=not named,
        deleted=given["delete"],
        exchange_type=kind,
        made_up_exchange=makes_exchange,
    )


def _pace(given: dict[str, Any]) -> Pace | None:
    if given["variable_rate"]:
        return Varying(given["variable_rate"])
    return None if given["rate"] is None else Steady(given["rate"])


def publishing_of(given: dict[str, Any], topology: Topology, mark: bytes) -> Publishing:
    properties = valid("--properties", properties_of, given["properties"])
    if "persistent" in given["flags"]:
        properties["delivery_mode"] = 2
    variety = None
    if _is_random(given) or given["unique_keys"]:
        variety = Variety(
            given["seed"] or 0, given["random_body_size"], given["random_properties"], given["unique_keys"]
        )
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
            variety,
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
        valid("--consumer-args", table_of, given["consumer_args"]),
        mark,
        given["consumer_channel_count"],
        topology.left_to_users,
    )
