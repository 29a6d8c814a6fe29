"""`amqpbroker config`: shows the settings in force with their sources, and checks files of settings."""

import json
import os
import sys
from pathlib import Path
from typing import Any

import click

from amqpbroker.cli.flags import loaded, with_settings
from amqpbroker.config import problems
from amqpbroker.config.effective import Effective, effective, written


@click.group()
def config() -> None:
    """Show the settings in force, or check a file of them."""


@config.command()
@with_settings
@click.option("--json", "as_json", is_flag=True, help="Print JSON, as --formatter json does.")
@click.option("--formatter", type=click.Choice(["pretty_table", "plain", "json"]), help="Format of the output.")
@click.option("--changed", is_flag=True, help="Show only settings that differ from their default.")
def show(as_json: bool, formatter: str | None, changed: bool, **given: Any) -> None:
    """Print the settings in force with their sources: a file and line, an environment variable or a flag.

    Accepts the flags of `amqpbroker serve` that are settings, and reads the same files and environment variables.
    Passwords are not shown. The format `plain` is that of rabbitmq.conf.
    """
    found = loaded(given)
    for warning in found.warnings:
        click.echo(f"warning: {warning}", err=True)
    rows = [row for row in effective(found) if not changed or row.origins[0].kind.value != "default"]
    formatter = "json" if as_json else formatter or ("pretty_table" if sys.stdout.isatty() else "plain")
    if formatter == "json":
        click.echo(json.dumps([_fields(row) for row in rows], indent=2))
    elif formatter == "plain":
        for row in rows:
            click.echo(f"{row.key} = {written(row.value)}  # {_origin(row)}")
    else:
        _print_table(rows)


@config.command()
@click.argument("files", metavar="FILE...", nargs=-1, required=True, type=click.Path(path_type=Path, exists=True))
def check(files: tuple[Path, ...]) -> None:
    """Report all errors in files in rabbitmq.conf's format, or in directories of such files, each with its line.

    The exit status is 1 if there are errors. Warnings, such as for keys without effect, do not count.
    """
    wrong = 0
    for path in files:
        warnings: list[str] = []
        errors = problems(path, os.environ, warnings.append)
        for warning in warnings:
            click.echo(f"warning: {warning}", err=True)
        for error in errors:
            click.echo(f"error: {error}", err=True)
        if not errors:
            click.echo(f"{path}: no errors")
        wrong += len(errors)
    sys.exit(wrong > 0)


def _origin(row: Effective) -> str:
    return ", ".join(str(origin) for origin in row.origins)


def _fields(row: Effective) -> dict[str, object]:
    origins = [{"kind": o.kind.value, "name": o.name or None, "line": o.line or None} for o in row.origins]
    return {"key": row.key, "value": row.value, "from": origins}


def _print_table(rows: list[Effective]) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table("Setting", "Value", "From", box=None, header_style="bold")
    for row in rows:
        style = "dim" if row.origins[0].kind.value == "default" else ""
        table.add_row(Text(row.key), Text(row.value), Text(_origin(row)), style=style)
    Console().print(table)
