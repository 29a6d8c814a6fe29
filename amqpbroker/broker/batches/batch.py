"""The state of one batch."""

from itertools import islice
from typing import Final, NamedTuple, final

from amqpbroker.broker.batches.member import FAILED, OK, OPEN, Member
from amqpbroker.broker.batches.request import COMPLETE, DEATH, SUCCESS
from amqpbroker.broker.batches.terms import Terms
from amqpbroker.store.keys import BATCH, BATCH_NUMBERS
from amqpbroker.store.message_id_record import MessageIdRecord
from amqpbroker.store.record import BATCHES_ID
from amqpbroker.wire.values import decode_table, encode_table, text

_EVENTS: Final = (DEATH, COMPLETE, SUCCESS)
_HAS_KEY: Final = 128
_HAS_EXCHANGE: Final = 64
_IS_REPLY: Final = 32
_HAS_EVENTS: Final = 16
_HAS_TTL: Final = 8


class Failure(NamedTuple):
    """A failed member. queue: "" if the message reached no queue."""

    message_id: bytes
    queue: str
    reason: str

    def encoded(self) -> bytes:
        return b"".join([_short(part) for part in (self.message_id, _bytes(self.queue), self.reason.encode())])


def decoded_failure(data: bytes) -> Failure:
    """Return the failure in the details of a member's record."""
    parts = _Parts(data)
    return Failure(parts.next(), text(parts.next()), text(parts.next()))


@final
class Batch:
    """A batch: its target and its members.

    id: of the publisher. number: of its records. user: published the first member; "" in records that name none. terms:
    what its members have named. sent: events that were sent, or would have been if they had been requested. created_ms,
    expires_ms: since the epoch. members: name -> state. forgotten: number of members that succeeded and are not in
    `members` any more. failures: some of the failed members, by name. has_failed: a copy of a member has failed.
    record: the stored state of the batch itself.
    """

    def __init__(self, vhost: str, id_: bytes, number: int, user: str, created_ms: int, expires_ms: int) -> None:
        self.vhost: str = vhost
        self.id: bytes = id_
        self.number: int = number
        self.user: str = user
        self.created_ms: int = created_ms
        self.expires_ms: int = expires_ms
        self.terms: Terms = Terms()
        self.sent: set[str] = set()
        self.members: dict[bytes, Member] = {}
        self.forgotten: int = 0
        self.failures: dict[bytes, Failure] = {}
        self.record: MessageIdRecord | None = None
        self.has_failed: bool = False
        self._counts: list[int] = [0, 0, 0]

    @property
    def open(self) -> int:
        """The number of members that were never settled."""
        return self._counts[OPEN]

    @property
    def failed(self) -> int:
        return self._counts[FAILED]

    @property
    def ok(self) -> int:
        return self._counts[OK] + self.forgotten

    @property
    def total(self) -> int:
        return len(self.members) + self.forgotten

    @property
    def is_complete(self) -> bool:
        """Return whether all members are published, and each was settled at least once."""
        return COMPLETE in self.sent or (0 <= self.terms.size <= self.total and not self.open)

    @property
    def has_ended(self) -> bool:
        """Return whether nothing can happen any more."""
        return SUCCESS in self.sent

    @property
    def state(self) -> str:
        if self.has_ended:
            return "success"
        return "complete" if COMPLETE in self.sent else "open"

    def requests(self, event: str) -> bool:
        """Return whether messages are sent for the event."""
        events = self.terms.events
        return event == COMPLETE if events is None else event in events

    def mark_sent(self, event: str) -> None:
        """Record that the message about an event is sent, or would be sent if it were requested."""
        self.sent.add(event)

    def set_member(self, name: bytes, member: Member) -> None:
        """Set the state of a member, which may be a new one."""
        before = self.members.get(name)
        if before is not None:
            self._counts[before.outcome] -= 1
        self._counts[member.outcome] += 1
        self.members[name] = member
        if member.failed_copies:
            self.has_failed = True
        if member.outcome == OK:
            self.failures.pop(name, None)

    def remove_succeeded(self, count: int) -> list[Member]:
        """Remove those of the first `count` members that have succeeded, and only count them; return them.

        The others of these are the last members then.
        """
        members = self.members
        taken = []
        for name, each in list(islice(members.items(), count)):
            del members[name]
            if each.outcome == OK:
                taken.append(each)
            else:
                members[name] = each
        self._counts[OK] -= len(taken)
        self.forgotten += len(taken)
        return taken

    def new_record(self) -> MessageIdRecord:
        """Return a record of the present state of the batch, without its members, and keep it."""
        terms = self.terms
        exchange, key = terms.exchange, terms.routing_key
        flags = sum([1 << i for i, event in enumerate(_EVENTS) if event in self.sent])
        events = sum([1 << i for i, event in enumerate(_EVENTS) if event in (terms.events or ())])
        events |= _HAS_EVENTS if terms.events is not None else 0
        events |= _HAS_TTL if terms.ttl_ms is not None else 0
        events |= _IS_REPLY if terms.is_reply else 0
        events |= _HAS_EXCHANGE if exchange is not None else 0
        events |= _HAS_KEY if key is not None else 0
        names = [_bytes(self.vhost), self.id, _bytes(exchange or ""), key or b""]
        data = BATCH + BATCH_NUMBERS.pack(terms.size, self.forgotten, self.created_ms, flags, events)
        data += b"".join([len(name).to_bytes(2, "big") + name for name in names]) + encode_table(terms.outer)
        data += _bytes(self.user)
        self.record = MessageIdRecord(data, BATCHES_ID, self.number, self.expires_ms, True)
        return self.record


def recovered_batch(record: MessageIdRecord) -> Batch:
    """Return the batch that a record describes, without its members."""
    data = record.key
    size, forgotten, created_ms, flags, events = BATCH_NUMBERS.unpack_from(data, 1)
    parts = _Parts(data, 1 + BATCH_NUMBERS.size, 2)
    batch = Batch(text(parts.next()), parts.next(), record.sequence, "", created_ms, record.expires_ms)
    exchange, key = text(parts.next()), parts.next()
    batch.forgotten, batch.record = forgotten, record
    terms = batch.terms
    terms.size = size
    terms.exchange = exchange if events & _HAS_EXCHANGE else None
    terms.routing_key = key if events & _HAS_KEY else None
    terms.is_reply = events & _IS_REPLY != 0
    terms.ttl_ms = record.expires_ms - created_ms if events & _HAS_TTL else None
    batch.sent = {event for i, event in enumerate(_EVENTS) if flags & 1 << i}
    if events & _HAS_EVENTS:
        terms.events = frozenset([event for i, event in enumerate(_EVENTS) if events & 1 << i])
    start = parts.at + 4
    end = start + int.from_bytes(data[parts.at : start], "big")
    terms.outer = decode_table(data, start, end)
    batch.user = text(data[end:])
    return batch


class _Parts:
    """Byte strings, each with its length before it."""

    def __init__(self, data: bytes, at: int = 0, width: int = 1) -> None:
        self.at = at
        self._data = data
        self._width = width

    def next(self) -> bytes:
        start = self.at + self._width
        self.at = start + int.from_bytes(self._data[self.at : start], "big")
        return self._data[start : self.at]


def _short(data: bytes) -> bytes:
    return bytes((len(data),)) + data


def _bytes(name: str) -> bytes:
    return name.encode("utf-8", "surrogateescape")
