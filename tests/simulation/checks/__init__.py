"""Conditions that hold in every world, whatever its workloads do. A new check is a file with one idea, and a row here.

RUNNING: checked between two iterations of the event loop; each yields what is wrong with a process.
"""

from tests.simulation.checks import (
    batches,
    caches,
    deadlines,
    held_memory,
    limit_counts,
    memory,
    offered,
    ready_counts,
    unacked_counts,
    unsent,
    unwritten,
)

RUNNING = (
    ready_counts.check,
    unacked_counts.check,
    offered.check,
    deadlines.check,
    unsent.check,
    memory.check,
    held_memory.check,
    unwritten.check,
    batches.check,
    caches.check,
    limit_counts.check,
)
