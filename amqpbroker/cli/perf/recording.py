"""How a run went, moment by moment, as a file of comma-separated values."""

import csv
from pathlib import Path

from amqpbroker.cli.perf.failure import PerfError
from amqpbroker.cli.perf.moment import Moment
from amqpbroker.cli.perf.progress import Progress

#: The columns: what is counted, and what takes its time.
COUNTS = ("published", "confirmed", "consumed")
LATENCIES = ("message", "confirm")
PERCENTILES = (50.0, 75.0, 95.0, 99.0)


class Recording(Progress):
    """Writes a row for each moment, and passes it on to who shows it. Raises PerfError if there can be no such file."""

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

    def show(self, moment: Moment) -> None:
        row = [f"{moment.elapsed_s:.3f}"]
        row += [f"{moment.rates[name]:.1f}" if name in moment.rates else "" for name in COUNTS]
        for name in LATENCIES:
            some = moment.latencies.get(name)
            if some is None or not some.count:
                row += [""] * (len(PERCENTILES) + 1)
            else:
                values_ns = [*(some.percentile_ns(percent) for percent in PERCENTILES), some.longest_ns]
                row += [f"{value / 1e6:.4f}" for value in values_ns]
        self._rows.writerow(row)
        self._file.flush()  # for who looks on
        self._shown.show(moment)

    def note(self, text: str) -> None:
        self._shown.note(text)
