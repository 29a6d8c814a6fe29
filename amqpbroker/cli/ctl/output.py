"""Output of results in rabbitmqctl's formats."""

import json
import sys
from typing import Any, Literal

from amqpbroker.cli.ctl.command import Rows
from amqpbroker.cli.ctl.failure import CtlError

#: Width of the narrowest column of text, in characters, if a table is too wide for the terminal.
NARROWEST = 12

FORMATTERS = ("table", "pretty_table", "json", "json_stream", "csv")


def show(result: Any, formatter: str | None, headers: bool = True) -> None:
    """Print a result on stdout. formatter: None for a pretty table on a terminal, and a plain one elsewhere."""
    if result is None:
        return
    if not isinstance(result, Rows):
        as_json = formatter in ("json", "json_stream")
        print(result if isinstance(result, str) and not as_json else json.dumps(result, ensure_ascii=False))  # noqa: T201
        return
    if formatter is None:
        formatter = "pretty_table" if sys.stdout.isatty() else "table"
    match formatter:
        case "table":
            if result.rows:
                _print(_table(result, headers))
        case "json":
            rows = [json.dumps(dict(zip(result.columns, row, strict=True)), ensure_ascii=False) for row in result.rows]
            _print("[\n" + "\n,".join(rows) + ("\n]" if rows else "]"))
        case "json_stream":
            for row in result.rows:
                _print(json.dumps(dict(zip(result.columns, row, strict=True)), ensure_ascii=False))
        case "csv":
            import csv
            import io

            text = io.StringIO()
            writer = csv.writer(text, lineterminator="\n")
            if headers:
                writer.writerow(result.columns)
            writer.writerows([[shown(value) for value in row] for row in result.rows])
            _print(text.getvalue().rstrip("\n"))
        case "pretty_table":
            _pretty(result, headers)
        case _:
            raise CtlError(f"there is no formatter {formatter}; choose one of {', '.join(FORMATTERS)}", 64)


def _print(text: str) -> None:
    print(text)  # noqa: T201


def _table(result: Rows, headers: bool) -> str:
    lines = ["\t".join(result.columns)] if headers else []
    lines += ["\t".join(shown(value) for value in row) for row in result.rows]
    return "\n".join(lines)


def _pretty(result: Rows, headers: bool) -> None:
    """Print a table that fits the terminal: as it is, with folded heads and texts, or else each row on its own."""
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    console = Console()
    if not sys.stdout.isatty():
        console.width = 200
    numeric = [
        bool(result.rows) and all(_is_number(row[number]) for row in result.rows)
        for number in range(len(result.columns))
    ]
    texts = [[shown(value) for value in row] for row in result.rows]
    heads = [column.replace("_", "_\n") for column in result.columns]
    narrowest = []
    for number, head in enumerate(heads):
        longest = max([len(row[number]) for row in texts], default=0)
        value = longest if numeric[number] else min(longest, NARROWEST)
        narrowest.append(max([value, *map(len, head.split("\n"))]))

    def table(folded: bool) -> Table:
        made = Table(show_header=headers, header_style="bold", box=box.SIMPLE_HEAD if folded else box.HEAVY_HEAD)
        for number, column in enumerate(heads if folded else result.columns):
            justify: Literal["left", "right"] = "right" if numeric[number] else "left"
            made.add_column(Text(column), justify=justify, overflow="fold", min_width=narrowest[number])
        for row in texts:
            made.add_row(*map(Text, row))
        return made

    whole = table(folded=False)
    if console.measure(whole, options=console.options.update(max_width=sys.maxsize)).maximum <= console.width:
        console.print(whole)
        return
    if sum(narrowest) + 3 * len(narrowest) + 1 <= console.width:  # with the padding
        console.print(table(folded=True))
        return
    for row in texts:
        aside = Table("", "", show_header=False)
        for column, text in zip(result.columns, row, strict=True):
            aside.add_row(Text(column, style="bold"), Text(text, overflow="fold"))
        console.print(aside)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def shown(value: Any) -> str:
    """Return a value as rabbitmqctl's tables show it, in one line and without control characters."""
    match value:
        case None:
            return ""
        case bool():
            return "true" if value else "false"
        case str():
            return "".join(c if c.isprintable() else f"\\x{ord(c):02x}" for c in value)
        case list() if all(isinstance(item, str) for item in value):
            return f"[{', '.join(shown(item) for item in value)}]"
        case dict() | list():
            return erlang(value)
        case _:
            return str(value)


def erlang(value: Any) -> str:
    """Return a JSON value as an Erlang term: an object is a list of pairs."""
    match value:
        case None:
            return "undefined"
        case bool():
            return "true" if value else "false"
        case str():
            return json.dumps(value, ensure_ascii=False)
        case dict():
            return "[" + ",".join(f"{{{erlang(key)},{erlang(inner)}}}" for key, inner in value.items()) + "]"
        case list():
            return "[" + ",".join(erlang(item) for item in value) + "]"
        case _:
            return str(value)
