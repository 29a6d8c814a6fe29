"""The result: a JSON document, or tables."""

import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from rich.table import Table


def title(result: Mapping[str, Any]) -> str:
    """Of what, and how long."""
    name = f"{result['id']}: " if result.get("id") else ""
    ended = ", ended by an error" if result.get("error") else ", interrupted" if result["interrupted"] else ""
    return f"{name}{result['broker'] or 'the broker'} at {result['uri']}, {result['seconds']:.1f} s{ended}"


def show_json(result: Mapping[str, Any]) -> None:
    click.echo(json.dumps(result, indent=2))


def show_tables(
    head: str,
    columns: Sequence[str],
    rows: Mapping[str, Sequence[str]],
    latencies: Mapping[str, Mapping[str, float] | None],
    notes: Sequence[str] = (),
) -> None:
    """rows: by name, the values of the columns, or of the first of them. latencies: in ms, by name, or None."""
    from rich.console import Console
    from rich.text import Text

    console = Console()
    console.print(Text(head, style="bold"), soft_wrap=True)
    console.print(_table("", columns, rows))
    measured = {name: some for name, some in latencies.items() if some}
    if measured:
        names = list(next(iter(measured.values())))
        values = {name: [_short(value) for value in some.values()] for name, some in measured.items()}
        console.print()
        console.print(_table("latency, ms", names, values))
    for note in notes:
        console.print()
        console.print(Text(note), soft_wrap=True)


def _short(value: float) -> str:
    """So that what is long still fits into 80 columns."""
    return f"{value:.0f}" if value >= 1000 else f"{value:.1f}" if value >= 100 else f"{value:.3f}"


def _table(heading: str, columns: Sequence[str], rows: Mapping[str, Sequence[str]]) -> "Table":
    from rich.table import Table
    from rich.text import Text

    table = Table(heading, box=None, header_style="bold", show_edge=False, padding=(0, 1))
    for name in columns:
        table.add_column(name, justify="right")
    for name, values in rows.items():
        table.add_row(Text(name), *values)
    return table
