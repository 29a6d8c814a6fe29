import re

import pytest
from click.testing import CliRunner

import amqpbroker
from amqpbroker.cli.main import COMMANDS, main
from amqpbroker.compiled import how_it_runs


def run(*arguments):
    result = CliRunner().invoke(main, arguments)
    return result.exit_code, result.output


def test_version():
    assert run("--version") == (0, f"amqpbroker {amqpbroker.__version__} ({how_it_runs()})\n")


def test_help_lists_every_command():
    status, output = run("--help")
    assert status == 0
    for name, (doc, _) in COMMANDS.items():
        assert f"{name} " in output
        assert doc in output


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_help_that_starts_as_listed(name):
    status, output = run(name, "--help")
    assert status == 0
    assert re.search(rf"(main|amqpbroker) {name} \[OPTIONS\].*\n\n  {re.escape(COMMANDS[name].about[:60])}", output)


def test_serve_is_the_default_command():
    assert run("--set", "nonsense=1") == run("serve", "--set", "nonsense=1")


def test_unknown_command_is_an_error():
    status, output = run("sevre")
    assert status == 2
    assert "No such command 'sevre'" in output


def test_arguments_of_ctl_after_two_dashes_are_no_options():
    arguments = ["ctl", "--url", "http://localhost:1", "redrive_group", "orders", "--", "-1"]
    result = CliRunner().invoke(main, arguments)
    assert (result.exit_code, "Redriving group '-1' of queue 'orders'" in result.output) == (69, True), result.output
