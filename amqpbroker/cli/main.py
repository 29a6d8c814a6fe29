"""The `amqpbroker` command. Each subcommand is in a module of its own, imported only when it runs."""

import importlib

import click
from click.shell_completion import CompletionItem

from amqpbroker import __version__
from amqpbroker.compiled import how_it_runs

#: Name -> description. The command is in the module of that name.
COMMANDS = {
    "serve": "Run the broker until SIGTERM or SIGINT.",
    "config": "Show the settings in force, or check a file of them.",
    "ping": "Check that a broker answers.",
    "ctl": "Administer a running broker with rabbitmqctl's commands.",
    "tail": "Show the messages of a queue or an exchange as they arrive.",
    "perf": "Put load on any AMQP 0-9-1 broker, and measure it.",
    "store": "Check a data directory, show its content, or copy it.",
}


class Commands(click.Group):
    """Imports a subcommand when it is used; without one, runs `serve`."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        command: click.Command = getattr(importlib.import_module(f"amqpbroker.cli.{cmd_name}"), cmd_name)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))

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
@click.version_option(f"{__version__} ({how_it_runs()})", message="amqpbroker %(version)s")
def main() -> None:
    """An AMQP 0-9-1 broker that RabbitMQ's clients connect to unchanged.

    Without a command it runs `serve`: `amqpbroker --port 5673` is `amqpbroker serve --port 5673`.
    """
