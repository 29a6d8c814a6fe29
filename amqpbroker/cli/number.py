"""Numbers on the command line, with limits."""

from typing import Any, final

import click

from amqpbroker.cli.number_range import COUNTS, PORTS, NumberRange
from amqpbroker.cli.number_range import LONGEST_S as LONGEST_S
from amqpbroker.cli.number_range import MOST as MOST
from amqpbroker.cli.number_range import SECONDS as SECOND_RANGE


@final
class Number(click.ParamType):  # type: ignore[type-arg]
    """A number from `low` to `high`, both included; a whole number if both are. All commands use it for numbers."""

    name = "number"

    def __init__(self, low: float, high: float) -> None:
        self.low = low
        self.high = high
        self.parse = NumberRange(low, high).parse

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        try:
            return self.parse(str(value))
        except ValueError as error:
            self.fail(str(error), param, ctx)


PORT = Number(PORTS.low, PORTS.high)
#: 0 takes a free one.
LISTENING_PORT = Number(0, PORTS.high)
SECONDS = Number(SECOND_RANGE.low, SECOND_RANGE.high)
COUNT = Number(COUNTS.low, COUNTS.high)
