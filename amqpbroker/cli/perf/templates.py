"""The publishes of a channel, whose size may change over time."""

from collections.abc import Sequence

from amqpbroker.cli.perf.encoded import EncodedPublishes
from amqpbroker.cli.perf.schedule import Schedule, Step


class Templates:
    """Encoded publishes for each step of the sizes, or the only ones there are."""

    def __init__(self, templates: Sequence[EncodedPublishes], sizes: Sequence[Step] = ()) -> None:
        self._templates = templates
        self._schedule = Schedule(sizes) if sizes else None

    def at(self, elapsed_s: float) -> EncodedPublishes:
        """What is published then, in seconds since the start."""
        if self._schedule is None:
            return self._templates[0]
        return self._templates[self._schedule.at(elapsed_s)[1]]
