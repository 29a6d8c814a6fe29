"""Charts as SVG: readable on light and on dark pages, and the same file for the same figures."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.axes import Axes

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
def chart(path: Path, height: float, rows: int = 1, columns: int = 1) -> Iterator[Any]:
    """Yield the panels of a new chart, which is written at the end of the block."""
    import matplotlib as mpl
    from matplotlib.figure import Figure

    with mpl.rc_context(SETTINGS):
        figure = Figure(figsize=(8, height))
        yield figure.subplots(rows, columns, squeeze=False).flat
        path.parent.mkdir(parents=True, exist_ok=True)
        figure.savefig(path, format="svg", transparent=True, metadata={"Date": None, "Creator": None})
    path.write_text(adapted(path.read_text()))


def ratios(path: Path, ratios: dict[str, float], targets: dict[str, float]) -> None:
    """Draw a bar for each row, and a mark at its target."""
    names = {name: f"{name}  {ratio:.1f}" for name, ratio in ratios.items()}
    with chart(path, height=0.9 + 0.28 * len(names)) as (axes,):
        axes.barh(list(names.values()), list(ratios.values()), height=0.6, color=COLOURS[0])
        marks = [names[name] for name in targets]
        axes.plot(list(targets.values()), marks, "|", color=COLOURS[1], ms=14, mew=2.5, label="target")
        axes.axvline(1, color=INK, lw=1, ls=":")
        axes.invert_yaxis()
        axes.margins(x=0.08)
        axes.set_xlabel("times the messages per second of RabbitMQ")
        axes.legend(frameon=False, loc="lower right")


@dataclass(frozen=True)
class Panel:
    """One line, or several by name, over the steps."""

    title: str
    lines: dict[str, list[float]]
    log: bool = False


def growth(path: Path, along: str, steps: list[float], panels: list[Panel], log: bool = True) -> None:
    """Draw panels in rows of up to three; four are drawn two and two."""
    columns = 2 if len(panels) == 4 else min(len(panels), 3)
    rows = -(-len(panels) // columns)
    with chart(path, 3 * rows, rows, columns) as drawn:
        for axes, panel in zip(drawn, panels, strict=True):
            _draw(axes, steps, panel)
            axes.set_xlabel(along)
            axes.set_xscale("log" if log else "linear")
            axes.set_xticks(steps, [short(step) for step in steps])
            axes.minorticks_off()


def over_time(path: Path, minutes: list[float], panels: list[Panel]) -> None:
    """Draw panels in one row, over the minutes since the beginning."""
    with chart(path, 3, 1, len(panels)) as drawn:
        for axes, panel in zip(drawn, panels, strict=True):
            _draw(axes, minutes, panel, "-")
            axes.set_xlabel("minutes")


def _draw(axes: "Axes", steps: list[float], panel: Panel, line: str = "o-") -> None:
    for colour, (name, values) in zip(COLOURS, panel.lines.items(), strict=False):
        axes.plot(steps[-len(values) :], values, line, color=colour, lw=1.8, ms=4, label=name)
    if panel.log:
        axes.set_yscale("log")
    else:
        axes.set_ylim(0, max(map(max, panel.lines.values())) * 1.15 or 1)
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
