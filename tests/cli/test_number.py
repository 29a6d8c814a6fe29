"""Numbers on the command line: each has limits, which errors name."""

import click
import pytest
from click.testing import CliRunner

from amqpbroker.cli.main import COMMANDS, main
from amqpbroker.cli.number import Number


@pytest.mark.parametrize(("text", "value"), [("0", 0), ("5", 5), ("1000", 1000)])
def test_whole_number_in_range_is_parsed(text, value):
    assert Number(0, 1000).parse(text) == value


@pytest.mark.parametrize("text", ["", "x", "-1", "1001", "5.5", "nan", "1e2", "9" * 5000])
def test_whole_numbers_out_of_range_are_refused(text):
    with pytest.raises(ValueError, match=r"is not a whole number from 0 to 1,000$"):
        Number(0, 1000).parse(text)


@pytest.mark.parametrize(("text", "value"), [("0.000001", 1e-6), ("5", 5.0), ("1e9", 1e9)])
def test_numbers_in_range_are_parsed(text, value):
    assert Number(0.000_001, 1e9).parse(text) == value


@pytest.mark.parametrize("text", ["", "x", "-1", "0", "nan", "inf", "-inf", "1e999", "1e10"])
def test_numbers_out_of_range_are_refused(text):
    with pytest.raises(ValueError, match=r"is not a number from 0\.000001 to 1,000,000,000$"):
        Number(0.000_001, 1e9).parse(text)


def test_errors_repeat_at_most_30_characters():
    with pytest.raises(ValueError, match=r"^'9{30}\.\.\.' is not"):
        Number(0, 1000).parse("9" * 5000)


def parameters(command, *path):
    """Yield (path, parameter) of all commands below."""
    if isinstance(command, click.Group):
        for name, each in command.commands.items():
            yield from parameters(each, *path, name)
    else:
        yield from ((path, parameter) for parameter in command.params)


ALL = [(path, parameter) for name in COMMANDS for path, parameter in parameters(main.get_command(None, name), name)]
NUMBERS = [(path, parameter) for path, parameter in ALL if isinstance(parameter.type, Number)]


def test_all_numeric_parameters_have_limits():
    others = (click.types.IntParamType, click.types.FloatParamType)
    assert [f"{path} {parameter.name}" for path, parameter in ALL if isinstance(parameter.type, others)] == []
    assert {path[0] for path, _ in NUMBERS} == {"serve", "config", "ping", "tail", "perf"}


@pytest.mark.parametrize(("path", "parameter"), NUMBERS, ids=lambda part: getattr(part, "name", None))
def test_each_number_error_has_the_accepted_range(path, parameter):
    for text in ("nan", "inf", "-1", "1e999", "9" * 400):
        outcome = CliRunner().invoke(main, [*path, parameter.opts[-1], text])
        assert outcome.exit_code == 2
        assert "number from" in outcome.output.replace("\n", " ")
