"""Faults of a simulated disk that last for a while. They may overlap, and each ends without the others."""

from dataclasses import dataclass


@dataclass(frozen=True, eq=False)
class DiskFault:
    """One fault. Its fields are those of `DiskFaults`."""

    full: bool = False
    operation: str = ""
    share: float = 0.0
    latency: int = 0
    slow_reads: float = 0.0


class DiskFaults:
    """The present faults of a disk; the worst of each sort counts.

    failing: operation -> fraction of them that fails. full: nothing can be written or created. latency: additional
    nanoseconds of each step. slow_reads: fraction of reads that take long.
    """

    def __init__(self) -> None:
        self.failing: dict[str, float] = {}
        self.full = False
        self.latency = 0
        self.slow_reads = 0.0
        self._present: list[DiskFault] = []

    def begin(self, fault: DiskFault) -> None:
        """Add a fault."""
        self._present.append(fault)
        self._combine()

    def end(self, fault: DiskFault) -> None:
        """End this fault, unless it has ended already."""
        if fault in self._present:
            self._present.remove(fault)
            self._combine()

    def end_all(self) -> None:
        """End all faults."""
        self._present.clear()
        self._combine()

    def _combine(self) -> None:
        self.failing = {}
        for fault in self._present:
            if fault.share:
                self.failing[fault.operation] = max(fault.share, self.failing.get(fault.operation, 0.0))
        self.full = any(fault.full for fault in self._present)
        self.latency = max((fault.latency for fault in self._present), default=0)
        self.slow_reads = max((fault.slow_reads for fault in self._present), default=0.0)
