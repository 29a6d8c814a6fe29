"""The tables of a restart and of the management UI."""

from tests.bench.brokers import OURS, THEIRS
from tests.bench.operation import MEASUREMENTS, management_text, restart_text
from tests.bench.refreshes import Refreshed
from tests.bench.restart import Restarted
from tests.bench.side_by_side import HIGH_AVAILABILITY, NAMES, STREAMS


def test_restart_report_has_a_line_for_each_figure():
    text = restart_text(
        {
            OURS: Restarted(1.0, 1.25, 1.5, 20.04, 30, 1.35, 80_000_000),
            THEIRS: Restarted(6.0, 6.25, 6.5, 120, 130, 5.5, 270_000_000),
        }
    )
    assert "300,000 persistent messages of an application in 200 durable queues" in text
    lines = text.splitlines()[-7:]
    assert lines[0] == "| start to the first client logged in | 6.00 s | 1.00 s |"
    assert lines[3] == "| confirms until 2 s later, p99 | 120.0 ms | 20.0 ms |"
    assert lines[6] == "| memory of the broker then | 270 MB | 80 MB |"


def test_management_report_has_a_line_for_each_kind_of_refresh():
    theirs = {"nothing": Refreshed(0.0, 9_000, 18, 110), "page": Refreshed(1480, 8_000, 20, 120)}
    ours = {"nothing": Refreshed(0.0, 160_000, 0.5, 5), "page": Refreshed(16.7, 150_000, 0.6, 8)}
    lines = management_text({THEIRS: theirs, OURS: ours}).splitlines()[-2:]
    assert lines[0] == "| nothing |  | 9,000/s | 18.0 ms | 110 ms |  | 160,000/s | 0.5 ms | 5 ms |"
    assert lines[1].startswith("| page | 1,480 ms | 8,000/s |")
    assert "| 17 ms | 150,000/s | 0.6 ms | 8 ms |" in lines[1]


def test_groups_are_measured_after_the_shapes():
    assert NAMES[-4:] == [*MEASUREMENTS, HIGH_AVAILABILITY, STREAMS]
    assert [*MEASUREMENTS, HIGH_AVAILABILITY, STREAMS] == ["restart", "management", "high-availability", "streams"]
