"""Messages that a publisher sends, as frames that are encoded before anything is measured."""

from dataclasses import dataclass, field
from itertools import cycle, islice
from typing import Protocol

from amqpbroker.wire.values import Table
from tests.bench.application import DIFFERENT, LARGEST_BYTES, SMALLEST_BYTES, messages
from tests.harness import published

CHUNK_BYTES = 1 << 18
CHUNK_MESSAGES = 500


class Load(Protocol):
    """Frames to be sent repeatedly.

    in_flight: maximum number of messages that wait for their confirm, 0 for publishing without confirms. count: number
    of messages to send, 0 for no end. tls: the connection is encrypted.
    """

    @property
    def in_flight(self) -> int: ...
    @property
    def count(self) -> int: ...
    @property
    def tls(self) -> bool: ...
    def chunks(self) -> list[tuple[bytes, int]]:
        """Return frames, and the number of messages in them."""


@dataclass(frozen=True)
class Repeated:
    """One repeated message, with the routing keys of `keys` in rotation. See `Load` for the other attributes."""

    keys: tuple[str, ...]
    exchange: str = ""
    size: int = 16
    persistent: bool = False
    in_flight: int = 0
    count: int = 0
    tls: bool = False

    def chunks(self) -> list[tuple[bytes, int]]:
        """Return chunks with each of `keys` at least once."""
        properties = {"delivery_mode": 2} if self.persistent else {}
        body = b"x" * self.size
        frames = [published(key, body, self.exchange, **properties) for key in self.keys]
        most = max(1, min(CHUNK_MESSAGES, CHUNK_BYTES // len(frames[0]), most_at_once(self.in_flight)))
        if len(frames) < most:
            frames *= most // len(frames)
        return chunked(frames, most)


@dataclass(frozen=True)
class Different:
    """Messages of an application, with `different` different ones. See `Load` for the other attributes.

    keys: routing keys, used in rotation; if there are more keys than messages, every key is used, and messages are sent
    with several keys. headers: added to those of each message.
    """

    keys: tuple[str, ...]
    exchange: str = ""
    seed: int = 1
    different: int = DIFFERENT
    smallest: int = SMALLEST_BYTES
    largest: int = LARGEST_BYTES
    persistent: bool = False
    headers: Table = field(default_factory=dict)
    in_flight: int = 0
    count: int = 0
    tls: bool = False

    def chunks(self) -> list[tuple[bytes, int]]:
        return chunked(self.frames(), most_at_once(self.in_flight))

    def frames(self) -> list[bytes]:
        """Return the frames of each message."""
        made = list(messages(self.different, self.seed, self.smallest, self.largest))
        total = max(len(made), len(self.keys))
        further = {"delivery_mode": 2} if self.persistent else {}
        frames = []
        for key, (properties, body) in islice(zip(cycle(self.keys), cycle(made), strict=False), total):
            headers = properties["headers"] | self.headers
            frames.append(published(key, body, self.exchange, **properties | further | {"headers": headers}))
        return frames


def most_at_once(in_flight: int) -> int:
    """Return the number of messages per write, so that some of those in flight can be confirmed meanwhile."""
    return max(1, in_flight // 4) if in_flight else CHUNK_MESSAGES


def chunked(frames: list[bytes], most: int) -> list[tuple[bytes, int]]:
    """Join frames to chunks of about `CHUNK_BYTES`, with at most `most` messages each."""
    chunks: list[tuple[bytes, int]] = []
    part: list[bytes] = []
    size = 0
    for frame in frames:
        if part and (len(part) == most or size + len(frame) > CHUNK_BYTES):
            chunks.append((b"".join(part), len(part)))
            part, size = [], 0
        part.append(frame)
        size += len(frame)
    if part:
        chunks.append((b"".join(part), len(part)))
    return chunks
