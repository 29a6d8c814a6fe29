import pytest

from amqpbroker.cli.perf.moment import Moment
from amqpbroker.cli.perf.progress import Bar, Lines, Manner, Silent, progress


def test_who_is_shown_what(monkeypatch):
    assert isinstance(progress(1, Manner()), Lines)
    assert isinstance(progress(1, Manner(as_json=True)), Silent)
    assert isinstance(progress(1, Manner(quiet=True)), Silent)
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    assert isinstance(progress(1, Manner(as_json=True)), Bar)
    assert isinstance(progress(1, Manner(quiet=True)), Silent)


def test_lines(capsys):
    with Lines() as shown:
        shown.show(Moment(1.0, rates={"published": 5}))
        shown.note("the broker blocks publishers: low on [memory]")
    assert capsys.readouterr() == ("", "  1.0 s  published 5/s\nthe broker blocks publishers: low on [memory]\n")


@pytest.mark.parametrize("seconds", [10.0, None])
def test_a_bar_leaves_what_is_to_be_read(capsys, seconds):
    with Bar(seconds) as shown:
        shown.show(Moment(1.0, rates={"published": 5}))
        shown.note("the broker blocks publishers: low on [memory]")
    said = capsys.readouterr()
    assert "the broker blocks publishers: low on [memory]" in said.err
    assert said.out == ""
