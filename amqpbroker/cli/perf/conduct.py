"""Leading a run: from the start to the last report, with what is shown on the way."""

import time
from collections.abc import Callable, Sequence
from itertools import repeat
from operator import is_

from amqpbroker.cli.perf.crew import Crew, Worker
from amqpbroker.cli.perf.interrupt import Interrupt
from amqpbroker.cli.perf.moment import Moment
from amqpbroker.cli.perf.progress import Progress
from amqpbroker.cli.perf.report import Report

#: Reports are late by as much as this when a run is over by its time.
_LISTEN_S = 0.1

#: Says which processes are to stop now, though their own time is not over.
Superfluous = Callable[[float], Sequence[Worker]]


def nobody(now: float) -> Sequence[Worker]:
    """All go on until they are done themselves."""
    return ()


def conduct(
    crew: Crew,
    interrupt: Interrupt,
    progress: Progress,
    shown: Sequence[str],
    superfluous: Superfluous,
    totals: Sequence[str] = (),
    interval_s: float = 1.0,
) -> None:
    """Start the crew and listen until all of it has ended.

    shown: the counts whose rates are shown. totals: those that are shown themselves. interval_s: how often.
    """
    crew.start()
    before = [worker.last for worker in crew.workers]
    shown_at = crew.started
    was_blocked = was_interrupted = False
    while not crew.is_over:
        crew.hear(_LISTEN_S)
        now = time.monotonic()
        if interrupt.came and not was_interrupted:
            was_interrupted = True
            crew.stop()
        crew.stop(superfluous(now))
        if bool(crew.blocked) != was_blocked:
            was_blocked = not was_blocked
            progress.note(
                f"the broker blocks publishers: {crew.blocked}" if was_blocked else "the broker takes publishes again"
            )
        if now - shown_at >= interval_s:
            shown_at = now
            after = [worker.last for worker in crew.workers]
            if all(map(is_, before, after)):  # they only wait for the broker to answer their closing
                continue
            rates = {name: sum(map(_rate, before, after, repeat(name))) for name in shown}
            counts = crew.counts()
            there = {name: counts[name] for name in totals}
            progress.show(Moment(now - crew.started, there, rates, crew.recent, crew.blocked))
            crew.recent = {}
            before = after


def _rate(before: Report, after: Report, name: str) -> float:
    """How fast the count grew from one report of a process to another; 0 if it is the same."""
    if after is before:
        return 0.0
    return (after.counts.get(name, 0) - before.counts.get(name, 0)) / (after.at - before.at)
