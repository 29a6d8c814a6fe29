"""The headers of a batch on which its members agree."""

from typing import final

from amqpbroker import errors
from amqpbroker.broker.batches.request import EVENTS, EXCHANGE, OUTER_SIZE, ROUTING_KEY, SIZE, TTL, Request
from amqpbroker.wire.values import Field, Table, text


@final
class Terms:
    """The headers that members of a batch have named so far.

    size: number of members, -1 while it is unknown. exchange, routing_key: of event messages, each None while no member
    has named it. is_reply: see `Request`; headers replace such a key. events: to be sent, None while no member has
    named any. ttl_ms: the same. outer: headers for the event message.
    """

    def __init__(self) -> None:
        self.size: int = -1
        self.exchange: str | None = None
        self.routing_key: bytes | None = None
        self.is_reply: bool = False
        self.events: frozenset[str] | None = None
        self.ttl_ms: int | None = None
        self.outer: Table = {}

    @property
    def target(self) -> tuple[str, bytes] | None:
        """Return the exchange and the routing key of event messages, None while the members have not named them."""
        if self.routing_key is not None:
            return self.exchange or "", self.routing_key
        return (self.exchange, b"") if self.exchange else None

    def check(self, request: Request, total: int) -> None:
        """Raise AmqpError 406 if the headers of a further member contradict these. total: number of members."""
        size, so_far = request.size, max(self.size, total)
        if size is not None and size < so_far:
            raise errors.invalid_header(SIZE, f"{size} is less than {so_far}, the size so far")
        exchange, key = request.exchange, request.routing_key
        if exchange is not None and self.exchange is not None and exchange != self.exchange:
            raise _contradiction(EXCHANGE, exchange, self.exchange)
        named = self.routing_key is not None and not self.is_reply
        if key is not None and named and not request.is_reply and key != self.routing_key:
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
        if self._join_target(request):
            changed = True
        if request.events is not None and self.events is None:
            self.events, changed = request.events, True
        if request.ttl_ms is not None and self.ttl_ms is None:
            self.ttl_ms, changed = request.ttl_ms, True
        outer = _joined_outer(request.outer, self.outer)
        if outer != self.outer:
            self.outer, changed = outer, True
        return changed

    def _join_target(self, request: Request) -> bool:
        """Add the parts of the target that no earlier member has named. Return whether any were added."""
        before = self.exchange, self.routing_key, self.is_reply
        has_key = self.routing_key is not None and not self.is_reply
        if request.is_event and (self.exchange is not None or has_key):
            # Nobody was asked whether its headers may be combined with those of others.
            return False
        if self.exchange is None:
            self.exchange = request.exchange
        if not request.is_reply and not has_key and request.routing_key is not None:
            self.routing_key, self.is_reply = request.routing_key, False
        elif self.is_reply and self.exchange:
            # A reply_to is the name of a queue.
            self.routing_key, self.is_reply = None, False
        elif request.is_reply and self.routing_key is None and not self.exchange:
            self.routing_key, self.is_reply = request.routing_key, True
        return (self.exchange, self.routing_key, self.is_reply) != before

    def joined(self, request: Request) -> "Terms":
        """Return what these are with the headers of a further member."""
        joined = self.copy()
        joined.join(request)
        return joined

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


def _joined_outer(given: Table, known: Table) -> Table:
    """Return the outer headers of earlier members with those of a further one: first values, but the largest size."""
    joined = {**given, **known}
    if OUTER_SIZE in given and given[OUTER_SIZE].value > joined[OUTER_SIZE].value:
        joined[OUTER_SIZE] = given[OUTER_SIZE]
    return joined


def _shown(field: Field) -> str:
    return text(field.value) if isinstance(field.value, bytes) else str(field.value)


def _contradiction(name: str, given: str, known: str) -> errors.AmqpError:
    return errors.invalid_header(name, f"'{given}' contradicts '{known}' of an earlier member")
