"""`amqpbroker ctl` as a command of click, for the completion of the shell. `ctl.run` parses the command line."""

import sys

import click

from amqpbroker.cli.ctl.run import completions, run


def _completions(context: click.Context, parameter: click.Parameter, incomplete: str) -> list[str]:
    """Return the commands, options and columns that may follow on the command line."""
    return completions(list(context.params.get("arguments") or ()), incomplete)


class _Unparsed(click.Command):
    """A command that gets all its arguments as they are, also `--`."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        return super().parse_args(ctx, args if ctx.resilient_parsing else ["--", *args])


@click.command(
    cls=_Unparsed,
    context_settings={"ignore_unknown_options": True, "allow_extra_args": True, "help_option_names": []},
    add_help_option=False,
)
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED, shell_complete=_completions)
def ctl(arguments: tuple[str, ...]) -> None:
    """Administer a running broker with rabbitmqctl's commands."""
    sys.exit(run(list(arguments)))
