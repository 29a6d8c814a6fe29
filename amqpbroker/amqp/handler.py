"""What a method off the hot path is handled by."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from amqpbroker.amqp.channel import Channel

#: Takes the channel and the method's decoded arguments, by their names in pamqp.
Handler = Callable[["Channel", dict[str, Any]], None]
