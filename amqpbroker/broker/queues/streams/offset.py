"""The argument x-stream-offset: where a consumer of a stream begins (rabbit_stream_queue:parse_offset_arg/1)."""

from typing import Final, NamedTuple, final

from amqpbroker.broker.policies.ages import age_ms
from amqpbroker.clock import Clock
from amqpbroker.store.streams.stream_log import StreamLog
from amqpbroker.wire.erlang import erlang_term
from amqpbroker.wire.values import INTEGER_KINDS, TYPE_NAMES, Table, text

OFFSET: Final = "x-stream-offset"

FIRST: Final = "first"
LAST: Final = "last"
NEXT: Final = "next"


@final
class Start(NamedTuple):
    """Place where reading begins. At most one of the fields is set.

    place: FIRST, LAST or NEXT. offset: offset of the first message; the last -`offset` messages if it is negative.
    written_ms: time of the first message, in milliseconds since the epoch. age_ms: the same, before now.
    """

    place: str = ""
    offset: int | None = None
    written_ms: int = -1
    age_ms: int = -1

    def offset_in(self, log: StreamLog, clock: Clock, counts_back: bool) -> int:
        """Return the offset of the first message to read.

        counts_back: a negative offset is a number of messages at the end. RabbitMQ begins with the first one. Raises
        OSError, DamagedError.
        """
        if self.place == FIRST:
            return log.first
        if self.place == LAST:
            return log.last_chunk
        if self.offset is not None:
            if self.offset < 0 and counts_back:
                return max(log.safe + self.offset, log.first)
            return max(self.offset, log.first)
        if self.written_ms >= 0:
            return log.offset_at(self.written_ms)
        if self.age_ms >= 0:
            return log.offset_at(clock.wall_ms() - self.age_ms)
        return log.next


def start_of(arguments: Table) -> Start:
    """Return where a consumer with these arguments begins.

    Raises ValueError for another value.
    """
    given = arguments.get(OFFSET)
    if given is None:
        return Start(NEXT)
    if given.kind in INTEGER_KINDS:
        return Start(offset=given.value)
    if given.kind == "T":
        return Start(written_ms=given.value * 1000)
    if given.kind in "Sx":
        if given.value in (b"first", b"last", b"next"):
            return Start(given.value.decode())
        age = age_ms(text(given.value))
        if age >= 0:
            return Start(age_ms=age)
    raise ValueError(f"{{invalid_stream_offset_arg,{{{TYPE_NAMES[given.kind]},{erlang_term(given)}}}}}")
