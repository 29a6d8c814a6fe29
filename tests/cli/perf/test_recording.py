import csv

import pytest

from amqpbroker.cli.perf.failure import PerfError
from amqpbroker.cli.perf.latencies import Latencies
from amqpbroker.cli.perf.moment import Moment
from amqpbroker.cli.perf.progress import Lines, Silent
from amqpbroker.cli.perf.recording import Recording


def test_a_row_for_each_moment(tmp_path, capsys):
    path = tmp_path / "run.csv"
    confirms = Latencies()
    confirms.add([1_000_000] * 98 + [7_000_000] * 2)
    with Recording(path, Lines()) as shown:
        shown.show(Moment(1.0, {}, {"published": 1000.04, "confirmed": 0.0}, {"confirm": confirms}))
        shown.note("the broker blocks publishers")
        shown.show(Moment(2.0004, {}, {"consumed": 5.0}))
        assert len(path.read_text().splitlines()) == 3
    with path.open() as file:
        first, second = csv.DictReader(file)
    known = {"time_s": "1.000", "published_per_s": "1000.0", "confirmed_per_s": "0.0", "confirm_max_ms": "7.0000"}
    assert known.items() <= first.items()
    assert 1.0 <= float(first["confirm_p50_ms"]) <= float(first["confirm_p95_ms"]) <= 1.01
    assert first["confirm_p99_ms"] == "7.0000"
    assert first["consumed_per_s"] == first["message_p50_ms"] == first["message_max_ms"] == ""
    assert (second["time_s"], second["published_per_s"], second["consumed_per_s"]) == ("2.000", "", "5.0")
    said = capsys.readouterr().err.splitlines()
    assert [said[1], len(said)] == ["the broker blocks publishers", 3]


def test_a_file_that_cannot_be(tmp_path):
    with pytest.raises(PerfError, match=r"--output-file: .*/none/run.csv: no such file or directory"):
        Recording(tmp_path / "none" / "run.csv", Silent())
