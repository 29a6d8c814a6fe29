"""Axes: their text, and a short run of each kind of load."""

import pytest

from tests.bench import axes_report, growth, page
from tests.bench.axes import AXES, dearest
from tests.bench.brokers import Running
from tests.bench.client_processes import Measured

FOUND = {
    1: {"direct": Measured(10, 0.5, 0), "topic": Measured(10, 0.2, 0)},
    10: {"direct": Measured(10, 0.25, 0), "topic": Measured(10, 0.3, 0)},
    100: {"direct": Measured(10, 0.3, 0), "topic": Measured(10, 0.25, 0)},
}


@pytest.mark.parametrize(
    ("costs", "factor"),
    [([1.0], 1.0), ([3.0, 2.0, 1.0], 1.0), ([1.0, 2.0, 1.5], 2.0), ([4.0, 1.0, 3.0], 3.0), ([2.0, 5.0, 1.0], 2.5)],
)
def test_largest_rise_is_from_any_step_to_a_later_one(costs, factor):
    assert dearest(costs) == factor


def test_growth_report_has_a_column_and_a_factor_for_each_kind():
    text = axes_report.text("keys", FOUND, "Today.")
    assert "any step to a later step: direct: x1.20, topic: x1.50.\n\n" in text
    assert "| routing keys in turn | CPU, direct | CPU, topic |" in text
    assert "| 100 | 0.30 us | 0.25 us |" in text
    assert text.endswith("<!-- chart: keys -->")


def test_growth_report_with_a_single_kind_omits_its_name():
    text = axes_report.text("spread", {0: {"": Measured(1, 1.0, 0)}, 2: {"": Measured(1, 2.0, 0)}}, "Today.")
    assert "later step: x2.00.\n\n| bytes between the smallest and the largest body | CPU |" in text


def test_performance_page_has_a_section_for_each_growth_measurement():
    text = page.PAGE.read_text()
    for name in growth.NAMES:
        assert f"<!-- growth: {name}: begin -->" in text


@pytest.mark.parametrize("name", AXES)
def test_a_step_of_each_kind_is_measured(name, broker):
    http = broker.port_of("http")
    running = Running("amqpbroker", "", broker.port, [broker.process.pid], 0.0, 0, management_port=http)
    axis = AXES[name]
    for run in axis.kinds.values():
        assert run(running, axis.steps[1], 0.05).rate > 100


def test_growth_writes_its_results_to_the_page(monkeypatch, tmp_path, capsys):
    copy = tmp_path / "performance.md"
    copy.write_text(page.PAGE.read_text())
    monkeypatch.setattr(page, "write", lambda name, text: copy.write_text(page.replaced(copy.read_text(), name, text)))
    monkeypatch.setattr(axes_report, "measured", lambda name, seconds, rounds: FOUND)
    monkeypatch.setattr(growth, "own_version", lambda: "1.0")
    monkeypatch.setattr(growth, "exit_on_sigterm", lambda: None)
    monkeypatch.setattr("sys.argv", ["growth", "keys"])
    growth.main()
    assert "| 100 | 0.30 us | 0.25 us |\n\n<!-- chart: keys -->\n<!-- growth: keys: end -->" in copy.read_text()


def test_all_results_of_a_run_show_the_load_average_before_it_started(monkeypatch, capsys):
    loads = iter((0.25, 2.0, 3.0))
    monkeypatch.setattr(page.os, "getloadavg", lambda: (next(loads), 0.0, 0.0))
    monkeypatch.setattr(axes_report, "measured", lambda name, seconds, rounds: FOUND)
    monkeypatch.setattr(growth, "own_version", lambda: "1.0")
    monkeypatch.setattr(growth, "exit_on_sigterm", lambda: None)
    monkeypatch.setattr("sys.argv", ["growth", "--no-write", "keys", "keys"])
    growth.main()
    printed = capsys.readouterr().out
    assert printed.count("load average before the run 0.2.") == 2
    assert "not a quiet machine" not in printed
