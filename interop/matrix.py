"""The matrix of clients and checks: as a table for the terminal, and as Markdown for the documentation."""

from __future__ import annotations

from pathlib import Path

from rich.console import Console
from rich.table import Table

from interop.clients import CHECKS, MANAGEMENT_CHECKS, ROOT
from interop.run import Result

PAGE = ROOT / "docs" / "interop.md"
BEGIN, END = "<!-- interop matrix: begin -->", "<!-- interop matrix: end -->"

INTRODUCTION = """# Clients that were tried

Unmodified clients, each run against a broker process of its own by `python -m interop --write-docs`, which writes this
table. [interop/README.md](../interop/README.md) says what each check sees; the same scripts pass on RabbitMQ.
"""

_MARKS = {"PASS": "ok", "FAIL": "FAIL", "NA": "n/a"}
_STYLES = {"PASS": "green", "FAIL": "bold red", "NA": "dim"}


def show(results: list[Result], broker: str, console: Console) -> None:
    """Print the matrix, and the reasons of failures and of checks that are not applicable."""
    for title, checks, group in _groups(results):
        table = Table(title=f"{title} on {broker}", show_lines=False)
        table.add_column("client")
        for name in checks:
            table.add_column(name.replace("-", "\n"), justify="center")
        table.add_column("also")
        table.add_column("s", justify="right")
        for result in group:
            cells = [_styled(result.checks[name][0]) for name in checks]
            table.add_row(f"{result.client.name}", *cells, _more(result, styled=True), f"{result.seconds:.1f}")
        console.print(table)
    for result in results:
        for name, (status, reason) in result.checks.items():
            if status != "PASS":
                console.print(
                    f"{_MARKS[status]:>4} {result.client.name} {name}: {reason}", markup=False, highlight=False
                )


def markdown(results: list[Result], broker: str) -> str:
    """Return the matrix as Markdown, with the clients' versions and the reasons of checks that are n/a."""
    rows: list[str] = []
    for title, checks, group in _groups(results):
        head = ["client", "version", *checks, "also"]
        rows += ["", f"## {title}", "", "| " + " | ".join(head) + " |", "|---|---|" + ":-:|" * len(checks) + "---|"]
        for result in group:
            cells = [_MARKS[result.checks[name][0]] for name in checks]
            rows.append("| " + " | ".join([result.client.name, result.version, *cells, _more(result)]) + " |")
    reasons = [
        f"- {result.client.name}, {name}: {reason}"
        for result in results
        for name, (status, reason) in result.checks.items()
        if status == "NA"
    ]
    shown = ["Checks that a client cannot express are n/a:", "", *reasons, ""] if reasons else []
    return "\n".join([f"Run against {broker}.", *rows, "", *shown])


def _groups(results: list[Result]) -> list[tuple[str, tuple[str, ...], list[Result]]]:
    """Return AMQP clients, tools of the management API, and examples: each with its checks, if any was run."""
    kinds = (("Clients", CHECKS), ("Tools of the management API", MANAGEMENT_CHECKS), ("Examples", ()))
    groups = [(title, checks, [r for r in results if r.client.checks == checks]) for title, checks in kinds]
    return [group for group in groups if group[2]]


def write(results: list[Result], broker: str, page: Path = PAGE) -> None:
    """Write the Markdown matrix between the two marks of the page; the page is created if it does not exist."""
    text = page.read_text() if page.exists() else f"{INTRODUCTION}\n{BEGIN}\n{END}\n"
    before, _, rest = text.partition(BEGIN)
    _, _, after = rest.partition(END)
    page.parent.mkdir(exist_ok=True)
    page.write_text(f"{before}{BEGIN}\n{markdown(results, broker)}{END}{after}")


def _more(result: Result, *, styled: bool = False) -> str:
    """Return the checks that only this client performs."""
    names = [name for name in result.checks if name not in result.client.checks]
    if not styled:
        return ", ".join(name if result.checks[name][0] == "PASS" else f"{name} FAIL" for name in names)
    return " ".join(_styled(result.checks[name][0], name) for name in names)


def _styled(status: str, text: str = "") -> str:
    return f"[{_STYLES[status]}]{text or _MARKS[status]}[/]"
