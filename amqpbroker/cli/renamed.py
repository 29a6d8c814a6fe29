"""Options whose earlier names are accepted, and shown neither in the help nor by completion."""

from typing import Any

import click


class Renamed(click.Option):
    """An option that was renamed. before: its earlier names, such as ("--uri",)."""

    def __init__(self, *args: Any, before: tuple[str, ...], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._before = before

    def add_to_parser(self, parser: Any, ctx: click.Context) -> None:
        shown = self.opts
        self.opts = [*shown, *self._before]
        try:
            super().add_to_parser(parser, ctx)
        finally:
            self.opts = shown
