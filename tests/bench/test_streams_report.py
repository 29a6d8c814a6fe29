"""The group of streams in the comparison with RabbitMQ, without brokers."""

import pytest

from conformance.errors import SetupError
from tests.bench import large_stream, page, side_by_side, streams_report
from tests.bench.brokers import Running
from tests.bench.client_processes import Measured
from tests.bench.large_stream import LargeStream
from tests.bench.report import Pair, Row

LARGE = LargeStream(50_000_000_000, 500.0, 81_400_000, 0.342, 47_000_000)
ROW = Row("stream", "publisher", Measured(47_989, 30.22, 300_000_000), Measured(539_391, 1.46, 80_000_000), 8)
TAIL = "stream-tail: age"


def last_lines(text, count):
    return text.splitlines()[-count:]


def test_report_has_a_row_for_each_figure():
    latencies = {f"{TAIL}, p50": Pair(0.31, 0.44), f"{TAIL}, p99": Pair(1.08, 2.03), f"{TAIL}, p99.9": Pair(4.45, 6.78)}
    lines = streams_report.text("2026-12-01, a machine", [ROW], latencies, LARGE).splitlines()
    assert lines[0] == "2026-12-01, a machine."
    assert "| stream: publisher | 47,989/s | 30.2 us | 300 MB | 539,391/s | 1.46 us | 80 MB | 11.2 | 8 | yes |" in lines
    first = lines.index(f"| {TAIL}, p50 | 0.31 ms | 0.44 ms |  |  |")
    assert lines[first + 1 : first + 3] == [
        f"| {TAIL}, p99 | 1.08 ms | 2.03 ms | under 5 ms | yes |",
        f"| {TAIL}, p99.9 | 4.45 ms | 6.78 ms |  |  |",
    ]
    assert lines[-5:] == [
        "| size of the stream | 50 GB |  |  |",
        "| published | 100 MB/s |  |  |",
        "| largest resident memory meanwhile | 81 MB | under 150 MB | yes |",
        "| start to the first client logged in | 0.34 s | at most 2 s | yes |",
        "| resident memory then | 47 MB |  |  |",
    ]


def test_figures_that_miss_their_target_are_marked():
    tail = {f"{TAIL}, p99": Pair(9.0, 5.0)}
    text = streams_report.text("", [], tail, LargeStream(1_000_000_000, 10.0, 150_000_000, 2.01, 47_000_000))
    assert f"| {TAIL}, p99 | 9.00 ms | 5.00 ms | under 5 ms | **no** |" in text
    assert "| 150 MB | under 150 MB | **no** |" in text
    assert "| 2.01 s | at most 2 s | **no** |" in text


def test_report_has_no_table_for_what_was_not_measured():
    assert "shape" not in streams_report.text("", [], {}, LARGE)
    assert "A large stream" not in streams_report.text("", [ROW], {}, None)


def test_report_has_columns_for_lavinmq_if_it_was_measured():
    assert "ratio to LavinMQ" in streams_report.text("", [ROW], {}, None, lavinmq=True)
    assert "LavinMQ" not in streams_report.text("", [ROW], {}, None)


@pytest.fixture
def bench(monkeypatch):
    """Replace the brokers and measurements of `make bench`. The value runs it, and returns what was written."""
    written = []
    brokers = [Running(name, "4.2", 1, [1], 0.0, 0) for name in ("RabbitMQ", "amqpbroker")]
    monkeypatch.setattr(page, "write", lambda *part: written.append(part))
    monkeypatch.setattr(side_by_side, "own_version", lambda: "0.1.0")
    monkeypatch.setattr(side_by_side.Starts, "start", lambda self, stack: brokers)
    monkeypatch.setattr(large_stream, "missing", lambda gb: "")
    monkeypatch.setattr(large_stream, "measure", lambda gb: LargeStream(int(gb * 1e9), 1.0, 1, 1.0, 1))

    def turn_about(brokers, given, run):
        latency = getattr(run, "__name__", "") == "run"
        result = {50.0: 1.0, 99.0: 2.0, 99.9: 3.0} if latency else {"": Measured(10.0, 1.0, 1)}
        return {broker.name: [result] for broker in brokers}

    monkeypatch.setattr(side_by_side, "turn_about", turn_about)

    def run(*arguments):
        side_by_side.run(side_by_side.options(list(arguments)))
        return written

    return run


def test_group_is_written_if_it_runs_alone(bench, capsys):
    ((part, text),) = bench("streams", "--gb", "3")
    assert part == "streams"
    for row in ("stream", "stream-read", "app-stream", "app-stream-read", "stream-tail"):
        assert f"\n| {row}: " in text
    assert "| size of the stream | 3 GB |" in text
    assert "RabbitMQ 4.2; amqpbroker 4.2" in text
    assert text in capsys.readouterr().out


def test_members_of_the_group_are_only_printed(bench, capsys):
    assert bench("stream-tail", "large-stream") == []
    out = capsys.readouterr().out
    assert "under 5 ms" in out
    assert "| size of the stream | 50 GB |" in out
    assert "| stream-read" not in out


def test_group_is_only_printed_if_nothing_is_to_be_written(bench):
    assert bench("streams", "--no-write") == []


def test_large_stream_alone_starts_no_other_broker(bench, monkeypatch, capsys):
    monkeypatch.delattr(side_by_side.Starts, "start")
    assert bench("large-stream") == []
    assert "amqpbroker 0.1.0" in capsys.readouterr().out


@pytest.mark.parametrize("arguments", [["streams"], ["large-stream"], []])
def test_nothing_is_measured_without_the_space_for_the_large_stream(bench, monkeypatch, arguments):
    monkeypatch.setattr(large_stream, "missing", lambda gb: f"{gb:g} GB do not fit")
    monkeypatch.delattr(side_by_side.Starts, "start")
    with pytest.raises(SetupError, match="50 GB do not fit"):
        bench(*arguments)


@pytest.mark.parametrize("gb", ["0", "-1", "nan", "many"])
def test_invalid_size_of_the_large_stream_is_refused(gb, capsys):
    with pytest.raises(SystemExit):
        side_by_side.options(["--gb", gb])
    assert "error: " in capsys.readouterr().err
