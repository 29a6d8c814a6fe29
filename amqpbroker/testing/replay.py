"""Messages of streams as tests read them, which changes nothing in the stream."""

import datetime
from dataclasses import replace
from typing import Any, NamedTuple

from amqpbroker.broker.broker import Broker
from amqpbroker.broker.policies.ages import age_ms
from amqpbroker.broker.queues.streams.offset import FIRST, LAST, NEXT, Start
from amqpbroker.broker.queues.streams.queue import StreamQueue
from amqpbroker.testing.checks import at_least, check_timeout
from amqpbroker.testing.inspector import SHOWN, Inspector, Messages, until
from amqpbroker.testing.message import Message, seen

#: Where a replay begins: "first", "last", "next", an age, an offset, or a time.
Offset = str | int | datetime.datetime

#: Number of messages that are read at once.
_AT_ONCE = 1000


class Offsets(NamedTuple):
    """Offset of the oldest message of a stream, and of the next message that is published to it."""

    first: int
    next: int


def offsets(inspector: Inspector, name: str, vhost: str | None) -> Offsets:
    """Return the offsets of a stream. Raises AssertionError, ValueError; see `_need`."""
    _, stream = _need(inspector, name, vhost)
    return Offsets(stream.log.first, stream.log.next)


async def replay(
    broker: Broker,
    inspector: Inspector,
    name: str,
    vhost: str | None,
    offset: Offset,
    count: int | None,
    timeout_s: float,
) -> Messages:
    """Return the messages of a stream from an offset on; if `count` is given, once there are this many.

    Raises AssertionError if there is no such stream, or if there are fewer messages after the timeout, or more;
    ValueError for an invalid argument.
    """
    start = _start(offset)
    if count is None:
        found_in, stream = _need(inspector, name, vhost)
        return _read(found_in, stream, _begin(broker, stream, start))
    at_least("count", count, 0)
    check_timeout(timeout_s)
    begin: int | None = None

    def holds() -> bool:
        nonlocal begin
        if not inspector.has_queue(name, vhost):
            return False
        log = _need(inspector, name, vhost)[1].log
        if begin is None:
            begin = _begin(broker, _need(inspector, name, vhost)[1], start)
        return log.safe - max(begin, log.first) >= count

    await until(holds, timeout_s)
    found_in, stream = _need(inspector, name, vhost)
    begin = _begin(broker, stream, start) if begin is None else begin
    found = _read(found_in, stream, begin)
    if len(found) == count:
        return found
    waited = f"after {timeout_s:g} s " if len(found) < count else ""
    messages = "message" if len(found) == 1 else "messages"
    lines = [f"{waited}stream {name!r} has {len(found)} {messages} from offset {begin} on, not {count}"]
    lines += [f"  {each.offset}: {each!r}" for each in found[:SHOWN]]
    raise AssertionError("\n".join((*lines, inspector.report(vhost, but=name))))


def _need(inspector: Inspector, name: str, vhost: str | None) -> tuple[str, StreamQueue]:
    """Return a stream and its vhost.

    Raises AssertionError if there is no such stream, ValueError if several vhosts have a queue of that name.
    """
    found_in, queue = inspector.need(name, vhost)
    if isinstance(queue, StreamQueue):
        return found_in, queue
    raise AssertionError(
        f"queue {name!r} in vhost {found_in!r} is a {queue.kind.name} queue, not a stream; "
        f"messages({name!r}) returns its messages"
    )


def _start(offset: Any) -> Start:
    """Return the start of a replay. Raises ValueError."""
    if isinstance(offset, datetime.datetime) and offset.tzinfo is not None:
        return Start(written_ms=max(round(offset.timestamp() * 1000), 0))
    if isinstance(offset, int) and not isinstance(offset, bool):
        return Start(offset=offset)
    if offset in (FIRST, LAST, NEXT):
        return Start(offset)
    if isinstance(offset, str) and age_ms(offset) >= 0:
        return Start(age_ms=age_ms(offset))
    raise ValueError(
        f"offset = {offset!r}: this must be 'first', 'last', 'next', a whole number, an age such as '1h', or a "
        "datetime with a time zone, such as b.clock.now()"
    )


def _begin(broker: Broker, stream: StreamQueue, start: Start) -> int:
    """Return the offset of the first message that is read."""
    return start.offset_in(stream.log, broker.clock, broker.config.compat.extensions)


def _read(vhost: str, stream: StreamQueue, offset: int) -> Messages:
    """Return the messages from an offset on."""
    found: list[Message] = []
    while entries := stream.ready_following(offset, _AT_ONCE):
        for following, entry in entries:
            found.append(replace(seen(entry.message, vhost, (stream.name,)), offset=following - 1))
        offset = entries[-1][0]
    log = stream.log
    has = f"has the offsets {log.first} to {log.next - 1}" if log.count else f"is empty, its next offset is {log.next}"
    return Messages(found, f"stream {stream.name!r} {has}")
