"""`python -m conformance`: replay the recordings on a broker, or record them again from RabbitMQ."""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Iterator
from functools import partial

import click

from conformance import kinds, registry, transcript
from conformance.client import Timing
from conformance.definitions import passed_on, sample
from conformance.endings import differences
from conformance.endings import record as record_endings
from conformance.endings import recorded as recorded_endings
from conformance.endings import run as run_probes
from conformance.errors import SetupError
from conformance.fuzz.campaign import SideBySide, campaign
from conformance.fuzz.step import HTTP, listing
from conformance.rabbitmq import own_rabbitmq
from conformance.registry import Case
from conformance.runner import Result, Runner
from conformance.target import Target, own_amqpbroker

TARGET = click.option("--target", metavar="URL", help="amqp://[user:password@]host[:port] of a running broker.")
MANAGEMENT = click.option("--management", metavar="URL", help="http://[user:password@]host:port of its HTTP API.")
WORKERS = click.option("--workers", default=8, show_default=True, help="Number of cases that run at the same time.")
KIND = click.option(
    "--kind", default="", type=click.Choice(["", *kinds.KINDS]), help="Declare all queues as this kind."
)
NAMES = click.argument("names", metavar="[AREA|AREA/CASE|PREFIX*]...", nargs=-1)


def _selected(names: tuple[str, ...], kind: str = "") -> list[Case]:
    try:
        suitable = kinds.suitable(kind) if kind else ()
        return [case for case in registry.select(names) if not kind or case.id in suitable]
    except LookupError as error:
        raise click.UsageError(str(error.args[0])) from error


@contextlib.contextmanager
def _readable_errors() -> Iterator[None]:
    try:
        yield
    except SetupError as error:
        raise click.ClickException(str(error)) from error


@click.group()
def main() -> None:
    """Replay behaviours recorded from a real RabbitMQ on any broker."""


@main.command()
@TARGET
@MANAGEMENT
@WORKERS
@click.option("--quiet-s", default=0.1, show_default=True, help="Time without events after which a case is complete.")
@KIND
@click.option("--reply-s", default=8.0, show_default=True, help="Maximum time to wait for an expected event.")
@click.option("--brief", is_flag=True, help="Names only, no differences.")
@NAMES
def replay(
    target: str | None,
    management: str | None,
    workers: int,
    quiet_s: float,
    kind: str,
    reply_s: float,
    brief: bool,
    names: tuple[str, ...],
) -> None:
    """Run the cases and compare with the recordings; without --target on this checkout's amqpbroker."""
    cases = _selected(names, kind)
    started = time.monotonic()
    with _readable_errors(), contextlib.ExitStack() as stack:
        chosen = Target.parse(target, management) if target else stack.enter_context(own_amqpbroker())
        runner = Runner(
            chosen,
            Timing(reply_s, quiet_s),
            workers,
            (lambda _: False) if target else partial(kinds.is_on_purpose, kind),
            kind,
        )
        click.echo(f"{len(cases)} cases on {runner.version}, {chosen.host}:{chosen.port}")
        passed = run = meant = 0
        for result in runner.replay_all(cases):
            passed += result.outcome == "ok"
            meant += result.outcome == "on purpose"
            run += result.outcome != "not run"
            short = result.outcome in ("not run", "not recorded")
            click.echo(
                f"{result.outcome:12} {result.case.id}" + (f"  ({result.detail})" if short and result.detail else "")
            )
            if result.detail and not short and not brief:
                click.echo("    " + result.detail.replace("\n", "\n    "))
    not_run = f", {len(cases) - run} not run" if run < len(cases) else ""
    differ = f", {meant} differ on purpose (docs/compatibility.md)" if meant else ""
    click.echo(f"{passed} of {run}{differ}{not_run} ({time.monotonic() - started:.0f} s)")
    sys.exit(0 if passed + meant == run else 1)


@main.command()
@TARGET
@MANAGEMENT
@WORKERS
@click.option("--times", default=3, show_default=True, help="Number of runs that must have the same transcript.")
@click.option("--quiet-s", default=0.4, show_default=True, help="Time without events after which a case is complete.")
@KIND
@click.option("--prune", is_flag=True, help="Delete recordings without a case.")
@NAMES
def record(
    target: str | None,
    management: str | None,
    workers: int,
    times: int,
    quiet_s: float,
    kind: str,
    prune: bool,
    names: tuple[str, ...],
) -> None:
    """Record the cases from RabbitMQ and show the changes.

    Without --target, RabbitMQ is installed and started first.
    """
    cases = _selected(names)
    with _readable_errors(), contextlib.ExitStack() as stack:
        chosen = Target.parse(target, management) if target else stack.enter_context(own_rabbitmq())
        runner = Runner(chosen, Timing(quiet_s=quiet_s), workers, kind=kind)
        click.echo(f"{len(cases)} cases from {runner.version}, {chosen.host}:{chosen.port}")
        results = _shown(runner.record_all(cases, times))
    if kind:
        kinds.update(kind, {result.case.id: result.outcome in ("ok", "differs") for result in results})
        sys.exit(0)
    doubtful = sum(result.outcome == "broken" for result in results)
    if prune:
        known = {transcript.path(case.id) for case in registry.load()}
        for stray in sorted(set(transcript.GOLDEN.glob("*/*.json")) - known):
            stray.unlink()
            click.echo(f"pruned   {stray.relative_to(transcript.GOLDEN)}")
    click.echo(f"{len(cases) - doubtful} of {len(cases)} are the same {times} times over")
    sys.exit(1 if doubtful else 0)


def _shown(results: Iterator[Result]) -> list[Result]:
    """Print the result of each recording as it arrives."""
    shown = []
    words = {"ok": "same", "differs": "changed", "broken": "refused", "not run": "not run"}
    for result in results:
        shown.append(result)
        word = "new" if result.detail == "new" else words[result.outcome]
        click.echo(f"{word:8} {result.case.id}")
        if result.outcome in ("differs", "broken") and result.detail != "new":
            click.echo("    " + result.detail.replace("\n", "\n    "))
    return shown


@main.command()
@WORKERS
@KIND
@click.option("--times", default=3, show_default=True, help="Number of runs that must have the same transcript.")
def meant(workers: int, kind: str, times: int) -> None:
    """Record the documented differences from this checkout's amqpbroker, and show the changes."""
    cases = [found for found in registry.load() if kinds.is_on_purpose(kind, found.id)]
    with _readable_errors(), own_amqpbroker() as target:
        results = _shown(Runner(target, Timing(), workers, kind=kind).record_all(cases, times, meant=True))
    folder = kinds.folder(kind, meant=True)
    for stray in sorted(set(folder.glob("*/*.json")) - {transcript.path(case.id, folder) for case in cases}):
        stray.unlink()
        click.echo(f"pruned   {stray.relative_to(folder)}")
    sys.exit(1 if any(result.outcome == "broken" for result in results) else 0)


@main.command()
@TARGET
@MANAGEMENT
@NAMES
def show(target: str | None, management: str | None, names: tuple[str, ...]) -> None:
    """Run cases and print all traffic, then the transcript."""
    with _readable_errors(), contextlib.ExitStack() as stack:
        chosen = Target.parse(target, management) if target else stack.enter_context(own_amqpbroker())
        runner = Runner(chosen, Timing(), 1)
        for case in _selected(names):
            run = runner.run(case)
            click.echo(f"{case.id}: {case.about}")
            click.echo("\n".join(run.trace))
            click.echo(f"stopped: {run.stopped}\n" if run.stopped else "")
            click.echo(transcript.dump(run.transcript))


@main.command()
@click.option("--port", type=int, required=True, help="Port of a running broker on 127.0.0.1.")
@click.option("--tls-port", type=int, required=True, help="Port of its listener for TLS.")
@click.option("--record", "recording", is_flag=True, help="Store the endings: the broker is RabbitMQ.")
def endings(port: int, tls_port: int, recording: bool) -> None:
    """Probe how and when a broker ends connections, and compare with the recordings; takes 45 seconds."""
    plain, tls = run_probes(port, False), run_probes(tls_port, True)
    if recording:
        record_endings(plain, tls)
    lines = differences(plain, recorded_endings(False)) + differences(tls, recorded_endings(True))
    click.echo("\n".join(lines) or f"{len(plain) + len(tls)} connections end as recorded")
    sys.exit(1 if lines else 0)


@main.command()
def definitions() -> None:
    """Pass definitions from this checkout's amqpbroker to a RabbitMQ and on to another amqpbroker, and compare."""
    with _readable_errors(), contextlib.ExitStack() as stack:
        brokers = [stack.enter_context(own()) for own in (own_amqpbroker, own_rabbitmq, own_amqpbroker)]
        differences = passed_on(sample(), [str(broker.management_url) for broker in brokers])
    click.echo("\n".join(differences) or "amqpbroker, RabbitMQ and amqpbroker export the same")
    sys.exit(1 if differences else 0)


@main.command()
@click.option(
    "--judge", metavar="URL", help="amqp://... of a running RabbitMQ; without it one is installed and started."
)
@click.option(
    "--judge-management", metavar="URL", help="http://... of its HTTP API; without it scripts have no requests."
)
@TARGET
@MANAGEMENT
@click.option("--seconds", default=600.0, show_default=True, help="Time for which further seeds are run.")
@click.option("--seed", type=int, help="Run only this seed, and print its script.")
@click.option("--first-seed", type=int, help="First seed; by default a seed from the clock.")
@click.option("--workers", default=4, show_default=True, help="Number of scripts that run at the same time.")
@click.option("--go-on", is_flag=True, help="Do not stop at the first difference.")
def fuzz(
    judge: str | None,
    judge_management: str | None,
    target: str | None,
    management: str | None,
    seconds: float,
    seed: int | None,
    first_seed: int | None,
    workers: int,
    go_on: bool,
) -> None:
    """Run random scripts on a RabbitMQ and on this checkout's amqpbroker, and compare the results."""
    with _readable_errors(), contextlib.ExitStack() as stack:
        real = Target.parse(judge, judge_management) if judge else stack.enter_context(own_rabbitmq())
        other = Target.parse(target, management) if target else stack.enter_context(own_amqpbroker())
        both = SideBySide(real, other)
        if seed is not None:
            found = both.explore(seed)
            click.echo(f"{listing(both.script(seed))}\n\n{found.shown()}")
            sys.exit(1 if found.difference else 0)
        start = first_seed if first_seed is not None else int(time.time())
        click.echo(f"{both.other_version} beside {both.judge_version} for {seconds:.0f} s, seeds from {start} on")
        sequences = operations = requests = frames = unsteady = differences = 0
        for found in campaign(both.explore, start, seconds, workers):
            sequences += 1
            operations += found.operations
            requests += sum(step.on == HTTP for step in both.script(found.seed))
            frames += found.frames
            unsteady += found.unsteady
            if found.difference is not None:
                differences += 1
                click.echo(f"{found.shown()}\n")
                if not go_on:
                    break
        click.echo(
            f"{sequences} sequences, {operations} operations ({requests} HTTP requests), "
            f"{frames} frames and answers compared, {differences} differences"
            + (f" ({unsteady} sequences left out: RabbitMQ itself did not do the same twice)" if unsteady else "")
        )
    sys.exit(1 if differences else 0)


@main.command("list")
@NAMES
def list_cases(names: tuple[str, ...]) -> None:
    """List the cases, with their subjects."""
    for case in _selected(names):
        click.echo(f"{case.id:60} {case.about.splitlines()[0] if case.about else ''}")


if __name__ == "__main__":
    main()
