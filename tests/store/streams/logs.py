"""Streams on files in memory that outlive them."""

from pathlib import Path

from amqpbroker.clock import ManualClock
from amqpbroker.config.bounds import Bounds
from amqpbroker.message.message import Message, encode_address
from amqpbroker.store.log import UnwrittenError
from amqpbroker.store.streams.chunk import Block, stored_message
from amqpbroker.store.streams.stream_log import StreamLog
from amqpbroker.store.streams.streams import Streams
from amqpbroker.wire.properties import encode_properties
from tests.fault_files import FaultyFiles

DIRECTORY = Path("/streams")
START_MS = 1_700_000_000_000


class Node:
    """One stream, number 7, of a process that can end."""

    def __init__(self, files=None, segment_bytes=1000, chunk_bytes=300, index_bytes=200):
        self.files = files or FaultyFiles()
        self.segment_bytes = segment_bytes
        self.bounds = Bounds(chunk_bytes=chunk_bytes, index_bytes=index_bytes)
        self.clock = ManualClock(START_MS)
        self.freed = 0
        self.restart()

    def restart(self, *deleted: int) -> None:
        """Start again on the same files, without the streams that were deleted."""
        self.streams = Streams(DIRECTORY, self.files, 1 << 20)
        self.streams.drive(lambda size: None, self._free)
        if 7 not in deleted:
            self.log: StreamLog = self.streams.open(7, self.segment_bytes, self.clock, self.bounds)

    def _free(self):
        self.freed += 1

    def publish(self, *bodies: str, headers=None) -> None:
        """Add messages, as in one event loop iteration, and store them."""
        for body in bodies:
            self.log.append(message(body, headers))
        self.sync()

    def sync(self) -> None:
        if self.streams.gather():
            self.streams.write()
            self.streams.written()

    def refused(self) -> bool:
        """Store the added messages; return whether the disk refuses them for now."""
        self.streams.gather()
        try:
            self.streams.write()
        except UnwrittenError:
            return True
        self.streams.written()
        return False

    def read(self, offset: int | None = None) -> list[str]:
        """Return the bodies of all messages that can be read, from an offset on."""
        return [each.body.decode() for each in self.messages(offset)]

    def messages(self, offset: int | None = None) -> list[Message]:
        log = self.log
        at = log.first if offset is None else offset
        found = []
        key = log.place(at) if at < log.safe else None
        while key is not None and at < log.safe:
            block = log.block(key)
            while at < block.first + block.count:
                found.append(message_in(block, at))
                at += 1
            if at < log.safe:
                key = log.following(key, block)
        return found


def message_in(block: Block, offset: int) -> Message:
    """Return the message with that offset."""
    address, frames, size, _ = block.read(block.find(offset))
    return stored_message(address, frames, size)


def message(body: str, headers=None, key: bytes = b"key") -> Message:
    properties = encode_properties({} if headers is None else {"headers": headers})
    return Message(encode_address("exchange", key), properties, body.encode())


def offsets(messages: list[Message]) -> list[int]:
    return [each.headers["x-stream-offset"].value for each in messages]


def bodies(count: int, first: int = 0) -> list[str]:
    return [f"message {number}" for number in range(first, first + count)]
