"""Conditions that hold in every world and for every workload. A new check is a file and a row here.

RUNNING: checked between two iterations of the event loop; each yields errors of a process. AROUND: checks of one
iteration; each inspects a process before it, and yields errors after it. AT_REST: made in this order at the end of a
world, when its workloads are done; each raises BrokenError.
"""

from tests.simulation.checks import (
    batches,
    bindings,
    caches,
    deadlines,
    groups,
    heartbeats,
    held_memory,
    journal_files,
    left_over,
    limit_counts,
    lines,
    loop_timer,
    memory,
    new_client,
    offered,
    places,
    ready_counts,
    rest,
    restart,
    stream_files,
    unacked_counts,
    unsent,
    unwritten,
)
from tests.simulation.checks.holding import Holding
from tests.simulation.checks.shares import Shares

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
    bindings.check,
    limit_counts.check,
    lines.check,
    places.check,
    groups.check,
    heartbeats.check,
    loop_timer.check,
)

AROUND = (Shares, Holding)

AT_REST = (
    new_client.check,
    rest.check,
    journal_files.check,
    stream_files.check,
    restart.check,
    left_over.check,
)
