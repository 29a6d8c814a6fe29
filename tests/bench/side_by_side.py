"""amqpbroker beside RabbitMQ: the same load on both, turn about, as tables and a chart in docs/performance.md.

usage: python -m tests.bench.side_by_side [SHAPE ...] [--rounds N] [--seconds S] [--no-write]

RabbitMQ is Debian's, installed if it is missing. amqpbroker is what this Python imports: `make bench` has it be the
compiled one. Only a run of all shapes is written.
"""

import argparse
import contextlib
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypeVar

from tests.bench import charts, page, report
from tests.bench.brokers import Running, amqpbroker, rabbitmq
from tests.bench.compare import within
from tests.bench.crew import Measured, medians
from tests.bench.processes import end_in_order
from tests.bench.report import Pair, Row
from tests.bench.shapes import LATENCIES, SHAPES

T = TypeVar("T")

NAMES = [*SHAPES, *LATENCIES]
CHART = page.CHARTS / "ratios.svg"


@dataclass
class Starts:
    """Both brokers, started several times."""

    theirs: list[Running] = field(default_factory=list)
    ours: list[Running] = field(default_factory=list)

    def start(self, stack: contextlib.ExitStack) -> tuple[Running, Running]:
        self.theirs.append(stack.enter_context(rabbitmq()))
        self.ours.append(stack.enter_context(amqpbroker()))
        return self.theirs[-1], self.ours[-1]

    def pair(self, figure: Callable[[Running], float]) -> Pair:
        return Pair(
            statistics.median(figure(each) for each in self.theirs),
            statistics.median(figure(each) for each in self.ours),
        )


def turn_about(
    theirs: Running, ours: Running, given: argparse.Namespace, run: Callable[[Running, float], T]
) -> tuple[list[T], list[T]]:
    """What `run` gives for each, round by round; who is first changes every time."""
    found: dict[str, list[T]] = {theirs.name: [], ours.name: []}
    for turn in range(given.rounds):
        for broker in (theirs, ours) if turn % 2 == 0 else (ours, theirs):
            found[broker.name].append(run(broker, given.seconds))
    return found[theirs.name], found[ours.name]


def rows_of(name: str, theirs: list[dict[str, Measured]], ours: list[dict[str, Measured]]) -> list[Row]:
    shape = SHAPES[name]
    return [
        Row(
            f"{name} {part}".strip(),
            shape.what,
            medians([each[part] for each in theirs]),
            medians([each[part] for each in ours]),
            target,
        )
        for part, target in shape.targets.items()
    ]


def latency_of(name: str, theirs: list[dict[float, float]], ours: list[dict[float, float]]) -> dict[str, Pair]:
    what = LATENCIES[name][0]
    return {
        f"{name}: {what}, p{each:g}": Pair(
            statistics.median(found[each] for found in theirs), statistics.median(found[each] for found in ours)
        )
        for each in theirs[0]
    }


def options(arguments: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("shapes", nargs="*", metavar="SHAPE", help=f"of {', '.join(NAMES)}; all by default")
    parser.add_argument("--rounds", type=within(1, 1000), default=3)
    parser.add_argument(
        "--seconds", type=within(0.1, 3600.0), default=3.0, help="how long each shape is measured in a round"
    )
    parser.add_argument("--no-write", action="store_true", help="print only")
    given = parser.parse_args(arguments)
    if unknown := set(given.shapes) - set(NAMES):
        parser.error(f"no such shape: {', '.join(sorted(unknown))}; there are {', '.join(NAMES)}")
    return given


def main() -> None:
    given = options()
    end_in_order()
    began, load = time.monotonic(), page.load()
    starts = Starts()
    for _ in range(given.rounds - 1):
        with contextlib.ExitStack() as stack:
            starts.start(stack)
    rows: list[Row] = []
    latencies: dict[str, Pair] = {}
    with contextlib.ExitStack() as stack:
        theirs, ours = starts.start(stack)
        for name in given.shapes or NAMES:
            if name in SHAPES:
                new = rows_of(name, *turn_about(theirs, ours, given, SHAPES[name].run))
                print(*map(shown, new), sep="\n", flush=True)
                rows += new
            else:
                latencies |= latency_of(name, *turn_about(theirs, ours, given, LATENCIES[name][1]))
    text = part(given, load, starts, rows, latencies)
    print(f"\n{text}\ntook {time.monotonic() - began:.0f} s")
    if not given.no_write and not given.shapes:
        wanted = {row.name: row.target for row in rows if row.target is not None}
        charts.ratios(CHART, {row.name: row.ratio for row in rows}, wanted)
        page.write("side by side", text)


def part(given: argparse.Namespace, load: str, starts: Starts, rows: list[Row], latencies: dict[str, Pair]) -> str:
    """What it all comes to, as the page has it."""
    versions = f"RabbitMQ {starts.theirs[0].version}; amqpbroker {starts.ours[0].version}"
    how = f"`make bench`: {given.rounds} rounds of {given.seconds:g} s for each shape, medians; {load}"
    transient = next((Pair(row.theirs.cpu_us, row.ours.cpu_us) for row in rows if row.name == "transient"), None)
    start_s, rest_bytes = starts.pair(lambda each: each.start_s), starts.pair(lambda each: float(each.rest_bytes))
    return "\n".join(
        [
            f"{page.machine()}. {versions}. {how}.\n",
            report.rates(rows),
            report.others(start_s, rest_bytes, latencies, transient),
            f"![Messages per second, as a multiple of RabbitMQ's](performance/{CHART.name})",
        ]
    )


def shown(row: Row) -> str:
    """One line while it goes on."""
    theirs, ours = (f"{each.rate:>10,.0f}/s {each.cpu_us:>9.2f} us" for each in (row.theirs, row.ours))
    wanted = "" if row.target is None else f"  target {row.target:g}"
    return f"{row.name:16s} {theirs}  {ours}  x{report.times(row.ratio)}{wanted}"


if __name__ == "__main__":
    main()
