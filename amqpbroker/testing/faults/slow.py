"""Slow or silent connections."""

import dataclasses

from amqpbroker.testing.faults.fault import Fault


@dataclasses.dataclass(eq=False)
class StopReading(Fault):
    """See `Faults.stop_reading`."""

    kind = "stop_reading"
    reads = False

    def begin(self) -> None:
        record_strike(self)


@dataclasses.dataclass(eq=False)
class StopWriting(Fault):
    """See `Faults.stop_writing`."""

    kind = "stop_writing"
    writes = False

    def begin(self) -> None:
        record_strike(self)


@dataclasses.dataclass(eq=False)
class OneByteWrites(Fault):
    """See `Faults.one_byte_writes`."""

    kind = "one_byte_writes"
    piece = 1

    def begin(self) -> None:
        record_strike(self)


def record_strike(fault: Fault) -> None:
    """Record that the fault acts on all connections from now on."""
    if fault.target.broker is not None:
        fault.record(None, "from now on")
