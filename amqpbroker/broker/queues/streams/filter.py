"""Filters of a stream's consumers: x-stream-filter and x-stream-match-unfiltered.

RabbitMQ filters whole chunks, so that a consumer also gets other messages of a chunk. Here every message is filtered.
"""

from typing import Final, final

from amqpbroker.message.message import Message
from amqpbroker.wire.raw_headers import header
from amqpbroker.wire.values import Table

FILTER: Final = "x-stream-filter"
MATCH_UNFILTERED: Final = "x-stream-match-unfiltered"
#: Header with the value that is filtered by.
VALUE_HEADER: Final = b"x-stream-filter-value"


@final
class StreamFilter:
    """The values that a consumer wants. unfiltered: it also wants messages without a value."""

    def __init__(self, values: frozenset[bytes], unfiltered: bool) -> None:
        self._values = values
        self._unfiltered: bool = unfiltered

    def accepts(self, message: Message) -> bool:
        """Return whether the consumer wants the message."""
        found = header(message.properties, VALUE_HEADER)
        value = found.value if found is not None and found.kind == "S" else b""
        # An empty value is none, as in RabbitMQ, and an empty filter accepts it.
        return value in self._values or (self._unfiltered and not value)


def filter_of(arguments: Table) -> StreamFilter | None:
    """Return the filter of a consumer with these arguments; None if it wants all messages.

    An array has at least one text; its other members are ignored, and so is a filter of another type
    (rabbit_stream_queue:filter_spec/1).
    """
    given = arguments.get(FILTER)
    if given is None:
        return None
    if given.kind == "S":
        values = [given.value]
    elif given.kind == "A":
        values = [each.value for each in given.value if each.kind == "S"]
    else:
        return None
    unfiltered = arguments.get(MATCH_UNFILTERED)
    return StreamFilter(frozenset(values), unfiltered is not None and unfiltered.kind == "t" and unfiltered.value)
