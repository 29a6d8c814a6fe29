import pytest

from amqpbroker.cli.perf.latencies import Latencies
from amqpbroker.cli.perf.progress import Bar, Lines, Manner, Silent, described, progress


def test_what_is_shown():
    latencies = Latencies()
    latencies.add([1_000_000] * 99 + [2_000_000])
    assert described({"connections": 1234}, {}, {}) == "connections 1,234"
    assert (
        described({}, {"published": 1234.5, "consumed": 0}, {"message": latencies, "confirm": Latencies()})
        == "published 1,234/s  consumed 0/s  message latency p50 1.00 ms, p99 1.00 ms"
    )


def test_who_is_shown_what(monkeypatch):
    assert isinstance(progress(1, Manner()), Lines)
    assert isinstance(progress(1, Manner(as_json=True)), Silent)
    assert isinstance(progress(1, Manner(quiet=True)), Silent)
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    assert isinstance(progress(1, Manner(as_json=True)), Bar)
    assert isinstance(progress(1, Manner(quiet=True)), Silent)


def test_lines(capsys):
    with Lines() as shown:
        shown.show(1.0, "published 5/s")
        shown.note("the broker blocks publishers: low on [memory]")
    assert capsys.readouterr() == ("", "  1.0 s  published 5/s\nthe broker blocks publishers: low on [memory]\n")


@pytest.mark.parametrize("seconds", [10.0, None])
def test_a_bar_leaves_what_is_to_be_read(capsys, seconds):
    with Bar(seconds) as shown:
        shown.show(1.0, "published 5/s")
        shown.note("the broker blocks publishers: low on [memory]")
    said = capsys.readouterr()
    assert "the broker blocks publishers: low on [memory]" in said.err
    assert said.out == ""
