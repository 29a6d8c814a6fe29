"""Decodes publishes from the bytes of a client."""

import struct

from amqpbroker.wire import frames, methods, properties
from amqpbroker.wire.reader import FrameReader


def parsed(data, frame_max=4096, sent_on=1):
    """Yield publishes as (arguments of basic.publish, properties, body)."""
    reader = FrameReader(frame_max)
    reader.feed(bytes(data))
    found = []
    for kind, channel, payload in reader.frames():
        assert channel == sent_on
        if kind == frames.METHOD:
            found.append([methods.decode(methods.BY_NAME["basic.publish"], payload), None, b""])
        elif kind == frames.HEADER:
            found[-1][1] = (int.from_bytes(payload[4:12], "big"), properties.decode_properties(payload[12:]))
        else:
            found[-1][2] += payload
    assert reader.held == 0
    for publish in found:
        size, publish[1] = publish[1]
        assert len(publish[2]) == size
    return found


def stamps(publishes):
    return [struct.unpack(">8sQ", body[:16]) for _, _, body in publishes]
