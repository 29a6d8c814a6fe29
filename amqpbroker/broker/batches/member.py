"""The stored state of one member of a batch."""

from typing import Final

from mypy_extensions import mypyc_attr

from amqpbroker.store.keys import MEMBER
from amqpbroker.store.message_id_record import MessageIdRecord
from amqpbroker.store.record import BATCHES_ID

#: Outcomes of a member: not settled yet; settled, and a copy failed; all copies acknowledged. A failed member stays
#: failed until all its copies are acknowledged after all.
OPEN: Final = 0
FAILED: Final = 1
OK: Final = 2

_OUTCOME: Final = 3
_FAILED_AT: Final = 2
_STORED_AT: Final = 21
_LOST_AT: Final = 40
_COUNT: Final = 0x7FFFF

#: Size of a member's name: the first byte, the number of its batch, and its key.
NAME_BYTES: Final = 21


def member_name(number: int, key: bytes) -> bytes:
    """Return the name of a member. number: of its batch."""
    return MEMBER + number.to_bytes(8, "big") + key


# Acyclic: like MessageIdRecord.
@mypyc_attr(acyclic=True)
class Member(MessageIdRecord):
    """The state of a member at one time, which does not change: a record of the journal.

    A subclass without attributes, since a batch has many of these. The state is in `expires_ms`: the outcome, and the
    numbers of copies that failed, that are stored and open, and that are open and do not survive a restart. key: the
    name; for some failed members, followed by the details of the failure.
    """

    __slots__ = ()

    @property
    def outcome(self) -> int:
        return self.expires_ms & _OUTCOME

    @property
    def failed_copies(self) -> int:
        return self.expires_ms >> _FAILED_AT & _COUNT

    @property
    def stored_copies(self) -> int:
        return self.expires_ms >> _STORED_AT & _COUNT

    @property
    def transient_copies(self) -> int:
        return self.expires_ms >> _LOST_AT & _COUNT

    @property
    def name(self) -> bytes:
        key = self.key
        # Compiled, a slice of all bytes would be a copy.
        return key if len(key) == NAME_BYTES else key[:NAME_BYTES]


def member(
    name: bytes, sequence: int, outcome: int, failed: int, stored: int, transient: int, details: bytes = b""
) -> Member:
    """Return the state of a member. sequence: of its records. Numbers of copies are limited to 524,287."""
    state = outcome
    state |= min(failed, _COUNT) << _FAILED_AT
    state |= min(stored, _COUNT) << _STORED_AT
    state |= min(transient, _COUNT) << _LOST_AT
    return Member(name + details if details else name, BATCHES_ID, sequence, state, True)


def recovered_member(record: MessageIdRecord) -> Member:
    """Return the member that a recovered record describes."""
    return Member(record.key, BATCHES_ID, record.sequence, record.expires_ms, True, record.position)
