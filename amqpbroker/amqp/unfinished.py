"""Methods that take more than one event loop iteration, because they concern many messages."""

from collections.abc import Callable
from functools import partial
from typing import final

from amqpbroker.amqp.output import Output
from amqpbroker.clock import Clock


@final
class Unfinished:
    """Makes the frames of a connection wait while a method continues in later event loop iterations.

    So each method is handled after the one before it, as in RabbitMQ, and other clients are served in between.
    """

    def __init__(self, clock: Clock, output: Output) -> None:
        self._clock = clock
        self._output = output

    def begin(self) -> None:
        """Handle no further frame of the connection until `end`."""
        self._output.status.suspend()

    def end(self) -> None:
        """Handle the frames that have waited, at the end of this event loop iteration."""
        self._output.status.resume()
        self._output.mark_dirty()

    def repeat(self, step: Callable[[], bool]) -> None:
        """Call `step` once in each of the next event loop iterations, until it returns True: the method is finished."""
        self.begin()
        self._clock.after(0, partial(self._again, step))

    def _again(self, step: Callable[[], bool]) -> None:
        if step():
            self.end()
        else:
            self._clock.after(0, partial(self._again, step))
