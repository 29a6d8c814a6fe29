"""Hooks of mkdocs: charts of docs/performance.md as SVG, drawn from its tables when the site is built.

A line `<!-- chart: NAME -->` is replaced by a chart of the tables between it and the comment before it. The charts are
readable on light and on dark pages, and the same file for the same figures.
"""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from io import StringIO
from typing import TYPE_CHECKING, Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

if TYPE_CHECKING:
    from matplotlib.axes import Axes

PAGE = "performance.md"

#: A comment on a line of its own, and the name of the chart that it stands for, if any.
COMMENT = re.compile(r"^<!-- (?:chart: ([\w-]+)|[^>]*) -->$", re.MULTILINE)

#: The border of a cell; within one, it is escaped.
SEPARATOR = re.compile(r"(?<!\\)\|")

#: A figure with its unit: 1,234.5 us.
FIGURE = re.compile(r"(\d[\d,]*(?:\.\d+)?)\s*(\S*)")

#: A label of the table of backlogs.
BACKLOG = re.compile(r"(.+), (up to|at rest with|down from) ([\d,]+)")

#: Quotient of the largest and the smallest value from which an axis is logarithmic.
LOG_STEPS, LOG_VALUES = 100, 1000

#: Replaced by the page's own text colour; the other colours are visible on white and on black.
INK = "#123456"
COLOURS = ("#2f81f7", "#db6d28", "#3fa34d", "#a371f7")
LIGHT, DARK = "#1f2328", "#e6edf3"
STYLE = f"<style>svg{{color:{LIGHT}}}@media(prefers-color-scheme:dark){{svg{{color:{DARK}}}}}</style>"

SETTINGS = {
    "svg.hashsalt": "amqpbroker",
    "svg.fonttype": "none",
    "font.family": "sans-serif",
    "font.size": 10,
    "text.color": INK,
    "axes.edgecolor": INK,
    "axes.labelcolor": INK,
    "xtick.color": INK,
    "ytick.color": INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "figure.constrained_layout.use": True,
}


def adapted(svg: str) -> str:
    """Return the drawing with the reader's text colour."""
    head, opening, rest = svg.partition("<svg")
    attributes, closing, drawing = rest.partition(">")
    return f"{head}{opening}{attributes}{closing}\n {STYLE}{drawing.replace(INK, 'currentColor')}"


@contextmanager
def chart(file: StringIO, height: float, rows: int = 1, columns: int = 1) -> Iterator[Any]:
    """Yield the panels of a new chart, which is written to `file` at the end of the block."""
    import matplotlib as mpl
    from matplotlib.figure import Figure

    with mpl.rc_context(SETTINGS):
        figure = Figure(figsize=(8, height))
        yield figure.subplots(rows, columns, squeeze=False).flat
        figure.savefig(file, format="svg", transparent=True, metadata={"Date": None, "Creator": None})


@dataclass(frozen=True)
class Table:
    """Cells of a Markdown table."""

    head: list[str]
    rows: list[list[str]]

    @property
    def steps(self) -> list[float]:
        """Return the figures of the first column."""
        return [value(row[0]) for row in self.rows]


@dataclass(frozen=True)
class Panel:
    """One line, or several by name, over the steps."""

    title: str
    lines: dict[str, list[float]]


def on_files(files: Files, config: MkDocsConfig) -> Files:
    page = files.get_file_from_path(PAGE)
    assert page is not None
    for name, tables in charted(page.content_string).items():
        files.append(File.generated(config, f"performance/{name}.svg", content=drawn(tables)))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    if page.file.src_uri != PAGE:
        return markdown
    return COMMENT.sub(
        lambda found: f"![Chart of the table: {found[1]}](performance/{found[1]}.svg)" if found[1] else found[0],
        markdown,
    )


def charted(page: str) -> dict[str, list[Table]]:
    """Return the tables of each chart, by its name."""
    found = {}
    start = 0
    for comment in COMMENT.finditer(page):
        if comment[1]:
            found[comment[1]] = tables_of(page[start : comment.start()])
        start = comment.end()
    return found


def tables_of(text: str) -> list[Table]:
    """Return the Markdown tables of a text."""
    blocks = re.findall(r"(?:^\|.*\|\n)+", text, re.MULTILINE)
    cells = [[list(map(plain, SEPARATOR.split(line)[1:-1])) for line in block.splitlines()] for block in blocks]
    return [Table(head, rows) for head, _, *rows in cells]


def plain(cell: str) -> str:
    """Return the text of a cell without Markdown's marks."""
    return cell.strip().replace("\\|", "|").replace("`", "").replace("**", "")


def drawn(tables: list[Table]) -> str:
    """Return the chart of tables as SVG."""
    file = StringIO()
    first = tables[0]
    if "ratio" in first.head:
        ratios(file, first)
    elif first.head[0] == "backlog":
        growth(file, "messages queued", *backlog(tables))
    else:
        along = "minutes" if first.head[0] == "after" else first.head[0]
        growth(file, along, first.steps, panels(first))
    return adapted(file.getvalue())


def value(cell: str) -> float:
    """Return the figure in a cell. Raises ValueError if there is none."""
    found = FIGURE.match(cell)
    if found is None:
        raise ValueError(f"{cell!r} in a table of {PAGE} is no figure, so no chart can be drawn: remove its comment")
    return float(found[1].replace(",", ""))


def ratios(file: StringIO, table: Table) -> None:
    """Draw a bar for each row with a ratio, and a mark at its target."""
    at, wanted = table.head.index("ratio"), table.head.index("target")
    rows = [row for row in table.rows if row[at]]
    names = [f"{row[0].partition(':')[0]}  {value(row[at]):.1f}" for row in rows]
    targets = {name: value(row[wanted]) for name, row in zip(names, rows, strict=True) if row[wanted]}
    with chart(file, height=0.9 + 0.28 * len(names)) as (axes,):
        axes.barh(names, [value(row[at]) for row in rows], height=0.6, color=COLOURS[0])
        axes.plot(list(targets.values()), list(targets), "|", color=COLOURS[1], ms=14, mew=2.5, label="target")
        axes.axvline(1, color=INK, lw=1, ls=":")
        axes.invert_yaxis()
        axes.margins(x=0.08)
        axes.set_xlabel("times the messages per second of RabbitMQ")
        axes.legend(frameon=False, loc="lower right")


def panels(table: Table) -> list[Panel]:
    """Return a panel for each column; those of CPU by kind share one."""
    found: dict[str, dict[str, list[float]]] = {}
    for at, name in enumerate(table.head[1:], 1):
        figure, _, kind = name.partition(", ")
        cells = [row[at] for row in table.rows]
        if figure == "CPU":
            found.setdefault("CPU per message, us", {})[kind] = list(map(value, cells))
        else:
            found[titled(name, cells[0])] = {"": list(map(value, cells))}
    return [Panel(title, lines) for title, lines in found.items()]


def titled(name: str, cell: str) -> str:
    """Return the name of a column with the unit of its figures."""
    found = FIGURE.match(cell)
    unit = found[2] if found else ""
    return name if unit in ("", "/s") else f"{name}, {unit}"


def backlog(tables: list[Table]) -> tuple[list[float], list[Panel]]:
    """Return the depths of a backlog, and its panels with a line for each kind of messages."""

    def lines(words: str, column: str) -> dict[str, list[float]]:
        kinds: dict[str, list[tuple[float, float]]] = {}
        for table in tables:
            at = table.head.index(column)
            for row in table.rows:
                label = BACKLOG.fullmatch(row[0])
                if label is not None and label[2] == words:
                    kinds.setdefault(label[1], []).append((value(label[3]), value(row[at])))
        return {kind: [figure for _, figure in sorted(points)] for kind, points in kinds.items()}

    steps = [value(label[3]) for row in tables[0].rows if (label := BACKLOG.fullmatch(row[0])) and label[2] == "up to"]
    return steps, [
        Panel("CPU per message published, us", lines("up to", "CPU")),
        Panel("CPU per message consumed, us", lines("down from", "CPU")),
        Panel("memory, MB", lines("up to", "memory")),
        Panel("longest stall while filled, ms", lines("up to", "longest stall")),
    ]


def growth(file: StringIO, along: str, steps: list[float], panels: list[Panel]) -> None:
    """Draw panels in rows of up to three; four are drawn two and two."""
    columns = 2 if len(panels) == 4 else min(len(panels), 3)
    rows = -(-len(panels) // columns)
    with chart(file, 3 * rows, rows, columns) as flat:
        drawn = list(flat)
        for axes in drawn[len(panels) :]:
            axes.set_axis_off()
        for axes, panel in zip(drawn, panels, strict=False):
            _draw(axes, steps, panel)
            axes.set_xlabel(along)
            if spread(steps) >= LOG_STEPS:
                axes.set_xscale("log")
            axes.set_xticks(steps, [short(step) for step in steps])
            axes.minorticks_off()


def spread(values: list[float]) -> float:
    """Return the quotient of the largest and the smallest value, 0 if that is 0."""
    return max(values) / min(values) if min(values) else 0.0


def _draw(axes: "Axes", steps: list[float], panel: Panel) -> None:
    values = [each for line in panel.lines.values() for each in line]
    for colour, (name, line) in zip(COLOURS, panel.lines.items(), strict=False):
        axes.plot(steps, line, "o-", color=colour, lw=1.8, ms=4, label=name)
    if spread(values) >= LOG_VALUES:
        axes.set_yscale("log")
    else:
        axes.set_ylim(0, max(values) * 1.15 or 1)
    axes.yaxis.set_major_formatter(lambda value, _: short(value))
    axes.grid(axis="y", color=INK, alpha=0.15)
    axes.set_title(panel.title, fontsize=10)
    if len(panel.lines) > 1:
        axes.legend(frameon=False, fontsize=9)


def short(value: float) -> str:
    """Format a value as on an axis: 1.5M, 20k, 0.5."""
    for unit, letter in ((1e6, "M"), (1e3, "k")):
        if value >= unit:
            return f"{value / unit:g}{letter}"
    return f"{value:g}"
