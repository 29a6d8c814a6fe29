"""Connections that go on, but badly."""

import dataclasses

from amqpbroker.testing.faults.fault import Fault


@dataclasses.dataclass(eq=False)
class StopReading(Fault):
    """See `Faults.stop_reading`."""

    kind = "stop_reading"
    reads = False

    def begin(self) -> None:
        tell_all(self)


@dataclasses.dataclass(eq=False)
class StopWriting(Fault):
    """See `Faults.stop_writing`."""

    kind = "stop_writing"
    writes = False

    def begin(self) -> None:
        tell_all(self)


@dataclasses.dataclass(eq=False)
class OneByteWrites(Fault):
    """See `Faults.one_byte_writes`."""

    kind = "one_byte_writes"
    piece = 1

    def begin(self) -> None:
        tell_all(self)


def tell_all(fault: Fault) -> None:
    """It strikes all there are and all to come."""
    if fault.injector.broker is not None:
        fault.tell(None, "from now on")
