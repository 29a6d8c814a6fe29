"""The bytes of basic.ack on channel 1. A run of single ones is a slice of a table, not a loop."""

from amqpbroker.wire import frames, methods

_BLOCK = 256
_SINGLE = frames.frame(frames.METHOD, 1, methods.encode("basic.ack"))
_EACH = len(_SINGLE)
_TAG_AT = 11


def up_to(tag: int) -> bytes:
    """Acknowledges everything up to the tag."""
    return frames.frame(frames.METHOD, 1, methods.encode("basic.ack", delivery_tag=tag, multiple=True))


class SingleAcks:
    """One basic.ack for each of a run of delivery tags."""

    def __init__(self) -> None:
        #: The frames of the tags that differ in their last octet only.
        self._table = bytearray(_SINGLE * _BLOCK)
        self._table[_TAG_AT + 7 :: _EACH] = bytes(range(_BLOCK))
        self._block = 0

    def between(self, first: int, last: int) -> bytes:
        """Those of the tags from first to last, both included."""
        parts = []
        while first <= last:
            self._turn_to(first >> 8)
            stop = min(last, first | 0xFF)
            parts.append(self._table[(first & 0xFF) * _EACH : ((stop & 0xFF) + 1) * _EACH])
            first = stop + 1
        return b"".join(parts)

    def _turn_to(self, block: int) -> None:
        if block == self._block:
            return
        before, after = self._block.to_bytes(7, "big"), block.to_bytes(7, "big")
        for place in range(7):
            if before[place] != after[place]:
                self._table[_TAG_AT + place :: _EACH] = bytes((after[place],)) * _BLOCK
        self._block = block
