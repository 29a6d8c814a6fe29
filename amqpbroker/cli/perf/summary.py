"""The result: a JSON document, or tables."""

import json
from collections.abc import Mapping
from typing import Any

import click


def title(result: Mapping[str, Any]) -> str:
    """Of what, and how long."""
    ended = ", interrupted" if result["interrupted"] else ""
    return f"{result['broker'] or 'the broker'} at {result['uri']}, {result['seconds']:.1f} s{ended}"


def show_json(result: Mapping[str, Any]) -> None:
    click.echo(json.dumps(result, indent=2))


def show_tables(head: str, rows: Mapping[str, str], latencies: Mapping[str, Mapping[str, float] | None]) -> None:
    """rows: what, and how much. latencies: in ms, by name; None ones are left out."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    console = Console()
    console.print(Text(head, style="bold"), soft_wrap=True)
    table = Table("", "", box=None, show_header=False)
    table.columns[1].justify = "right"
    for name, value in rows.items():
        table.add_row(Text(name), Text(value))
    console.print(table)
    measured = {name: some for name, some in latencies.items() if some}
    if not measured:
        return
    table = Table("latency, ms", box=None, header_style="bold", show_edge=False, padding=(0, 1))
    for name in next(iter(measured.values())):
        table.add_column(name, justify="right")
    for name, some in measured.items():
        table.add_row(Text(name), *(f"{value:.3f}" for value in some.values()))
    console.print()
    console.print(table)
