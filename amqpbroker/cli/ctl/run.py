"""From a command line to its exit status."""

import sys
from functools import partial
from typing import NamedTuple

from amqpbroker import __version__
from amqpbroker.cli.ctl.api import find
from amqpbroker.cli.ctl.command import Call, Command
from amqpbroker.cli.ctl.commands import COMMANDS
from amqpbroker.cli.ctl.failure import USAGE, CtlError, UsageError
from amqpbroker.cli.ctl.output import show
from amqpbroker.cli.number import SECONDS

DEFAULT_TIMEOUT_S = 60.0

#: Options of every command -> whether they have a value. Those that mean nothing here are taken all the same.
OPTIONS = {
    "vhost": True,
    "formatter": True,
    "quiet": False,
    "silent": False,
    "no-table-headers": False,
    "timeout": True,
    "url": True,
    "username": True,
    "password": True,
    "data-dir": True,
    "cacertfile": True,
    "node": True,
    "longnames": False,
    "erlang-cookie": True,
    "dry-run": False,
    "help": False,
    "version": False,
}
SHORT = {"p": "vhost", "q": "quiet", "s": "silent", "t": "timeout", "n": "node", "l": "longnames", "h": "help"}

HELP = """\
Usage: amqpbroker ctl [OPTIONS] COMMAND [ARGUMENTS]

  Administer a running broker with rabbitmqctl's commands.

  -p, --vhost NAME          The virtual host; / if not given.
  --formatter NAME          table, pretty_table, json, json_stream or csv.
  -q, --quiet               Only results. -s, --silent: without the table's head, too.
  -t, --timeout SECONDS     How long it may take.
  --url URL                 http://[USER:PASSWORD@]HOST:PORT of the management API (or AMQPBROKER_URL).
  --username, --password    Who asks, with --url.
  --cacertfile FILE         Whose certificates are trusted, with https.
  --data-dir DIR            Reach the broker that owns this data directory, as its owner.

Without --url and --data-dir it is the broker of your own data directory, else the one on port 15672.
"""


class Line(NamedTuple):
    """A command line taken apart. command: "" if there is none."""

    command: str
    words: list[str]
    options: dict[str, str]


def parse(arguments: list[str]) -> Line:
    """Raises UsageError for an option that nobody has, or that lacks its value."""
    words: list[str] = []
    options: dict[str, str] = {}
    known = dict(OPTIONS)
    for name in arguments:
        if name in COMMANDS:
            known |= COMMANDS[name].options
            break
    rest = iter(arguments)
    for word in rest:
        if word == "--":
            words += rest
            break
        if not word.startswith("-") or word == "-":
            words.append(word)
            continue
        name, equals, value = word.lstrip("-").replace("_", "-").partition("=")
        if equals:
            value = word.partition("=")[2]
        name = SHORT.get(name, name) if not word.startswith("--") else name
        if name not in known:
            raise UsageError(f"Invalid options for this command: {word}")
        if known[name] and not equals:
            try:
                value = next(rest)
            except StopIteration:
                raise UsageError(f"{word} needs a value") from None
        options[name] = value
    return Line(words[0] if words else "", words[1:], options)


def run(arguments: list[str]) -> int:
    """Do what the command line says; returns the exit status."""
    command: Command | None = None
    try:
        line = parse(arguments)
        if "version" in line.options or line.command == "version":
            print(__version__)  # noqa: T201
            return 0
        if not line.command or line.command == "help" or "help" in line.options:
            name = (line.words[0] if line.words else "") if line.command == "help" else line.command
            print(_help(name))  # noqa: T201
            return 0 if line.command or "help" in line.options else USAGE
        command = _named(line.command)
        command.check(line.words)
        _do(command, line)
    except UsageError as error:
        usage = f"\n\nUsage\n\n{command.usage}" if command is not None else ""
        print(f"Error (argument validation): {error}{usage}", file=sys.stderr)  # noqa: T201
        return USAGE
    except CtlError as error:
        text = str(error)
        print(text if text.startswith("Error") else f"Error:\n{text}", file=sys.stderr)  # noqa: T201
        return error.status
    except BrokenPipeError:
        return 1
    return 0


def _named(name: str) -> Command:
    """Raises UsageError if there is no such command."""
    command = COMMANDS.get(name)
    if command is None:
        raise UsageError(_unknown(name))
    return command


def _do(command: Command, line: Line) -> None:
    options = line.options
    try:
        timeout_s = SECONDS.parse(options.get("timeout", "0")) or DEFAULT_TIMEOUT_S
    except ValueError as error:
        raise UsageError(f"--timeout: {error} (seconds)") from None
    call = Call(partial(find, options, timeout_s), line.words, options, options.get("vhost", "/"), timeout_s)
    formatter = options.get("formatter")
    quiet = "quiet" in options or "silent" in options or formatter in ("json", "json_stream", "csv")
    banner = "" if quiet else command.banner if isinstance(command.banner, str) else command.banner(call)
    if banner:
        print(banner, flush=True)  # noqa: T201
    show(command.run(call), formatter, headers="silent" not in options and "no-table-headers" not in options)


def _help(name: str) -> str:
    command = COMMANDS.get(name)
    if command is not None:
        return f"Usage\n\n{command.usage}\n\n{command.about}"
    if name:
        return _unknown(name)
    groups: dict[str, list[Command]] = {}
    for each in COMMANDS.values():
        groups.setdefault(each.group, []).append(each)
    lines = [HELP]
    for group, commands in groups.items():
        lines.append(f"{group}:\n")
        lines += [f"   {each.name:34} {each.about}" for each in commands]
        lines.append("")
    return "\n".join(lines)


def _unknown(name: str) -> str:
    import difflib

    near = difflib.get_close_matches(name, COMMANDS, 1)
    return f"Command '{name}' not found." + (f" Did you mean '{near[0]}'?" if near else " `help` lists what there is.")
