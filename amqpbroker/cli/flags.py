"""Flags for settings, which several commands have."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

import click

from amqpbroker import config
from amqpbroker.cli.number import LISTENING_PORT
from amqpbroker.config.config import LEVELS

Command = TypeVar("Command", bound=Callable[..., Any])


def _pairs(context: click.Context, parameter: click.Parameter, values: tuple[str, ...]) -> tuple[tuple[str, str], ...]:
    """Return the values of `--set KEY=VALUE` as (key, value) pairs."""
    for value in values:
        if "=" not in value:
            raise click.BadParameter(f"{value} is not of the form KEY=VALUE")
    pairs = (value.partition("=") for value in values)
    return tuple((key.strip(), text.strip()) for key, _, text in pairs)


def _bracketed(context: click.Context, parameter: click.Parameter, host: str | None) -> str | None:
    """Return an IPv6 address in brackets, so that its last part is not taken for a port."""
    return f"[{host.strip('[]')}]" if host is not None and ":" in host else host


_OPTIONS = (
    click.option(
        "--config",
        "files",
        type=click.Path(path_type=Path, exists=True),
        multiple=True,
        metavar="FILE",
        help="File or directory of settings in rabbitmq.conf's format, instead of /etc/rabbitmq; repeatable.",
    ),
    click.option("--host", callback=_bracketed, help="Host name or address to listen on.  [default: 127.0.0.1]"),
    click.option("--port", type=LISTENING_PORT, help="Port for AMQP; 0 takes a free one.  [default: 5672]"),
    click.option(
        "--management-port", type=LISTENING_PORT, help="Port for the management API and UI; 0 takes a free one."
    ),
    click.option("--definitions", type=click.Path(), metavar="FILE", help="File of RabbitMQ's definitions to import."),
    click.option("--store", metavar="URL", help="PostgreSQL database that has everything, shared with other brokers."),
    click.option(
        "--log-level",
        type=click.Choice(LEVELS, case_sensitive=False),
        help="Lowest level to log on the console.  [default: warning]",
    ),
    click.option(
        "--set",
        "pairs",
        metavar="KEY=VALUE",
        multiple=True,
        callback=_pairs,
        help="Set any setting, such as heartbeat=30; repeatable.",
    ),
)

#: Parameters that a command with these flags passes on to `loaded`.
NAMES = ("files", "host", "port", "management_port", "definitions", "store", "log_level", "pairs")

#: Flag -> the key that it sets, after all keys of --set.
_KEYS = {
    "host": "listeners.tcp.default",
    "port": "listeners.tcp.default",
    "management_port": "management.tcp.port",
    "definitions": "load_definitions",
    "store": "store.url",
    "log_level": "log.console.level",
}


def with_settings(command: Command) -> Command:
    """Add the flags to a command, which receives their values by keyword, for `loaded`."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


def loaded(given: dict[str, Any]) -> config.Loaded:
    """Return the settings of files, environment and flags. Raises ClickException with the error in one line."""
    try:
        paths = [path for named in given["files"] for path in _files(named)] if given["files"] else None
        return config.load_all(paths, os.environ, _assignments(given))
    except config.ConfigError as error:
        raise click.ClickException(str(error)) from error


def _files(named: Path) -> list[Path]:
    return config.files_of(str(named)) if named.is_dir() else [named]


def _assignments(given: dict[str, Any]) -> Iterator[config.Assignment]:
    for key, text in given["pairs"]:
        yield config.Assignment(key, text, config.Origin(config.Kind.FLAG, "--set"))
    for name, key in _KEYS.items():
        if given[name] is not None:
            flag = "--" + name.replace("_", "-")
            yield config.Assignment(key, str(given[name]), config.Origin(config.Kind.FLAG, flag))
