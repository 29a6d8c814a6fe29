"""Progress of a run: on a terminal, as lines, and as a CSV file."""

import csv
import sys
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import click

from amqpbroker.cli.perf.failure import PerfError
from amqpbroker.cli.perf.latencies import Latencies

#: Columns: counts and latencies.
COUNTS = ("published", "confirmed", "consumed")
LATENCIES = ("message", "confirm")
PERCENTILES = (50.0, 75.0, 95.0, 99.0)


@dataclass(frozen=True)
class Snapshot:
    """A snapshot of a run's progress. elapsed_s: since the start. totals, rates: by name of the count; rates are per
    second since the last snapshot."""

    elapsed_s: float
    totals: Mapping[str, int] = field(default_factory=dict)
    rates: Mapping[str, float] = field(default_factory=dict)
    #: Latencies since the last snapshot.
    latencies: Mapping[str, Latencies] = field(default_factory=dict)
    #: The broker's reason for blocking publishers; empty if it does not.
    blocked: str = ""

    def __str__(self) -> str:
        """Return a text such as "published 412,345/s  consumed 410,002/s  message latency p50 0.21 ms, p99 0.90 ms"."""
        parts = [f"{name} {total:,}" for name, total in self.totals.items()]
        parts += [f"{name} {rate:,.0f}/s" for name, rate in self.rates.items()]
        for name, some in self.latencies.items():
            if some.count:
                median, high = some.percentile_ns(50) / 1e6, some.percentile_ns(99) / 1e6
                parts.append(f"{name} latency p50 {median:.2f} ms, p99 {high:.2f} ms")
        parts += [f"blocked: {self.blocked}"] if self.blocked else []
        return "  ".join(parts)


@dataclass(frozen=True)
class Manner:
    """Output of a run: its progress each `interval_s` seconds, and its result."""

    as_json: bool = False
    quiet: bool = False
    interval_s: float = 1.0


class Progress(ABC):
    """Shows progress within a `with` block."""

    def __enter__(self) -> "Progress":
        return self

    def __exit__(self, *raised: object) -> None:
        return

    @abstractmethod
    def show(self, snapshot: Snapshot) -> None: ...

    @abstractmethod
    def note(self, text: str) -> None:
        """Print a text that stays visible."""


class Silent(Progress):
    """Shows no progress, for programs and for --quiet."""

    def show(self, snapshot: Snapshot) -> None:
        return

    def note(self, text: str) -> None:
        click.echo(text, err=True)


class Lines(Progress):
    """Shows a line for each snapshot."""

    def show(self, snapshot: Snapshot) -> None:
        click.echo(f"{snapshot.elapsed_s:5.1f} s  {snapshot}", err=True)

    def note(self, text: str) -> None:
        click.echo(text, err=True)


class Bar(Progress):
    """Shows one changing line. seconds: time limit of the run, None if there is none."""

    def __init__(self, seconds: float | None) -> None:
        self._seconds = seconds

    def __enter__(self) -> "Bar":
        from rich.console import Console
        from rich.progress import BarColumn, TextColumn, TimeElapsedColumn
        from rich.progress import Progress as RichProgress

        columns = (TimeElapsedColumn(), BarColumn(bar_width=20), TextColumn("{task.description}"))
        self._bar = RichProgress(*columns, console=Console(stderr=True), transient=True)
        self._bar.start()
        self._task = self._bar.add_task("", total=self._seconds)
        return self

    def __exit__(self, *raised: object) -> None:
        self._bar.stop()

    def show(self, snapshot: Snapshot) -> None:
        self._bar.update(self._task, completed=snapshot.elapsed_s, description=str(snapshot))

    def note(self, text: str) -> None:
        self._bar.console.print(text, style="yellow", markup=False, highlight=False)


def progress(seconds: float | None, manner: Manner) -> Progress:
    """Return the display for the output. seconds: time limit of the run, None if there is none."""
    if manner.quiet:
        return Silent()
    if sys.stderr.isatty():
        return Bar(seconds)
    return Silent() if manner.as_json else Lines()


class Recording(Progress):
    """Writes a row for each snapshot, and passes it on. Raises PerfError if the file cannot be created."""

    def __init__(self, path: Path, shown: Progress) -> None:
        self._shown = shown
        try:
            self._file = path.open("w", newline="", encoding="utf-8")
        except OSError as error:
            raise PerfError(f"--output-file: {path}: {(error.strerror or str(error)).lower()}") from None
        self._rows = csv.writer(self._file, lineterminator="\n")

    def __enter__(self) -> "Recording":
        self._shown.__enter__()
        quantiles = [*(f"p{percent:g}" for percent in PERCENTILES), "max"]
        columns = ["time_s", *(f"{name}_per_s" for name in COUNTS)]
        self._rows.writerow([*columns, *(f"{name}_{one}_ms" for name in LATENCIES for one in quantiles)])
        return self

    def __exit__(self, *raised: object) -> None:
        self._file.close()
        self._shown.__exit__(*raised)

    def show(self, snapshot: Snapshot) -> None:
        row = [f"{snapshot.elapsed_s:.3f}"]
        row += [f"{snapshot.rates[name]:.1f}" if name in snapshot.rates else "" for name in COUNTS]
        for name in LATENCIES:
            some = snapshot.latencies.get(name)
            if some is None or not some.count:
                row += [""] * (len(PERCENTILES) + 1)
            else:
                values_ns = [*(some.percentile_ns(percent) for percent in PERCENTILES), some.longest_ns]
                row += [f"{value / 1e6:.4f}" for value in values_ns]
        self._rows.writerow(row)
        self._file.flush()  # so that the file can be followed
        self._shown.show(snapshot)

    def note(self, text: str) -> None:
        self._shown.note(text)
