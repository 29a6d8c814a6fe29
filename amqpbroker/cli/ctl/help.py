"""The help of ctl: of all commands, and of each."""

import difflib
from textwrap import wrap

from amqpbroker.cli.ctl.command import Command
from amqpbroker.cli.ctl.commands import COMMANDS

HELP = """\
Usage: amqpbroker ctl [OPTIONS] COMMAND [ARGUMENTS]

  Administer a running broker with rabbitmqctl's commands. `amqpbroker ctl help
  COMMAND` shows a command's arguments and columns.

  -p, --vhost NAME        Virtual host; / if not given.
  --formatter NAME        table, pretty_table, json, json_stream or csv.
  -q, --quiet             Print only results, without the banner.
  -s, --silent            Print only results, without banner and table head.
  --no-table-headers      Print tables without their head.
  -t, --timeout SECONDS   Time limit; 60 if not given.
  --url URL               Management API: http://[USER:PASSWORD@]HOST:PORT; or
                          set AMQPBROKER_URL.
  --username NAME         User name, with --url.
  --password PASSWORD     Password, with --url.
  --cacertfile FILE       Trusted certificates, with https.
  --data-dir DIR          Use the broker that owns this data directory.

Arguments after -- are no options, so `ctl redrive_group orders -- -1` redrives
the group with the key -1.

Without --url and --data-dir, the broker of your own data directory is used, or
else the one on port 15672 of this machine.
"""

#: Width of the help, as click has it.
_HELP_WIDTH = 80


def text_of(name: str) -> str:
    """Return the help of a command, or of all commands if the name is empty."""
    command = COMMANDS.get(name)
    if command is not None:
        return "\n".join([f"Usage\n\n{command.usage}\n", *wrap(command.about, _HELP_WIDTH), *_columns(command)])
    if name:
        return unknown(name)
    groups: dict[str, list[Command]] = {}
    for each in COMMANDS.values():
        groups.setdefault(each.group, []).append(each)
    lines = [HELP]
    for group, commands in groups.items():
        lines.append(f"{group}:\n")
        lines += [line for each in commands for line in _aligned(f"   {each.name}", each.about, 38)]
        lines.append("")
    return "\n".join(lines)


def _columns(command: Command) -> list[str]:
    """Return the lines that name the columns of a list."""
    if not command.columns:
        return []
    lines = []
    for title, names in (
        ("Columns that are shown if none is named", command.default_columns),
        ("All columns", command.columns),
    ):
        lines += [
            "",
            f"{title}:",
            "",
            *wrap(", ".join(names), _HELP_WIDTH, initial_indent="   ", subsequent_indent="   "),
        ]
    return lines


def _aligned(name: str, text: str, column: int) -> list[str]:
    """Return a name with its text in a column of its own."""
    lines = wrap(text, _HELP_WIDTH - column) or [""]
    return [f"{name:<{column - 1}} {lines[0]}", *(" " * column + line for line in lines[1:])]


def unknown(name: str) -> str:
    """Return the error of a command that does not exist."""
    near = difflib.get_close_matches(name, COMMANDS, 1)
    return f"Command '{name}' not found." + (
        f" Did you mean '{near[0]}'?" if near else " `amqpbroker ctl help` lists the commands."
    )
