"""Runs a command line of ctl, and returns its exit status."""

import sys
from functools import partial
from typing import NamedTuple

from amqpbroker import __version__
from amqpbroker.cli.ctl.api import find
from amqpbroker.cli.ctl.command import Call, Command
from amqpbroker.cli.ctl.commands import COMMANDS
from amqpbroker.cli.ctl.failure import USAGE, CtlError, UsageError
from amqpbroker.cli.ctl.output import show
from amqpbroker.cli.number_range import SECONDS

DEFAULT_TIMEOUT_S = 60.0

#: Options of every command -> True if they have a value. Some of rabbitmqctl are accepted and ignored.
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
#: Options of rabbitmqctl that are accepted and ignored.
_MEANINGLESS = {"node", "longnames", "erlang-cookie", "dry-run", "online", "offline"}
SHORT = {"p": "vhost", "q": "quiet", "s": "silent", "t": "timeout", "n": "node", "l": "longnames", "h": "help"}


class Line(NamedTuple):
    """A parsed command line. command: "" if there is none."""

    command: str
    words: list[str]
    options: dict[str, str]


def parse(arguments: list[str]) -> Line:
    """Parse a command line. Raises UsageError for an unknown option, or one without its value."""
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


def completions(before: list[str], incomplete: str) -> list[str]:
    """Return the words that may follow on a command line: commands, options, and columns of a list."""
    command = next((COMMANDS[word] for word in before if word in COMMANDS), None)
    if incomplete.startswith("-"):
        names = [*OPTIONS, *(command.options if command is not None else ())]
        words = [f"--{name}" for name in names if name not in _MEANINGLESS]
    else:
        words = list(COMMANDS) if command is None else [name for name in command.columns if name not in before]
    return sorted(word for word in words if word.startswith(incomplete))


def run(arguments: list[str]) -> int:
    """Run a command line. Return the exit status."""
    command: Command | None = None
    try:
        line = parse(arguments)
        if "version" in line.options or line.command == "version":
            print(__version__)  # noqa: T201
            return 0
        if not line.command or line.command == "help" or "help" in line.options:
            from amqpbroker.cli.ctl.help import text_of  # it describes all commands, so it loads them

            name = (line.words[0] if line.words else "") if line.command == "help" else line.command
            print(text_of(name))  # noqa: T201
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
    """Return a command. Raises UsageError if there is no such command."""
    command = COMMANDS.get(name)
    if command is None:
        from amqpbroker.cli.ctl.help import unknown

        raise UsageError(unknown(name))
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
