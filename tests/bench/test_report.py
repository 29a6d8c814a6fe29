"""The tables of the comparison with RabbitMQ."""

from tests.bench import report
from tests.bench.client_processes import Measured
from tests.bench.report import Pair, Row


def row(ratio, target):
    return Row(
        "transient", "16 B", Measured(70_000.4, 15.25, 136_000_000), Measured(70_000.4 * ratio, 1.234, 0), target
    )


def test_report_row_shows_both_brokers_their_ratio_and_the_target():
    line = report.rates([row(8.04, 18)]).splitlines()[2]
    assert line == (
        "| transient: 16 B | 70,000/s | 15.2 us | 136 MB | 562,803/s | 1.23 us | 0 MB | 8.04 | 18 | **no** |"
    )


def test_target_is_met_by_a_ratio_equal_to_it():
    assert [report.rates([row(ratio, 8)]).endswith("| yes |\n") for ratio in (7.99, 8, 8.1)] == [False, True, True]


def test_report_row_without_a_target_has_no_verdict():
    assert report.rates([row(8, None)]).endswith("| 8.00 |  |  |\n")


def verdicts(text):
    return [line.split(" | ")[-1].rstrip(" |") for line in text.splitlines()[2:]]


def test_targets_for_start_memory_latency_and_cpu_get_verdicts():
    good = report.others(
        Pair(3.0, 0.3),
        Pair(1.2e8, 5.9e7),
        {"lat p50": Pair(0.2, 0.1)},
        {"transient": Pair(15, 0.8), "app-transient": Pair(30, 1.2)},
    )
    assert verdicts(good) == ["yes"] * 5
    bad = report.others(
        Pair(3.0, 0.31),
        Pair(1.2e8, 6e7),
        {"lat p99": Pair(0.2, 0.21)},
        {"transient": Pair(15, 0.81), "app-transient": Pair(30, 1.21)},
    )
    assert verdicts(bad) == ["**no**"] * 5


def test_p99_9_is_shown_without_a_verdict():
    text = report.others(Pair(3.0, 0.3), Pair(1.0, 1.0), {"lat p99.9": Pair(1.0, 2.0)}, {})
    assert text.splitlines()[-1] == "| lat p99.9 | 1.00 ms | 2.00 ms |  |  |"


def test_unsupported_shape_has_no_figures_and_no_ratio():
    line = report.rates([Row("app-delayed", "delays", None, Measured(10, 2, 3_000_000), 4)]).splitlines()[2]
    assert line == "| app-delayed: delays | cannot |  |  | 10/s | 2.00 us | 3 MB |  | 4 |  |"


def test_lavinmq_has_columns_if_it_was_measured():
    theirs, ours, lavinmq = Measured(100, 10, 0), Measured(800, 1, 0), Measured(400, 2, 5_000_000)
    rows = [Row("a", "b", theirs, ours, None, lavinmq), Row("c", "d", theirs, ours)]
    lines = report.rates(rows, lavinmq=True).splitlines()
    assert lines[0].endswith("| met | LavinMQ | CPU | memory | ratio to LavinMQ |")
    assert lines[2].endswith("| 8.00 |  |  | 400/s | 2.00 us | 5 MB | 2.00 |")
    assert lines[3].endswith("| 8.00 |  |  | cannot |  |  |  |")
    assert "LavinMQ" not in report.rates(rows)
    text = report.others(Pair(3.0, 0.3, 0.5), Pair(1e8, 1e7, 2e7), {}, {"transient": Pair(15, 0.5)})
    assert [line.split(" | ")[-1].rstrip(" |") for line in text.splitlines()[2:]] == ["0.50 s", "20 MB", ""]


def test_results_show_rates_and_figures_of_which_less_is_better():
    figures = Measured(10.0, 1.0, 1), Measured(25.0, 1.0, 1)
    rows = [Row("app-acks", "what", *figures), Row("transient", "16 B", *figures), Row("app-tls", "", None, figures[1])]
    latencies = {"lat: transient, 2,000/s, p99": Pair(2.0, 0.5), "lat: transient, 2,000/s, p50": Pair(1.0, 1.0)}
    assert report.results(rows, Pair(4.0, 0.25), Pair(1.2e8, 3e7), latencies).splitlines()[2:] == [
        "| Transient messages, each acknowledged | 10/s | 25/s | 2.50 |",
        "| Latency of a repeated message, 2,000/s, p99 | 2.00 ms | 0.50 ms | 4.00 |",
        "| Startup time | 4.00 s | 0.25 s | 16.0 |",
        "| Memory without load | 120 MB | 30 MB | 4.00 |",
    ]
