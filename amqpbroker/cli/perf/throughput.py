"""`amqpbroker perf throughput` and `amqpbroker perf latency`: publishers and consumers at work."""

import os
import secrets
from collections.abc import Sequence
from typing import Any

import click

from amqpbroker.cli.perf.failure import PerfError
from amqpbroker.cli.perf.load import complete, consuming_of, publishing_of, topology_of
from amqpbroker.cli.perf.load_options import with_load
from amqpbroker.cli.perf.options import access, duration, manner, measurement
from amqpbroker.cli.perf.plan import Plan
from amqpbroker.cli.perf.processes import Job, Processes, Worker, supervise
from amqpbroker.cli.perf.progress import Recording, progress
from amqpbroker.cli.perf.results import result_of, show, show_json
from amqpbroker.cli.perf.template import MARK_BYTES
from amqpbroker.cli.perf.workload import Workload
from amqpbroker.cli.signals import Interrupt

LATENCY_RATE = 1000.0
#: Seconds without a delivery after which consumers stop, once the publishers are done.
IDLE_S = 0.75

#: \b keeps click from filling the lines.
_EXAMPLES = """Examples:

\b
  amqpbroker perf throughput -z 30 -x 2 -y 4 -s 1000 -a
  amqpbroker perf throughput --random-body-size 100:2000 --random-properties --unique-keys
  amqpbroker perf throughput -qq -u orders -c 1000 -q 1000 -A 100
  amqpbroker perf throughput -y 0 -u deep -C 1000000 -f persistent -c 1000
  amqpbroker perf throughput -x 0 -u deep --exit-when empty -q 1000 -A 250 --delete
"""
_LATENCY_EXAMPLES = """Examples:

\b
  amqpbroker perf latency -r 2000 -c 100
  amqpbroker perf latency -z 600 --variable-rate 200:60 --variable-rate 5000:5
"""


@measurement(epilog=_EXAMPLES)
@with_load
@click.option("--measure-latency", is_flag=True, help="Measure latencies, too.")
def throughput(measure_latency: bool, **given: Any) -> None:
    """Publish and consume as fast as possible.

    All messages are alike unless you ask for others, so caches of the broker do much of the work. Applications send
    different sizes, properties and routing keys each time: measure that with --random-body-size, --random-properties
    and --unique-keys.
    """
    _run("throughput", measure_latency, given)


@measurement(short_help="Measure latencies at a given rate.", epilog=_LATENCY_EXAMPLES)
@with_load
def latency(**given: Any) -> None:
    """Measure latencies at a rate: 1000 messages a second unless --rate or --variable-rate is given.

    All messages are alike unless you ask for others with --random-body-size, --random-properties and --unique-keys, as
    applications send them.
    """
    if not given["variable_rate"]:
        given["rate"] = given["rate"] or LATENCY_RATE
    _run("latency", True, given)


def _run(command: str, measured: bool, given: dict[str, Any]) -> None:
    complete(given, measured)
    where, how = access(given), manner(given)
    drains = given["exit_when"] and not given["producers"]
    seconds = duration(given["seconds"], bool(given["pmessages"] or given["cmessages"] or drains))
    mark = secrets.token_bytes(MARK_BYTES) if measured else b""
    topology = topology_of(given)
    producers, consumers = given["producers"], given["consumers"]
    plan = Plan(where, seconds)
    publishing, consuming = publishing_of(given, topology, mark), consuming_of(given, topology, mark)
    jobs: list[Job] = [Workload(plan, publishing, numbers) for numbers in _shares(producers)]
    publishing_jobs = len(jobs)
    jobs += [Workload(plan, consuming, numbers) for numbers in _shares(consumers)]
    interrupt = Interrupt()
    processes, failure = Processes(jobs, interrupt), ""
    try:
        shown = progress(seconds, how)
        if given["output_file"]:
            shown = Recording(given["output_file"], shown)
        with interrupt.heeded(), topology.standing(where), processes, shown:
            superfluous = Superfluous(processes, publishing_jobs, given)
            names = ["published"] * bool(producers) + ["confirmed"] * bool(given["confirm"] and producers)
            names += ["consumed"] * bool(consumers)
            if not interrupt.came:
                supervise(processes, interrupt, shown, names, superfluous, interval_s=how.interval_s)
    except PerfError as error:
        failure = str(error)
        if not processes.started:
            raise click.ClickException(failure) from error
    result = result_of(command, given, plan, processes, publishing_jobs, interrupt.came, failure or None)
    if not result["all_read"] and not failure:
        why = "" if result["blocked_s"] else "; it is slow, or has an alarm for memory or disk"
        click.echo(f"note: the broker has not read all published messages; all of them are counted{why}", err=True)
    if how.as_json:
        show_json(result)
    else:
        show(result)
    if failure:
        raise click.ClickException(failure)


class Superfluous:
    """Chooses the processes that can stop because the other side is done."""

    def __init__(self, processes: Processes, publishing: int, given: dict[str, Any]) -> None:
        self._publishers = processes.workers[:publishing]
        self._consumers = processes.workers[publishing:]
        self._pmessages, self._cmessages = given["pmessages"], given["cmessages"]
        self._exit_when = given["exit_when"]
        self._idle_s = IDLE_S + (1 / given["consumer_rate"] if given["consumer_rate"] else 0.0)
        self._consumed = -1
        self._grew = 0.0

    def __call__(self, now: float) -> Sequence[Worker]:
        consumed = sum(worker.last.counts.get("consumed", 0) for worker in self._consumers)
        if consumed != self._consumed or not all(worker.is_over for worker in self._publishers):
            self._consumed, self._grew = consumed, now
        ends_idle = self._exit_when or (self._publishers and self._cmessages is None)
        if ends_idle and now - self._grew > self._idle_s:
            return self._consumers
        if self._consumers and self._pmessages is None and all(worker.is_over for worker in self._consumers):
            return self._publishers
        return ()


def _shares(count: int) -> list[range]:
    """Distribute connections over processes: one for each, but not more than there are cores."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    processes = min(count, cores)
    return [range(first, count, processes) for first in range(processes)]
