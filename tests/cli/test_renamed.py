"""Renamed options: every command names the broker with --url, and earlier names are accepted."""

import click
import pytest
from click.shell_completion import ShellComplete
from click.testing import CliRunner

from amqpbroker.cli.main import main
from amqpbroker.cli.renamed import Renamed


@click.command()
@click.option("-h", "--url", cls=Renamed, before=("--uri",))
def example(url):
    click.echo(url)


@pytest.mark.parametrize("name", ["-h", "--url", "--uri"])
def test_renamed_option_is_accepted_by_each_of_its_names(name):
    assert CliRunner().invoke(example, [name, "amqp://"]).output == "amqp://\n"


def test_help_shows_only_the_new_name_of_a_renamed_option():
    help_text = CliRunner().invoke(example, ["--help"]).output
    assert "-h, --url TEXT" in help_text
    assert "--uri" not in help_text


@pytest.mark.parametrize(
    "command", [("ping",), ("tail",), ("ctl",), ("perf", "throughput"), ("perf", "latency"), ("perf", "queue-churn")]
)
def test_every_command_names_the_broker_with_url(command):
    text = CliRunner().invoke(main, [*command, "--help"]).output
    assert "--url" in text
    assert "--uri" not in text


def complete(*words):
    """Return the words that complete the last one."""
    *before, last = words
    return [item.value for item in ShellComplete(main, {}, "amqpbroker", "_C").get_completions(before, last)]


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (("",), ["serve", "config", "ping", "ctl", "tail", "perf", "store"]),
        (("pe",), ["perf"]),
        (("--log-",), ["--log-level"]),
        (("--vers",), ["--version"]),
        (("serve", "--log-level", "warn"), ["warning"]),
        (("--port", "0", "--data"), ["--data-dir"]),
        (("perf", "queue-c"), ["queue-churn", "queue-count"]),
        (("perf", "throughput", "--ur"), ["--url"]),
        (("perf", "throughput", "--uri"), []),
        (("ctl", "list_q"), ["list_queues"]),
        (("ctl", "list_queues", "messages_un"), ["messages_unacknowledged", "messages_unacknowledged_ram"]),
    ],
)
def test_shell_completion_suggests_commands_options_and_values(words, expected):
    assert complete(*words) == expected
