"""Publishes that differ, encoded before the run and sent in turn."""

import struct
from bisect import bisect_right
from typing import Any

from amqpbroker.cli.perf.template import CHUNK_BYTES, MARK_BYTES, STAMP, EncodedPublishes, Kind
from amqpbroker.cli.perf.variety import Variety, random_properties
from amqpbroker.wire import frames, methods
from amqpbroker.wire.properties import encode_properties

#: Messages of a pool, and of all pools of a run together, and bytes of these: many pools are smaller ones, down to the
#: least.
POOL_MESSAGES = 4096
LEAST_POOL_MESSAGES = 16
MESSAGES = 1 << 16
BYTES = 1 << 26
#: Approximate number of bytes of a message besides its body.
_AROUND_BODY = 300

#: A unique key: that of the kind, the number of the pool, of its repetition, and of the message in it.
UNIQUE_KEY_BYTES = len(".123456789.00000000.0000")
_ROUNDS = 1 << 32
#: In basic.publish, from the start of its frame to the exchange's name: frame head, ids, ticket, length.
_EXCHANGE_AT = 7 + 4 + 2 + 1
_TIME = struct.Struct(">Q")


def pool_size(kind: Kind, pools: int) -> int:
    """Return the number of different messages of each of the pools."""
    sizes = kind.variety.sizes if kind.variety else None
    body_bytes = len(kind.body) or (sum(sizes) // 2 if sizes else kind.size)
    most = min(POOL_MESSAGES, MESSAGES // pools, BYTES // (pools * (body_bytes + _AROUND_BODY)))
    priorities = 1 + (kind.max_priority or 0)
    return -(-max(most, LEAST_POOL_MESSAGES) // priorities) * priorities


class Pool(EncodedPublishes):
    """`count` different publishes on one channel, which are sent again and again in the same order.

    Keys that are to be unique change each time that the pool begins again. number: that of this pool in the run.
    """

    def __init__(
        self,
        kind: Kind,
        variety: Variety,
        count: int,
        frame_max: int,
        chunk_bytes: int = CHUNK_BYTES,
        channel: int = 1,
        number: int = 0,
    ) -> None:
        self._chance = variety.chance(number)
        self._variety = variety
        self._kind = kind
        prefix = f"{kind.routing_key}." * bool(kind.routing_key) + f"{number}."
        self._chunk = bytearray()
        self._starts = [0]  # of each publish, and the end of the last one
        self._body_bytes = [0]  # of all bodies before
        self._rounds_at: list[int] = []
        self._stamps_at: list[int] = []
        round_at = _EXCHANGE_AT + len(kind.exchange.encode()) + 1 + len(prefix.encode())
        for at in range(count):
            key = f"{prefix}{_digits(0).decode()}.{at:04x}" if variety.keys else kind.routing_key
            arguments = {"exchange": kind.exchange, "routing_key": key, "mandatory": kind.mandatory}
            method = frames.frame(frames.METHOD, channel, methods.encode("basic.publish", **arguments))
            properties = encode_properties(self._properties(at))
            body = self._body()
            start = self._starts[-1]
            self._chunk += method
            self._chunk += frames.content(channel, properties, body, frame_max)
            self._starts.append(len(self._chunk))
            self._body_bytes.append(self._body_bytes[-1] + len(body))
            self._rounds_at.append(start + round_at)
            body_at = len(method) + frames.CONTENT_HEAD.size + len(properties) + 1 + 7
            self._stamps_at.append(start + body_at + MARK_BYTES)
        layouts = {
            (stop - start, stamp_at - start)
            for start, stop, stamp_at in zip(self._starts, self._starts[1:], self._stamps_at, strict=False)
        }
        #: Length of each publish if all have the same layout, else 0.
        self._each = self._starts[1] if len(layouts) == 1 else 0
        self._count = count
        self._view = memoryview(self._chunk)
        self._at_once = max(1, chunk_bytes * count // len(self._chunk))
        self._round = -1
        self._next = self._end = 0  # the first of the next call, and the end of the last one
        self.most = min(self._at_once, count)
        self.last_bytes = 0

    def next_publishes(self, count: int) -> memoryview:
        first, last = self._next, self._next + count
        if not first and self._variety.keys:
            self._begin_round()
        self._end = last
        self._next = last % self._count
        self.most = min(self._at_once, self._count - self._next)
        self.last_bytes = self._body_bytes[last] - self._body_bytes[first]
        return self._view[self._starts[first] : self._starts[last]]

    def next_stamped(self, count: int, stamps_ns: list[int]) -> memoryview:
        first = self._next
        places = self._stamps_at[first : first + count]
        if len(stamps_ns) > 1:
            for at, stamp_ns in zip(places, stamps_ns, strict=True):
                _TIME.pack_into(self._chunk, at, stamp_ns)
        elif self._each:
            for column, byte in enumerate(_TIME.pack(stamps_ns[0])):
                self._fill(places, column, byte)
        else:
            for at in places:
                _TIME.pack_into(self._chunk, at, stamps_ns[0])
        return self.next_publishes(count)

    def unsent(self, left: int) -> tuple[int, int]:
        end = self._end
        first = bisect_right(self._starts, self._starts[end] - left) - 1 if left else end
        return end - first, self._body_bytes[end] - self._body_bytes[first]

    def _begin_round(self) -> None:
        """Make the keys differ from all earlier ones."""
        before = _digits(max(self._round, 0))
        self._round += 1
        for column, (old, new) in enumerate(zip(before, _digits(self._round), strict=True)):
            if old != new:
                self._fill(self._rounds_at, column, new)

    def _fill(self, places: list[int], column: int, byte: int) -> None:
        """Write a byte at an offset from each of the places."""
        chunk, each = self._chunk, self._each
        if each:
            chunk[places[0] + column : places[-1] + column + 1 : each] = bytes((byte,)) * len(places)
        else:
            for at in places:
                chunk[at + column] = byte

    def _properties(self, at: int) -> dict[str, Any]:
        """Return the properties of the kind, which take precedence, and generated ones."""
        kind = self._kind
        found = dict(kind.properties)
        if self._variety.properties:
            made_up = random_properties(self._chance)
            found = made_up | found
            found["headers"] = made_up["headers"] | found["headers"]
        if kind.max_priority is not None:
            found["priority"] = at % (kind.max_priority + 1)
        return found

    def _body(self) -> bytes:
        kind, sizes = self._kind, self._variety.sizes
        if kind.body:
            return kind.body
        start = STAMP.pack(kind.mark, 0) if kind.mark else b""
        if sizes is None:
            return start.ljust(kind.size, b"x")
        return start + self._chance.randbytes(max(0, self._chance.randint(*sizes) - len(start)))


def _digits(number: int) -> bytes:
    return b"%08x" % (number % _ROUNDS)
