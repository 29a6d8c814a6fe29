"""The headers of a batch on which its members agree."""

from typing import final

from amqpbroker import errors
from amqpbroker.broker.batches.request import EVENTS, EXCHANGE, OUTER_SIZE, ROUTING_KEY, SIZE, TTL, Request
from amqpbroker.wire.values import Field, Table, text


@final
class Terms:
    """The headers that members of a batch have named so far.

    size: number of members, -1 while it is unknown. exchange, routing_key: target of event messages; the key is None
    while it is unknown. is_reply: see `Request`. events: to be sent, None while no member has named any. ttl_ms: the
    same. outer: headers for the event message.
    """

    def __init__(self) -> None:
        self.size: int = -1
        self.exchange: str | None = None
        self.routing_key: bytes | None = None
        self.is_reply: bool = False
        self.events: frozenset[str] | None = None
        self.ttl_ms: int | None = None
        self.outer: Table = {}

    def check(self, request: Request, total: int) -> None:
        """Raise AmqpError 406 if the headers of a further member contradict these. total: number of members."""
        size, so_far = request.size, max(self.size, total)
        if size is not None and size < so_far:
            raise errors.invalid_header(SIZE, f"{size} is less than {so_far}, the size so far")
        known = self.routing_key is not None
        if request.exchange is not None and known and request.exchange != (self.exchange or ""):
            raise _contradiction(EXCHANGE, request.exchange, self.exchange or "")
        key = request.routing_key
        named = known and not request.is_reply and not self.is_reply
        if named and key is not None and key != self.routing_key:
            raise _contradiction(ROUTING_KEY, text(key), text(self.routing_key or b""))
        if request.events is not None and self.events is not None and request.events != self.events:
            raise _contradiction(EVENTS, ",".join(sorted(request.events)), ",".join(sorted(self.events)))
        if request.ttl_ms is not None and self.ttl_ms is not None and request.ttl_ms != self.ttl_ms:
            raise _contradiction(TTL, str(request.ttl_ms), str(self.ttl_ms))
        _check_outer(request.outer, self.outer)

    def join(self, request: Request) -> bool:
        """Add the headers that no earlier member has named, and the larger sizes. Return whether any were added."""
        changed = False
        if request.size is not None and request.size > self.size:
            self.size, changed = request.size, True
        if request.routing_key is not None and self.routing_key is None:
            self.exchange, self.routing_key, self.is_reply = request.exchange, request.routing_key, request.is_reply
            changed = True
        if request.events is not None and self.events is None:
            self.events, changed = request.events, True
        if request.ttl_ms is not None and self.ttl_ms is None:
            self.ttl_ms, changed = request.ttl_ms, True
        outer = joined_outer(request.outer, self.outer)
        if outer != self.outer:
            self.outer, changed = outer, True
        return changed

    def copy(self) -> "Terms":
        copy = Terms()
        copy.size, copy.exchange, copy.routing_key = self.size, self.exchange, self.routing_key
        copy.is_reply, copy.events, copy.ttl_ms, copy.outer = self.is_reply, self.events, self.ttl_ms, self.outer
        return copy


def _check_outer(given: Table, known: Table) -> None:
    """Raise AmqpError 406 if headers about the outer batch contradict those of an earlier member."""
    for name, field in given.items():
        before = known.get(name)
        if before is None:
            continue
        if name == OUTER_SIZE:
            if field.value < before.value:
                raise errors.invalid_header(name, f"{field.value} is less than {before.value}, the size so far")
        elif field.value != before.value:
            raise _contradiction(name, _shown(field), _shown(before))


def joined_outer(given: Table, known: Table) -> Table:
    """Return the outer headers of earlier members with those of a further one: first values, but the largest size."""
    joined = {**given, **known}
    if OUTER_SIZE in given and given[OUTER_SIZE].value > joined[OUTER_SIZE].value:
        joined[OUTER_SIZE] = given[OUTER_SIZE]
    return joined


def _shown(field: Field) -> str:
    return text(field.value) if isinstance(field.value, bytes) else str(field.value)


def _contradiction(name: str, given: str, known: str) -> errors.AmqpError:
    return errors.invalid_header(name, f"'{given}' contradicts '{known}' of an earlier member")
