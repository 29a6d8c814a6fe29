"""The bytes of publishes that are all alike, encoded once: what is sent is a slice of them."""

from amqpbroker.cli.perf.encoded import CHUNK_BYTES, EncodedPublishes
from amqpbroker.cli.perf.kind import Kind
from amqpbroker.cli.perf.stamp import MARK_BYTES, STAMP
from amqpbroker.wire import frames, methods
from amqpbroker.wire.properties import encode_properties


class Template(EncodedPublishes):
    """Publishes on one channel, all of `each` octets and with bodies of `size`."""

    def __init__(self, kind: Kind, frame_max: int, chunk_bytes: int = CHUNK_BYTES, channel: int = 1) -> None:
        body = kind.body or (STAMP.pack(kind.mark, 0) if kind.mark else b"").ljust(kind.size, b"x")
        arguments = {"exchange": kind.exchange, "routing_key": kind.routing_key, "mandatory": kind.mandatory}
        method = frames.frame(frames.METHOD, channel, methods.encode("basic.publish", **arguments))
        variants = []
        for priority in [None] if kind.max_priority is None else range(kind.max_priority + 1):
            properties = kind.properties if priority is None else kind.properties | {"priority": priority}
            variants.append(method + frames.content(channel, encode_properties(properties), body, frame_max))
        self.size = len(body)
        self.each = len(variants[0])
        self.most = max(1, chunk_bytes // self.each)
        self.taken_octets = 0
        header_bytes = frames.OVERHEAD + int.from_bytes(variants[0][len(method) + 3 : len(method) + 7], "big")
        self._stamp_at = len(method) + header_bytes + 7 + MARK_BYTES
        self._turn = len(variants)
        self._next = 0
        self._chunk = bytearray(b"".join(variants) * -(-(self.most + self._turn - 1) // self._turn))
        self._view = memoryview(self._chunk)

    def take(self, count: int) -> memoryview:
        start = self._next * self.each
        self.taken_octets = count * self.size
        self._next = (self._next + count) % self._turn
        return self._view[start : start + count * self.each]

    def take_stamped(self, count: int, stamps_ns: list[int]) -> memoryview:
        start = self._next * self.each
        if len(stamps_ns) == 1:
            stop = start + count * self.each
            for column, octet in enumerate(stamps_ns[0].to_bytes(8, "big"), start + self._stamp_at):
                self._chunk[column : stop : self.each] = bytes((octet,)) * count
        else:
            for at, stamp_ns in enumerate(stamps_ns):
                offset = start + at * self.each + self._stamp_at
                self._chunk[offset : offset + 8] = stamp_ns.to_bytes(8, "big")
        return self.take(count)

    def unsent(self, left: int) -> tuple[int, int]:
        count = -(-left // self.each)
        return count, count * self.size
