import json

import pytest

from amqpbroker.cli.ctl.command import Rows
from amqpbroker.cli.ctl.commands import COMMANDS
from amqpbroker.cli.ctl.failure import CtlError
from amqpbroker.cli.ctl.output import show, shown

ROWS = Rows(["name", "n", "more"], [["a", 1, {"x": "y"}], ["b\tc", 2, ["t", "u"]]])


def test_a_table_is_tab_separated(capsys):
    show(ROWS, "table")
    assert capsys.readouterr().out == 'name\tn\tmore\na\t1\t[{"x","y"}]\nb\\x09c\t2\t[t, u]\n'
    show(ROWS, "table", headers=False)
    assert capsys.readouterr().out.startswith("a\t1")


def test_without_a_terminal_the_table_is_plain(capsys):
    show(ROWS, None)
    assert capsys.readouterr().out.startswith("name\tn\tmore\n")


def test_empty_table_prints_nothing(capsys):
    show(Rows(["name"], []), "table")
    assert capsys.readouterr().out == ""


def test_json(capsys):
    show(ROWS, "json")
    assert json.loads(capsys.readouterr().out)[1] == {"name": "b\tc", "n": 2, "more": ["t", "u"]}
    show(Rows(["name"], []), "json")
    assert json.loads(capsys.readouterr().out) == []


def test_json_stream_has_one_row_per_line(capsys):
    show(ROWS, "json_stream")
    assert [json.loads(line)["n"] for line in capsys.readouterr().out.splitlines()] == [1, 2]


def test_csv_output_has_a_header_and_quoted_values(capsys):
    show(ROWS, "csv")
    assert capsys.readouterr().out.splitlines()[:2] == ["name,n,more", 'a,1,"[{""x"",""y""}]"']


def test_a_pretty_table_has_all_values(capsys):
    show(ROWS, "pretty_table")
    out = capsys.readouterr().out
    assert all(word in out for word in ("name", "more", "[t, u]"))


def test_a_pretty_table_that_is_far_too_wide_is_shown_row_by_row(capsys):
    columns = [f"a_column_of_number_{number}" for number in range(30)]
    show(Rows(columns, [list(range(30)), list(range(30))]), "pretty_table")
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[1::2] for line in lines if "number_7 " in line] == [["a_column_of_number_7", "7"]] * 2


def test_text_as_json_is_a_string(capsys):
    show("Ping succeeded", "json")
    assert json.loads(capsys.readouterr().out) == "Ping succeeded"


def test_unknown_formatter_is_an_error():
    with pytest.raises(CtlError, match="there is no formatter xml"):
        show(ROWS, "xml")


def test_values_have_no_control_characters():
    assert shown("\x1b[31mred\n") == "\\x1b[31mred\\x0a"


@pytest.mark.parametrize(
    ("value", "text"),
    [(None, ""), (True, "true"), (False, "false"), (1.5, "1.5"), ([1, "x"], '[1,"x"]'), ([], "[]"), ({}, "[]")],
)
def test_ctl_prints_values_as_text(value, text):
    assert shown(value) == text


@pytest.fixture
def on_80_columns(monkeypatch, capsys):
    """Return a function that shows rows on a terminal of 80 columns, and returns the lines."""
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("TERM", "dumb")

    def run(rows):
        monkeypatch.setattr("sys.stdout.isatty", lambda: True, raising=False)
        show(rows, None)
        return capsys.readouterr().out.splitlines()

    return run


def test_a_table_that_fits_80_columns_is_shown_as_it_is(on_80_columns):
    lines = on_80_columns(Rows(["name", "messages_ready"], [["orders", 1]]))
    assert any("messages_ready" in line for line in lines)


def test_a_table_that_is_wider_has_folded_heads_and_texts_and_whole_numbers(on_80_columns):
    columns = ["name", "messages_ready", "messages_unacknowledged", "consumers", "state"]
    lines = on_80_columns(Rows(columns, [["q" * 70, 12, 345, 6, "running"], ["other", 1_234_567, 0, 0, "running"]]))
    assert max(map(len, lines)) <= 80
    text = "\n".join(lines)
    assert text.count("q") == 70
    assert ["name", "ready", "unacknowledged", "consumers", "state"] in [line.split() for line in lines]
    assert ["other", "1234567", "0", "0", "running"] in [line.split() for line in lines]


def test_a_table_whose_columns_do_not_fit_is_shown_row_by_row(on_80_columns):
    columns = [f"a_column_{number}" for number in range(20)]
    lines = on_80_columns(Rows(columns, [["x" * 100, *range(19)]]))
    assert max(map(len, lines)) <= 80
    assert "\n".join(lines).count("x") == 100
    assert ["a_column_19", "18"] in [line.strip("│ ").replace("│", " ").split() for line in lines]


@pytest.mark.parametrize("name", [name for name, command in COMMANDS.items() if command.columns])
def test_default_columns_of_every_list_fit_80_columns(on_80_columns, name):
    columns = list(COMMANDS[name].default_columns)
    numbers = ("messages", "consumer_count", "prefetch", "peer_port")
    row = [1 if column.startswith(numbers) else "text" for column in columns]
    lines = on_80_columns(Rows(columns, [row]))
    assert max(map(len, lines)) <= 80
    assert len([line for line in lines if "text" in line]) == 1
