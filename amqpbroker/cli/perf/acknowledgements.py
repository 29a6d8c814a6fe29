"""The bytes of acknowledgements. A run of single ones is a slice of a table, not a loop."""

from amqpbroker.wire import frames, methods

_BLOCK = 256
_METHOD = methods.encode("basic.ack")
_EACH = len(_METHOD) + frames.OVERHEAD
_TAG_AT = 11


def up_to(tag: int, channel: int = 1) -> bytes:
    """Acknowledges everything up to the tag."""
    return frames.frame(frames.METHOD, channel, methods.encode("basic.ack", delivery_tag=tag, multiple=True))


def back_up_to(tag: int, channel: int = 1) -> bytes:
    """Gives everything back to its queue that is not acknowledged up to the tag."""
    nack = methods.encode("basic.nack", delivery_tag=tag, multiple=True, requeue=True)
    return frames.frame(frames.METHOD, channel, nack)


def cancelling(consumer_tag: str, channel: int = 1) -> bytes:
    """Ends a consumer; what is on its way to it still comes."""
    cancel = methods.encode("basic.cancel", consumer_tag=consumer_tag, nowait=True)
    return frames.frame(frames.METHOD, channel, cancel)


class SingleAcks:
    """One basic.ack for each of a run of delivery tags."""

    def __init__(self, channel: int = 1) -> None:
        #: The frames of the tags that differ in their last octet only.
        self._table = bytearray(frames.frame(frames.METHOD, channel, _METHOD) * _BLOCK)
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
