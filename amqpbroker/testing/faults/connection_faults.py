"""The faults that apply to one connection."""

from collections.abc import Callable
from functools import partial

from amqpbroker.broker.events.tap import TappedVhost, Via
from amqpbroker.message.message import Message
from amqpbroker.testing.faults.confirms import Confirm
from amqpbroker.testing.faults.fault import Fault, Key
from amqpbroker.testing.faults.frames import Frame
from amqpbroker.testing.faults.index import Bucket, Group, Index
from amqpbroker.testing.faults.line import Interceptor, Line
from amqpbroker.testing.faults.target import Target


class ConnectionFaults(Interceptor):
    """The faults that apply to one connection.

    Of several faults that are due at the same frame, the oldest one strikes; the others have counted it all the same.
    """

    def __init__(self, index: Index, target: Target) -> None:
        self._index = index
        self._target = target
        self._version = -1
        self._identity: object = None
        self._groups: list[Group] = []
        #: Faults by event that count the events of this connection only.
        self._buckets: dict[Key, Bucket] = {}
        self._counted: set[Fault] = set()
        self._reads = self._writes = True
        self._piece = 0

    # --- decisions for the line ---------------------------------------------------------------------------------------

    def reads(self, line: Line) -> bool:
        self._update(line)
        return self._reads

    def writes(self, line: Line) -> bool:
        self._update(line)
        return self._writes

    def piece(self, line: Line) -> int:
        self._update(line)
        return self._piece

    def strikes(self, line: Line, frame: Frame, received: bool) -> bool:
        self._update(line)
        due: list[Fault | None] = []
        if frame.name:
            for key in self._index.keys(line, frame, received):
                for bucket in self._shared(key):
                    bucket.advance()
                    due.append(bucket.first())
        frames = self._buckets.get(("frames", _way(received)))
        if frames is not None and frame.counts:
            frames.advance()
            due.append(frames.first())
        due += [fault for group in self._groups for fault in group.every if fault.wants(line, frame, received)]
        fault = _oldest(due)
        if fault is not None:
            fault.strike(line, frame, received)
        return fault is not None

    def strikes_within(self, line: Line, size: int, received: bool) -> tuple[int, Callable[[], None] | None]:
        self._update(line)
        bucket = self._buckets.get(("bytes", _way(received)))
        if bucket is None:
            return size, None
        before = bucket.count
        bucket.advance(size)
        soonest = bucket.soonest()
        if soonest is None:
            return size, None
        fault, number = soonest
        return max(number - before, 0), partial(fault.strike_bytes, line, received)

    def holds(self, line: Line, confirm: Confirm) -> bool:
        self._update(line)
        due: list[Fault | None] = []
        for bucket in self._shared(("confirm",)):
            if bucket not in confirm.counted:
                bucket.advance()
                confirm.counted[bucket] = bucket.count
            due.append(bucket.first(confirm.counted[bucket], lambda fault: fault not in confirm.passed))
        fault = _oldest(due)
        if fault is not None:
            fault.hold(line, confirm)
        return fault is not None

    def delivered(self, line: Line, vhost: TappedVhost, message: Message, queue: str, via: Via) -> None:
        self._update(line)
        due = [fault for group in self._groups for fault in group.every]
        for key in (("delivery", None), ("delivery", queue)):
            for bucket in self._shared(key):
                bucket.advance()
                due += bucket.all()
        for fault in sorted(due, key=lambda fault: fault.id):
            fault.delivered(line, vhost, message, queue, via)

    def lost(self, line: Line) -> None:
        self._target.remove(line)

    def soon(self, call: Callable[[], None]) -> None:
        self._target.soon(call)

    # --- applicable faults --------------------------------------------------------------------------------------------

    def _shared(self, key: Key) -> list[Bucket]:
        """Return the faults that count an event of all connections."""
        return [group.buckets[key] for group in self._groups if key in group.buckets]

    def _update(self, line: Line) -> None:
        """Apply added and removed faults, and those of the user and vhost that the handshake has revealed."""
        identity = line.identity
        if self._version == self._index.version and self._identity == identity:
            return
        self._version, self._identity = self._index.version, identity
        self._groups = self._index.groups(line)
        slow = [fault for group in self._groups for fault in group.slow]
        self._reads = all(fault.reads for fault in slow)
        self._writes = all(fault.writes for fault in slow)
        self._piece = min((fault.piece for fault in slow if fault.piece), default=0)
        counting = {fault: None for group in self._groups for fault in group.lines}
        gone = self._counted - counting.keys()
        if gone:
            self._counted -= gone
            for bucket in self._buckets.values():
                bucket.discard(gone)
        for fault in counting:
            if fault not in self._counted:
                self._counted.add(fault)
                for key, first in fault.places():
                    self._buckets.setdefault(key, Bucket()).add(fault, first)


def _oldest(due: list[Fault | None]) -> Fault | None:
    return min(filter(None, due), key=lambda fault: fault.id, default=None)


def _way(received: bool) -> str:
    return "received" if received else "sent"
