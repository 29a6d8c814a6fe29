"""Messages that one request reads from a queue without changing it, and the search among them."""

import asyncio
import re
import zlib
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Final, final

from amqpbroker.broker.policies.ages import age_ms
from amqpbroker.broker.queues.dead_letters.delivery_count import counted
from amqpbroker.broker.queues.lines.pages import UnreadableError
from amqpbroker.broker.queues.peek import READY, START, STATES, Peek, Peeked, Place
from amqpbroker.broker.queues.queue import Queue
from amqpbroker.broker.queues.streams.offset import FIRST, LAST, Start
from amqpbroker.broker.slices import SLICE_MS
from amqpbroker.management import failure
from amqpbroker.management.formats.messages import got
from amqpbroker.management.formats.tables import plain_value
from amqpbroker.management.values import MAX_NAME_BYTES
from amqpbroker.message.checksum import content_checksum
from amqpbroker.message.message import Message
from amqpbroker.wire.properties import headers_of

if TYPE_CHECKING:
    from amqpbroker.management.call import Call

#: The most messages of one answer.
MAX_COUNT: Final = 1000
#: The most bytes of payloads and properties of one answer; a longer payload is truncated.
ANSWER_BYTES: Final = 2 * 1024 * 1024
#: The most time that the event loop spends on one request. The answer then has a cursor to go on with.
REQUEST_MS: Final = 100
#: The largest offset and time of a body, which JavaScript can represent.
MOST_OFFSET: Final = (1 << 53) - 1
#: The most messages that are read at once.
_STEP: Final = 128

_KEYS: Final = ("count", "cursor", "state", "truncate", "encoding", "filter", "offset", "written_at")
_FILTER_KEYS: Final = ("header", "body")


# --- filter -----------------------------------------------------------------------------------------------------------


@final
class MessageFilter:
    """Chooses messages by the values of headers, and by a text that the body contains."""

    def __init__(self, headers: Mapping[str, Any], text: bytes) -> None:
        """headers: JSON values, which all must be equal. A string also matches a number or boolean with that text."""
        self._headers = {name: (name.encode(), value) for name, value in headers.items()}
        self._text = text

    def matches(self, message: Message) -> bool:
        if self._headers:
            properties = message.properties
            if any(encoded not in properties for encoded, _ in self._headers.values()):
                return False  # without decoding the properties
            headers = headers_of(properties) or {}
            for name, (_, wanted) in self._headers.items():
                if name not in headers or not _equal(plain_value(headers[name]), wanted):
                    return False
        return self._text in message.body if self._text else True


def _equal(value: Any, wanted: Any) -> bool:
    if isinstance(wanted, str) and not isinstance(value, str):
        return bool(failure.shown(value) == wanted)
    return isinstance(value, bool) == isinstance(wanted, bool) and bool(value == wanted)


def _message_filter(given: Any) -> MessageFilter | None:
    """Raises ApiError 400."""
    if given is None:
        return None
    if not isinstance(given, dict):
        raise _wrong("filter", given, f"an object with the keys {' and '.join(_FILTER_KEYS)}")
    check_keys("filter", given, _FILTER_KEYS)
    headers, text = wanted_headers("filter.header", given.get("header", {})), given.get("body", "")
    if not isinstance(text, str):
        raise _wrong("filter.body", text, "a text")
    return MessageFilter(headers, text.encode()) if headers or text else None


# --- request ----------------------------------------------------------------------------------------------------------


def _wrong(key: str, value: Any, expected: str) -> failure.ApiError:
    return failure.bad_request(f"{key} = {failure.shown(value)}: this must be {expected}")


def check_keys(what: str, given: Mapping[str, Any], known: tuple[str, ...]) -> None:
    """Raises ApiError 400."""
    for key in given:
        if key not in known:
            raise failure.bad_request(f"{what} has no key {failure.shown(key)}; the keys are {', '.join(known)}")


def whole(key: str, value: Any, least: int, most: int) -> int:
    """Return a whole number of a body. Raises ApiError 400."""
    if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
        raise _wrong(key, value, f"a whole number from {least} to {most}")
    return value


def one_of(key: str, value: Any, allowed: tuple[str, ...]) -> str:
    """Return a text of a body. Raises ApiError 400."""
    if value not in allowed:
        raise _wrong(key, value, f"one of {', '.join(allowed)}")
    return str(value)


def wanted_headers(key: str, value: Any, with_null: bool = False) -> Mapping[str, Any]:
    """Return names and values of headers that a body names. with_null: null is a value. Raises ApiError 400."""
    if not isinstance(value, dict):
        raise _wrong(key, value, 'an object of names and values of headers, such as {"tenant": "a"}')
    for name, wanted in value.items():
        if len(name.encode()) > MAX_NAME_BYTES:
            raise _wrong(f"{key}.{name}", wanted, f"for a name of at most {MAX_NAME_BYTES} bytes")
        if not isinstance(wanted, str | int | float) and not (with_null and wanted is None):
            raise _wrong(f"{key}.{name}", wanted, "a string, a number or a boolean")
    return value


def _mark(vhost: str, queue: str) -> str:
    """Return the part of a cursor by which one of another queue is noticed."""
    return f"{zlib.crc32(f'{vhost}/{queue}'.encode('utf-8', 'surrogateescape')):08x}"


def _place(cursor: Any, state: str, mark: str) -> Place:
    """Return the place that a cursor of an earlier answer names. mark: see `_mark`. Raises ApiError 400."""
    if cursor is None:
        return START
    if isinstance(cursor, str):
        found = re.fullmatch(f"{state}:([0-9]{{1,17}}):([0-9]{{1,17}}):{mark}", cursor)
        if found is not None:
            return Place(int(found[1]), int(found[2]))
    raise _wrong("cursor", cursor, f"the cursor of an earlier answer for this queue and the state {state}, or null")


def _start(queue: Queue, body: Mapping[str, Any]) -> Place | None:
    """Return the place where reading of a stream begins, if the body names one. Raises ApiError 400, 503."""
    offset, written_at = body.get("offset"), body.get("written_at")
    if offset is None and written_at is None:
        return None
    if offset is not None and written_at is not None:
        raise failure.bad_request("offset and written_at exclude each other: leave out one of them")
    if offset is None:
        start = Start(written_ms=whole("written_at", written_at, 0, MOST_OFFSET))
    else:
        start = _start_at(offset)
    try:
        first = queue.offset_from(start)
    except UnreadableError as error:
        raise unreadable(error) from None
    if first is None:
        raise failure.bad_request(f"queue '{queue.name}' is no stream: leave out offset and written_at")
    return Place(0, first)


def _start_at(offset: Any) -> Start:
    if offset in (FIRST, LAST):
        return Start(offset)
    if isinstance(offset, str) and (age := age_ms(offset)) >= 0:
        return Start(age_ms=age)
    if isinstance(offset, int) and not isinstance(offset, bool) and -MOST_OFFSET <= offset <= MOST_OFFSET:
        return Start(offset=offset)
    raise _wrong("offset", offset, f"{FIRST}, {LAST}, a whole number up to {MOST_OFFSET}, or an age such as 1h")


def named_messages(given: Any, key: str = "messages") -> list[tuple[int, int]]:
    """Return positions and checksums of messages that a body names, as answers have them. Raises ApiError 400."""
    if not isinstance(given, list) or not 0 < len(given) <= MAX_COUNT:
        raise _wrong(key, given, f"a list of 1 to {MAX_COUNT} messages")
    return [_named(each, key) for each in given]


def _named(given: Any, key: str) -> tuple[int, int]:
    if isinstance(given, dict):
        position, checksum = given.get("position"), given.get("checksum")
        valid = isinstance(checksum, str) and re.fullmatch("[0-9a-f]{8}", checksum) is not None
        if valid and isinstance(position, int) and not isinstance(position, bool) and 0 < position < 1 << 56:
            return position, int(str(checksum), 16)
    raise _wrong(key, given, "objects with the position and the checksum of a message, as peek returns them")


@final
class Peeking:
    """One request to read messages of a queue. Raises ApiError 400 for a body with wrong values."""

    def __init__(self, call: "Call", queue: Queue, check: Callable[[], object]) -> None:
        """check(): raises an error if the sender is no longer authorised."""
        body = call.body()
        check_keys("the body", body, _KEYS)
        state = one_of("state", body.get("state", READY), STATES)
        self._count = whole("count", body.get("count", 100), 1, MAX_COUNT)
        truncate = whole("truncate", body.get("truncate", ANSWER_BYTES), 0, (1 << 53) - 1)
        self._truncate = min(truncate, ANSWER_BYTES)
        self._encoding = one_of("encoding", body.get("encoding", "auto"), ("auto", "base64"))
        self._filter = _message_filter(body.get("filter"))
        self._mark = _mark(call.vhost.name, queue.name)
        place = _place(body.get("cursor"), state, self._mark)
        start = _start(queue, body)
        self._place = start if start is not None and place == START else place
        self._has_offsets = queue.kind.retains
        self._first = self._place.sequence
        self._state = state
        self._queue = queue
        self._clock = call.broker.clock
        self._compat = call.broker.config.compat
        self._check = check
        sessions = call.broker.sessions
        self._peek = Peek(queue, state, lambda of: [entry for session in sessions for entry in session.held(of)])
        self._messages: list[dict[str, Any]] = []
        self._size = 0
        self._examined = 0

    async def answer(self) -> dict[str, Any]:
        """Read until the answer is full, the time is used up, or no message is left. Raises ApiError."""
        worked_ms = 0
        more = True
        while more:
            began_ms = self._clock.now_ms()
            try:
                more = self._slice(began_ms + SLICE_MS)
            except UnreadableError as error:
                if not self._examined:
                    raise unreadable(error) from None
                break
            worked_ms += self._clock.now_ms() - began_ms
            if not more or self._is_full() or worked_ms >= REQUEST_MS:
                break
            await asyncio.sleep(0)
            self._check()
        cursor = f"{self._state}:{self._place.rank}:{self._place.sequence}:{self._mark}" if more else None
        answer = {"messages": self._messages, "cursor": cursor, "examined": self._examined}
        if self._has_offsets:
            answer["offset"], answer["next_offset"] = self._first, self._place.sequence
        return answer

    def _is_full(self) -> bool:
        return len(self._messages) >= self._count or self._size >= ANSWER_BYTES

    def _slice(self, until_ms: int) -> bool:
        """Examine messages until a time or until the answer is full; return False if no message is left."""
        while not self._is_full():
            step = _STEP if self._filter is not None else min(_STEP, self._count - len(self._messages))
            some = self._peek.following(self._place, step) if not self._queue.closed else []
            if not some:
                return False
            for peeked in some:
                self._examine(peeked)
                if self._is_full():
                    break
                if self._clock.now_ms() >= until_ms:
                    return True
        return True

    def _examine(self, peeked: Peeked) -> None:
        entry = peeked.entry
        message = counted(entry.message, self._queue, entry.acquired_count, entry.delivery_count, self._compat)
        self._place = peeked.place
        if not self._examined:
            self._first = entry.sequence  # the messages before it may have been removed
        self._examined += 1
        if self._filter is not None and not self._filter.matches(message):
            return
        row = got(message, entry.redelivered, self._queue.ready_count, self._encoding, self._truncate)
        row["position"] = entry.sequence
        row["checksum"] = f"{content_checksum(entry.message):08x}"
        if peeked.due_ms:
            row["due_at"] = peeked.due_ms
        if entry.consumer is not None:
            row["consumer_tag"] = entry.consumer.tag
        self._messages.append(row)
        self._size += min(message.size, self._truncate) + len(message.properties)


def unreadable(error: UnreadableError) -> failure.ApiError:
    reason = f"messages of the queue temporarily cannot be read: {error}"
    return failure.ApiError(503, "service_unavailable", reason)
