"""Cost of operations as work grows, as tables and charts in docs/performance.md.

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
from collections.abc import Callable
from functools import partial
from pathlib import Path

from tests.bench import axes_report, charts, page
from tests.bench.axes import AXES, dearest
from tests.bench.axes_report import RISE
from tests.bench.backlog_growth import LEVELS, Backlog, Stretch, measured, typical
from tests.bench.brokers import own_version
from tests.bench.charts import Panel
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
    return f"{summary}\n\n{page.table(head, rows)}\n{picture(name)}"


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


def grown_panels(name: str, found: dict[int, Measured]) -> list[Panel]:
    figures = list(found.values())
    wide = name == "sizes"
    panels = [
        Panel("messages/s", {"": [each.rate for each in figures]}, log=wide),
        Panel("CPU per message, us", {"": [each.cpu_us for each in figures]}, log=wide),
    ]
    if wide:
        return [*panels, Panel("MB/s", {"": [step * each.rate / MB for step, each in found.items()]})]
    return [*panels, Panel("memory, MB", {"": [each.memory_bytes / MB for each in figures]})]


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
    return "\n".join([*parts, picture("backlog")])


def stretch_shown(each: Stretch) -> tuple[str, ...]:
    moving = (f"{each.rate:,.0f}/s", cpu(each.cpu_us)) if each.rate else ("", "")
    return *moving, f"{each.memory_bytes / MB:.0f} MB", f"{each.stall_ms:.1f} ms", f"{each.p99_ms:.2f} ms"


def backlog_panels(found: dict[str, Backlog]) -> list[Panel]:
    def lines(of: str, figure: str) -> dict[str, list[float]]:
        return {kind: [getattr(each, figure) for each in getattr(backlog, of)] for kind, backlog in found.items()}

    memory = {kind: [value / MB for value in values] for kind, values in lines("filled", "memory_bytes").items()}
    stalls = {f"{kind}, filled": values for kind, values in lines("filled", "stall_ms").items()}
    return [
        Panel("CPU per message published, us", lines("filled", "cpu_us")),
        Panel("CPU per message consumed, us", lines("drained", "cpu_us")),
        Panel("memory, MB", memory),
        Panel("longest stall, ms", stalls),
    ]


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
    return f"{summary}\n\n{page.table(head, rows)}\n{picture(DEFINITIONS)}"


def churn_panels(found: list[Churned]) -> list[Panel]:
    return [
        Panel("write-ahead log, at most, MB", {"": [each.log_bytes / MB for each in found]}),
        Panel("database, MB", {"": [each.database_bytes / MB for each in found]}),
        Panel("memory, MB", {"": [each.memory_bytes / MB for each in found]}),
    ]


def picture(name: str) -> str:
    return f"![Charts of the cost of a message: {name}](performance/{name}.svg)"


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
            samples = churn(given.minutes, given.rate)
            text, times_min = churn_text(samples, how), [each.after_s / 60 for each in samples]
            report(name, text, partial(charts.over_time, minutes=times_min, panels=churn_panels(samples)), given)
            continue
        if name in AXES:
            axis, kinds = AXES[name], axes_report.measured(name, given.seconds / 4, given.rounds)
            numbers, panels = list(map(float, kinds)), axes_report.panels(kinds)
            how += f" Medians of {given.rounds} rounds."
            draw = partial(charts.growth, along=axis.along, steps=numbers, panels=panels, log=axis.log)
            report(name, axes_report.text(name, kinds, how, picture(name)), draw, given)
            continue
        if name == "backlog":
            found = backlogs(given.most, given.rounds)
            how += f" Medians of {given.rounds} rounds, with the longest stall of all."
            text, steps, panels = backlog_text(found, how), levels(given.most), backlog_panels(found)
        else:
            sizes = grown(name, given.seconds)
            text, steps, panels = grown_text(name, sizes, how), tuple(sizes), grown_panels(name, sizes)
        along = "messages queued" if name == "backlog" else GROWTHS[name].along
        numbers = list(map(float, steps))
        draw = partial(charts.growth, along=along, steps=numbers, panels=panels, log=name != "backlog")
        report(name, text, draw, given)
    print(f"took {time.monotonic() - began:.0f} s")


def report(name: str, text: str, draw: Callable[[Path], None], given: argparse.Namespace) -> None:
    print(f"\n{text}\n", flush=True)
    if not given.no_write:
        draw(page.CHARTS / f"{name}.svg")
        page.write(f"growth: {name}", text)


def show(kind: str, words: str, each: Stretch) -> None:
    print(f"{kind:10s} {words:13s} {each.depth:>9,} {' '.join(stretch_shown(each))}", flush=True)


if __name__ == "__main__":
    main()
