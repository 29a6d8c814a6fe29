import csv

import pytest

from amqpbroker.cli.perf.failure import PerfError
from amqpbroker.cli.perf.latencies import Latencies
from amqpbroker.cli.perf.progress import Bar, Lines, Manner, Recording, Silent, Snapshot, progress


def test_snapshot_text_has_rates_latencies_and_blocking():
    latencies = Latencies()
    latencies.add([1_000_000] * 99 + [2_000_000])
    assert str(Snapshot(1.0, {"connections": 1234})) == "connections 1,234"
    snapshot = Snapshot(
        1.0, {}, {"published": 1234.5, "consumed": 0}, {"message": latencies, "confirm": Latencies()}, "low"
    )
    assert str(snapshot) == ("published 1,234/s  consumed 0/s  message latency p50 1.00 ms, p99 1.00 ms  blocked: low")


def test_progress_display_depends_on_the_terminal_and_the_options(monkeypatch):
    assert isinstance(progress(1, Manner()), Lines)
    assert isinstance(progress(1, Manner(as_json=True)), Silent)
    assert isinstance(progress(1, Manner(quiet=True)), Silent)
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    assert isinstance(progress(1, Manner(as_json=True)), Bar)
    assert isinstance(progress(1, Manner(quiet=True)), Silent)


def test_progress_lines_are_printed_to_stderr(capsys):
    with Lines() as shown:
        shown.show(Snapshot(1.0, rates={"published": 5}))
        shown.note("the broker blocks publishers: low on [memory]")
    assert capsys.readouterr() == ("", "  1.0 s  published 5/s\nthe broker blocks publishers: low on [memory]\n")


@pytest.mark.parametrize("seconds", [10.0, None])
def test_progress_bar_keeps_printed_notes(capsys, seconds):
    with Bar(seconds) as shown:
        shown.show(Snapshot(1.0, rates={"published": 5}))
        shown.note("the broker blocks publishers: low on [memory]")
    said = capsys.readouterr()
    assert "the broker blocks publishers: low on [memory]" in said.err
    assert said.out == ""


def test_csv_has_a_row_for_each_snapshot(tmp_path, capsys):
    path = tmp_path / "run.csv"
    confirms = Latencies()
    confirms.add([1_000_000] * 98 + [7_000_000] * 2)
    with Recording(path, Lines()) as shown:
        shown.show(Snapshot(1.0, {}, {"published": 1000.04, "confirmed": 0.0}, {"confirm": confirms}))
        shown.note("the broker blocks publishers")
        shown.show(Snapshot(2.0004, {}, {"consumed": 5.0}))
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


def test_output_file_that_cannot_be_written_is_an_error(tmp_path):
    with pytest.raises(PerfError, match=r"--output-file: .*/none/run.csv: no such file or directory"):
        Recording(tmp_path / "none" / "run.csv", Silent())
