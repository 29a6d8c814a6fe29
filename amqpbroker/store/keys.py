"""Keys of the records of batches and jobs, as far as they refer to other records. See docs/store-format.md.

A key is the id of an id record (see `MessageIdRecord`). Functions raise struct.error for a key that is cut off.
"""

import struct
from collections.abc import Callable
from typing import Final

from amqpbroker.wire.values import text

#: First bytes of the keys of batches, of their members, of jobs, and of the pieces of their replies.
BATCH: Final = b"H"
MEMBER: Final = b"M"
JOB: Final = b"J"
REPLY: Final = b"R"

#: Numbers behind the first byte of the key of a batch and of a job; names follow, each with its size in two bytes.
BATCH_NUMBERS: Final = struct.Struct(">qqqBB")
JOB_NUMBERS: Final = struct.Struct(">qqqIIIH")
#: Number of names of a job.
JOB_NAMES: Final = 10
#: A copy of a job, behind its names. The first number is the id of the queue or exchange, the last one of
#: `JOB_NUMBERS` the number of copies.
PLACE: Final = struct.Struct(">IqqBi")
#: The first bytes of the key of a piece of a reply; the second field is the number of its job.
PIECE_HEAD: Final = struct.Struct(">cqI")

_NUMBER: Final = slice(1, 9)


def vhost_of(key: bytes) -> str:
    """Return the vhost of a batch or a job, by its key."""
    at = 1 + (BATCH_NUMBERS if key.startswith(BATCH) else JOB_NUMBERS).size
    start = at + 2
    return text(key[start : start + int.from_bytes(key[at:start], "big")])


def owner_of(key: bytes) -> int:
    """Return the number of the batch of a member, or of the job of a piece of a reply, by the key of the latter."""
    return int.from_bytes(key[_NUMBER], "big")


def with_owner(key: bytes, number: int) -> bytes:
    """Return the key with another number of the batch or job, as of `owner_of`."""
    return key[: _NUMBER.start] + number.to_bytes(8, "big") + key[_NUMBER.stop :]


def with_places(key: bytes, new_id: Callable[[int], int]) -> bytes:
    """Return the key of a job with other ids of the queues and exchanges that have its copies."""
    count: int = JOB_NUMBERS.unpack_from(key, 1)[-1]
    at = 1 + JOB_NUMBERS.size
    for _ in range(JOB_NAMES):
        at += 2 + int.from_bytes(key[at : at + 2], "big")
    changed = bytearray(key)
    for start in range(at, at + count * PLACE.size, PLACE.size):
        holder_id, *rest = PLACE.unpack_from(key, start)
        PLACE.pack_into(changed, start, new_id(holder_id), *rest)
    return bytes(changed)
