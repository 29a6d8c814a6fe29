"""What a person sees while a run goes on, on stderr: a bar on a terminal, else a line a second."""

import sys
from abc import ABC, abstractmethod
from dataclasses import dataclass

import click

from amqpbroker.cli.perf.moment import Moment


@dataclass(frozen=True)
class Manner:
    """How a run is shown, and its result. interval_s: so often."""

    as_json: bool = False
    quiet: bool = False
    interval_s: float = 1.0


class Progress(ABC):
    """Use it in a `with`."""

    def __enter__(self) -> "Progress":
        return self

    def __exit__(self, *raised: object) -> None:
        return

    @abstractmethod
    def show(self, moment: Moment) -> None: ...

    @abstractmethod
    def note(self, text: str) -> None:
        """Something that stays to be read."""


class Silent(Progress):
    """For programs, which read the result, and for who wants nothing else."""

    def show(self, moment: Moment) -> None:
        return

    def note(self, text: str) -> None:
        click.echo(text, err=True)


class Lines(Progress):
    """A line for each time."""

    def show(self, moment: Moment) -> None:
        click.echo(f"{moment.elapsed_s:5.1f} s  {moment}", err=True)

    def note(self, text: str) -> None:
        click.echo(text, err=True)


class Bar(Progress):
    """One line that moves. seconds: None is nobody knows how long."""

    def __init__(self, seconds: float | None) -> None:
        self._seconds = seconds

    def __enter__(self) -> "Bar":
        from rich.console import Console
        from rich.progress import BarColumn, TextColumn, TimeElapsedColumn
        from rich.progress import Progress as RichProgress

        columns = (TimeElapsedColumn(), BarColumn(bar_width=20), TextColumn("{task.description}"))
        self._bar = RichProgress(*columns, console=Console(stderr=True), transient=True)
        self._bar.start()
        self._task = self._bar.add_task("", total=self._seconds)
        return self

    def __exit__(self, *raised: object) -> None:
        self._bar.stop()

    def show(self, moment: Moment) -> None:
        self._bar.update(self._task, completed=moment.elapsed_s, description=str(moment))

    def note(self, text: str) -> None:
        self._bar.console.print(text, style="yellow", markup=False, highlight=False)


def progress(seconds: float | None, manner: Manner) -> Progress:
    """seconds: how long it will take; None is nobody knows."""
    if manner.quiet:
        return Silent()
    if sys.stderr.isatty():
        return Bar(seconds)
    return Silent() if manner.as_json else Lines()
