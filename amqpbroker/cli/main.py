"""The commands of `amqpbroker` that click reads, each in a module of its own that is imported when it runs."""

import importlib
from typing import NamedTuple

import click
from click.shell_completion import CompletionItem

from amqpbroker.cli.version import described


class Row(NamedTuple):
    """A command: what it does, and its module below `amqpbroker.cli`."""

    about: str
    module: str


COMMANDS = {
    "serve": Row("Run the broker until SIGTERM or SIGINT.", "serve"),
    "config": Row("Show the settings in force, or check a file of them.", "config"),
    "ping": Row("Check that a broker answers.", "ping"),
    "ctl": Row("Administer a running broker with rabbitmqctl's commands.", "ctl.click_command"),
    "tail": Row("Show the messages of a queue or an exchange as they arrive.", "tail"),
    "perf": Row("Put load on any AMQP 0-9-1 broker, and measure it.", "perf"),
    "store": Row("Check a data directory, show its content, or copy it.", "store"),
}


class Commands(click.Group):
    """Imports a subcommand when it is used; without one, runs `serve`."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        module = importlib.import_module(f"amqpbroker.cli.{COMMANDS[cmd_name].module}")
        command: click.Command = getattr(module, cmd_name)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, row.about) for name, row in COMMANDS.items()])

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        found = super().shell_complete(ctx, incomplete)
        serve = self.get_command(ctx, "serve")
        if incomplete.startswith("-") and serve is not None:
            names = {item.value for item in found}
            flags = serve.shell_complete(click.Context(serve, parent=ctx), incomplete)
            found += [item for item in flags if item.value not in names]
        return found

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        if not args and ctx.resilient_parsing:  # a shell completes the command line
            return super().parse_args(ctx, args)
        if not args or (args[0].startswith("-") and args[0] not in ("--version", "--help", "-h")):
            args = ["serve", *args]
        return super().parse_args(ctx, args)


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option("", message=described())
def main() -> None:
    """An AMQP 0-9-1 broker that RabbitMQ's clients connect to unchanged.

    Without a command it runs `serve`: `amqpbroker --port 5673` is `amqpbroker serve --port 5673`.
    """
