"""The publishes of a channel, whose size may change over time."""

from collections.abc import Sequence

from amqpbroker.cli.perf.schedule import Schedule, Step
from amqpbroker.cli.perf.template import Template


class Templates:
    """One template for each step of the sizes, or the only one there is."""

    def __init__(self, templates: Sequence[Template], sizes: Sequence[Step] = ()) -> None:
        self._templates = templates
        self._schedule = Schedule(sizes) if sizes else None

    def at(self, elapsed_s: float) -> Template:
        """What is published then, in seconds since the start."""
        if self._schedule is None:
            return self._templates[0]
        return self._templates[self._schedule.at(elapsed_s)[1]]
