"""Ids of messages that a queue or an exchange has accepted, so that it recognises duplicates."""

from array import array
from typing import Protocol

from mypy_extensions import mypyc_attr


# Acyclic: it refers only to bytes and integers.
@mypyc_attr(acyclic=True)
class MessageIdRecord:
    """The id of a message that a queue or an exchange has accepted, until it may accept an equal one.

    key: the id in bytes. holder_id: the id of the queue or exchange in the store. sequence: the message's sequence in
    the queue, or the number of the id among those of its holder. expires_ms: time from which an equal id is accepted,
    in milliseconds since the epoch by the wall clock, 0 for none. ahead_ms: `Clock.ahead_ms` when `expires_ms` was
    computed or restored. position: as in `Copy`. stored: the id survives a restart if its holder does.
    """

    __slots__ = ("ahead_ms", "expires_ms", "holder_id", "key", "position", "sequence", "stored")

    def __init__(
        self, key: bytes, holder_id: int, sequence: int, expires_ms: int, stored: bool, position: int = 0
    ) -> None:
        self.key: bytes = key
        self.holder_id: int = holder_id
        self.sequence: int = sequence
        self.expires_ms: int = expires_ms
        self.stored: bool = stored
        self.position: int = position
        self.ahead_ms: int = 0

    def set_time(self, expires_ms: int, ahead_ms: int) -> None:
        """Set `expires_ms`, a time of the wall clock.

        ahead_ms: the clock's present lead.
        """
        self.expires_ms = expires_ms
        self.ahead_ms = ahead_ms

    def is_over(self, now_ms: int) -> bool:
        """Return whether an equal id is accepted at `now_ms`, a time of `Clock.now_ms`; an id may be taken forever."""
        return 0 < self.expires_ms <= now_ms + self.ahead_ms

    def stored_at(self, position: int) -> None:
        """Set the position; see `Copy`."""
        self.position = position


class Ids:
    """The recovered ids of one holder: each list has one item for each id.

    Ascending by sequence, each sequence once.
    """

    __slots__ = ("expires_ms", "keys", "positions", "sequences")

    def __init__(self) -> None:
        self.keys: list[bytes] = []
        self.sequences = array("Q")
        self.positions = array("Q")
        self.expires_ms = array("Q")

    def add(self, key: bytes, sequence: int, position: int, expires_ms: int) -> None:
        self.keys.append(key)
        self.sequences.append(sequence)
        self.positions.append(position)
        self.expires_ms.append(expires_ms)

    def discard(self, before: int) -> None:
        """Discard the ids at lower positions."""
        kept = [index for index, position in enumerate(self.positions) if position >= before]
        if len(kept) < len(self.keys):
            self.keys = [self.keys[index] for index in kept]
            self.sequences = array("Q", [self.sequences[index] for index in kept])
            self.positions = array("Q", [self.positions[index] for index in kept])
            self.expires_ms = array("Q", [self.expires_ms[index] for index in kept])

    def taken(self, holder_id: int) -> list[MessageIdRecord]:
        """Return them as objects."""
        return [
            MessageIdRecord(key, holder_id, sequence, expires_ms, True, position)
            for key, sequence, position, expires_ms in zip(
                self.keys, self.sequences, self.positions, self.expires_ms, strict=True
            )
        ]


class IdKeeper(Protocol):
    """The ids that a durable queue or exchange has accepted."""

    def recover_ids(self, ids: list[MessageIdRecord]) -> list[MessageIdRecord]:
        """Recover its stored ids, and return those that it does not need.

        Called after all copies are recovered, and before any holder acts on its copies.
        """

    def stored_count(self) -> int:
        """Return the number of its ids in the store."""
