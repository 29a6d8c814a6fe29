"""Growth: arguments, tables and charts, and a short run of one step of each kind."""

import pytest

from tests.bench import growth, growths
from tests.bench.backlog_growth import LEVELS, Backlog, Stretch, typical
from tests.bench.brokers import Running
from tests.bench.client_processes import Measured
from tests.bench.definitions_churn import Churned, churned

FOUND = {1: Measured(500_000, 1.5, 25_000_000), 10_000: Measured(50_000, 15, 80_000_000)}


def stretch(depth, stall_ms=1.0):
    return Stretch(depth, 1000.0, 2.0, 30_000_000, stall_ms, 0.5)


BACKLOG = Backlog(stretch(0), [stretch(5, 7.25), stretch(10, 3.0)], stretch(10), [stretch(5), stretch(10, 30.4)])


@pytest.mark.parametrize(("text", "number"), [("500", 500), ("500k", 500_000), ("5M", 5_000_000), ("1.5M", 1_500_000)])
def test_growth_counts_accept_unit_suffixes(text, number):
    assert growth.count(text) == number


@pytest.mark.parametrize("text", ["", "k", "0", "-1", "1.5", "5G", "inf", "1e300"])
def test_invalid_count_is_refused(text, capsys):
    with pytest.raises(SystemExit):
        growth.options(["--most", text])
    assert "--most" in capsys.readouterr().err


def test_unknown_measurement_is_refused(capsys):
    with pytest.raises(SystemExit):
        growth.options(["queues", "exchanges"])
    assert "there is no exchanges" in capsys.readouterr().err


def test_backlog_levels_end_at_the_given_maximum():
    assert growth.levels(LEVELS[-1]) == LEVELS
    assert growth.levels(1_500_000) == (100_000, 500_000, 1_000_000, 1_500_000)
    assert growth.levels(10) == (10,)


def test_growth_report_compares_the_last_step_with_the_first():
    text = growth.grown_text("queues", FOUND, "Today.")
    rise = "The largest increase in CPU per message from any step to a later step: x10.00."
    assert text.startswith(
        f"Today. A message costs 1.50 us with 1, with 10,000 queues 15.0 us: x10.0. {rise}\n\n| queues |"
    )
    assert "| 10,000 | 50,000/s | 15.0 us | 80 MB |" in text
    assert text.endswith("<!-- chart: queues -->")


@pytest.mark.parametrize("name", ["queues", "connections", "bindings"])
def test_more_expensive_intermediate_step_is_reported(name):
    found = {step: Measured(1000, cpu_us, 0) for step, cpu_us in {1: 2.0, 10: 1.0, 100: 3.0, 1_000: 2.0}.items()}
    assert growth.times(name, found).endswith(
        ": x1.0. The largest increase in CPU per message from any step to a later step: x3.00."
    )


def test_growth_report_compares_message_sizes_by_cost_per_byte():
    text = growth.grown_text("sizes", {100: Measured(1000, 1, 0), 10_000: Measured(10, 50, 0)}, "Today.")
    assert "A kB costs 10.00 us in messages of 100 bytes and 5.00 us in messages of 10,000." in text
    assert "| 10,000 | 10/s | 50.0 us | 0 MB | 0 MB/s | 5.000 us |" in text


def test_backlog_report_names_the_longest_stall_of_all_phases():
    text = growth.backlog_text({"transient": BACKLOG}, "Today.")
    assert "Longest stall beside a backlog of transient messages: 30 ms." in text
    lines = [line.split(" | ")[0] for line in text.splitlines() if line.startswith("| transient")]
    assert [line.removeprefix("| transient, ") for line in lines] == [
        "at rest with 0",
        "up to 5",
        "up to 10",
        "at rest with 10",
        "down from 10",
        "down from 5",
    ]


def test_several_rounds_have_medians_and_the_longest_stall():
    rounds = [
        Backlog(stretch(0), [Stretch(5, rate, cpu, memory, stall, p99)], stretch(5), [stretch(5, stall)])
        for rate, cpu, memory, stall, p99 in [
            (10.0, 3.0, 1, 9.0, 0.5),
            (30.0, 1.0, 2, 4.0, 0.1),
            (20.0, 8.0, 9, 5.0, 0.2),
        ]
    ]
    found = typical(rounds)
    assert found.filled == [Stretch(5, 20.0, 3.0, 2, 9.0, 0.2)]
    assert found.drained == [stretch(5, 9.0)]
    assert (found.empty, found.rest) == (stretch(0), stretch(5))


def sample(minutes, log_bytes):
    return Churned(minutes * 60, minutes * 18_000, log_bytes, 81_920, 66_000_000, minutes * 3.6)


def test_largest_size_of_the_definitions_log_is_reported():
    found = [sample(minutes, 4_000_000 + (minutes == 7) * 2_500_000) for minutes in range(1, 13)]
    text = growth.churn_text(found, "Today.")
    assert text.startswith(
        "Today. 216,000 queues in 12 minutes, 300 a second, 200 us of CPU each; the log had 6.50 MB at most.\n\n"
    )
    assert [line.split(" | ")[0] for line in text.splitlines() if " min " in line] == [
        f"| {minutes} min" for minutes in (2, 4, 6, 8, 10, 12)
    ]
    assert "| 12 min | 216,000 | 4.00 MB | 0.08 MB | 66.00 MB |" in text


def test_definitions_are_changed_and_their_files_measured():
    found = list(churned(0.6, 50, 0.3))
    assert len(found) == 2
    assert 0 < found[0].declared <= found[1].declared
    assert found[1].log_bytes > 0
    assert found[1].database_bytes > 0


def test_step_is_skipped_if_too_few_files_may_be_open(monkeypatch, capsys):
    monkeypatch.setattr(growths, "allow_open_files", lambda wanted: False)
    assert list(growths.GROWTHS["connections"].measured(1.0)) == []
    assert "5,000 connections: left out, 5,200 files may not be open here" in capsys.readouterr().out


def test_small_growth_steps_are_measured(broker):
    running = Running("amqpbroker", "", broker.port, [broker.process.pid], 0.0, 0)
    assert growths.many_connections(running, 5, 0.1).rate > 100
    assert growths.many_bindings(running, 50, 0.1).rate > 100
