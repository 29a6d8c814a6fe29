"""Cost of operations as work grows, as tables in docs/performance.md.

usage: python -m tests.bench.growth [WHAT ...] [--seconds S] [--most N] [--rounds N] [--minutes M] [--rate N]
                                    [--no-write]

WHAT: queues, connections, bindings, sizes, backlog, and axes along which messages differ: keys, fresh-keys,
further-keys, properties, fresh-properties, further-properties, spread, channels, publishers, consumed-queues; all of
these by default. Every step has a broker process of its own, with a data directory and fsync. A run of everything takes
about fifteen minutes on an idle machine.
Also definitions, only if named: a client that declares and deletes queues for an hour.
"""

import argparse
import time
from functools import partial

from tests.bench import axes_report, page
from tests.bench.axes import AXES, dearest
from tests.bench.axes_report import RISE
from tests.bench.backlog_growth import LEVELS, Backlog, Stretch, measured, typical
from tests.bench.brokers import own_version
from tests.bench.client_processes import Measured
from tests.bench.compare import within
from tests.bench.definitions_churn import Churned, churned
from tests.bench.growths import GROWTHS
from tests.bench.processes import exit_on_sigterm
from tests.bench.report import MB, cpu

NAMES = [*GROWTHS, *AXES, "backlog"]
#: Measurement that takes too long to be made by default.
DEFINITIONS = "definitions"
SAMPLES = 120
#: The largest value that is worth waiting for.
MOST = 1_000_000_000
KINDS = {"persistent": True, "transient": False}


def grown(name: str, seconds: float) -> dict[int, Measured]:
    found = {}
    for step, figures in GROWTHS[name].measured(seconds):
        print(f"{step:>10,} {GROWTHS[name].along:12s} {' '.join(shown(figures))}", flush=True)
        found[step] = figures
    return found


def shown(figures: Measured) -> tuple[str, ...]:
    return f"{figures.rate:,.0f}/s", cpu(figures.cpu_us), f"{figures.memory_bytes / MB:.0f} MB"


def grown_text(name: str, found: dict[int, Measured], how: str) -> str:
    along = GROWTHS[name].along
    head = (along, "messages/s", "CPU", "memory")
    rows = [(f"{step:,}", *shown(figures)) for step, figures in found.items()]
    if name == "sizes":
        head = (*head, "bytes/s", "CPU per kB")
        rows = [
            (*row, f"{step * figures.rate / MB:,.0f} MB/s", f"{figures.cpu_us / step * 1000:.3f} us")
            for row, (step, figures) in zip(rows, found.items(), strict=True)
        ]
    summary = f"{how} {times(name, found)}"
    return f"{summary}\n\n{page.table(head, rows)}\n{page.chart(name)}"


def times(name: str, found: dict[int, Measured]) -> str:
    """Compare the last step with the first, and each step with earlier ones."""
    steps = list(found.items())
    (least, first), (most, last) = steps[0], steps[-1]
    if name == "sizes":
        each = f"{first.cpu_us / least * 1000:.2f} us in messages of {least:,} bytes"
        return f"A kB costs {each} and {last.cpu_us / most * 1000:.2f} us in messages of {most:,}."
    at_last = f"with {most:,} {GROWTHS[name].along} {cpu(last.cpu_us)}"
    rise = dearest([figures.cpu_us for figures in found.values()])
    return (
        f"A message costs {cpu(first.cpu_us)} with {least:,}, {at_last}: x{last.cpu_us / first.cpu_us:.1f}. {RISE}:"
        f" x{rise:.2f}."
    )


def backlog_text(found: dict[str, Backlog], how: str) -> str:
    head = ("backlog", "rate", "CPU", "memory", "longest stall", "p99 round trip")
    parts = [f"{how}\n"]
    for kind, backlog in found.items():
        stretches = [("at rest with", backlog.empty), *(("up to", each) for each in backlog.filled)]
        stretches += [("at rest with", backlog.rest)]
        stretches += [("down from", each) for each in reversed(backlog.drained)]
        rows = [(f"{kind}, {words} {each.depth:,}", *stretch_shown(each)) for words, each in stretches]
        worst = max((each.stall_ms for _, each in stretches), default=0.0)
        parts += [page.table(head, rows), f"Longest stall beside a backlog of {kind} messages: {worst:.0f} ms.\n"]
    return "\n".join([*parts, page.chart("backlog")])


def stretch_shown(each: Stretch) -> tuple[str, ...]:
    moving = (f"{each.rate:,.0f}/s", cpu(each.cpu_us)) if each.rate else ("", "")
    return *moving, f"{each.memory_bytes / MB:.0f} MB", f"{each.stall_ms:.1f} ms", f"{each.p99_ms:.2f} ms"


def churn(minutes: float, rate: float) -> list[Churned]:
    found = []
    for each in churned(minutes * 60, rate, minutes * 60 / SAMPLES):
        print(f"{each.after_s:>8.0f} s {' '.join(churn_shown(each))}", flush=True)
        found.append(each)
    return found


def churn_shown(each: Churned) -> tuple[str, ...]:
    sizes = (each.log_bytes, each.database_bytes, each.memory_bytes)
    return f"{each.declared:,}", *(f"{size / MB:.2f} MB" for size in sizes)


def churn_text(found: list[Churned], how: str) -> str:
    """Return a summary of the last sample, and a table of about six samples up to it."""
    head = ("after", "queues declared and deleted", "log, at most", "database", "memory")
    step = max(1, len(found) // 6)
    rows = [(f"{each.after_s / 60:.0f} min", *churn_shown(each)) for each in found[step - 1 :: step]]
    last = found[-1]
    most = max(each.log_bytes for each in found)
    summary = (
        f"{how} {last.declared:,} queues in {last.after_s / 60:.0f} minutes, {last.declared / last.after_s:,.0f} a"
        f" second, {last.cpu_s / max(last.declared, 1) * 1e6:,.0f} us of CPU each; the log had {most / MB:.2f} MB at"
        " most."
    )
    return f"{summary}\n\n{page.table(head, rows)}\n{page.chart(DEFINITIONS)}"


def options(arguments: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    names = [*NAMES, DEFINITIONS]
    parser.add_argument("what", nargs="*", metavar="WHAT", help=f"of {', '.join(names)}")
    parser.add_argument("--seconds", type=within(0.1, 3600.0), default=2.0, help="how long each step is measured")
    parser.add_argument("--most", type=count, default=LEVELS[-1], metavar="N", help="the backlog; 5M by default")
    parser.add_argument(
        "--rounds", type=within(1, 1000), default=3, metavar="N", help="of backlog and axes; 3 by default"
    )
    parser.add_argument("--minutes", type=within(0.01, 1440.0), default=60.0, help="of definitions; 60 by default")
    parser.add_argument("--rate", type=within(1.0, 100_000.0), default=300.0, help="queues a second; 300 by default")
    parser.add_argument("--no-write", action="store_true", help="print only")
    given = parser.parse_args(arguments)
    if unknown := set(given.what) - set(names):
        parser.error(f"there is no {', '.join(sorted(unknown))}; there are {', '.join(names)}")
    return given


def count(text: str) -> int:
    """Parse 500000, 500k or 5M. Raises ArgumentTypeError."""
    units = {"k": 1_000, "M": 1_000_000}
    try:
        number = float(text[:-1]) * units[text[-1]] if text[-1:] in units else float(text)
    except ValueError:
        number = 0.0
    if not 1 <= number <= MOST or number != int(number):
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number from 1 to {MOST:,}, such as 500k or 5M")
    return int(number)


def levels(most: int) -> tuple[int, ...]:
    """Return LEVELS up to the maximum, and the maximum."""
    return (*(level for level in LEVELS if level < most), most)


def backlogs(most: int, rounds: int) -> dict[str, Backlog]:
    """Measure both kinds alternately, so that other load on the machine affects both."""
    found: dict[str, list[Backlog]] = {kind: [] for kind in KINDS}
    for _ in range(rounds):
        for kind, persistent in KINDS.items():
            found[kind].append(measured(persistent, levels(most), partial(show, kind)))
    return {kind: typical(each) for kind, each in found.items()}


def main() -> None:
    given = options()
    # The measurements cause load themselves, so it is read before the first one.
    began, load = time.monotonic(), page.load()
    exit_on_sigterm()
    for name in given.what or NAMES:
        how = f"{page.machine()}; amqpbroker {own_version()}; {load}."
        if name == DEFINITIONS:
            text = churn_text(churn(given.minutes, given.rate), how)
        elif name in AXES:
            kinds = axes_report.measured(name, given.seconds / 4, given.rounds)
            text = axes_report.text(name, kinds, f"{how} Medians of {given.rounds} rounds.")
        elif name == "backlog":
            found = backlogs(given.most, given.rounds)
            text = backlog_text(found, f"{how} Medians of {given.rounds} rounds, with the longest stall of all.")
        else:
            text = grown_text(name, grown(name, given.seconds), how)
        report(name, text, given)
    print(f"took {time.monotonic() - began:.0f} s")


def report(name: str, text: str, given: argparse.Namespace) -> None:
    print(f"\n{text}\n", flush=True)
    if not given.no_write:
        page.write(f"growth: {name}", text)


def show(kind: str, words: str, each: Stretch) -> None:
    print(f"{kind:10s} {words:13s} {each.depth:>9,} {' '.join(stretch_shown(each))}", flush=True)


if __name__ == "__main__":
    main()
