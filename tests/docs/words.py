"""Checks a `sh` block without running it: its commands, options, make targets and files exist."""

import importlib.util
import re
import shlex
import subprocess
from collections.abc import Iterator
from pathlib import Path

import click

from amqpbroker.cli.ctl.commands import COMMANDS
from amqpbroker.cli.ctl.failure import UsageError
from amqpbroker.cli.ctl.run import parse
from amqpbroker.cli.main import main
from tests.docs.blocks import ROOT

OPERATORS = {"&&", "||", ";", "|", "&", "(", ")", ";;"}
REDIRECTIONS = {">", ">>", "<", "2>", ">&"}
TARGETS = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))


def check(script: str) -> None:
    """Raises AssertionError or click.UsageError if something in it cannot be right."""
    parsed = subprocess.run(["bash", "-n"], input=script, text=True, capture_output=True, check=False)
    assert parsed.returncode == 0, parsed.stderr
    for words in commands(script):
        check_command(words)


def commands(script: str) -> Iterator[list[str]]:
    """Each simple command, without assignments before it and without redirections."""
    for line in lines(script):
        words: list[str] = []
        tokens = iter(line)
        for token in tokens:
            if token in OPERATORS:
                yield from [words] if words else []
                words = []
            elif token in REDIRECTIONS:
                next(tokens, None)
            elif words or not (re.match(r"\w+=", token) or token == "sudo"):
                words.append(token)
        yield from [words] if words else []


def lines(script: str) -> Iterator[list[str]]:
    """The tokens of each line; what stands in quotes may go over several."""
    begun = ""
    for line in script.replace("\\\n", " ").splitlines():
        begun += line
        lexer = shlex.shlex(begun, posix=True, punctuation_chars=True)
        lexer.whitespace_split = True
        try:
            yield list(lexer)
        except ValueError:  # no closing quotation
            begun += "\n"
        else:
            begun = ""


def check_command(words: list[str]) -> None:
    program, arguments = words[0], words[1:]
    if Path(program).name == "amqpbroker":
        check_amqpbroker(arguments)
    elif program == "make":
        for word in arguments:
            assert "=" in word or word in TARGETS, f"there is no make {word}"
    elif program == "python" and arguments[:1] == ["-m"]:
        assert importlib.util.find_spec(arguments[1]), f"there is no module {arguments[1]}"
    elif program == "python" and arguments and "/" in arguments[0]:
        assert (ROOT / arguments[0]).exists(), f"there is no {arguments[0]}"
    elif re.match(r"(tools|tests|docs)/", program):
        assert (ROOT / program).exists(), f"there is no {program}"


def check_amqpbroker(arguments: list[str]) -> None:
    """As the command itself would take its words, but that files need not be there.

    Raises AssertionError, or an error of click's or ctl's; IncompleteError if only something is missing.
    """
    if arguments[:1] in (["--version"], ["--help"]):
        return
    if not arguments or arguments[0].startswith("-"):
        arguments = ["serve", *arguments]
    command: click.Command = main
    while isinstance(command, click.Group):
        if not arguments:
            raise IncompleteError
        name, *arguments = arguments
        found = command.get_command(click.Context(command), name)
        assert found is not None, f"there is no amqpbroker {name}"
        command = found
    if command.name == "ctl":
        check_ctl(arguments)
        return
    try:
        command.make_context(command.name, list(arguments))
    except click.exceptions.Exit:  # --help
        return
    except click.MissingParameter as error:
        raise IncompleteError from error
    except click.BadParameter as error:
        if "does not exist" not in error.message:
            raise


def check_ctl(arguments: list[str]) -> None:
    line = parse(arguments)
    if not line.command:
        raise IncompleteError
    assert line.command in COMMANDS, f"there is no amqpbroker ctl {line.command}"
    try:
        COMMANDS[line.command].check(line.words)
    except UsageError as error:
        raise IncompleteError(error) if "not enough" in str(error) else error from error


class IncompleteError(Exception):
    """A command that would say what is missing."""
