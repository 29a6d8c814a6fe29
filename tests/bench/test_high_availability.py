"""The group of several brokers in the comparison with RabbitMQ, without brokers."""

import pytest

from tests.bench import high_availability, high_availability_report, page, side_by_side
from tests.bench.brokers import OURS, THEIRS
from tests.bench.high_availability import KILL, LOADS, Found


def found(factor, **further):
    """Return figures that are greater with a factor."""
    rates = dict.fromkeys(LOADS, 10_000.0 * factor)
    times_ms = {50.0: 1.0 * factor, 99.0: 2.0 * factor}
    return Found("4.2", 8.0, 3, 1_000_000, rates, times_ms, {KILL: 0.5 * factor} | further)


def test_report_has_a_row_for_each_rate_time_and_failure():
    text = high_availability_report.text({THEIRS: found(1), OURS: found(2, cut=11.26)}, "2026-11-30, a machine")
    lines = text.splitlines()
    assert lines[0] == "2026-11-30, a machine."
    assert "medians of 3 rounds of 8 s" in text
    assert "1,000,000 messages wait when a leader fails" in text
    assert lines[lines.index("| figure | RabbitMQ | amqpbroker | ratio |") + 2 :] == [
        "| persistent messages of an application, confirmed | 10,000/s | 20,000/s | 2.00 |",
        "| equal persistent messages of 100 B, confirmed | 10,000/s | 20,000/s | 2.00 |",
        "| confirm at 500 messages/s, p50 | 1.0 ms | 2.0 ms | 0.50 |",
        "| confirm at 500 messages/s, p99 | 2.0 ms | 4.0 ms | 0.50 |",
        "| first confirm after `kill -9` of the leader | 0.5 s | 1.0 s | 0.50 |",
        "| first confirm after cut |  | 11.3 s |  |",
    ]


def run(monkeypatch, *arguments):
    """Run `make bench` with a report that needs no brokers. Return what was written, and how it was measured."""
    written, measured = [], []

    def measure(*how):
        measured.append(how)
        return "the report"

    monkeypatch.setattr(page, "write", lambda *part: written.append(part))
    monkeypatch.setattr(high_availability_report, "measure", measure)
    side_by_side.run(side_by_side.options(["high-availability", *arguments]))
    return written, [how[:3] for how in measured]


def test_group_is_written_if_it_runs_alone(monkeypatch, capsys):
    monkeypatch.setattr(high_availability, "missing", lambda: "")
    assert run(monkeypatch) == ([("high availability", "the report")], [(2.0, 3, 1_000_000)])
    assert "the report" in capsys.readouterr().out


def test_group_is_only_printed_if_nothing_is_to_be_written(monkeypatch):
    monkeypatch.setattr(high_availability, "missing", lambda: "")
    arguments = ["--no-write", "--rounds", "1", "--seconds", "0.5", "--waiting", "1000"]
    assert run(monkeypatch, *arguments) == ([], [(0.5, 1, 1000)])


def test_group_is_left_out_without_postgresql(monkeypatch, capsys):
    monkeypatch.setattr(high_availability, "programs", lambda: None)
    assert run(monkeypatch) == ([], [])
    assert "high-availability is left out: PostgreSQL is not installed" in capsys.readouterr().out


@pytest.mark.parametrize("waiting", ["-1", "many"])
def test_invalid_number_of_waiting_messages_is_refused(waiting, capsys):
    with pytest.raises(SystemExit):
        side_by_side.options(["--waiting", waiting])
    assert "error: " in capsys.readouterr().err
