"""Soak phases for streams: many messages that are read from several places, retention, filters and deletion."""

from amqpbroker.store.streams.segment import READ_BYTES
from amqpbroker.wire.values import Field, Table, longstr
from tests.harness import published
from tests.load.client import request
from tests.soak.client import DELIVER, Settled, SoakClient, delivery_tag
from tests.soak.soak import PERSISTENT, Phase, Soak
from tests.soak.traffic import alike, consumer_tag, delete, number, publish

#: Size of most bodies, and of bodies that are read in several parts.
SIZE = 1000
LARGE_BYTES = 3 * READ_BYTES
PREFETCH = 200


def declare(client: SoakClient, queue: str, segment_bytes: int, **arguments: Field) -> None:
    """Declare a stream."""
    given: Table = {
        "x-queue-type": longstr("stream"),
        "x-stream-max-segment-size-bytes": number(segment_bytes),
        **arguments,
    }
    client.declare(queue, durable=True, arguments=given)


def start(queue: str, tag: str, offset: Field, **arguments: Field) -> bytes:
    """Return the request for a consumer that begins at an offset."""
    given: Table = {"x-stream-offset": offset, **arguments}
    return request("basic.consume", queue=queue, consumer_tag=tag, arguments=given)


def read(client: SoakClient, queue: str, counts: dict[int, int]) -> None:
    """Read a stream from several places at once. counts: first offset -> number of messages that are there."""
    client.call("basic.qos", "basic.qos-ok", prefetch_count=PREFETCH)
    left = {f"from {offset}": count for offset, count in counts.items()}

    def on_method(ids: int, payload: bytes) -> bytes:
        if ids != DELIVER:
            return b""
        left[consumer_tag(payload)] -= 1
        return request("basic.ack", delivery_tag=delivery_tag(payload))

    starts = [start(queue, f"from {offset}", Field("l", offset)) for offset in counts]
    client.pump(starts, lambda: not any(left.values()), on_method)
    for tag in left:
        client.call("basic.cancel", "basic.cancel-ok", consumer_tag=tag)


def _segments(soak: Soak) -> int:
    """Return the number of the segments' files."""
    return len(list((soak.host.data / "streams").glob("*.stream")))


def _is_clean(soak: Soak) -> None:
    soak.until(lambda: not list((soak.host.data / "streams").iterdir()), "no file of a deleted stream is left")


def streams(soak: Soak) -> None:
    """Read more messages than the cache has, and large ones, from several places at once."""
    cache_bytes = soak.bounds.stream_cache_bytes
    # A message in the cache takes more than twice its body.
    count = 2 * cache_bytes // SIZE + 200
    assert soak.bounds.chunk_bytes < 50 * SIZE
    with soak.client() as client:
        declare(client, "s", 10 * soak.bounds.index_bytes)
        publish(client, alike(PERSISTENT, "s", count, body=b"x" * SIZE), count)
        read(client, "s", {offset: count - offset for offset in (0, count // 3, count // 2, count - 10)})
        cached = soak.census()["BlockCache.size_bytes"]
        assert cache_bytes // 2 < cached <= cache_bytes + 4 * soak.bounds.chunk_bytes, f"{cached} bytes are cached"
        publish(client, alike(PERSISTENT, "s", 10, body=b"x" * LARGE_BYTES), 10)
        read(client, "s", {count: 10, count - 10: 20})
        delete(client, "s")
        client.close()
    _is_clean(soak)


def followed(soak: Soak) -> None:
    """Publish to a stream that several consumers follow."""
    count, readers = soak.count(20_000), 5
    with soak.client() as client, soak.client() as publisher:
        declare(client, "s", 10 * soak.bounds.index_bytes)
        client.call("basic.qos", "basic.qos-ok", prefetch_count=PREFETCH)
        starts = [start("s", f"r{i}", longstr("next")) for i in range(readers)]
        client.pump(starts, lambda: client.seen["basic.consume-ok"] == readers)
        publish(publisher, alike(PERSISTENT, "s", count, body=b"x" * SIZE), count)

        def ack(ids: int, payload: bytes) -> bytes:
            return request("basic.ack", delivery_tag=delivery_tag(payload)) if ids == DELIVER else b""

        client.pump((), lambda: client.seen["basic.deliver"] == count * readers, ack)
        # Consumers that still follow.
        delete(publisher, "s")
        publisher.close()
        client.close()
    _is_clean(soak)


def retention(soak: Soak) -> None:
    """Remove segments that a consumer has not read yet."""
    segments, size = 10, 20 * SIZE
    count = soak.count(10_000) + 1000
    with soak.client() as client:
        declare(client, "s", size, **{"x-max-length-bytes": number(segments * size), "x-max-age": longstr("1h")})
        client.call("basic.qos", "basic.qos-ok", prefetch_count=1)
        publish(client, alike(PERSISTENT, "s", 1, body=b"x" * SIZE), 1)
        client.seen.clear()
        client.pump([start("s", "slow", longstr("first"))], lambda: client.seen["basic.deliver"] == 1)
        # Few messages at a time, so that no segment is much larger than it should be.
        for _ in range(count // 20):
            publish(client, alike(PERSISTENT, "s", 20, body=b"x" * SIZE), 20)
        assert soak.census()["StreamSegment"] <= segments + 1
        soak.until(lambda: _segments(soak) <= segments + 1, "the oldest segments are removed")
        left = client.depth("s")
        assert left < count // 2

        def ack(ids: int, payload: bytes) -> bytes:
            return request("basic.ack", delivery_tag=delivery_tag(payload)) if ids == DELIVER else b""

        client.pump([request("basic.ack", delivery_tag=1)], lambda: client.seen["basic.deliver"] == 1 + left, ack)
        delete(client, "s")
        client.close()
    _is_clean(soak)


def filtered(soak: Soak) -> None:
    """Pass over many messages that a filter does not accept, small and large ones."""
    count = 5 * soak.bounds.stream_skips + 100
    large = 5 * soak.bounds.stream_read_bytes // SIZE + 10
    with soak.client() as client:
        declare(client, "s", 10 * soak.bounds.index_bytes)
        for value, several, size in (("a", count, 20), ("a", large, SIZE), ("b", 1, 20)):
            headers = {"x-stream-filter-value": longstr(value)}
            data = alike(PERSISTENT, "s", several, body=bytes(size), headers=headers)
            publish(client, data, several)
        client.call("basic.qos", "basic.qos-ok", prefetch_count=PREFETCH)
        client.seen.clear()
        starts = [start("s", f"r{i}", longstr("first"), **{"x-stream-filter": longstr("b")}) for i in range(5)]
        client.pump(starts, lambda: client.seen["basic.deliver"] == 5)
        delete(client, "s")
        client.close()
    _is_clean(soak)


def deleted_while_written(soak: Soak) -> None:
    """Delete streams whose messages wait for the disk."""
    count = soak.count(200)
    with soak.client() as client:
        client.call("confirm.select", "confirm.select-ok")
        settled = Settled()
        sent = 0
        for _ in range(5):
            for i in range(count):
                declare(client, f"s{i}", 1)
            with soak.lever("disk"):
                for _ in range(2):
                    client.send(b"".join([published(f"s{i}", b"x" * SIZE) for i in range(count)]))
                    sent += count
                    client.call("queue.declare", "queue.declare-ok", queue="s0", passive=True)
                delete(client, *[f"s{i}" for i in range(count)])
            client.pump((), lambda count=sent: settled.tag == count, settled.on_method)
        client.close()
    _is_clean(soak)


PHASES = [
    Phase("streams", streams, is_peak=True),
    Phase("followed streams", followed, is_peak=True),
    Phase("streams with retention", retention),
    Phase("filtered streams", filtered),
    Phase("deleted streams", deleted_while_written),
]
