"""Axes as tables."""

from tests.bench import page
from tests.bench.axes import AXES, dearest
from tests.bench.client_processes import Measured
from tests.bench.report import cpu

RISE = "The largest increase in CPU per message from any step to a later step"

Found = dict[int, dict[str, Measured]]


def measured(name: str, seconds: float, rounds: int) -> Found:
    """Measure an axis, and print each step when it is known."""
    axis = AXES[name]
    found: Found = {}
    for step, kinds in axis.measured(seconds, rounds):
        found[step] = kinds
        shown = "  ".join(f"{kind} {cpu(figures.cpu_us)}".strip() for kind, figures in kinds.items())
        print(f"{step:>10,} {axis.along}: {shown}", flush=True)
    return found


def costs(found: Found) -> dict[str, list[float]]:
    """Return CPU microseconds per message by kind, step by step."""
    kinds = next(iter(found.values()))
    return {kind: [step[kind].cpu_us for step in found.values()] for kind in kinds}


def text(name: str, found: Found, how: str) -> str:
    lines = costs(found)
    head = (AXES[name].along, *(f"CPU, {kind}" if kind else "CPU" for kind in lines))
    rows = [(f"{step:,}", *(cpu(figures.cpu_us) for figures in kinds.values())) for step, kinds in found.items()]
    factors = [(f"{kind}: " if kind else "") + f"x{dearest(line):.2f}" for kind, line in lines.items()]
    summary = f"{how} {RISE}: {', '.join(factors)}."
    return f"{summary}\n\n{page.table(head, rows)}\n{page.chart(name)}"
