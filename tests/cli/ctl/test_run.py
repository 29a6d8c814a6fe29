import importlib

import pytest

from amqpbroker.cli.ctl import commands
from amqpbroker.cli.ctl.commands import COMMANDS, MODULES
from amqpbroker.cli.ctl.failure import UsageError
from amqpbroker.cli.ctl.run import completions, parse, run


def test_ctl_options_can_stand_before_and_after_the_command():
    line = parse(["-q", "list_queues", "-p", "v1", "name", "--formatter", "json", "messages", "--timeout=5"])
    assert (line.command, line.words) == ("list_queues", ["name", "messages"])
    assert line.options == {"quiet": "", "vhost": "v1", "formatter": "json", "timeout": "5"}


def test_a_command_has_options_of_its_own():
    line = parse(["set_policy", "--apply-to", "queues", "p", ".*", "{}", "--priority=3"])
    assert line.words == ["p", ".*", "{}"]
    assert line.options == {"apply-to": "queues", "priority": "3"}


def test_all_words_after_two_dashes_are_arguments():
    assert parse(["change_password", "u", "--", "-secret"]).words == ["u", "-secret"]


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["list_queues", "--nope"], "Invalid options for this command: --nope"),
        (["list_queues", "--apply-to", "x"], "Invalid options for this command: --apply-to"),
        (["list_queues", "-p"], "-p needs a value"),
    ],
)
def test_wrong_options_of_a_ctl_command_are_an_error(arguments, text):
    with pytest.raises(UsageError, match=text):
        parse(arguments)


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["lst_queues"], "Command 'lst_queues' not found. Did you mean 'list_queues'?"),
        (["add_user"], "not enough arguments."),
        (["delete_user", "a", "b"], "too many arguments."),
        (["ping", "--timeout", "x"], "--timeout: 'x' is not a number from 0 to 2,000,000 (seconds)"),
    ],
)
def test_wrong_ctl_command_line_exits_with_64_and_an_error(arguments, text, capsys):
    assert run(arguments) == 64
    assert f"Error (argument validation): {text}" in capsys.readouterr().err


def test_usage_of_the_command_follows_an_argument_error(capsys):
    run(["add_user"])
    assert "Usage\n\namqpbroker ctl [OPTIONS] add_user <username> [<password>]" in capsys.readouterr().err


def test_ctl_help_lists_commands_and_describes_each(capsys):
    assert run(["help"]) == 0
    assert "   list_queues " in capsys.readouterr().out
    assert run(["help", "purge_queue"]) == 0
    assert "purge_queue <queue>" in capsys.readouterr().out


def test_ctl_exits_with_69_if_no_broker_answers(capsys):
    assert run(["ping", "--url", "http://127.0.0.1:1"]) == 69
    assert "unable to perform an operation on the broker at http://127.0.0.1:1" in capsys.readouterr().err


def test_a_url_of_another_scheme_is_refused(capsys):
    assert run(["ping", "--url", "amqp://x"]) == 69
    assert "http://[USER:PASSWORD@]HOST:PORT" in capsys.readouterr().err


def test_ctl_exits_with_69_if_no_broker_runs_on_the_data_directory(tmp_path, capsys):
    assert run(["ping", "--data-dir", str(tmp_path)]) == 69
    assert f"no broker runs on {tmp_path}" in capsys.readouterr().err


def test_the_help_of_a_list_names_its_columns(capsys):
    assert run(["list_queues", "--help"]) == 0
    out = capsys.readouterr().out
    assert "Columns that are shown if none is named:\n\n   name, messages\n" in out
    assert all(column in out for column in ("messages_unacknowledged", "consumers", "policy"))
    assert run(["add_user", "--help"]) == 0
    assert "olumns" not in capsys.readouterr().out


@pytest.mark.parametrize("name", ["", *COMMANDS])
def test_help_fits_80_columns(name, capsys):
    assert run(["help", name] if name else ["--help"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line for line in lines if len(line) > 80 and not line.startswith("amqpbroker ctl")] == []


@pytest.mark.parametrize(
    ("before", "incomplete", "words"),
    [
        ([], "list_q", ["list_queues"]),
        (["-p", "v"], "purge", ["purge_queue"]),
        (["list_queues"], "messages_u", ["messages_unacknowledged", "messages_unacknowledged_ram"]),
        (["list_queues", "consumers"], "consumers", []),
        ([], "--ur", ["--url"]),
        ([], "--nod", []),
        (["set_policy"], "--app", ["--apply-to"]),
        (["add_user"], "x", []),
    ],
)
def test_shell_completion_suggests_words_of_ctl_commands(before, incomplete, words):
    assert completions(before, incomplete) == words


def test_table_of_commands_names_all_commands_of_its_modules():
    listed = {(module, name) for name, module in MODULES.items()}
    modules = {module: importlib.import_module(f"{commands.__name__}.{module}") for module in MODULES.values()}
    assert listed == {(name, command.name) for name, module in modules.items() for command in module.COMMANDS}
    assert [command.name for command in COMMANDS.values()] == list(MODULES)
    assert len(COMMANDS) == len(MODULES)
