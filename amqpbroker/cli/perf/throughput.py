"""`amqpbroker perf throughput` and `amqpbroker perf latency`: publishers and consumers at work."""

import os
import secrets
from collections.abc import Sequence
from typing import Any

import click

from amqpbroker.cli.perf.conduct import conduct
from amqpbroker.cli.perf.crew import Crew, Interrupt, Worker
from amqpbroker.cli.perf.failure import PerfError
from amqpbroker.cli.perf.load import check, consuming_of, publishing_of, topology_of
from amqpbroker.cli.perf.load_options import with_load
from amqpbroker.cli.perf.options import HELP, access, duration
from amqpbroker.cli.perf.outcome import result_of, show
from amqpbroker.cli.perf.plan import Plan
from amqpbroker.cli.perf.progress import progress
from amqpbroker.cli.perf.share import Share
from amqpbroker.cli.perf.stamp import MARK_BYTES, STAMP
from amqpbroker.cli.perf.summary import show_json
from amqpbroker.cli.perf.worker import Job

LATENCY_RATE = 1000.0
#: Once the publishers are done, consumers stop when nothing came for so long.
IDLE_S = 0.75


@click.command(context_settings=HELP)
@with_load
@click.option("--measure-latency", is_flag=True, help="Measure how long messages take, too.")
def throughput(measure_latency: bool, as_json: bool, **given: Any) -> None:
    """Publish and consume as fast as it goes."""
    _run("throughput", measure_latency, as_json, given)


@click.command(context_settings=HELP)
@with_load
def latency(as_json: bool, **given: Any) -> None:
    """Measure how long messages take, at a rate: 1000 a second unless --rate or --variable-rate says otherwise."""
    if not given["variable_rate"]:
        given["rate"] = given["rate"] or LATENCY_RATE
    _run("latency", True, as_json, given)


def _run(command: str, measured: bool, as_json: bool, given: dict[str, Any]) -> None:
    check(given, measured)
    if given["size"] is None and not given["variable_size"]:
        given["size"] = STAMP.size
    where = access(given)
    seconds = duration(given["seconds"], bool(given["pmessages"] or given["cmessages"]))
    mark = secrets.token_bytes(MARK_BYTES) if measured else b""
    topology = topology_of(given)
    producers, consumers = given["producers"], given["consumers"]
    plan = Plan(where, seconds)
    publishing, consuming = publishing_of(given, topology, mark), consuming_of(given, topology, mark)
    jobs: list[Job] = [Share(plan, publishing, numbers) for numbers in _shares(producers)]
    publishing_jobs = len(jobs)
    jobs += [Share(plan, consuming, numbers) for numbers in _shares(consumers)]
    interrupt = Interrupt()
    try:
        with (
            interrupt.heeded(),
            topology.standing(where),
            Crew(jobs, interrupt) as crew,
            progress(seconds, as_json) as shown,
        ):
            superfluous = Superfluous(crew, publishing_jobs, given["pmessages"], given["cmessages"])
            names = ["published"] * bool(producers) + ["confirmed"] * bool(given["confirm"] and producers)
            names += ["consumed"] * bool(consumers)
            if not interrupt.came:
                conduct(crew, interrupt, shown, names, superfluous)
    except PerfError as error:
        raise click.ClickException(str(error)) from error
    result = result_of(command, given, plan, crew, publishing_jobs, interrupt.came)
    if not all(worker.last.is_read for worker in crew.workers):
        click.echo("note: the broker has not read all that was published, which counts all the same", err=True)
    if as_json:
        show_json(result)
    else:
        show(result)


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


def _shares(count: int) -> list[range]:
    """Who is in which process: one for each, but no more than there are cores."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    processes = min(count, cores)
    return [range(first, count, processes) for first in range(processes)]
