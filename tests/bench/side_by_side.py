"""amqpbroker beside RabbitMQ: the same load on both, alternating, as tables in docs/performance.md.

usage: python -m tests.bench.side_by_side [SHAPE ...] [--rounds N] [--seconds S] [--gb N] [--no-write]

There are two kinds of shapes. Shapes whose names begin with `app-` send messages like applications: thousands of
different ones with their own properties, headers and bodies (application_shapes.py). The others repeat one message
(shapes.py), which is faster because of a broker's caches. `restart` and `management` are not shapes of load, but other
effects that users notice (operation.py). `high-availability` measures several brokers of each (high_availability.py),
and is left out if PostgreSQL is not installed. `streams` measures the shapes of load on a stream (stream_shapes.py) and
a stream of 50 GB (large_stream.py). It needs 60 GB of free space in the directory for temporary files (TMPDIR); with
less space, nothing is measured. `--gb N` makes the stream smaller, and N + 10 GB of free space suffice.

RabbitMQ is Debian's, installed if it is missing. amqpbroker is the one that this Python imports: `make bench` uses the
compiled one. LavinMQ is measured too if the environment variable LAVINMQ has the path of its binary. Only a run of all
shapes is written; `high-availability` and `streams`, which have their own parts of the page, are also written if they
run alone. The shapes in `streams` can be measured one by one, and are then only printed.
"""

import argparse
import contextlib
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypeVar

from conformance.errors import SetupError
from tests.bench import (
    application_shapes,
    high_availability,
    high_availability_report,
    large_stream,
    operation,
    page,
    report,
    shapes,
    stream_shapes,
    streams_report,
)
from tests.bench.brokers import OURS, THEIRS, Running, compared, own_version
from tests.bench.client_processes import Measured, medians
from tests.bench.compare import within
from tests.bench.lavinmq import LAVINMQ
from tests.bench.processes import exit_on_sigterm
from tests.bench.report import Pair, Row

K = TypeVar("K", str, float)
T = TypeVar("T")

SHAPES = application_shapes.SHAPES | shapes.SHAPES | stream_shapes.SHAPES
LATENCIES = application_shapes.LATENCIES | shapes.LATENCIES | stream_shapes.LATENCIES
LOADS = [*application_shapes.SHAPES, *application_shapes.LATENCIES, *shapes.SHAPES, *shapes.LATENCIES]
HIGH_AVAILABILITY = "high-availability"
STREAMS = "streams"
LARGE_STREAM = "large-stream"
#: Members of the group of streams.
OF_STREAMS = [*stream_shapes.SHAPES, *stream_shapes.LATENCIES, LARGE_STREAM]
NAMES = [*LOADS, *operation.MEASUREMENTS, HIGH_AVAILABILITY, STREAMS]

APPLICATION = """\
**Messages of an application.** Publishers send 4,000 different messages in a cycle (40,000 in app-topic-keys). Each has
a random body of 20 to 2,000 bytes, a content type, three headers, a message id, a timestamp and a type; three of ten
have a correlation id. Messages are transient and consumers use auto-ack unless the row says otherwise.
"""
REPEATED = """\
**One repeated message.** A publisher sends the same message again and again, as many benchmarks do. Its only property
is the delivery mode. Caches help here, because a publish like the previous one is recognised with one comparison. To
estimate the performance of an application, use the table above.
"""


@dataclass
class Starts:
    """All brokers, started several times: for each time, the running brokers by name."""

    brokers: list[dict[str, Running]] = field(default_factory=list)

    def start(self, stack: contextlib.ExitStack) -> list[Running]:
        self.brokers.append({name: stack.enter_context(start()) for name, start in compared().items()})
        return list(self.brokers[-1].values())

    def pair(self, figure: Callable[[Running], float]) -> Pair:
        found = {name: [figure(each[name]) for each in self.brokers] for name in self.brokers[0]}
        return pair_of({name: statistics.median(figures) for name, figures in found.items()})


def turn_about(
    brokers: list[Running], given: argparse.Namespace, run: Callable[[Running, float], dict[K, T]]
) -> dict[str, list[dict[K, T]]]:
    """Return the results of `run` for each broker, by name, round by round; the order is reversed each time.

    The result is empty if LavinMQ refuses a shape, because the shapes are made for RabbitMQ.
    """
    found: dict[str, list[dict[K, T]]] = {broker.name: [] for broker in brokers}
    for turn in range(given.rounds):
        for broker in brokers if turn % 2 == 0 else brokers[::-1]:
            try:
                measured = run(broker, given.seconds)
            except (AssertionError, RuntimeError, OSError) as error:
                if broker.name != LAVINMQ:
                    raise
                print(f"{LAVINMQ} cannot do this: {error}", flush=True)
                measured = {}
            found[broker.name].append(measured)
    return found


def rows_of(name: str, found: dict[str, list[dict[str, Measured]]]) -> list[Row]:
    """Return the rows of a shape. found: the results of each round, by name of the broker."""
    shape = SHAPES[name]
    rows = []
    for part, target in shape.targets.items():
        measured = {
            broker: medians([each[part] for each in rounds])
            for broker, rounds in found.items()
            if all(part in each for each in rounds)
        }
        of_row = f"{name} {part}".strip()
        rows.append(Row(of_row, shape.what, measured.get(THEIRS), measured[OURS], target, measured.get(LAVINMQ)))
    return rows


def latency_of(name: str, found: dict[str, list[dict[float, float]]]) -> dict[str, Pair]:
    """Return the percentiles of a latency. found: the results of each round, by name of the broker."""
    what = LATENCIES[name][0]
    pairs = {}
    for each in found[OURS][0]:
        medians_ms = {
            broker: statistics.median(ms[each] for ms in rounds)
            for broker, rounds in found.items()
            if all(each in ms for ms in rounds)
        }
        pairs[f"{name}: {what}, p{each:g}"] = pair_of(medians_ms)
    return pairs


def pair_of(figures: dict[str, float]) -> Pair:
    return Pair(figures[THEIRS], figures[OURS], figures.get(LAVINMQ))


def options(arguments: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    known = ", ".join([*NAMES, *OF_STREAMS])
    parser.add_argument("shapes", nargs="*", metavar="SHAPE", help=f"of {known}; all by default")
    parser.add_argument("--rounds", type=within(1, 1000), default=3)
    parser.add_argument(
        "--seconds", type=within(0.1, 3600.0), default=2.0, help="how long each shape is measured in a round"
    )
    parser.add_argument(
        "--waiting",
        type=within(0, 100_000_000),
        default=high_availability.WAITING,
        help="messages in the queue when a leader fails, in high-availability",
    )
    parser.add_argument(
        "--gb", type=within(0.001, 100_000.0), default=large_stream.SIZE_GB, help="size of the large stream, in streams"
    )
    parser.add_argument("--no-write", action="store_true", help="print only")
    given = parser.parse_args(arguments)
    if unknown := set(given.shapes) - {*NAMES, *OF_STREAMS}:
        parser.error(f"no such shape: {', '.join(sorted(unknown))}; there are {known}")
    return given


def main() -> None:
    given = options()
    exit_on_sigterm()
    try:
        run(given)
    except SetupError as error:
        raise SystemExit(str(error)) from error


def run(given: argparse.Namespace) -> None:
    began, load = time.monotonic(), page.load()
    named = given.shapes or NAMES
    streams = [name for name in OF_STREAMS if name in named or STREAMS in named]
    # Checked first, because it is measured last.
    if LARGE_STREAM in streams and (reason := large_stream.missing(given.gb)):
        raise SetupError(reason)
    if loads := [name for name in named if name in LOADS]:
        for name, text in run_loads(given, load, loads).items():
            print(text, end="\n\n", flush=True)
            write(given, name, text)
    if measurements := [name for name in named if name in operation.MEASUREMENTS]:
        found = [f"{page.machine()}. `make bench`; {load}.\n"]
        for name in measurements:
            found.append(operation.MEASUREMENTS[name](given.seconds))
            # Printed at once, so that it is not lost if the next measurement fails.
            print(found[-1], flush=True)
        write(given, "operation", "\n".join(found))
    if HIGH_AVAILABILITY in named:
        run_high_availability(given, load)
    if streams:
        run_streams(given, load, streams)
    print(f"took {time.monotonic() - began:.0f} s")


def run_high_availability(given: argparse.Namespace, load: str) -> None:
    """Measure several brokers of each, and write them also if nothing else was measured."""
    if reason := high_availability.missing():
        print(f"{HIGH_AVAILABILITY} is left out: {reason}")
        return
    text = high_availability_report.measure(given.seconds, given.rounds, given.waiting, load)
    print(text, flush=True)
    if not given.no_write:
        page.write("high availability", text)


def run_streams(given: argparse.Namespace, load: str, names: list[str]) -> None:
    """Measure these members of the group of streams; write them if they are all, also if nothing else was measured."""
    loads = [name for name in names if name != LARGE_STREAM]
    with contextlib.ExitStack() as stack:
        brokers = Starts().start(stack) if loads else []
        rows, latencies = measured(given, brokers, loads)
    large = large_stream.measure(given.gb) if LARGE_STREAM in names else None
    lavinmq = any(broker.name == LAVINMQ for broker in brokers)
    text = streams_report.text(conditions(given, load, brokers), rows, latencies, large, lavinmq)
    print(text, flush=True)
    if names == OF_STREAMS and not given.no_write:
        page.write(STREAMS, text)


def write(given: argparse.Namespace, part: str, text: str) -> None:
    """Write a part of the page, unless only some shapes were measured."""
    if not given.no_write and not given.shapes:
        page.write(part, text)


def run_loads(given: argparse.Namespace, load: str, names: list[str]) -> dict[str, str]:
    """Measure shapes; return the parts of the page by name."""
    starts = Starts()
    for _ in range(given.rounds - 1):
        with contextlib.ExitStack() as stack:
            starts.start(stack)
    with contextlib.ExitStack() as stack:
        rows, latencies = measured(given, starts.start(stack), names)
    return {"results": results(starts, rows, latencies), "side by side": part(given, load, starts, rows, latencies)}


def measured(given: argparse.Namespace, brokers: list[Running], names: list[str]) -> tuple[list[Row], dict[str, Pair]]:
    """Measure shapes with running brokers. Each result is printed at once, so that it is not lost if the next fails."""
    rows: list[Row] = []
    latencies: dict[str, Pair] = {}
    for name in names:
        if name in SHAPES:
            new = rows_of(name, turn_about(brokers, given, SHAPES[name].run))
            print(*map(shown, new), sep="\n", flush=True)
            rows += new
        else:
            found = latency_of(name, turn_about(brokers, given, LATENCIES[name][1]))
            print(*(f"{each}: {pair.theirs:.2f} ms  {pair.ours:.2f} ms" for each, pair in found.items()), sep="\n")
            latencies |= found
    return rows, latencies


def application(rows: list[Row]) -> list[Row]:
    return [row for row in rows if row.name in application_shapes.SHAPES]


def repeated(rows: list[Row]) -> list[Row]:
    return [row for row in rows if row.name not in application_shapes.SHAPES]


def results(starts: Starts, rows: list[Row], latencies: dict[str, Pair]) -> str:
    """Return the results at the top of the page."""
    start_s, rest_bytes = starts.pair(lambda each: each.start_s), starts.pair(lambda each: float(each.rest_bytes))
    return report.results(rows, start_s, rest_bytes, latencies)


def part(given: argparse.Namespace, load: str, starts: Starts, rows: list[Row], latencies: dict[str, Pair]) -> str:
    """Return the complete text of the results for the page."""
    brokers = starts.brokers[0]
    cpu_us = {row.name: Pair(row.theirs.cpu_us, row.ours.cpu_us) for row in rows if row.theirs}
    start_s, rest_bytes = starts.pair(lambda each: each.start_s), starts.pair(lambda each: float(each.rest_bytes))
    parts = [f"{conditions(given, load, list(brokers.values()))}.\n"]
    for text, chart, found in (
        (APPLICATION, "application", application(rows)),
        (REPEATED, "ratios", repeated(rows)),
    ):
        if found:
            parts += [text, report.rates(found, LAVINMQ in brokers), page.chart(chart) + "\n"]
    parts.append(report.others(start_s, rest_bytes, latencies, cpu_us))
    return "\n".join(parts)


def conditions(given: argparse.Namespace, load: str, brokers: list[Running]) -> str:
    """Return the day, the machine, the versions and how it was measured, for a sentence."""
    versions = "; ".join(f"{broker.name} {broker.version}" for broker in brokers) or f"{OURS} {own_version()}"
    how = f"`make bench`: {given.rounds} rounds of {given.seconds:g} s for each shape, medians; {load}"
    return f"{page.machine()}. {versions}. {how}"


def shown(row: Row) -> str:
    """Return one line to print during the run."""
    figures = "  ".join(_rate(each) for each in (row.theirs, row.ours, row.lavinmq) if each or each is row.theirs)
    ratio = "" if row.ratio is None else f"  x{report.times(row.ratio)}"
    wanted = "" if row.target is None else f"  target {row.target:g}"
    return f"{row.name:20s} {figures}{ratio}{wanted}"


def _rate(measured: Measured | None) -> str:
    return f"{measured.rate:>10,.0f}/s {measured.cpu_us:>9.2f} us" if measured else f"{'cannot':>25s}"


if __name__ == "__main__":
    main()
